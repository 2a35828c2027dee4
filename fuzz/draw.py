"""Drawing mutations at random: which mutators, in what stack, with what parameters and keys."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from armour.rng import Streams

from .mutators import get
from .recipe import MAX_STEPS, Recipe, Step


def draw_steps(names: Sequence[Sequence[str]], streams: Streams) -> list[tuple[Step, ...]]:
    """Steps with parameters and keys drawn from each item's stream: names[i] are the mutators of item i, in order."""
    drawn: list[list[Step | None]] = [[None] * len(own) for own in names]
    keys = [streams.child(level).keys for level in range(max(map(len, names), default=0))]
    places: dict[str, list[tuple[int, int]]] = {}
    for item, own in enumerate(names):
        for level, name in enumerate(own):
            places.setdefault(name, []).append((item, level))
    for name, where in places.items():
        own_keys = np.array([keys[level][item] for item, level in where], dtype=np.uint64)
        # The step itself draws its noise from the key; its parameters come from a child, independent of that
        # noise.
        params = get(name).sample(Streams(own_keys).child(0)).tolist()
        for (item, level), values, key in zip(where, params, own_keys.tolist(), strict=True):
            drawn[item][level] = Step(get(name).name, tuple(values), key)
    return [tuple(step for step in own if step is not None) for own in drawn]


def draw_names(
    streams: Streams,
    mutators: Sequence[str],
    *,
    weights: np.ndarray | None = None,
    extra: int = 3,
    probability: float = 0.5,
    recipes: Sequence[Recipe] | None = None,
) -> list[tuple[str, ...]]:
    """A random stack of mutators for each item: one, and up to `extra` more, each with `probability`.

    weights: (m,) relative frequencies of the mutators, equal by default; recipes: what each item has been
    through already, so that it gets no second geometric step and no more than 8 steps in all (an item that is
    full gets none).
    """
    n, m = len(streams), len(mutators)
    geometric = np.array([get(name).geometric for name in mutators], dtype=bool)
    frequency = np.ones(m) if weights is None else np.asarray(weights, dtype=np.float64)
    any_edges, still_edges = np.cumsum(frequency), np.cumsum(np.where(geometric, 0.0, frequency))
    unit = streams.uniform((2 * extra + 1,), dtype=np.float64)
    depth = 1 + (unit[:, extra + 1 :] < probability).sum(axis=1)
    moved = np.zeros(n, dtype=bool)
    if recipes is not None:
        moved = np.array([recipe.geometric for recipe in recipes], dtype=bool)
        depth = np.minimum(depth, MAX_STEPS - np.array([len(recipe.steps) for recipe in recipes]))
    chosen = np.zeros((n, extra + 1), dtype=np.int64)
    for level in range(extra + 1):
        any_pick = np.searchsorted(any_edges, unit[:, level] * any_edges[-1], side="right")
        still_pick = np.searchsorted(still_edges, unit[:, level] * still_edges[-1], side="right")
        pick = np.minimum(np.where(moved, still_pick, any_pick), m - 1)
        moved |= geometric[pick]
        chosen[:, level] = pick
    return [
        tuple(mutators[k] for k in row[:d]) for row, d in zip(chosen.tolist(), depth.tolist(), strict=True)
    ]
