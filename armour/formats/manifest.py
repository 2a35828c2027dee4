"""manifest.json of a checkpoint: all about a model but the values of its weights, checked both ways."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from armour.errors import CheckpointError, InvalidArgument
from armour.model import ModuleModel
from armour.preprocessing import Preprocessing, joined
from armour.tensor.ir import Graph, parse_json

FORMAT = "armour-ckpt/1"
# With preprocessing beyond mean and std, which a reader of the first would leave out.
WITH_STEPS = "armour-ckpt/1+preprocessing"
MAX_INPUT = 1 << 24  # elements of one input: 2,048 x 2,048 pixels in four channels
MAX_CLASSES = 65_536
MAX_TEXT = 300  # characters of a name
MAX_NESTING = 16  # of provenance
MAX_NUMBER, MIN_STD = 1e9, 1e-9
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")  # all but tab and line feed; surrogates


def describe(model: ModuleModel, graph: Graph, weights_sha256: str) -> dict[str, Any]:
    """The manifest of a model."""
    steps = model.preprocessing
    return {
        "format": FORMAT if steps.only_normalises else WITH_STEPS,
        "graph": graph.to_dict(),
        "input_shape": None if model.input_shape is None else list(model.input_shape),
        "num_classes": model.num_classes,
        "class_names": list(model.class_names),
        "bounds": list(model.bounds),
        "mean": list(model.mean),
        "std": list(model.std),
        "name": model.name,
        "provenance": model.provenance,
        "weights_sha256": weights_sha256,
    } | ({} if steps.only_normalises else {"preprocessing": steps.to_dict()})


def dump(tree: dict[str, Any], limit: int) -> bytes:
    """JSON of a manifest; CheckpointError for one that `parse` would refuse."""
    try:
        text = json.dumps(tree, allow_nan=False, indent=1, sort_keys=True).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"provenance must be plain JSON values with text as keys, without NaN ({error}); convert it"
        ) from error
    parse(text, limit)
    return text


def parse(raw: bytes, limit: int) -> dict[str, Any]:
    """The checked fields of a manifest; `bounds` may be None. CheckpointError names field and reason."""
    try:
        tree = parse_json(raw, limit)
    except CheckpointError as error:
        raise CheckpointError(f"manifest.json cannot be read ({error}); get the file again") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("format"), str):
        raise CheckpointError(
            f"manifest.json does not state its format; expected {FORMAT!r}, get the file again"
        )
    if tree["format"] not in (FORMAT, WITH_STEPS):
        raise CheckpointError(
            f"expected format {FORMAT!r}, got {ascii(tree['format'])[:40]}; "
            "it was written by another version of armour, use that one"
        )
    for key in ("mean", "std"):
        if tree.get(key) is None:
            raise CheckpointError(
                f"the manifest does not state {key}, and a wrong normalisation makes every epsilon wrong; "
                "save the model again with it"
            )
    tree.setdefault("bounds", None)
    if ("preprocessing" in tree) != (tree["format"] == WITH_STEPS):
        raise CheckpointError(f"{WITH_STEPS!r} goes with preprocessing, and only that; get the file again")
    if not isinstance(tree.get("preprocessing", {}), dict):
        raise CheckpointError("the manifest's preprocessing is not an object; get the file again")
    for key, (fits, expected) in _FIELDS.items():
        if key not in tree or not fits(tree[key]):
            raise CheckpointError(f"the manifest's {key} is not {expected}; get the file again")
    names, classes = tree["class_names"], tree["num_classes"]
    if names and len(names) != classes:
        raise CheckpointError(
            f"the manifest has {len(names)} class names for {classes} classes; get the file again"
        )
    return {key: tree[key] for key in ("format", *_FIELDS, "preprocessing") if key in tree}


def preprocessing(tree: dict[str, Any]) -> Preprocessing:
    """What is done to the inputs, as a parsed manifest says; InvalidArgument for what cannot be done."""
    if "preprocessing" not in tree:
        return joined(None, tree["mean"], tree["std"])
    steps = Preprocessing.from_dict(tree["preprocessing"])
    if (list(steps.mean), list(steps.std)) != (tree["mean"], tree["std"]):
        raise InvalidArgument("the manifest's preprocessing and its mean and std differ; get the file again")
    return steps


def check_ends(graph: Graph, network_shape: Sequence[int], dtype: str) -> None:
    """The graph takes one batch of such inputs and gives one output; CheckpointError otherwise."""
    wanted = (None, *network_shape)
    one = (1, *network_shape)  # a network recorded for one sample at a time
    if len(graph.inputs) != 1 or graph.inputs[0].shape not in (wanted, one) or graph.inputs[0].dtype != dtype:
        found = ", ".join(f"{v.shape} {v.dtype}" for v in graph.inputs)[:120]
        raise CheckpointError(
            f"the network takes {found}, the manifest says {wanted} {dtype}; they do not belong together"
        )
    if len(graph.outputs) != 1 or graph.outputs[0] not in {node.name for node in graph.nodes}:
        raise CheckpointError("the network must have one output, computed by a node; save the model again")


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable()


def _naturals(value: Any) -> bool:
    return isinstance(value, list) and all(type(v) is int and 0 < v <= MAX_INPUT for v in value)


def _numbers(value: Any) -> bool:
    # Comparing works for whole numbers of any length, which float() does not.
    return isinstance(value, list) and all(type(v) in (int, float) and abs(v) <= MAX_NUMBER for v in value)


def _provenance(value: Any) -> bool:
    if not isinstance(value, dict) or not _presentable(value):
        return False
    parts = [value.get(key, {}) for key in ("data", "training")]
    return all(isinstance(part, dict) for part in parts) and isinstance(parts[0].get("name", ""), str)


def _presentable(value: Any) -> bool:
    """True if it nests no deeper than the limit and no text in it could steer a terminal."""
    level = [value]
    for _ in range(MAX_NESTING):
        inside: list[Any] = []
        for part in level:
            if isinstance(part, dict):
                inside += [*part.keys(), *part.values()]
            elif isinstance(part, list):
                inside += part
            elif isinstance(part, str) and _CONTROL.search(part):
                return False
        if not inside:
            return True
        level = inside
    return False


_FIELDS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "graph": (lambda v: isinstance(v, dict), "an object"),
    "input_shape": (
        lambda v: _naturals(v) and 0 < len(v) <= 8 and math.prod(v) <= MAX_INPUT,
        f"a list of lengths with at most {MAX_INPUT:,} elements in all",
    ),
    "num_classes": (lambda v: type(v) is int and 0 < v <= MAX_CLASSES, f"a number in 1..{MAX_CLASSES}"),
    "class_names": (lambda v: isinstance(v, list) and all(map(_text, v)), "a list of printable names"),
    "bounds": (lambda v: v is None or (_numbers(v) and len(v) == 2), "a pair of numbers"),
    "mean": (_numbers, "a list of numbers"),
    "std": (lambda v: _numbers(v) and all(x >= MIN_STD for x in v), "a list of numbers above 0"),
    "name": (_text, "a printable name"),
    "provenance": (
        _provenance,
        f"an object of at most {MAX_NESTING} levels without control characters, data and training objects",
    ),
    "weights_sha256": (lambda v: _text(v) and len(v) == 64, "a sha256 in hexadecimal"),
}
