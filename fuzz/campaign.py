"""A fuzzing campaign: a state and `round()`, which is a pure function of it.

A round plans a batch, runs it and decides in index order. All its randomness comes from a Philox generator
keyed by (seed, stream) whose counter is the round, and no wall-clock time enters, so that a stored state goes
on exactly as if it had never stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armour.npz import under
from armour.rng import per_item

from .correlation import growth_correlations
from .coverage import measures
from .draw import draw_names, draw_steps
from .execution import Executor
from .ledger import Ledger
from .mutation import Mutants, mutate
from .oracles.base import Seen
from .oracles.panel import Panel, default_panel
from .recipe import Recipe
from .result import CampaignResult, GrowthPoint
from .roots import Roots
from .rounds import LEVELS, Counters, Round, Survivor
from .schedule import Children, Parents, Scene, Schedule
from .schedules import SCHEDULES
from .sections import Profile, SectionMap
from .selection import chosen
from .simhash import fingerprints
from .triage import Triage
from .validity import ValidityModel

_FIRST_ROUND = 128
_PALETTE = 16  # mutators on offer in one round, drawn with repetition
_DEPTH = 3  # further mutations after the first, each with probability 1/2
_CURVE = 7  # columns of the growth curve before those of the coverage criteria
_SIGNATURES = 4  # survivors of a root that only have a new signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What campaigns on one model share: nothing of it changes during a run.

    required: validity level of a failure, -1 to 2. sections: bins inside each neuron's profile. seed: of all
    streams. round: most mutants of a round. mutators: a selection of them. coverage: criteria to report, and
    clean: what the model does with the roots, which those are fitted to. panel: the oracles, by default those
    that are always on.
    """

    executor: Executor
    roots: Roots
    validity: ValidityModel
    profile: Profile
    seed: int
    round: int
    required: int
    sections: int
    mutators: str = ""
    coverage: tuple[str, ...] = measures.DEFAULT
    clean: measures.Roots | None = None
    panel: Panel | None = None

    @property
    def judges(self) -> Panel:
        """The oracles; those that are always on if none were given."""
        return self.panel or default_panel(self.executor, self.roots, self.validity.bounds)


class Campaign:
    """One schedule at work.

    stream: number of its random stream; shrink: minimise the first of each class fully.
    """

    def __init__(self, setup: Setup, schedule: str, *, stream: int, shrink: bool) -> None:
        self.setup = setup
        self.name = schedule
        self.stream = stream
        self.mutators = chosen(setup.mutators, setup.roots, setup.validity.kind)
        self.number = {name: i for i, name in enumerate(self.mutators)}
        self.coverage = SectionMap(setup.profile, setup.sections)
        scene = Scene(
            roots=setup.roots,
            mutators=len(self.mutators),
            kind=setup.validity.kind,
            bounds=setup.validity.bounds,
            coverage=self.coverage,
        )
        self.schedule: Schedule = SCHEDULES.get(schedule)(scene)
        self.measures = measures.Measures(setup.coverage, self.coverage, setup.clean)
        self.counters = Counters()
        self.panel = setup.judges
        self.triage = Triage(self.panel, setup.validity, self.counters, shrink)
        self.signatures: set[int] = set()
        self.per_root = np.zeros(len(setup.roots), np.int64)
        self.curve: list[list[float]] = []
        self.state = hashlib.sha256(f"{setup.seed}|{stream}|{schedule}".encode()).hexdigest()

    # -- one round -------------------------------------------------------------------------------------------

    def round(self, limit: int | None = None) -> Round:
        """Plan, run and judge one batch; at most `limit` of it, for the last round of a budget."""
        planned = self.planned(self.counters.rounds)
        size = planned if limit is None else min(limit, planned)
        # What a budget cuts off is not made either, but for the rest of a batch, whose shape is fixed.
        batch = self.setup.executor.batch
        mutants, parents = self._plan(planned, min(planned, -(-size // batch) * batch))
        outcome = self.setup.executor.run(mutants.x)[:size]
        number, self.counters.rounds = self.counters.rounds, self.counters.rounds + 1
        start, self.counters.executions = self.counters.executions, self.counters.executions + size
        labels = self.setup.roots.labels[parents.root[:size]]
        level = mutants.level[:size]
        valid = level >= self.setup.required
        seen = Seen(mutants.x[:size], parents.root[:size], labels, outcome, self.panel.place)
        judged = self.panel.judge(seen, valid, start)
        self.counters.judging += seen.meter.count
        self._count(level, judged.hit, mutants.undone)
        ids = self.coverage.ids(outcome.neurons)
        # What gave no answer has no values.
        counted = valid & (outcome.trouble == "")
        gain = self.coverage.update(ids, counted)
        self.measures.update(outcome, counted, parents.root[:size])
        prints = self._fingerprints(ids, judged.failed)
        found = self.triage.judge(seen, mutants, judged, prints, start)
        correct = valid & ~judged.spent & (outcome.predicted == labels)
        signature = self.coverage.signatures(ids)
        children = Children(
            root=parents.root[:size],
            x=mutants.x[:size],
            ref=mutants.ref[:size],
            steps=mutants.steps[:size],
            used=self._used(mutants, size),
            valid=valid,
            correct=correct,
            failed=judged.failed,
            predicted=outcome.predicted,
            gaps=outcome.gaps(labels),
            ids=ids,
            signature=signature,
            gain=gain,
            novel=self._novel(parents.root, correct, gain, signature),
        )
        niche = self.schedule.learn(children)
        survivors = self._survivors(children, niche, level)
        digest = hashlib.sha256(self.state.encode())
        for part in (children.root, level, outcome.predicted, children.gaps, gain, niche):
            digest.update(np.ascontiguousarray(part).data)
        digest.update("".join(one.digest for one in found).encode())
        self.state = digest.hexdigest()
        self.grow()
        return Round(number, self.counters.executions, parents.root.tolist(), found, survivors, self.state)

    def _fingerprints(self, ids: np.ndarray, failed: np.ndarray) -> np.ndarray:
        """(n,) uint64 of how the layer before the last saw the inputs that failed; 0 for the others."""
        prints = np.zeros(len(ids), np.uint64)
        rows = np.flatnonzero(failed)
        layer = self.setup.executor.penultimate(self.setup.roots.gaps.shape[1])
        prints[rows] = fingerprints(self.coverage.coarse(ids[rows, layer]))
        return prints

    def planned(self, number: int) -> int:
        """How many executions round `number` has: few at first, so that short runs learn as well."""
        return min(self.setup.round, _FIRST_ROUND << min(number, 20))

    def _plan(self, size: int, made: int) -> tuple[Mutants, Parents]:
        """Plan `size` mutants and make the first `made` of them."""
        setup = self.setup
        bits = np.random.Philox(key=[setup.seed, self.stream], counter=[0, 0, 0, self.counters.rounds])
        rng = np.random.Generator(bits)
        streams = per_item(rng, size)
        parents = self.schedule.pick(rng, size)
        names = draw_names(
            streams.child(0),
            self.mutators,
            weights=self.schedule.weights(rng),
            extra=_DEPTH,
            probability=2.0,  # the whole stack: what exceeds the depth serves as second attempts
            palette=_PALETTE,
            before=parents.steps,
        )
        further = streams.child(1).uniform((_DEPTH,)) < 0.5
        depth = 1 + further[:, : self.schedule.extra].sum(axis=1)
        steps = draw_steps(names, streams.child(2))
        parents = parents[:made]
        return mutate(
            parents, steps[:made], depth[:made], setup.validity, setup.required, setup.roots
        ), parents

    def _count(self, level: np.ndarray, hit: np.ndarray, undone: int) -> None:
        counters = self.counters
        counters.undone += undone
        for i in range(4):
            counters.levels[i] += int((level == i - 1).sum())
            counters.failing[i] += int((hit & (level == i - 1)).sum())

    def _used(self, mutants: Mutants, size: int) -> np.ndarray:
        """(size, m) bool: mutators of the steps that were new."""
        used = np.zeros((size, len(self.mutators)), bool)
        for i in range(size):
            for step in mutants.steps[i][len(mutants.steps[i]) - int(mutants.added[i]) :]:
                used[i, self.number[step.mutator]] = True
        return used

    # -- what the corpus keeps -------------------------------------------------------------------------------

    def _novel(
        self, root: np.ndarray, correct: np.ndarray, gain: np.ndarray, signatures: np.ndarray
    ) -> np.ndarray:
        """(n,) bool: correct children with new coverage, or a new signature while their root has few."""
        novel = np.zeros(len(correct), bool)
        for i in np.flatnonzero(correct).tolist():
            signature, own = int(signatures[i]), int(root[i])
            new = signature not in self.signatures and self.per_root[own] < _SIGNATURES
            novel[i] = new or gain[i] > 0
            self.per_root[own] += new
            if novel[i]:
                self.signatures.add(signature)
        return novel

    def _survivors(self, children: Children, niche: np.ndarray, level: np.ndarray) -> list[Survivor]:
        kept: list[Survivor] = []
        others = children.gaps.copy()
        rows = np.arange(len(others))
        others[rows, self.setup.roots.labels[children.root]] = np.iinfo(np.int64).max
        margin = others.min(axis=1)
        for i in np.flatnonzero(children.correct & (niche | children.novel)).tolist():
            signature = int(children.signature[i])
            self.signatures.add(signature)
            kept.append(
                Survivor(
                    number=self.counters.survivors,
                    recipe=Recipe(int(children.root[i]), children.steps[i]),
                    x=children.x[i],
                    ref=children.ref[i],
                    margin=round(float(margin[i]) * 1e-4, 4),
                    level=int(level[i]),
                    gain=int(children.gain[i]),
                    niche=bool(niche[i]),
                    signature=signature,
                )
            )
            self.counters.survivors += 1
        return kept

    # -- results and state -----------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """What has failed so far."""
        return self.triage.ledger

    @property
    def valid(self) -> int:
        """Executions at or above the required validity level."""
        return sum(self.counters.levels[self.setup.required + 1 :])

    def grow(self) -> None:
        """Add a row to the growth curve."""
        ledger = self.ledger
        self.curve.append(
            [
                self.counters.executions,
                len(ledger.inputs),
                int(ledger.distinct.sum()),
                len(ledger.classes),
                int(ledger.broken.sum()),
                self.valid,
                self.coverage.kmnc,
                *self.measures.values().values(),
            ]
        )

    def result(self, seconds: float, points: int = 256) -> CampaignResult:
        """The campaign's figures; its growth curve thinned to about `points` points."""
        ledger, counters = self.ledger, self.counters
        every = max(1, len(self.curve) // points)
        rows = [row for i, row in enumerate(self.curve) if i % every == 0 or i == len(self.curve) - 1]
        true, predicted = np.nonzero(ledger.confusion)
        pairs = zip(true.tolist(), predicted.tolist(), strict=True)
        return CampaignResult(
            schedule=self.name,
            executions=counters.executions,
            valid=self.valid,
            levels=dict(zip(LEVELS, counters.levels, strict=True)),
            failing=dict(zip(LEVELS, counters.failing, strict=True)),
            failures=len(ledger.inputs),
            pairs=len(ledger.pairs),
            classes=len(ledger.classes),
            variants=sum(map(len, ledger.variants.values())) if self.coverage.neurons else None,
            distinct=int(ledger.distinct.sum()),
            roots=int(ledger.broken.sum()),
            class_counts=dict(sorted(ledger.classes.items())),
            pair_counts={pair: int(ledger.confusion[pair]) for pair in pairs},
            triage_executions=counters.triage + counters.shrinking,
            judging_executions=counters.judging,
            steps_rejected=counters.undone,
            survivors=counters.survivors,
            coverage=self.measures.values(),
            correlation=self._correlation(),
            seconds=seconds,
            curve=tuple(_point(row, self.measures.names) for row in rows),
        )

    def _correlation(self) -> dict[str, list[float] | None]:
        """How each criterion's growth goes with the failures found, over all rounds."""
        columns = list(zip(*self.curve, strict=True)) or [()] * (_CURVE + len(self.measures.names))
        grown = dict(zip(self.measures.names, columns[_CURVE:], strict=True))
        return growth_correlations(columns[0], columns[1], grown)

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole state as arrays; equal states give equal bytes."""
        counters = {name: getattr(self.counters, name) for name in Counters.__slots__}
        text = json.dumps({"counters": counters, "state": self.state}, sort_keys=True)
        return {
            "head": np.frombuffer(text.encode(), np.uint8),
            "coverage": self.coverage.counts,
            "signatures": np.array(sorted(self.signatures), np.uint64),
            "per_root": self.per_root,
            "curve": np.array(self.curve, np.float64).reshape(-1, _CURVE + len(self.measures.names)),
            **{f"measures.{name}": array for name, array in self.measures.arrays().items()},
            **{f"ledger.{name}": array for name, array in self.ledger.arrays().items()},
            **{f"schedule.{name}": array for name, array in self.schedule.arrays().items()},
        }

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what arrays() gave; ValueError, KeyError or TypeError for what is no state of it."""
        growing = (*_GROWING, *(f"schedule.{name}" for name in self.schedule.growing))
        _check(arrays, self.arrays(), growing)
        head = json.loads(arrays["head"].tobytes())
        self.counters, self.state = Counters.of(head["counters"]), str(head["state"])
        self.triage.counters = self.counters
        self.coverage.counts[:] = arrays["coverage"]
        self.signatures = set(arrays["signatures"].tolist())
        self.per_root = arrays["per_root"].copy()
        self.curve = arrays["curve"].tolist()
        self.measures.restore(under(arrays, "measures."))
        self.triage.ledger = Ledger.from_arrays(under(arrays, "ledger."))
        self.schedule.restore(under(arrays, "schedule."))


# Arrays whose length says how much has been found; all others have one shape.
_GROWING = (
    *("head", "signatures", "curve", "ledger.inputs", "ledger.keys"),
    *("measures.nn.points", "measures.tknp.patterns"),
)


def _check(arrays: dict[str, np.ndarray], fresh: dict[str, np.ndarray], growing: tuple[str, ...]) -> None:
    """ValueError unless `arrays` have the names, types and shapes that a state has."""
    if arrays.keys() != fresh.keys():
        raise ValueError(f"expected the arrays {sorted(fresh)}, got {sorted(arrays)}")
    for name, array in arrays.items():
        like = fresh[name]
        same = array.shape[1:] == like.shape[1:] if name in growing else array.shape == like.shape
        if array.dtype != like.dtype or array.ndim != like.ndim or not same:
            raise ValueError(f"expected {name} as {like.dtype} {like.shape}, got {array.dtype} {array.shape}")


def _point(row: Sequence[float], names: Sequence[str]) -> GrowthPoint:
    executions, failures, distinct, classes, roots, valid = (int(v) for v in row[:6])
    return GrowthPoint(
        executions=executions,
        failures=failures,
        distinct=distinct,
        classes=classes,
        roots=roots,
        valid=valid,
        coverage=float(row[6]),
        criteria=dict(zip(names, map(float, row[_CURVE:]), strict=True)),
    )
