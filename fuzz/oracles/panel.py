"""The oracles of a campaign, bound to its model, and how they judge together.

A failing input that several hit is a failure of the most severe of them, and among equals of the more
specific. What an oracle judges depends on the execution's number and validity alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armour.bounds import Bounds
from armour.errors import InvalidArgument, UnsupportedError
from armour.fuzz.execution import Executor
from armour.fuzz.roots import Roots

from .base import SEVERITIES, Judge, Oracle, Place, Seen, Verdict, parse
from .differential import Differential
from .metamorphic import Metamorphic

DEFAULTS = ("crash:isolate=false", "nonfinite", "batch-consistency", "label-flip", "overconfident-wrong")


@dataclass(frozen=True, slots=True)
class Judged:
    """What the oracles said of n executions.

    hits: key -> (n,) bool, the first in order first, whether they count or not; counted: those that do.
    labels: key -> (n,) int64, what a failure is filed under. severity: key -> (n,) int8, in SEVERITIES.
    """

    hits: dict[str, np.ndarray]
    counted: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    severity: dict[str, np.ndarray]

    @property
    def hit(self) -> np.ndarray:
        """(n,) bool: any oracle hits."""
        return np.asarray(np.logical_or.reduce(list(self.hits.values())))

    @property
    def failed(self) -> np.ndarray:
        """(n,) bool: a hit that counts."""
        return np.asarray(np.logical_or.reduce(list(self.counted.values())))

    @property
    def spent(self) -> np.ndarray:
        """(n,) bool: a hit that counts and is more than information: no input to go on from."""
        known = [hit & (self.severity[key] < len(SEVERITIES) - 1) for key, hit in self.counted.items()]
        return np.asarray(np.logical_or.reduce(known))


class Panel:
    """Bound oracles in order.

    oracles: of different keys. lenient: leave out those that cannot judge this model instead of raising
    UnsupportedError, by key.
    """

    def __init__(self, oracles: Sequence[Oracle], place: Place, lenient: Sequence[str] = ()) -> None:
        self.place = place
        self._judges: dict[str, Judge] = {}
        self._rows: dict[str, Oracle] = {}
        for one in in_order(oracles):
            try:
                self._judges[one.key] = one.bind(place)
            except UnsupportedError:
                if one.key not in lenient:
                    raise
                continue
            self._rows[one.key] = one

    @property
    def names(self) -> tuple[str, ...]:
        """The keys, in order."""
        return tuple(self._rows)

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def get(self, key: str) -> Oracle:
        """The oracle of that key."""
        return self._rows[key]

    def reads_layers(self, keys: Sequence[str]) -> bool:
        """Whether one of these needs outcomes with layers."""
        return any(self._rows[key].reads_layers for key in keys)

    def judge(self, seen: Seen, valid: np.ndarray, start: int) -> Judged:
        """All oracles on n executions, the first of which has number `start`; valid: (n,) bool."""
        judged = Judged({}, {}, {}, {})
        raised = np.full(len(seen), len(SEVERITIES), np.int8)
        answered = seen.outcome.trouble == ""
        for key, row in self._rows.items():
            counts = valid if row.needs_validity else np.ones(len(seen), bool)
            rows = np.arange(len(seen))
            every = int(getattr(row, "every", 1))
            if row.asks or every > 1:
                rows = rows[counts & answered & ((start + rows) % every == 0)]
            verdict = self._verdict(key, seen if len(rows) == len(seen) else seen[rows])
            hit, label = np.zeros(len(seen), bool), seen.outcome.predicted.copy()
            hit[rows] = verdict.hit
            if verdict.label is not None:
                label[rows] = verdict.label
            rank = SEVERITIES.index(row.severity)
            if row.raises:
                raised[hit] = np.minimum(raised[hit], rank)
                continue
            judged.hits[key], judged.counted[key], judged.labels[key] = hit, hit & counts, label
            judged.severity[key] = np.full(len(seen), rank, np.int8)
        for key, ranks in judged.severity.items():
            judged.severity[key] = np.minimum(ranks, raised)
        return judged

    def holds(self, keys: Sequence[str], labels: np.ndarray, seen: Seen) -> np.ndarray:
        """(n,) bool: oracle keys[i] hits execution i and files it under labels[i]."""
        hits, filed = self.filed(keys, seen)
        return np.asarray(hits & (filed == labels))

    def filed(self, keys: Sequence[str], seen: Seen) -> tuple[np.ndarray, np.ndarray]:
        """(n,) bool and (n,) int64: whether oracle keys[i] hits execution i, and the label it gives it."""
        names = np.array(keys)
        hits, labels = np.zeros(len(seen), bool), seen.outcome.predicted.copy()
        # In order, so that what an oracle asks does not depend on how a set is walked through.
        for key in [one for one in self._rows if one in set(keys)]:
            rows = np.flatnonzero(names == key)
            verdict = self._verdict(key, seen[rows])
            hits[rows] = verdict.hit
            if verdict.label is not None:
                labels[rows] = verdict.label
        return hits, labels

    def _verdict(self, key: str, seen: Seen) -> Verdict:
        if not len(seen):
            return Verdict(np.zeros(0, bool))
        found = self._judges[key](seen)
        return found if isinstance(found, Verdict) else Verdict(np.asarray(found))


def in_order(oracles: Sequence[Oracle]) -> list[Oracle]:
    """The most severe first, the general last among equals, then by key: the first to hit names a failure."""
    return sorted(oracles, key=lambda one: (SEVERITIES.index(one.severity), one.general, one.key))


def chosen(
    named: Sequence[str] = (), against: Sequence[str] = (), relations: Sequence[str] = ()
) -> tuple[list[Oracle], list[Oracle]]:
    """The oracles that a configuration names, and the default ones that it does not name.

    named: NAME[:key=value,...]; against: what to compare with; relations: lines. InvalidArgument for what is
    none, or is there twice.
    """
    own = [parse(text) for text in named]
    own += [Differential(against=name) for name in against]
    own += [Metamorphic(relation=text) for text in relations]
    keys = [one.key for one in own]
    for key in keys:
        if keys.count(key) > 1:
            raise InvalidArgument(f"expected each oracle once, got {key} twice; name it once")
    return own, [one for one in map(parse, DEFAULTS) if one.key not in keys]


def default_panel(executor: Executor, roots: Roots, bounds: Bounds) -> Panel:
    """The oracles that are always on."""
    place = Place(model=executor.model, executor=executor, roots=roots, bounds=bounds)
    return make_panel(place)


def make_panel(
    place: Place, named: Sequence[str] = (), against: Sequence[str] = (), relations: Sequence[str] = ()
) -> Panel:
    """The panel of a configuration.

    UnsupportedError if an oracle that was named cannot judge this model; default ones are left out then, and
    of a remote model, whose answers have a price, those that ask further.
    """
    own, rest = chosen(named, against, relations)
    if place.model.remote:
        rest = [one for one in rest if not one.asks]
    return Panel([*own, *rest], place, lenient=[one.key for one in rest])
