"""Lists of tensors, and values that may be missing: what exporters write for split, stack and loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor

from .rules import Call, Listed, rule
from .rules_array import check_size

MAX_PARTS = 1 << 16


def listed(c: Call, i: int = 0) -> list[Any]:
    """Input i as a list of values."""
    value: Any = c.inputs[i] if c.has(i) else None
    if not isinstance(value, Listed):
        raise c.damaged(f"takes no list as its input {i}")
    return list(value.values)


def _place(c: Call, i: int, length: int, default: int) -> int:
    place = int(c.known(i).reshape(-1)[0]) if c.has(i) else default
    if not -length <= place < max(length, default + 1):
        raise c.damaged(f"takes place {place} of a list of {length}")
    return place + length if place < 0 else place


@rule("SequenceConstruct", "SequenceEmpty")
def construct(c: Call) -> Listed:
    """A list of the inputs."""
    return Listed(_single(c, i) for i in range(len(c.inputs)))


def _single(c: Call, i: int) -> Any:
    if not c.has(i) or isinstance(c.inputs[i], Listed):
        raise c.damaged(f"puts no tensor into a list as its input {i}")
    return c.inputs[i]


@rule("SequenceAt")
def at(c: Call) -> Any:
    """One value of a list, from its end if the place is below 0."""
    values = listed(c)
    place = _place(c, 1, len(values), -1)
    if not values:
        raise c.damaged("takes a value of an empty list")
    return values[place]


@rule("SequenceInsert")
def insert(c: Call) -> Listed:
    """The list with one value more, at its end if no place is given."""
    values = listed(c)
    place = _place(c, 2, len(values), len(values))
    return Listed((*values[:place], _single(c, 1), *values[place:]))


@rule("SequenceErase")
def erase(c: Call) -> Listed:
    """The list without one value, the last one if no place is given."""
    values = listed(c)
    if not values:
        raise c.damaged("takes a value out of an empty list")
    place = _place(c, 1, len(values), -1)
    return Listed((*values[:place], *values[place + 1 :]))


@rule("SequenceLength")
def length(c: Call) -> np.ndarray:
    """How many values there are."""
    return np.array(len(listed(c)), np.int64)


@rule("SplitToSequence")
def split_to_sequence(c: Call) -> Listed:
    """Parts along an axis, of one length or of given ones; without either single slices."""
    x = c.x(0)
    axis = int(c.attr("axis", 0)) % max(x.ndim, 1)
    total = x.shape[axis]
    sizes = c.ints(1) if c.has(1) else (1,)
    if not c.has(1) or not c.known(1).ndim:
        count = math.ceil(total / sizes[0]) if sizes[0] > 0 else -1
        if not 0 <= count <= MAX_PARTS:
            raise c.damaged(f"splits {total} into parts of {sizes[0]}")
        sizes = tuple(min(sizes[0], total - k * sizes[0]) for k in range(count))
    if sum(sizes) != total or min(sizes, default=0) < 0:
        raise c.damaged(f"splits {total} into {sizes[:20]}")
    before, parts, start = (slice(None),) * axis, [], 0
    for size in sizes:
        single = not c.has(1) and not c.attr("keepdims", 1)
        parts.append(T.getitem(x, (*before, start if single else slice(start, start + size))))
        start += size
    return Listed(parts)


@rule("ConcatFromSequence")
def concat_from_sequence(c: Call) -> Tensor:
    """The values along an axis, which is new if new_axis says so."""
    values, axis = listed(c), int(c.attr("axis"))
    if not values:
        raise c.damaged("joins an empty list")
    check_size(c, *(sum(math.prod(v.shape) for v in values),))
    return T.stack(values, axis) if c.attr("new_axis", 0) else T.concat(values, axis)


@rule("OptionalHasElement")
def has_element(c: Call) -> np.ndarray:
    """True for a value that is there."""
    return np.array(c.has(0))


@rule("OptionalGetElement", "Optional")
def get_element(c: Call) -> Any:
    """The value, which must be there."""
    if not c.has(0):
        raise c.damaged("takes a value that is missing")
    return c.inputs[0]
