"""Rows of the op table that repeat or rotate elements: tile, repeat, roll; and grids of coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armour.checks import count
from armour.errors import InvalidArgument
from armour.tensor.core import Tensor, lift
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import broadcast_to, flatten, reshape


def _tile_vjp(g: Tensor, y: Tensor, x: Tensor, reps: tuple[int, ...]) -> Tensor:
    # Each axis of the output is (times, length): the sum over the times is what x is given.
    lengths = (1,) * (len(reps) - x.ndim) + x.shape
    reps = (1,) * (len(lengths) - len(reps)) + reps
    split = reshape(g, [n for pair in zip(reps, lengths, strict=True) for n in pair])
    return reshape(split.sum(axis=tuple(range(0, split.ndim, 2))), x.shape)


def _repeat_vjp(g: Tensor, y: Tensor, x: Tensor, repeats: int, axis: int) -> Tensor:
    axis %= x.ndim
    return reshape(g, (*x.shape[: axis + 1], repeats, *x.shape[axis + 1 :])).sum(axis=axis + 1)


_tile: Op = op(
    "tile",
    lambda xp, x, reps: xp.tile(x, reps),
    (_tile_vjp,),
    cases=(
        Case(((2, 3),), {"reps": (2, 3)}),
        Case(((2, 3),), {"reps": (2,)}),
        Case(((3,),), {"reps": (2, 1, 2)}),
        Case(((0, 3),), {"reps": (2, 2)}),
        Case(((2, 3),), {"reps": (0, 2)}),
    ),
)
_repeat: Op = op(
    "repeat",
    lambda xp, x, repeats, axis: xp.repeat(x, repeats, axis=axis),
    (_repeat_vjp,),
    cases=(
        Case(((2, 3, 4),), {"repeats": 3, "axis": 1}),
        Case(((2, 3),), {"repeats": 2, "axis": -1}),
        Case(((0, 3),), {"repeats": 2, "axis": 0}),
    ),
)
_roll: Op = op(
    "roll",
    lambda xp, x, shift, axis: xp.roll(x, shift, axis=axis),
    (lambda g, y, x, shift, axis: roll(g, _minus(shift), axis),),
    cases=(
        Case(((3, 4),), {"shift": 1, "axis": 1}),
        Case(((3, 4),), {"shift": (1, -6), "axis": (0, 1)}),
        Case(((0, 3),), {"shift": 2, "axis": 0}),
    ),
)


def _minus(shift: int | tuple[int, ...]) -> int | tuple[int, ...]:
    return tuple(-s for s in shift) if isinstance(shift, tuple) else -shift


def tile(x: Any, reps: int | Sequence[int]) -> Tensor:
    """The whole of x put side by side `reps` times along each axis; missing numbers count as 1 in front."""
    times = (reps,) if isinstance(reps, int) else tuple(reps)
    return _tile(x, reps=tuple(count("reps", n, at_least=0) for n in times))


def repeat(x: Any, repeats: int, axis: int | None = None) -> Tensor:
    """Each element `repeats` times, next to itself, along `axis`; of the flattened x without an axis."""
    (t,) = lift([x])
    repeats = count("repeats", repeats, at_least=0)
    return _repeat(flatten(t, 0) if axis is None else t, repeats=repeats, axis=0 if axis is None else axis)


def roll(x: Any, shift: int | Sequence[int], axis: int | Sequence[int]) -> Tensor:
    """Elements moved on by `shift` places along `axis`; those that leave at the end come in at the start."""
    shifts = (shift,) if isinstance(shift, int) else tuple(shift)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    if len(shifts) != len(axes):
        raise InvalidArgument(f"expected one shift for each axis, got shift={shift!r} for axis={axis!r}")
    return _roll(x, shift=shifts, axis=axes)


def meshgrid(*xs: Any, indexing: str = "ij") -> list[Tensor]:
    """One tensor per input, of the grid's shape: element (i, j) of the first is its i-th value, and so on.

    xs: tensors with one axis. indexing: "ij", or "xy" for a grid whose first two axes change places.
    """
    tensors = lift(xs)
    if indexing not in ("ij", "xy") or any(t.ndim != 1 for t in tensors):
        raise InvalidArgument(
            f"expected tensors with one axis and indexing 'ij' or 'xy', got shapes "
            f"{[t.shape for t in tensors]} and {indexing!r}"
        )
    places = list(range(len(tensors)))
    if indexing == "xy" and len(places) > 1:
        places[:2] = 1, 0
    shape = [1] * len(places)
    for t, place in zip(tensors, places, strict=True):
        shape[place] = t.shape[0]
    grid = []
    for t, place in zip(tensors, places, strict=True):
        line = reshape(t, [t.shape[0] if i == place else 1 for i in range(len(shape))])
        grid.append(broadcast_to(line, shape))
    return grid
