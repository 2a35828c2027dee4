"""Serving a model by the Open Inference Protocol v2: `Server(model)`, or `armour serve MODEL`."""

from __future__ import annotations

from .limits import Limits as Limits
from .server import Server as Server
