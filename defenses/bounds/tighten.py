"""Intervals made tighter by linear bounds, step after step, before curves that depend on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from armour.defenses.bounds.backward import Queries, State, chunks, lowest
from armour.defenses.bounds.interval import Interval, interval, intervals
from armour.defenses.bounds.largest import contested
from armour.defenses.bounds.program import Program
from armour.defenses.bounds.region import Region
from armour.defenses.bounds.rounding import Rounding
from armour.defenses.bounds.steps import Affine, Curved, Largest
from armour.tensor.core import Tensor, no_grad, wrap

ELEMENTS = 1 << 18
"""Coefficients in one chunk of queries, which bounds the memory: some eight arrays of so many."""


def tightened(
    program: Program, region: Region, rounding: Rounding, *, method: str = "crown", intersect: bool = True
) -> State:
    """Intervals of every step.

    method: "ibp", intervals alone (for balls that are no boxes, the first layers are bounded over the ball);
    "crown", linear bounds of every step before a curve or a largest value. intersect: keep the better of the
    two, which is what certificates use.
    """
    state = State(program, region, intervals(program, region, rounding))
    first = _before_curves(program)
    if method == "ibp" and region.norm == "linf":
        return state
    exact = _exact(program) if region.norm == "linf" else [False] * len(program.steps)
    with no_grad():
        for index, step in enumerate(program.steps[1:], 1):
            held = interval(step, state.found, rounding)
            if intersect:
                held = held.within(state.found[index].low, state.found[index].high)
            state.found[index] = held
            wanted = method == "crown" or first[index]
            if wanted and isinstance(step, Affine) and not exact[index]:
                loose = _loose(program, index, held)
                if loose.any():
                    state.found[index] = _queried(state, index, loose, intersect)
    return state


def least(state: State, queries: Queries, run: Callable[[Queries], Tensor]) -> np.ndarray:
    """`run` on chunks of the queries, as one array (m,)."""
    numel = max(int(np.prod(s.shape)) for s in state.program.steps[: queries.target + 1])
    parts = chunks(queries.owner, max(1, ELEMENTS // numel))
    found = [run(Queries(queries.target, queries.rows[s], queries.owner[s])).data for s in parts]
    return np.concatenate([np.zeros(0), *found])


def _queried(state: State, index: int, loose: np.ndarray, intersect: bool) -> Interval:
    held = state.found[index]
    shape = state.program.steps[index].shape
    numel = int(np.prod(shape))
    owner, place = np.nonzero(loose.reshape(len(loose), -1))
    most = max(1, ELEMENTS // max(int(np.prod(s.shape)) for s in state.program.steps[: index + 1]))
    low, high = (b.data.reshape(len(loose), -1).copy() for b in (held.low, held.high))
    for sign, bound, better in ((1.0, low, np.maximum), (-1.0, high, np.minimum)):
        for chosen in chunks(owner, most):
            at, where = owner[chosen], place[chosen]
            rows = np.zeros((len(at), numel))
            rows[np.arange(len(at)), where] = sign
            found = lowest(state, Queries(index, wrap(rows.reshape(-1, *shape)), at)).data * sign
            bound[at, where] = better(bound[at, where], found) if intersect else found
    return Interval(
        wrap(low.reshape(held.low.shape)), wrap(high.reshape(held.low.shape)), held.slack, held.size
    )


def _loose(program: Program, index: int, held: Interval) -> np.ndarray:
    """Which values a step behind this one would use tighter bounds of, bool (n, *shape)."""
    low, high = held.low.data, held.high.data
    found = np.zeros(low.shape, bool)
    for user in program.users[index]:
        step = program.steps[user]
        if isinstance(step, Curved):
            found |= step.curve.loose(low, high)
            low_value, high_value = (step.curve.value(b).data for b in (held.low, held.high))
            for after in program.users[user]:
                pool = program.steps[after]
                if isinstance(pool, Largest):
                    found |= contested(pool, low_value, high_value)
        elif isinstance(step, Largest):
            found |= contested(step, low, high)
    return found


def _before_curves(program: Program) -> list[bool]:
    """Steps that depend on the input by affine steps alone."""
    found: list[bool] = []
    for step in program.steps:
        found.append(
            isinstance(step, Affine) and all(found[p] for p in step.parents) if step.parents else True
        )
    return found


def _exact(program: Program) -> list[bool]:
    """Steps whose intervals over a box are the best there are: one layer that mixes values, at most."""
    alone: list[bool] = []  # each value depends on inputs that no other value depends on
    exact: list[bool] = []
    for step in program.steps:
        if not step.parents:
            alone.append(True)
            exact.append(True)
            continue
        one = len(step.parents) == 1
        parent = step.parents[0]
        by_itself = isinstance(step, Curved) or (isinstance(step, Affine) and one and step.maps[0].diagonal)
        alone.append(one and by_itself and alone[parent])
        exact.append(one and ((by_itself and exact[parent]) or alone[parent]))
    return exact
