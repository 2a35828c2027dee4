"""Triage: which hits are new failures, of which class, and how small they can be made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .execution import UNIT
from .ledger import Ledger, class_key, pair_key, sha256
from .minimize import Case, Minimiser
from .mutation import Mutants
from .oracles.base import SEVERITIES, Seen
from .oracles.panel import Judged, Panel
from .recipe import Recipe
from .rounds import Counters, Found
from .validity import ValidityModel

_SHRINK_SHARE = 0.05  # of the executions may go into minimising parameters and pixels


class Triage:
    """Judges the hits of each round and keeps the ledger.

    counters: the campaign's, which get the executions spent here. shrink: minimise parameters and pixels too,
    of the first failure of each pair (D1), and of each class (D2) while that stays a small share of the work.
    """

    def __init__(self, panel: Panel, validity: ValidityModel, counters: Counters, shrink: bool) -> None:
        self.minimiser = Minimiser(panel, validity)
        self.counters = counters
        self.shrink = shrink
        self.ledger = Ledger.empty(*panel.place.roots.gaps.shape)

    def judge(
        self, seen: Seen, mutants: Mutants, judged: Judged, prints: np.ndarray, start: int
    ) -> list[Found]:
        """New failures among n mutants, classified.

        seen, judged: what they did and what that is; prints: (n,) uint64, fingerprints of those that failed;
        start: executions before these.
        """
        found: list[Found] = []
        root, labels, outcome = seen.root, seen.labels, seen.outcome
        confidence, gaps = outcome.confidence(), outcome.gaps(labels)
        for name, hit in judged.counted.items():
            for i in np.flatnonzero(hit).tolist():
                digest = sha256(mutants.x[i])
                if not self.ledger.is_new(digest):
                    continue
                case = Case(
                    recipe=Recipe(int(root[i]), mutants.steps[i]),
                    label=int(labels[i]),
                    oracle=name,
                    predicted=int(judged.labels[name][i]),
                    level=int(mutants.level[i]),
                    x=mutants.x[i],
                    ref=mutants.ref[i],
                )
                found.append(
                    Found(
                        case=case,
                        digest=digest,
                        pair=pair_key(name, case.label, case.predicted),
                        key="",
                        confidence=float(confidence[i]),
                        margin=-UNIT * gaps[i, case.predicted] if case.predicted >= 0 else float("nan"),
                        execution=start + i,
                        first=False,
                        severity=SEVERITIES[int(judged.severity[name][i])],
                        trouble=str(outcome.trouble[i]),
                    )
                )
        return self._classify(found, prints, start)

    def _classify(self, found: list[Found], prints: np.ndarray, start: int) -> list[Found]:
        """Minimise the operations of the first of each group, which gives the class of all in the group."""
        groups = [class_key(one.pair, one.case.recipe.families) for one in found]
        leaders: dict[str, int] = {}
        for i, group in enumerate(groups):
            if group not in self.ledger.groups:
                leaders.setdefault(group, i)
        before = self.minimiser.executions
        reduced = self.minimiser.operations([found[i].case for i in leaders.values()])
        small = dict(zip(leaders.values(), reduced, strict=True))
        for i, case in small.items():
            self.ledger.groups[groups[i]] = class_key(found[i].pair, case.recipe.families)
        for i, one in enumerate(found):
            key, case = self.ledger.groups[groups[i]], one.case
            first = self.ledger.count(one.pair, key, case.recipe.root, case.label, case.predicted)
            fingerprint = int(prints[one.execution - start])
            variant = self.ledger.variant(key, fingerprint)
            found[i] = replace(one, key=key, first=first, variant=variant, fingerprint=fingerprint)
        self.counters.triage += self.minimiser.executions - before
        return self._shrunk(found, small) if self.shrink else found

    def _shrunk(self, found: list[Found], small: dict[int, Case]) -> list[Found]:
        """The first of each class is the leader of its group, so that `small` has it."""
        firsts = [i for i, one in enumerate(found) if one.first]
        spare = self.counters.shrinking < _SHRINK_SHARE * self.counters.executions
        known = {} if spare else self.ledger.classes_of([found[i].pair for i in firsts])
        full = [i for i in firsts if spare or known[found[i].pair] == 1]
        before = self.minimiser.executions
        cases = self.minimiser.pixels(self.minimiser.parameters([small[i] for i in full]))
        self.counters.shrinking += self.minimiser.executions - before
        shrunk = dict(zip(full, cases, strict=True))
        for i in firsts:
            found[i] = replace(found[i], minimised=shrunk.get(i, small[i]))
        return found
