"""Models behind a URL that speak the Open Inference Protocol v2, asked as black boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from armour.errors import InvalidArgument

from .address import is_url as is_url
from .model import RemoteModel as RemoteModel
from .options import RemoteOptions as RemoteOptions


def wrap(url: str, options: Mapping[str, Any]) -> RemoteModel:
    """The model at a URL; options: keywords of RemoteModel, None where nothing is stated.

    Raises what RemoteModel raises, and InvalidArgument for a setting that it does not have.
    """
    stated = {name: value for name, value in options.items() if value is not None}
    try:
        return RemoteModel(url, **stated)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise InvalidArgument(f"a model behind a URL has no such setting: {error}") from None
