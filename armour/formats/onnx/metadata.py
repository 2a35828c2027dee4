"""What an ONNX file says about itself in its metadata: read with care, used only where nothing is stated."""

from __future__ import annotations

import json
from typing import Any

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.options import LoadOptions

from .proto import OnnxModel

MAX_TEXT = 1 << 20
_LICENCE = ("license", "licence", "License", "model_license")


def stated(model: OnnxModel, options: LoadOptions) -> LoadOptions:
    """The options with what armour's own exporter wrote filled in: bounds, names, shape of the answer."""
    changes: dict[str, Any] = {}
    if options.bounds is None:
        pair = _json(model, "armour.bounds")
        try:
            if isinstance(pair, list) and len(pair) == 2 and all(isinstance(v, (int, float)) for v in pair):
                changes["bounds"] = Bounds.of(pair)
        except InvalidArgument:
            pass
    if options.class_names is None:
        names = _json(model, "armour.class_names")
        if isinstance(names, list) and all(
            isinstance(n, str) and n.isprintable() and 0 < len(n) < 300 for n in names
        ):
            changes["class_names"] = tuple(names)
    shape = _json(model, "armour.output_shape")
    if isinstance(shape, list) and options.output_shape is None and options.num_classes is None:
        sound = len(shape) in range(1, 9) and all(type(side) is int and side > 0 for side in shape)
        changes |= {"output_shape": tuple(shape)} if sound else {}
    return options.vary(**changes) if changes else options


def licence(model: OnnxModel) -> str:
    """The licence that the file names; empty if it names none."""
    for key in _LICENCE:
        text = model.metadata.get(key, "")
        if text.strip():
            return "".join(c for c in text.strip()[:200] if c.isprintable())
    return ""


def _json(model: OnnxModel, key: str) -> Any:
    text = model.metadata.get(key)
    if text is None or len(text) > MAX_TEXT:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
