"""CROWN with free lower slopes, chosen by gradient steps for each query: alpha-CROWN.

Xu et al., 2021, https://arxiv.org/abs/2011.13824. Any slopes in [0, 1] are sound, so the best bound seen is
kept. Bounds before the curves stay those of CROWN, which the published method optimises too.
"""

from __future__ import annotations

import numpy as np

from armour.defenses.bounds.backward import Queries, State, lowest
from armour.defenses.bounds.curves import Rectifier
from armour.defenses.bounds.steps import Curved
from armour.tensor.core import Tensor, wrap
from armour.tensor.tape import recording

RATE, DECAY, STEPS = 0.5, 0.98, 20
_FIRST, _SECOND, _TINY = 0.9, 0.999, 1e-8


def optimised(state: State, queries: Queries, steps: int = STEPS) -> Tensor:
    """Lower bounds (m,) of the queries, after `steps` steps of Adam on the lower slopes of rectifiers."""
    free = _started(state, queries)
    best = lowest(state, queries).data
    if not free:
        return wrap(best)
    first = {i: np.zeros_like(a) for i, a in free.items()}
    second = {i: np.zeros_like(a) for i, a in free.items()}
    for step in range(1, steps + 1):
        with recording(True):
            leaves = {i: Tensor(a, requires_grad=True) for i, a in free.items()}
            bound = lowest(state, queries, slopes=leaves)
            bound.sum().backward()
        best = np.fmax(best, bound.data)
        rate = RATE * DECAY ** (step - 1)
        for i, leaf in leaves.items():
            if leaf.grad is None:
                continue
            g = leaf.grad.numpy()
            first[i] = _FIRST * first[i] + (1 - _FIRST) * g
            second[i] = _SECOND * second[i] + (1 - _SECOND) * g * g
            move = first[i] / (1 - _FIRST**step)
            size = np.sqrt(second[i] / (1 - _SECOND**step)) + _TINY
            free[i] = np.clip(free[i] + rate * move / size, 0.0, 1.0)
    last = lowest(state, queries, slopes={i: wrap(a) for i, a in free.items()})
    return wrap(np.fmax(best, last.data))


def _started(state: State, queries: Queries) -> dict[int, np.ndarray]:
    """Slopes (m, *shape) of the rectifiers before the target, as CROWN chooses them."""
    found = {}
    for index, step in enumerate(state.program.steps[: queries.target]):
        if not isinstance(step, Curved) or not isinstance(step.curve, Rectifier):
            continue
        held = state.found[step.parents[0]]
        low, high = held.low.data, held.high.data
        if step.curve.loose(low, high).any():
            found[index] = (high > -low).astype(low.dtype)[queries.owner]
    return found
