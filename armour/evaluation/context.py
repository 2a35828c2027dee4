"""What an evaluation knows while it runs: model, samples, threat, and what has been found so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armour.attacks import Attack
from armour.attacks.search import Search
from armour.contract import Model
from armour.criteria import Criterion, Misclassified, Targeted
from armour.distances import Distance, distance
from armour.errors import FormatError
from armour.regions import F32, F64
from armour.regions import rows as flattened
from armour.rng import Streams, by_content
from armour.threat import Threat

from .journal import Arrays, Journal

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trial:
    """One attack by itself on some samples within one budget.

    rows: (m,) places of the samples. success, spent, distance: (m,); adv: (m, ...), found within epsilon
    (infinity for a minimum-norm attack).
    """

    name: str
    rows: Rows
    epsilon: float
    success: NDArray[np.bool_]
    adv: F32
    distance: F64
    spent: Rows


@dataclass(slots=True)
class Context:
    """The state of one evaluation.

    x, y: samples and labels; aims: what the attacker wants of each. logits: (n, k) first answers; right: (n,)
    read right. budgets: rising; headline: the place of the verdict's. order: all places, drawn. probe: places
    of samples read right that the checks use. search: over the samples `attacked`, all read right; left_out:
    of them, what no attack came to. trials: attacks that ran alone. curve, asked: (k, m) what the first
    attack broke by itself of those, and its questions. nearest: the minimum-norm attack, if one was run.
    random: what R12 found. transferred: which inputs fooled the surrogate that they were made on. inside:
    cost of units within the one at hand.
    """

    model: Model
    x: F32
    y: Rows
    aims: Rows
    threat: Threat
    attacks: list[Attack]
    root: int
    journal: Journal
    surrogates: Sequence[Model] = ()
    training: Sequence[str] = ()
    ids: tuple[str, ...] = ()
    deadline: float | None = None
    progress: Callable[[str, float], None] = lambda _name, _share: None
    probes: int = 256
    logits: F32 = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    right: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    order: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    probe: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    attacked: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    left_out: Rows = field(default_factory=lambda: np.zeros(0, np.int64))
    search: Search | None = None
    curve: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    nearest: str = ""
    asked: Rows = field(default_factory=lambda: np.zeros((0, 0), np.int64))
    random: bool = False
    transferred: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    trials: dict[str, Trial] = field(default_factory=dict)
    inside: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, np.int64))

    @property
    def budgets(self) -> tuple[float, ...]:
        """The epsilons in rising order."""
        return self.threat.rising

    @property
    def headline(self) -> int:
        """The place of the verdict's epsilon among them."""
        return self.threat.headline

    @property
    def epsilon(self) -> float:
        """The verdict's epsilon."""
        return self.budgets[self.headline]

    @property
    def distance(self) -> Distance:
        """The distance of the threat."""
        return distance(self.threat.norm)

    @property
    def out_of_time(self) -> bool:
        """True once the time that the evaluation was given is over."""
        return self.deadline is not None and time.monotonic() > self.deadline

    def criterion(self, rows: Any = slice(None)) -> Criterion:
        """What the attacker wants of these samples."""
        return Targeted(self.aims[rows]) if self.threat.goal == "targeted" else Misclassified(self.y[rows])

    def streams(self, label: int, rows: Any = slice(None)) -> Streams:
        """Random streams of these samples for one purpose."""
        return by_content(np.random.default_rng([self.root, label]), self.x[rows])

    def unit(self, name: str, make: Callable[[], Arrays]) -> Arrays:
        """Arrays of a finished unit, with what it cost to make, units inside it left out."""

        def counted() -> Arrays:
            outer, self.inside = self.inside, np.zeros(2, np.int64)
            counter = self.model.counter
            before = counter.queries, counter.gradients
            try:
                found = make()
                cost = np.subtract((counter.queries, counter.gradients), before)
                return found | {"cost": cost - self.inside}
            finally:
                self.inside = outer + np.subtract((counter.queries, counter.gradients), before)

        return self.journal.once(name, counted)

    def trial(
        self,
        name: str,
        attack: Attack,
        rows: Rows,
        epsilon: float | None,
        label: int,
    ) -> Trial:
        """The attack by itself on these samples, kept under `name`."""
        return self.kept(name, lambda: self.attacked_alone(attack, rows, epsilon, label))

    def attacked_alone(self, attack: Attack, rows: Rows, epsilon: float | None, label: int) -> Arrays:
        """What the attack finds by itself, as the arrays of a trial."""
        result = attack.attack(
            self.model,
            self.x[rows],
            self.criterion(rows),
            epsilon,
            rng=np.random.default_rng([self.root, label]),
        )
        arrays = {"success": result.success[0], "adv": result.adv[0], "distance": result.distance[0]}
        limit = np.array(np.inf if epsilon is None else epsilon)
        return arrays | {"spent": result.spent[0], "rows": rows, "epsilon": limit}

    def kept(self, name: str, make: Callable[[], Arrays]) -> Trial:
        """The trial of that name, from an earlier run or made now, of arrays as attacked_alone gives."""
        found = self.unit(f"trial {name}", make)
        arrays = {key: found[key] for key in ("rows", "success", "adv", "distance", "spent")}
        if len({len(array) for array in arrays.values()}) != 1:
            raise FormatError("the state of the evaluation does not fit its samples; delete it")
        self.trials[name] = Trial(name=name, epsilon=float(found["epsilon"]), **arrays)
        if "itself" in found:
            self.transferred[name] = found["itself"]
        return self.trials[name]

    def recall(self) -> None:
        """Trials of earlier runs, whose checks were not made again; in an order that is always the same."""
        for unit in list(self.journal.all_units()):
            if unit.startswith("trial "):
                self.kept(unit.removeprefix("trial "), dict)
        self.trials = dict(sorted(self.trials.items()))
        self.transferred = dict(sorted(self.transferred.items()))

    def broken(
        self, rows: Rows, budget: int | None = None, attacks: Sequence[int] | None = None
    ) -> NDArray[np.bool_]:
        """(m,) which of these samples (all read right) the row of attacks broke within a budget, the headline
        by default; attacks: by one of these numbers alone."""
        search, k = self.search, self.headline if budget is None else budget
        assert search is not None
        return np.asarray(search.success[k, np.searchsorted(self.attacked, rows)])

    def _confirmed(self, name: str, trial: Trial) -> NDArray[np.bool_]:
        """(m,) which successes of a trial count: where answers are random, none by a lucky one."""
        search, at = self.search, np.flatnonzero(trial.success)
        if not self.random or not at.size or search is None:
            return trial.success
        goal = self.criterion(trial.rows[at])
        asked = self.unit(f"confirmed {name}", lambda: {"met": search.met(goal, trial.adv[at])})
        success = np.zeros(len(trial.rows), bool)
        success[at] = asked["met"]
        return success

    def found(self) -> Iterator[tuple[Rows, float, F32]]:
        """Every adversarial input that counts, once: places (m,), the budget it is in, inputs (m, ...)."""
        search = self.search
        assert search is not None
        for k, epsilon in enumerate(self.budgets):
            new = search.success[k]
            if k:
                same = (flattened(search.adv[k]) == flattened(search.adv[k - 1])).all(axis=1)
                new = new & ~(search.success[k - 1] & same)
            at = np.flatnonzero(new)
            yield self.attacked[at], epsilon, search.adv[k, at]

    def merge(self) -> int:
        """Take what the checks' own attacks found into the worst case; how many of the verdict's fell.

        They count as broken by the attack after the last of the row.
        """
        search, number = self.search, len(self.attacks)
        assert search is not None
        before = int(search.success[self.headline].sum())
        for name, trial in self.trials.items():
            place = np.searchsorted(self.attacked, trial.rows)
            success = self._confirmed(name, trial)
            for k, epsilon in enumerate(self.budgets):
                new = success & (trial.distance <= epsilon) & ~search.success[k, place]
                search.adv[k, place[new]] = trial.adv[new]
                search.success[k, place[new]] = True
                search.broken_by[k, place[new]] = number
        return int(search.success[self.headline].sum()) - before
