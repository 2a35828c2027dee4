"""Attributes of graph nodes as JSON and back: numbers, strings, None, tuples, slices and index arrays.

A list in JSON is a tuple here. What JSON lacks is an object with one marker: {"slice": [start, stop, step]},
{"ellipsis": true}, {"float": "inf"}, {"batch": [times, plus]},
{"array": [flat values], "shape": [...], "dtype": "int64" or "bool"}.
"""

from __future__ import annotations

import math
from types import EllipsisType
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.batching import BatchSize

MAX_DEPTH = 8
MAX_ITEMS = 100_000  # of one tuple or index array
MAX_TEXT = 1_000
_SPECIAL = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def show(value: Any) -> str:
    """A short text for messages, whatever a file may have put there."""
    if isinstance(value, str):
        return repr(value[:60])
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)[:60]
    size = f" of {len(value)} items" if isinstance(value, (list, tuple, dict)) else ""
    return f"{type(value).__name__}{size}"


def plain(value: Any, depth: int = 0) -> Any:
    """The value, with tuples for lists and Python numbers; InvalidArgument if JSON cannot hold it."""
    if depth > MAX_DEPTH:
        raise InvalidArgument(f"expected at most {MAX_DEPTH} levels of nesting in an attribute")
    if value is None or isinstance(value, (bool, EllipsisType)):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        if not -(2**63) <= value < 2**63:
            raise InvalidArgument("expected a whole number of 64 bits in an attribute, got a larger one")
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise InvalidArgument(f"expected at most {MAX_TEXT} characters in an attribute, got {len(value)}")
        return value
    if isinstance(value, BatchSize):
        return BatchSize(plain(value.times), plain(value.plus))
    if isinstance(value, slice):
        parts = tuple(plain(v, depth + 1) for v in (value.start, value.stop, value.step))
        if not all(p is None or (isinstance(p, (int, BatchSize)) and not isinstance(p, bool)) for p in parts):
            raise InvalidArgument(f"expected whole numbers or None in a slice, got {parts}")
        return slice(*parts)
    if isinstance(value, np.ndarray) and value.dtype.kind in "iub" and value.size <= MAX_ITEMS:
        return value.astype(bool if value.dtype.kind == "b" else np.int64)
    if isinstance(value, (list, tuple)) and len(value) <= MAX_ITEMS:
        return tuple(plain(v, depth + 1) for v in value)
    raise InvalidArgument(
        "expected numbers, strings, tuples, slices or small index arrays as an attribute, "
        f"got {show(value) if not isinstance(value, np.ndarray) else f'an array {value.shape} {value.dtype}'}"
    )


def encode(value: Any) -> Any:
    """A plain value as JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, EllipsisType):
        return {"ellipsis": True}
    if isinstance(value, BatchSize):
        return {"batch": [value.times, value.plus]}
    if isinstance(value, slice):
        return {"slice": [encode(v) for v in (value.start, value.stop, value.step)]}
    if isinstance(value, np.ndarray):
        flat = value.reshape(-1).tolist()
        return {"array": flat, "shape": list(value.shape), "dtype": value.dtype.name}
    return [encode(v) for v in value] if isinstance(value, tuple) else value


def decode(tree: Any, depth: int = 0) -> Any:
    """JSON as a plain value; InvalidArgument for anything that `encode` does not write."""
    if isinstance(tree, list) and depth < MAX_DEPTH and len(tree) <= MAX_ITEMS:
        return tuple(decode(v, depth + 1) for v in tree)
    if isinstance(tree, float) and not math.isfinite(tree):
        raise InvalidArgument("expected finite numbers, got one beyond the range of float64")
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return plain(tree)
    if isinstance(tree, dict):
        return _decode_marker(tree)
    raise InvalidArgument(f"expected an attribute, got {show(tree)}")


def _decode_marker(tree: dict[str, Any]) -> Any:
    if tree == {"ellipsis": True}:
        return ...
    if tree.keys() == {"float"} and isinstance(tree["float"], str) and tree["float"] in _SPECIAL:
        return _SPECIAL[tree["float"]]
    if tree.keys() == {"slice"} and isinstance(tree["slice"], list) and len(tree["slice"]) == 3:
        return plain(slice(*(decode(v) for v in tree["slice"])))
    if tree.keys() == {"batch"} and _two_naturals(tree["batch"]):
        return BatchSize(*tree["batch"])
    if tree.keys() == {"array", "shape", "dtype"}:
        return decode_array(tree["array"], tree["shape"], tree["dtype"], ("int64", "bool"), MAX_ITEMS)
    raise InvalidArgument(f"expected an attribute, got an object with {show(next(iter(tree), None))}")


def _two_naturals(value: Any) -> bool:
    return (
        isinstance(value, list) and len(value) == 2 and all(type(v) is int and abs(v) < 2**31 for v in value)
    )


def decode_array(values: Any, shape: Any, dtype: Any, dtypes: tuple[str, ...], limit: int) -> np.ndarray:
    """The array with these flat values; InvalidArgument if the parts do not fit each other.

    Floating values may be "inf", "-inf" and "nan". Nothing is allocated from `shape` before it fits the
    values.
    """
    if not isinstance(dtype, str) or dtype not in dtypes:
        raise InvalidArgument(f"expected one of the dtypes {', '.join(dtypes)}, got {show(dtype)}")
    if not isinstance(values, list) or len(values) > limit:
        raise InvalidArgument(f"expected at most {limit} values in a list, got {show(values)}")
    sizes = shape_of(shape)
    if math.prod(sizes) != len(values):
        raise InvalidArgument(f"expected {math.prod(sizes)} values for shape {sizes}, got {len(values)}")
    kind = np.dtype(dtype).kind
    if kind == "f":
        values = [_SPECIAL.get(v, v) if isinstance(v, str) else v for v in values]
    expected: Any = {"b": bool, "f": (int, float)}.get(kind, int)
    if not all(isinstance(v, expected) and (kind == "b" or not isinstance(v, bool)) for v in values):
        raise InvalidArgument(f"expected {dtype} values in a list, got another type among them")
    try:
        with np.errstate(over="raise"):
            return np.array(values, dtype=dtype).reshape(sizes)
    except (ArithmeticError, ValueError) as error:
        raise InvalidArgument(f"expected values in the range of {dtype}: {error}") from error


def shape_of(tree: Any, free: bool = False) -> tuple[Any, ...]:
    """A shape from a JSON list: at most 32 lengths below 2^48 in product; with `free`, None is any length."""
    if not isinstance(tree, (list, tuple)) or len(tree) > 32:
        raise InvalidArgument(f"expected a shape of at most 32 axes, got {show(tree)}")
    for n in tree:
        if not (free and n is None) and not (
            isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**31
        ):
            raise InvalidArgument(f"expected lengths from 0 to 2^31 in a shape, got {show(n)}")
    if math.prod(n for n in tree if n is not None) >= 2**48:
        raise InvalidArgument("expected a shape with fewer than 2^48 elements, got a larger one")
    return tuple(tree)
