"""Bounds of the largest of some values, such as a max-pooling window's: the windows may overlap.

Below: the value whose own lower bound is largest. Above: that same value where it is the largest for
certain, otherwise the largest upper bound, a constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from armour.defenses.bounds.steps import Largest
from armour.tensor import minimum, scatter_add_along_axis
from armour.tensor.core import Tensor, wrap


@dataclass(frozen=True, slots=True, eq=False)
class Winners:
    """winner (n, values): which of the parent's values stands below each output. certain: bool, whether it
    is the largest for all inputs. ceiling (n, values): the upper bound where it is not, 0 where it is."""

    winner: np.ndarray
    certain: np.ndarray
    ceiling: Tensor


def _places(step: Largest, flat: np.ndarray, nothing: float) -> np.ndarray:
    held = np.concatenate([flat, np.full((len(flat), 1), nothing, flat.dtype)], axis=1)
    found: np.ndarray = held[:, step.windows]
    return found


def _picked(values: Tensor, index: np.ndarray) -> Tensor:
    rows = np.arange(values.shape[0])[:, None]
    return values[rows, index]


def largest_interval(step: Largest, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The largest lower and the largest upper bound of each window."""
    found = []
    for bound in (low, high):
        flat = bound.reshape(bound.shape[0], -1)
        best = _places(step, flat.data, -np.inf).argmax(axis=2)
        index = np.take_along_axis(
            np.broadcast_to(step.windows, (*best.shape[:1], *step.windows.shape)), best[..., None], axis=2
        )[..., 0]
        found.append(_picked(flat, index).reshape(bound.shape[0], *step.shape))
    return found[0], found[1]


def winners(step: Largest, low: Tensor, high: Tensor) -> Winners:
    """What the lines below and above each output are."""
    n = low.shape[0]
    lows = _places(step, low.data.reshape(n, -1), -np.inf)
    highs = _places(step, high.data.reshape(n, -1), -np.inf)
    best = lows.argmax(axis=2)[..., None]
    winner = np.take_along_axis(np.broadcast_to(step.windows, lows.shape), best, axis=2)[..., 0]
    others = highs.copy()
    np.put_along_axis(others, best, -np.inf, axis=2)
    certain = np.take_along_axis(lows, best, axis=2)[..., 0] >= others.max(axis=2)
    top = np.take_along_axis(
        np.broadcast_to(step.windows, highs.shape), highs.argmax(axis=2)[..., None], axis=2
    )
    ceiling = _picked(high.reshape(n, -1), top[..., 0]) * wrap((~certain).astype(low.dtype))
    return Winners(winner, certain, ceiling)


def contested(step: Largest, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Which of the parent's values may be the largest of an undecided window, bool (n, *parent's shape)."""
    n = len(low)
    lows, highs = (_places(step, b.reshape(n, -1), -np.inf) for b in (low, high))
    best = lows.max(axis=2, keepdims=True)
    rivals = highs >= best
    rivals &= rivals.sum(axis=2, keepdims=True) > 1
    found = np.zeros((n, low[0].size + 1), bool)
    for place in range(step.windows.shape[1]):
        sample, output = np.nonzero(rivals[:, :, place])
        found[sample, step.windows[output, place]] = True
    return found[:, :-1].reshape(low.shape)


def back(
    step: Largest, held: Winners, rows: Tensor, owner: np.ndarray, parent: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """(rows of the parent (m, *parent), constants (m,)) for rows (m, *shape) of a lower bound."""
    m = rows.shape[0]
    flat = rows.reshape(m, -1)
    below = minimum(flat, 0.0)
    certain, winner = held.certain[owner], held.winner[owner]
    constant = (below * held.ceiling[owner]).sum(axis=1)
    kept = flat - below * wrap((~certain).astype(flat.dtype))
    zeros = wrap(np.zeros((m, int(np.prod(parent))), flat.dtype))
    moved: Tensor = scatter_add_along_axis(zeros, winner, kept, 1)
    return moved.reshape(m, *parent), constant
