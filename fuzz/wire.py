"""What processes of one run tell each other: JSON values with arrays among them, as bytes.

Both ends are forks of one program, so nothing is unpickled, and nothing needs to be.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from .minimize import Case
from .recipe import Recipe, Step
from .rounds import Found, Round, Survivor

_HEAD = struct.Struct("<Q")


def pack(value: Any) -> bytes:
    """Numbers, texts, lists, dictionaries with texts as keys, and arrays of numbers among them."""
    arrays: list[np.ndarray] = []
    text = json.dumps(_plain(value, arrays)).encode()
    return b"".join([_HEAD.pack(len(text)), text, *(np.ascontiguousarray(a).tobytes() for a in arrays)])


def unpack(data: bytes) -> Any:
    """What was packed; tuples come back as lists, and arrays may be written to."""
    (length,) = _HEAD.unpack_from(data)
    start = _HEAD.size + length

    def array(pairs: dict[str, Any]) -> Any:
        nonlocal start
        if pairs.keys() != {"dtype", "shape", "array"}:
            return pairs
        found = np.frombuffer(data, pairs["dtype"], int(np.prod(pairs["shape"])), start)
        start += found.nbytes
        return found.reshape(pairs["shape"]).copy()

    return json.loads(data[_HEAD.size : start], object_hook=array)


def _plain(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"dtype": value.dtype.str, "shape": list(value.shape), "array": True}
    if isinstance(value, dict):
        return {key: _plain(one, arrays) for key, one in value.items()}
    if isinstance(value, (list, tuple)) and any(isinstance(one, _NESTING) for one in value):
        return [_plain(one, arrays) for one in value]
    return value


_NESTING = (np.ndarray, dict, list, tuple)


def round_out(one: Round, *, bare: bool) -> dict[str, Any]:
    """A round as values to pack. bare: without inputs and survivors, which only a corpus keeps.

    Of failures that are not the first of their class only what the index records is told.
    """
    return {
        "number": one.number,
        "executions": one.executions,
        "picks": [] if bare else one.picks,
        "state": one.state,
        "found": [_found_out(found, bare) for found in one.found],
        "survivors": [] if bare else [_survivor_out(survivor) for survivor in one.survivors],
    }


def round_in(values: dict[str, Any]) -> Round:
    """The round of what round_out gave."""
    return Round(
        values["number"],
        values["executions"],
        values["picks"],
        [_found_in(found) for found in values["found"]],
        [_survivor_in(survivor) for survivor in values["survivors"]],
        values["state"],
    )


_NOTHING = np.zeros(0, np.float32)


def _recipe_out(recipe: Recipe) -> list[Any]:
    return [recipe.root, [[step.mutator, step.params, step.key] for step in recipe.steps]]


def _recipe_in(values: list[Any]) -> Recipe:
    root, steps = values
    return Recipe(root, tuple(Step(name, tuple(params), key) for name, params, key in steps))


def _case_out(case: Case, whole: bool) -> dict[str, Any]:
    values = {name: getattr(case, name) for name in ("label", "oracle", "predicted", "level")}
    values["recipe"] = _recipe_out(case.recipe)
    return {**values, "x": case.x, "ref": case.ref} if whole else values


def _case_in(values: dict[str, Any]) -> Case:
    return Case(**({"x": _NOTHING, "ref": _NOTHING} | values | {"recipe": _recipe_in(values["recipe"])}))


_FOUND = tuple(name for name in Found.__slots__ if name not in ("case", "minimised"))


def _found_out(found: Found, bare: bool) -> dict[str, Any]:
    whole = found.first and not bare
    values = {name: getattr(found, name) for name in _FOUND}
    values["case"] = _case_out(found.case, whole)
    if whole and found.minimised is not None:
        values["minimised"] = _case_out(found.minimised, True)
    return values


def _found_in(values: dict[str, Any]) -> Found:
    small = values.pop("minimised", None)
    case = _case_in(values.pop("case"))
    return Found(**values, case=case, minimised=None if small is None else _case_in(small))


_SURVIVOR = tuple(name for name in Survivor.__slots__ if name not in ("recipe", "ref"))


def _survivor_out(survivor: Survivor) -> dict[str, Any]:
    values = {name: getattr(survivor, name) for name in _SURVIVOR}
    return {**values, "recipe": _recipe_out(survivor.recipe)}


def _survivor_in(values: dict[str, Any]) -> Survivor:
    return Survivor(**(values | {"recipe": _recipe_in(values["recipe"]), "ref": _NOTHING}))
