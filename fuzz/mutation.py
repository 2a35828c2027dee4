"""Making a batch of mutants: step by step, undoing each step that leaves the required validity level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armour.bounds import Bounds

from .recipe import Step, apply_steps
from .schedule import Parents
from .validity import ValidityModel


@dataclass(frozen=True, slots=True)
class Mutants:
    """n mutants: x, ref (n, c, h, w), all steps from the root on, how many of these are new, level (n,)
    int8.
    """

    x: np.ndarray
    ref: np.ndarray
    steps: list[tuple[Step, ...]]
    added: np.ndarray
    level: np.ndarray
    undone: int


def mutate(
    parents: Parents,
    steps: Sequence[tuple[Step, ...]],
    depth: np.ndarray,
    validity: ValidityModel,
    required: int,
) -> Mutants:
    """Apply up to depth[i] of steps[i] to each parent, keeping the steps after which it is still valid.

    A parent for which none of them is valid goes on to the rest of its steps until one is; if none is at all,
    its last attempt is taken as it is, invalid, so that it is run and counted as such.
    """
    bounds: Bounds = validity.bounds
    n = len(parents)
    x, ref, own = parents.x.copy(), parents.ref.copy(), list(parents.steps)
    added, level, undone = np.zeros(n, np.int64), np.full(n, -1, np.int8), 0
    length = np.array([len(s) for s in steps], np.int64)
    failed: dict[int, tuple[np.ndarray, np.ndarray, Step]] = {}
    for slot in range(int(length.max(initial=0))):
        active = np.flatnonzero((slot < length) & ((slot < depth) | (added == 0)))
        if not len(active):
            break
        rows = active.tolist()
        new = [steps[i][slot] for i in rows]
        moved, moved_ref = apply_steps(x[active], ref[active], [(step,) for step in new], bounds)
        reached = validity.level(moved, moved_ref, [(*own[i], s) for i, s in zip(rows, new, strict=True)])
        good = reached >= required
        kept = active[good]
        x[kept], ref[kept], level[kept] = moved[good], moved_ref[good], reached[good]
        added[kept] += 1
        undone += int((~good).sum())
        for j, (i, step, ok) in enumerate(zip(rows, new, good.tolist(), strict=True)):
            if ok:
                own[i] = (*own[i], step)
            elif added[i] == 0:
                level[i] = reached[j]
                failed[i] = (moved[j], moved_ref[j], step)
    for i, (image, reference, step) in failed.items():
        if added[i] == 0:
            x[i], ref[i], own[i] = image, reference, (*own[i], step)
            added[i] = 1
            undone -= 1
    return Mutants(x, ref, own, added, level, undone)
