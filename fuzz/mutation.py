"""Making a batch of mutants: whole stacks of mutations at once, and step by step where that is not valid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .partners import Partners
from .recipe import Step, apply_steps
from .roots import Roots
from .schedule import Parents
from .validity import ValidityModel

Steps = tuple[Step, ...]

# Steps that were drawn lie inside their mutators' ranges, which are the limits that a level would check.
_WITHIN: list[Steps] = [()]


@dataclass(frozen=True, slots=True)
class Mutants:
    """n mutants.

    x, ref: (n, *shape). steps: all of them from the root on. added: (n,) int64, how many of these are new.
    level: (n,) int8, validity. undone: mutations taken back in all.
    """

    x: np.ndarray
    ref: np.ndarray
    steps: list[Steps]
    added: np.ndarray
    level: np.ndarray
    undone: int


def mutate(
    parents: Parents,
    steps: Sequence[Steps],
    depth: np.ndarray,
    validity: ValidityModel,
    required: int,
    roots: Roots,
) -> Mutants:
    """Apply the first depth[i] of steps[i] to each parent, or fewer where these leave the required level."""
    kind, partners = validity.kind, Partners(roots, parents.root)
    whole = [own[:d] for own, d in zip(steps, depth.tolist(), strict=True)]
    x, ref = apply_steps(parents.x, parents.ref, whole, validity.bounds, kind=kind, partners=partners)
    own = [(*before, *new) for before, new in zip(parents.steps, whole, strict=True)]
    level = validity.level(x, ref, _WITHIN * len(x))
    made = Mutants(x, ref, own, np.array([len(new) for new in whole], np.int64), level, 0)
    again = np.flatnonzero(level < required)
    if not len(again):
        return made
    rows = again.tolist()
    fewer = Parents(
        parents.root[again], parents.x[again], parents.ref[again], [parents.steps[i] for i in rows]
    )
    careful = _stepwise(fewer, [steps[i] for i in rows], depth[again], validity, required, roots)
    x[again], ref[again], level[again] = careful.x, careful.ref, careful.level
    made.added[again] = careful.added
    for i, changed in zip(rows, careful.steps, strict=True):
        own[i] = changed
    return Mutants(x, ref, own, made.added, level, careful.undone)


def _stepwise(
    parents: Parents,
    steps: Sequence[Steps],
    depth: np.ndarray,
    validity: ValidityModel,
    required: int,
    roots: Roots,
) -> Mutants:
    """Apply up to depth[i] of steps[i] to each parent, taking back each step after which it is not valid.

    A parent for which none of them is valid goes on to the rest of its steps until one is; if none is at all,
    its last attempt is taken as it is, invalid, so that it is run and counted as such.
    """
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
        moved, moved_ref = apply_steps(
            x[active],
            ref[active],
            [(step,) for step in new],
            validity.bounds,
            kind=validity.kind,
            partners=Partners(roots, parents.root[active]),
        )
        reached = validity.level(moved, moved_ref, _WITHIN * len(rows))
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
