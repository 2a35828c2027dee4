"""Drawing mutations at random: which mutators, in what stack, with what parameters and keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np

from armour.rng import Streams

from .mutators import get
from .recipe import MAX_STEPS, Step, moves

PALETTE = 12


def draw_names(
    streams: Streams,
    mutators: Sequence[str],
    *,
    weights: np.ndarray | None = None,
    extra: int = 3,
    probability: float = 0.5,
    before: Sequence[Sequence[Step]] | None = None,
    palette: int = PALETTE,
) -> list[tuple[str, ...]]:
    """A random stack of mutators for each item: one, and up to `extra` more, each with `probability`.

    weights: (m,) relative frequencies of the mutators, equal by default. before: the steps each item has been
    through, so that it gets no second geometric step and no more than 8 steps in all (an item that is full
    gets none). palette: the whole batch chooses from this many mutators, drawn by weight with repetition from
    the first item's stream; larger groups go through a mutator faster, and over many batches each still comes
    up as often as its weight says.
    """
    n = len(streams)
    if n == 0:
        return []
    frequency = np.ones(len(mutators)) if weights is None else np.asarray(weights, dtype=np.float64)
    still = np.array([not get(name).geometric for name in mutators], dtype=bool)
    offered = _choose(streams[:1].child(0).uniform((palette,), dtype=np.float64)[0], frequency)
    offered = np.concatenate([offered, _choose(np.array([0.5]), np.where(still, frequency, 0.0))])
    # The last entry is there for items that may not move pixels when nothing else offered leaves them in
    # place.
    uniform = (np.arange(palette + 1) < palette).astype(np.float64)
    in_place = uniform * still[offered]
    if not in_place.any():
        in_place[palette] = 1.0
    unit = streams.child(1).uniform((2 * extra + 1,), dtype=np.float64)
    depth = 1 + (unit[:, extra + 1 :] < probability).sum(axis=1)
    moved = np.zeros(n, dtype=bool)
    if before is not None:
        moved = np.array([moves(steps) for steps in before], dtype=bool)
        depth = np.minimum(depth, MAX_STEPS - np.array([len(steps) for steps in before]))
    chosen = np.zeros((n, extra + 1), dtype=np.int64)
    for level in range(extra + 1):
        pick = np.where(moved, _choose(unit[:, level], in_place), _choose(unit[:, level], uniform))
        chosen[:, level] = offered[pick]
        moved |= ~still[chosen[:, level]]
    return [
        tuple(mutators[k] for k in row[:d]) for row, d in zip(chosen.tolist(), depth.tolist(), strict=True)
    ]


def draw_steps(names: Sequence[Sequence[str]], streams: Streams) -> list[tuple[Step, ...]]:
    """Steps with parameters and keys drawn from each item's stream; names[i]: the mutators of item i."""
    n, depth = len(names), max(map(len, names), default=0)
    if not depth:
        return [()] * n
    # Places are numbered item by item, so that each name's are one list of numbers.
    places: dict[str, list[int]] = {}
    for item, own in enumerate(names):
        for place, name in enumerate(own, item * depth):
            found = places.get(name)
            if found is None:
                places[name] = [place]
            else:
                found.append(place)
    keys = np.stack([streams.child(level).keys for level in range(depth)], axis=1).reshape(-1)
    drawn: list[Step | None] = [None] * (n * depth)
    for name, where in places.items():
        own_keys = keys[where]
        # The step itself draws its noise from the key; its parameters come from a child, independent of that
        # noise.
        params = get(name).sample(Streams(own_keys).child(0)).tolist()
        for place, values, key in zip(where, params, own_keys.tolist(), strict=True):
            drawn[place] = Step(name, tuple(values), key)
    stacks = [drawn[item * depth : item * depth + len(own)] for item, own in enumerate(names)]
    return cast(list[tuple[Step, ...]], [tuple(stack) for stack in stacks])


def _choose(unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Indices drawn by `weights` from uniform numbers in [0, 1)."""
    edges = np.cumsum(weights)
    # Rounding may carry a number just under 1 to the very end, past the last entry that has any weight.
    last = int(np.flatnonzero(weights)[-1])
    index: np.ndarray = np.minimum(np.searchsorted(edges, unit * edges[-1], side="right"), last)
    return index
