"""Models behind a URL that speak the Open Inference Protocol v2, asked as black boxes."""

from __future__ import annotations

from .address import is_url as is_url
from .model import RemoteModel as RemoteModel
from .options import RemoteOptions as RemoteOptions
