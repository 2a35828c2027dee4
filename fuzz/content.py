"""A corpus and what its model does with all that it holds."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from armour import checks
from armour.errors import FormatError, InvalidArgument
from armour.events import OnEvent, emit
from armour.model import Model
from armour.npz import read_arrays

from .coverage import CRITERIA, CellCriterion, Criterion
from .coverage.measures import Roots as Measured
from .execution import Executor, Outcome, fitting
from .holdings import level_of, read_survivors, rebuild_all, recipe_of, required
from .reading import Corpus
from .sections import sections

SECTIONS = "sections"  # all section ids, those outside the profiles too
UNSAFE = ("crash", "hang")  # failures by these are kept, and not run again to see what they cover
_NEVER = np.iinfo(np.int64).max


def criteria() -> list[str]:
    """Names of what a corpus can be distilled by."""
    return [SECTIONS, *(n for n in CRITERIA if CRITERIA.get(n).monotone and CRITERIA.get(n).mergeable)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Counts of a corpus: kept inputs (survivors), failing inputs, their classes (D2), niches (seed, label)
    solved, niches that have a kept input nearer than the seed, and cells covered, the seeds' included.
    """

    survivors: int
    failures: int
    classes: int
    solved: int
    niches: int
    covered: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Rows are the survivors of a corpus, then its failures.

    records: their lines in the index; x (n, *shape); hits (n, m) cells of each, -1 for none; seeds (cells,)
    bool, hit by the seeds; gaps (n, k), own (R, k) those of the seeds; sound (n,) bool: at the level that
    was asked for, and for survivors still right. missing: survivors that are listed and not there.
    """

    corpus: Corpus
    survivors: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    x: np.ndarray
    hits: np.ndarray
    seeds: np.ndarray
    gaps: np.ndarray
    own: np.ndarray
    sound: np.ndarray
    missing: int

    @property
    def solved(self) -> set[tuple[int, int]]:
        """Niches (root, label) with a failure."""
        return {(one["root"], one["predicted"]) for one in self.failures if one["predicted"] >= 0}

    def best(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Unsolved niche (root, label) -> the smallest gap of a survivor, below the seed's, and its row."""
        n = len(self.survivors)
        rows = np.flatnonzero(self.sound[:n])
        root = np.array([one["root"] for one in self.survivors], np.int64)[rows]
        best = np.full(self.own.shape, _NEVER)
        np.minimum.at(best, root, self.gaps[rows] * max(n, 1) + rows[:, None])
        label = self.corpus.roots.labels
        best[np.arange(len(label)), label] = _NEVER
        for niche in self.solved:
            best[niche] = _NEVER
        found = {}
        for r, c in zip(*(axis.tolist() for axis in np.nonzero(best != _NEVER)), strict=True):
            gap, row = divmod(int(best[r, c]), n)
            if gap < self.own[r, c]:
                found[r, c] = (gap, row)
        return found

    def covered(self) -> np.ndarray:
        """(cells,) bool hit by the seeds or any row."""
        seen = self.seeds.copy()
        seen[self.hits[self.hits >= 0]] = True
        return seen

    def select(self, rows: Sequence[int]) -> Content:
        """The same with these rows alone."""
        n, places = len(self.survivors), np.asarray(rows, np.int64)
        return replace(
            self,
            survivors=[self.survivors[i] for i in places[places < n].tolist()],
            failures=[self.failures[i - n] for i in places[places >= n].tolist()],
            x=self.x[places],
            hits=self.hits[places],
            gaps=self.gaps[places],
            sound=self.sound[places],
        )

    def held(self) -> Held:
        """Its counts."""
        return Held(
            survivors=len(self.survivors),
            failures=len(self.failures),
            classes=len({one["class"] for one in self.failures}),
            solved=len(self.solved),
            niches=len(self.best()),
            covered=int(self.covered().sum()),
        )


class Looker:
    """Runs the model on what the corpora of one campaign hold.

    criterion: a name of criteria(). FormatError if the profile is not of this model, InvalidArgument if the
    criterion cannot be fitted to the seeds.
    """

    def __init__(self, corpus: Corpus, model: Model, criterion: str, on_event: OnEvent = None) -> None:
        checks.one_of("criterion", criterion, tuple(criteria()))
        self.on_event = on_event
        self.executor = Executor(model, fitting(128, corpus.roots.x[0].size))
        self.executor.guarded = True
        emit(on_event, "minimize", 0, None, "running the seeds")
        self.seeds = self.executor.run(corpus.roots.x)
        self.own = self.seeds.gaps(corpus.roots.labels)
        self.measured = Measured.of(self.seeds, self.executor)
        self.low, self.high, self.k = _profile(corpus, self.seeds.neurons.shape[1])
        self.fresh = None if criterion == SECTIONS else self.measured.fit(criterion)
        self.room: int | None = None  # cells of a criterion that counts points, one for each row

    def look(self, corpus: Corpus) -> Content:
        """Run everything that a corpus holds."""
        kept, failures = read_survivors(corpus), corpus.records()
        x = np.concatenate([kept.x, rebuild_all(corpus, [recipe_of(corpus, one) for one in failures])])
        for i, one in enumerate(failures, len(kept)):
            if one["oracle"].split(":")[0] in UNSAFE:
                x[i] = corpus.roots.x[one["root"]]
        if any(not -1 <= one["predicted"] < self.own.shape[1] for one in failures):
            raise FormatError(
                f"{corpus.folder / 'failures/index.jsonl'}: a label that the model does not know"
            )
        labels = corpus.roots.labels[[one["root"] for one in (*kept.records, *failures)]]
        sound, survivor = np.ones(len(x), bool), np.arange(len(x)) < len(kept)
        sound[len(kept) :] = [
            level_of(corpus, one) >= required(corpus) and one["oracle"].split(":")[0] not in UNSAFE
            for one in failures
        ]
        self.room = len(x) if self.room is None else self.room
        criterion = copy.deepcopy(self.fresh)
        seeds = self._hits(criterion, self.seeds, np.ones(len(self.own), bool), None)
        hits, gaps = [np.zeros((0, seeds.shape[1]), np.int64)], [self.own[:0]]
        size, points = self.executor.batch, 0
        for at in range(0, len(x), size):
            rows = slice(at, at + size)
            outcome = self.executor.run(x[rows])
            sound[rows] &= (outcome.predicted == labels[rows]) | ~survivor[rows]
            sound[rows] &= outcome.trouble == ""  # what gave no answer has no values
            hits.append(self._hits(criterion, outcome, sound[rows], points))
            points = max(points, int(hits[-1].max(initial=-1)) + 1)
            gaps.append(outcome.gaps(labels[rows]))
            emit(self.on_event, "minimize", min(at + size, len(x)), len(x), "inputs run")
        covered = np.zeros(self._cells(criterion), bool)
        covered[seeds[seeds >= 0]] = True
        return Content(
            corpus=corpus,
            survivors=kept.records,
            failures=failures,
            x=x,
            hits=np.concatenate(hits),
            seeds=covered,
            gaps=np.concatenate(gaps),
            own=self.own,
            sound=sound,
            missing=kept.missing,
        )

    def _hits(
        self, criterion: Criterion | None, outcome: Outcome, sound: np.ndarray, points: int | None
    ) -> np.ndarray:
        """Cells hit by the sound rows. Of a criterion that counts points, the next number for each new one;
        points: how many there were, None for the seeds, whose points are not counted.
        """
        if criterion is None:
            ids = sections(outcome.neurons, self.low, self.high, self.k).astype(np.int64)
            found = ids + np.arange(ids.shape[1]) * (self.k + 2)
        elif isinstance(criterion, CellCriterion):
            found = criterion.hits(self.measured.layers(outcome))
        else:
            layers = {name: part[sound] for name, part in self.measured.layers(outcome).items()}
            new = np.zeros(len(sound), bool)
            new[sound] = criterion.update(layers) > 0
            numbers = np.where(new, (points or 0) + np.cumsum(new) - 1, -1)
            return np.where(points is None, -1, numbers)[:, None]
        found[~sound] = -1
        return found

    def _cells(self, criterion: Criterion | None) -> int:
        if criterion is None:
            return len(self.low) * (self.k + 2)
        return criterion.seen.size if isinstance(criterion, CellCriterion) else self.room or 0


def _profile(corpus: Corpus, width: int) -> tuple[np.ndarray, np.ndarray, int]:
    path = corpus.folder / "coverage" / "profile.npz"
    arrays = read_arrays(path, FormatError)
    low, high = arrays.get("low"), arrays.get("high")
    k = corpus.manifest["config"].get("sections")
    if type(k) is not int or not 0 < k < 1 << 14:
        raise FormatError(
            f"{corpus.folder / 'manifest.json'}: expected sections as a count, got {str(k)[:40]}"
        )
    for values in (low, high):
        if values is None or values.dtype != np.float32 or values.shape != (width,):
            raise FormatError(f"{path}: expected low and high of {width} neurons, as this model has")
    if low is None or high is None or not (low <= high).all():
        raise FormatError(f"{path}: expected low <= high; the corpus is damaged")
    return low, high, k


def check_model(corpus: Corpus, model: Model) -> None:
    """InvalidArgument unless it is the model that the corpus was made with."""
    if model.fingerprint != corpus.manifest["model"]["fingerprint"]:
        raise InvalidArgument(
            f"expected the model that {corpus.folder} was made with, got {model.name}, which is another; "
            "first let that one judge what is in it: armour corpus merge NEW DIR --model MODEL"
        )
