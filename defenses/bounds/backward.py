"""Linear bounds carried backward from rows of coefficients of a step's values to the input.

Zhang et al., 2018, https://arxiv.org/abs/1811.00866 (CROWN), in the form for any graph of Xu et al., 2020,
https://arxiv.org/abs/2002.12920.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from armour.defenses.bounds import largest
from armour.defenses.bounds.curves import Lines
from armour.defenses.bounds.interval import Interval
from armour.defenses.bounds.program import Program
from armour.defenses.bounds.region import Region
from armour.defenses.bounds.steps import Affine, Curved, Largest
from armour.tensor import minimum
from armour.tensor.core import Tensor, wrap
from armour.tensor.elementwise import abs as magnitude


@dataclass(frozen=True, slots=True, eq=False)
class Queries:
    """Linear functions of a step's values whose least value is asked for.

    target: the step. rows (m, *shape): coefficients. owner (m,): the sample that each is about.
    """

    target: int
    rows: Tensor
    owner: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What is known of a region: intervals of the steps so far, and the lines that follow from them."""

    program: Program
    region: Region
    found: list[Interval]
    lines: dict[int, Lines | largest.Winners] = field(default_factory=dict)

    def of(self, index: int) -> Lines | largest.Winners:
        """The lines of a step that is not affine, worked out once."""
        if index not in self.lines:
            step = self.program.steps[index]
            held = self.found[step.parents[0]]
            assert isinstance(step, (Curved, Largest))
            self.lines[index] = (
                step.curve.lines(held.low, held.high)
                if isinstance(step, Curved)
                else largest.winners(step, held.low, held.high)
            )
        return self.lines[index]


def lowest(
    state: State,
    queries: Queries,
    *,
    affine_only: bool = False,
    slopes: Mapping[int, Tensor] | None = None,
) -> Tensor:
    """A lower bound (m,) of each query over its sample's region.

    affine_only: stop at the first steps that are not affine and use their intervals, which merges the last
    layers of interval bounds. slopes: free slopes (m, *shape) of the lower lines of some steps, in [0, 1].
    """
    steps, owner = state.program.steps, queries.owner
    waiting = {queries.target: queries.rows}
    total: Tensor | None = None

    def add(term: Tensor) -> None:
        nonlocal total
        total = term if total is None else total + term

    def send(parent: int, rows: Tensor) -> None:
        known = waiting.get(parent)
        waiting[parent] = rows if known is None else known + rows

    for index in range(queries.target, 0, -1):
        rows = waiting.pop(index, None)
        if rows is None:
            continue
        step, held = steps[index], state.found[index]
        if isinstance(step, Affine):
            if step.offset is not None:
                add(_dot(rows, step.offset))
            if held.slack is not None:
                add(-_dot(magnitude(rows), _of(wrap(held.slack), owner)))
            for parent, linear in zip(step.parents, step.maps, strict=True):
                send(parent, linear.back(rows))
            continue
        if affine_only:
            low, high = _of(held.low, owner), _of(held.high, owner)
            below = minimum(rows, 0.0)
            add(_dot(rows - below, low) + _dot(below, high))
            if held.slack is not None:
                add(-_dot(magnitude(rows), _of(wrap(held.slack), owner)))
            continue
        if held.slack is not None:
            add(-_dot(magnitude(rows), _of(wrap(held.slack), owner)))
        (parent,) = step.parents
        if isinstance(step, Curved):
            lines = state.of(index)
            if slopes is not None and index in slopes:
                given = state.found[parent]
                lines = step.curve.lines(_of(given.low, owner), _of(given.high, owner), slopes[index])
                kept, constant = _bent(rows, lines, None)
            else:
                assert isinstance(lines, Lines)
                kept, constant = _bent(rows, lines, owner)
            if constant is not None:
                add(constant)
        else:
            found = state.of(index)
            assert isinstance(step, Largest) and isinstance(found, largest.Winners)
            kept, constant = largest.back(step, found, rows, owner, steps[parent].shape)
            add(constant)
        send(parent, kept)
    if 0 in waiting:
        rows = waiting[0]
        add(state.region.least(rows, owner))
        slack = state.found[0].slack
        if slack is not None:
            add(-_dot(magnitude(rows), _of(wrap(slack), owner)))
    assert total is not None
    return total


def _bent(rows: Tensor, lines: Lines, owner: np.ndarray | None) -> tuple[Tensor, Tensor | None]:
    """Rows through a curve: what is above zero takes the line below, what is under zero the line above."""
    picked = [t if t is None or owner is None else _of(t, owner) for t in lines]
    low_slope, low_shift, high_slope, high_shift = picked
    assert low_slope is not None and high_slope is not None
    below = minimum(rows, 0.0)
    above = rows - below
    kept = above * low_slope + below * high_slope
    constant: Tensor | None = None
    for part, shift in ((above, low_shift), (below, high_shift)):
        if shift is not None:
            term = _dot(part, shift)
            constant = term if constant is None else constant + term
    return kept, constant


def _of(values: Tensor, owner: np.ndarray) -> Tensor:
    """Each query's own sample; a single one is broadcast, not copied."""
    n = values.shape[0]
    if n == 1:
        return values
    if len(owner) and (owner[0] == owner).all():
        return values[int(owner[0]) : int(owner[0]) + 1]
    return values[owner]


def _dot(rows: Tensor, values: Tensor) -> Tensor:
    """Sums over a sample of rows (m, ...) times values (m or 1, ...)."""
    m = rows.shape[0]
    flat, other = rows.reshape(m, -1), values.reshape(values.shape[0], -1)
    if other.shape[0] == 1:
        return (flat @ other.reshape(-1, 1)).reshape(-1)
    return (flat * other).sum(axis=1)


def chunks(owner: np.ndarray, most: int) -> Sequence[slice]:
    """Slices of at most `most` queries, which are sorted by owner."""
    return [slice(i, min(i + most, len(owner))) for i in range(0, len(owner), most)]
