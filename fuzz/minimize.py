"""Minimising failures: fewer operations, weaker ones, fewer changed pixels, as long as the failure stays.

A candidate is kept while the same oracle hits and files it under the same label and the validity level does
not fall below that of the original. Several failures are minimised side by side, so batches are full.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .oracles.base import Seen
from .oracles.panel import Panel
from .partners import Partners
from .recipe import Recipe, Step, apply_steps
from .validity import ValidityModel

_WAYS = 8  # sections of each round of the search along a parameter
_ROUNDS = 2
_VALUES = 1 << 20  # of inputs that are made together
_GRID = 7  # blocks per side when pixels are put back
# Families that change pixels or values here and there.
_LOCAL = frozenset(
    (
        *("noise", "occlusion", "weather", "extreme", "element", "order", "block", "splice", "crossover"),
        *("bits", "arithmetic", "dictionary", "synonym", "spelling", "unknown", "category", "missing"),
    )
)


@dataclass(frozen=True, slots=True)
class Case:
    """A failure to minimise.

    recipe: what made it. label: its root's. oracle, predicted, level: what must stay (the validity level may
    rise). x, ref: input and reference, (c, h, w) or of any other shape.
    """

    recipe: Recipe
    label: int
    oracle: str
    predicted: int
    level: int
    x: np.ndarray
    ref: np.ndarray


# Number of a trial and the case it gives.
Hit = tuple[int, Case]


class Minimiser:
    """Shrinks cases on one model. panel: its oracles. executions: inputs run so far, theirs included."""

    def __init__(self, panel: Panel, validity: ValidityModel) -> None:
        self.panel = panel
        self.executor = panel.place.executor
        self.roots = panel.place.roots
        self.validity = validity
        self.executions = 0

    def operations(self, cases: Sequence[Case]) -> list[Case]:
        """Each case with as few steps as still fail: one if any will do, else none that can be left out."""
        cases = list(cases)
        several = [i for i, case in enumerate(cases) if len(case.recipe.steps) > 1]
        alone = self._holding(cases, [(i, [step]) for i in several for step in cases[i].recipe.steps])
        for i, hits in alone.items():
            cases[i] = hits[0][1]
        active = [i for i in several if i not in alone and len(cases[i].recipe.steps) > 2]
        while active:
            # Which steps can be left out one at a time, and how many of those together?
            spare = [(i, number) for i in active for number in range(len(cases[i].recipe.steps))]
            loose = self._holding(cases, [(i, _without(cases[i], [number])) for i, number in spare])
            runs = []
            for i, hits in loose.items():
                numbers = [spare[trial][1] for trial, _ in hits]
                most = min(len(numbers), len(cases[i].recipe.steps) - 2)
                runs += [(i, _without(cases[i], numbers[:size])) for size in range(most, 1, -1)]
            together = self._holding(cases, runs)
            for i, hits in loose.items():
                cases[i] = together.get(i, hits)[0][1]
            active = [i for i in loose if len(cases[i].recipe.steps) > 2]
        return cases

    def parameters(self, cases: Sequence[Case]) -> list[Case]:
        """Each parameter in turn as near to its identity as still fails, to 1/64 of its distance."""
        cases = list(cases)
        places = [
            [(s, p) for s, step in enumerate(case.recipe.steps) for p in range(len(step.params))]
            for case in cases
        ]
        for turn in range(max(map(len, places), default=0)):
            active = [i for i in range(len(cases)) if turn < len(places[i])]
            start = {i: cases[i].recipe for i in active}
            reached = dict.fromkeys(active, 1.0)
            for number in range(_ROUNDS):
                width = float(_WAYS) ** -(number + 1)
                trials, strengths = [], []
                for i in active:
                    step, param = places[i][turn]
                    # From the weakest up: the first one that holds is the one to take. The lower end of what
                    # an earlier round left was tried by it.
                    for part in range(_WAYS - (number > 0), 0, -1):
                        strength = reached[i] - part * width
                        shrunk = start[i].shrink(step, max(strength, 0.0), param)
                        if strength > -width and shrunk != cases[i].recipe:
                            trials.append((i, shrunk.steps))
                            strengths.append(max(strength, 0.0))
                for i, hits in self._holding(cases, trials).items():
                    trial, cases[i] = hits[0]
                    reached[i] = strengths[trial]
        return cases

    def pixels(self, cases: Sequence[Case]) -> list[Case]:
        """Each input of a noise, occlusion or like recipe, with the blocks put back that need not change.

        Blocks are a grid of 7 by 7, or 49 pieces of what is no image: first as many as can be put back
        together, the least changed first, then those of the others that can go alone. The result is no longer
        what its recipe gives.
        """
        cases = list(cases)
        for i, case in enumerate(cases):
            if _LOCAL.intersection(case.recipe.families):
                cases[i] = self._singly(self._jointly(case))
        return cases

    # -- inside ----------------------------------------------------------------------------------------------

    def _jointly(self, case: Case) -> Case:
        order, blocks = _changed(case)
        return self._longest(case, [order[:size] for size in range(1, len(order))], blocks)

    def _singly(self, case: Case) -> Case:
        order, blocks = _changed(case)
        if len(order) < 2:
            return case
        good = [order[k] for k in self._reverted(case, [[b] for b in order], blocks)[0]]
        return self._longest(case, [good[:size] for size in range(1, len(good) + 1)], blocks)

    def _longest(self, case: Case, groups: Sequence[Sequence[int]], blocks: np.ndarray) -> Case:
        """The case with the longest of these groups of blocks put back that holds."""
        good, x = self._reverted(case, groups, blocks)
        return replace(case, x=x[good[-1]]) if good else case

    def _reverted(
        self, case: Case, groups: Sequence[Sequence[int]], blocks: np.ndarray
    ) -> tuple[list[int], np.ndarray]:
        if not groups:
            return [], case.x[None]
        masks = np.stack([np.isin(blocks, group) for group in groups])
        if case.x.ndim > blocks.ndim:  # all channels of a pixel
            masks = masks[:, None]
        x = np.where(masks, case.ref, case.x)
        ref = np.broadcast_to(case.ref, x.shape)
        size = self.executor.batch
        parts = [
            self._holds(
                [case] * len(x[k : k + size]), x[k : k + size], ref[k : k + size], [case.recipe.steps]
            )
            for k in range(0, len(x), size)
        ]
        return np.flatnonzero(np.concatenate(parts)).tolist(), x

    def _holding(
        self, cases: Sequence[Case], trials: Sequence[tuple[int, Sequence[Step]]]
    ) -> dict[int, list[Hit]]:
        """Case number -> the trials of it that hold, in order; a trial is a case number and other steps."""
        found: dict[int, list[Hit]] = {}
        size = self._together()
        for start in range(0, len(trials), size):
            part = trials[start : start + size]
            owners, steps = [cases[i] for i, _ in part], [own for _, own in part]
            root = np.array([case.recipe.root for case in owners], np.int64)
            origin, partners = self.roots.x[root], Partners(self.roots, root)
            kind, bounds = self.validity.kind, self.validity.bounds
            x, ref = apply_steps(origin, origin, steps, bounds, kind=kind, partners=partners)
            for j in np.flatnonzero(self._holds(owners, x, ref, steps)).tolist():
                recipe = Recipe(owners[j].recipe.root, tuple(steps[j]))
                case = replace(owners[j], recipe=recipe, x=x[j], ref=ref[j])
                found.setdefault(part[j][0], []).append((start + j, case))
        return found

    def _together(self) -> int:
        """Trials made at a time: whole batches, as many as are small, so that mutators get larger groups."""
        batch = self.executor.batch
        return batch * max(1, _VALUES // (batch * self.roots.x[:1].size))

    def _holds(
        self, owners: Sequence[Case], x: np.ndarray, ref: np.ndarray, steps: Sequence[Sequence[Step]]
    ) -> np.ndarray:
        """(n,) bool: candidate i fails as owners[i] does, at its validity level or above."""
        self.executions += len(x)
        names = [case.oracle for case in owners]
        outcome = self.executor.run(x, taps=self.panel.reads_layers(sorted(set(names))))
        root = np.array([case.recipe.root for case in owners], np.int64)
        labels = np.array([case.label for case in owners], np.int64)
        predicted = np.array([case.predicted for case in owners], np.int64)
        seen = Seen(x, root, labels, outcome, self.panel.place)
        holds = self.panel.holds(names, predicted, seen)
        self.executions += seen.meter.count
        # Only those that fail alike need be judged.
        rows = np.flatnonzero(holds)
        own = [steps[i] if len(steps) == len(x) else steps[0] for i in rows.tolist()]
        holds[rows] = self.validity.level(x[rows], ref[rows], own) >= [owners[i].level for i in rows.tolist()]
        return holds


def _without(case: Case, numbers: Sequence[int]) -> list[Step]:
    return [step for number, step in enumerate(case.recipe.steps) if number not in numbers]


def _changed(case: Case) -> tuple[list[int], np.ndarray]:
    """Numbers of the blocks that changed, the least first, and int64: the block of each pixel (h, w) of an
    image, or of each value.
    """
    change = np.square(case.x - case.ref)
    if case.x.ndim != 3:
        size = case.x.size
        blocks = (np.arange(size) * min(_GRID * _GRID, size) // size).reshape(case.x.shape)
        return _order(blocks, change), blocks
    h, w = case.x.shape[1:]
    rows, columns = np.arange(h) * min(_GRID, h) // h, np.arange(w) * min(_GRID, w) // w
    blocks = rows[:, None] * min(_GRID, w) + columns
    return _order(blocks, change.sum(axis=0)), blocks


def _order(blocks: np.ndarray, change: np.ndarray) -> list[int]:
    weight = np.bincount(blocks.reshape(-1), change.reshape(-1))
    return [b for b in np.argsort(weight, kind="stable").tolist() if weight[b] > 0]
