"""Bytes: replaced, inserted and appended whole numbers, by scores alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, one_of
from armour.contract import Model
from armour.criteria import LOSSES, Loss
from armour.distances import Norm
from armour.regions import F32
from armour.rng import Streams

from . import edits as domain
from .base import ATTACKS
from .black_box import Asker, OwnLimitsScoreAttack, Rows
from .clock import time_is_up
from .edits import Edits, Places, Sequences
from .mask import Mask

Method: TypeAlias = Literal["greedy", "random", "genetic"]


@ATTACKS.register("bytes")
@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes(OwnLimitsScoreAttack):
    """Edits of sequences of whole numbers, such as the bytes of a file, within stated limits.

    Each round asks about several edited sequences of each sample, and goes on from the best so far. "greedy"
    fixes one edit a round, the best of those it tries; it tries all there are if the population allows, and
    begins anew with the first when all are made. "random" redraws a few edits of the best at a time.
    "genetic" breeds a population: each edit is taken from one of two parents, the better of two members each,
    and a few are redrawn. Only asks for scores; a model that gives labels alone shows it no way.

    edits: what may be done, where, how often, and with which values. search: "greedy", "random" or "genetic".
    population: sequences asked about a round. queries: most questions for each sample. loss: "margin",
    "cross-entropy", "dlr", or a function (logits, labels) -> (n,): what the search makes as large as it can.
    The norm only measures, l0 the number of values that differ; epsilons must be None.
    Raises InvalidArgument for values or padding outside the model's bounds.
    Demetrio et al., 2021, https://arxiv.org/abs/2003.13526 (padding and injected content in programs).
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0", "l1", "l2", "linf")

    norm: Norm = "l0"
    edits: Edits = Edits(replace=16)  # noqa: RUF009 - it is frozen
    search_by: Method = "greedy"
    population: int = 32
    loss: str | Loss = "margin"

    def __post_init__(self) -> None:
        OwnLimitsScoreAttack.__post_init__(self)
        one_of("search_by", self.search_by, ("greedy", "random", "genetic"))
        count("population", self.population, 2)
        if isinstance(self.loss, str):
            LOSSES.get(self.loss)

    @property
    def mask(self) -> Mask | None:
        """Where values may be replaced."""
        return self.edits.mask

    def check_model(self, model: Model) -> None:
        """As Attack.check_model; InvalidArgument for values outside the bounds, too."""
        OwnLimitsScoreAttack.check_model(self, model)
        self.edits.check(model.bounds)

    def find(self, asker: Asker, x: F32, *, rng: Streams) -> F32:
        """As OwnLimitsScoreAttack.find."""
        sequences = domain.of(self.edits, x)
        n, slots = len(x), self.edits.total
        place, value = np.full((n, slots), -1, np.int64), np.zeros((n, slots), np.float32)
        best, left = x.copy(), np.arange(n)
        top, met = asker.scores(left, x, self.loss)
        left, turn, former = left[~met & (sequences.choices.max(axis=1) > 0)], 0, _Former()
        while left.size and not time_is_up():
            # All that are left have been asked about equally often.
            k = min(self.population, int(asker.left(left[:1])[0]))
            if k < 1:
                break
            streams, turn = rng[left].child(turn), turn + 1
            tried, values = self._proposals(sequences, left, place, value, former, streams, turn - 1, k)
            score, met = self._asked(asker, sequences, left, tried, values, x.shape[1:])
            row = np.arange(len(left))
            pick = np.where(met.any(axis=1), met.argmax(axis=1), score.argmax(axis=1))
            broken = np.asarray(met.any(axis=1))
            better = broken | (score[row, pick] > top[left])
            here = left[better]
            top[here] = score[row, pick][better]
            place[here], value[here] = tried[row, pick][better], values[row, pick][better]
            best[here] = sequences.written(here, place[here][:, None], value[here][:, None]).reshape(
                -1, *x.shape[1:]
            )
            former.keep(tried, values, score, ~broken)
            left = left[~broken]
        return best

    def _asked(
        self,
        asker: Asker,
        sequences: Sequences,
        left: Rows,
        place: Places,
        value: F32,
        shape: tuple[int, ...],
    ) -> tuple[F32, NDArray[np.bool_]]:
        """Objectives (m, k) of edits (m, k, slots), and whether they are met; in bounded memory."""
        m, k, _ = place.shape
        score, met = np.empty((m, k), np.float32), np.empty((m, k), bool)
        share = max(1, asker.model.batch_size // m)
        for first in range(0, k, share):
            part = slice(first, min(first + share, k))
            made = sequences.written(left, place[:, part], value[:, part])
            wide = part.stop - part.start
            some, broken = asker.scores(np.repeat(left, wide), made.reshape(-1, *shape), self.loss)
            score[:, part], met[:, part] = some.reshape(m, wide), broken.reshape(m, wide)
        return score, met

    def _proposals(
        self,
        sequences: Sequences,
        left: Rows,
        place: Places,
        value: F32,
        former: _Former,
        streams: Streams,
        turn: int,
        k: int,
    ) -> tuple[Places, F32]:
        """Edits (m, k, slots) to ask about next."""
        m, slots = len(left), self.edits.total
        places = np.repeat(place[left][:, None], k, axis=1)
        values = np.repeat(value[left][:, None], k, axis=1)
        if self.search_by == "greedy":
            slot = sequences.usable(left, turn)
            number = _spread(sequences.choices[left, slot], k, streams)
            at = np.arange(m)[:, None], np.arange(k), slot[:, None]
            places[at], values[at] = sequences.options(left, np.repeat(slot[:, None], k, axis=1), number)
            return places, values
        slot = np.broadcast_to(np.arange(slots), (m, k, slots))
        fresh, fresh_values = sequences.drawn(left, slot, streams.child(0))
        chance, drawn = streams.child(1).uniform((k, slots)), streams.child(2)
        if self.search_by == "genetic" and former.size:
            two = drawn.integers(former.size, (2, k, 2))
            row = np.arange(m)[:, None]
            parents = [
                np.where(_ahead(former.score, pair), pair[..., 0], pair[..., 1])
                for pair in two.swapaxes(0, 1)
            ]
            first = drawn.uniform((k, slots)) < 0.5
            places = np.where(first, former.place[row, parents[0]], former.place[row, parents[1]])
            values = np.where(first, former.value[row, parents[0]], former.value[row, parents[1]])
        if self.search_by == "genetic" and not former.size:
            redrawn = chance < 0.5
        else:
            # One or two a time, and one at least.
            redrawn = chance < 1.0 / slots
            redrawn |= np.arange(slots) == drawn.integers(slots, (k,))[..., None]
        return np.where(redrawn, fresh, places), np.where(redrawn, fresh_values, values)


class _Former:
    """The last generation of the samples that are left: (m, k, slots) edits and their (m, k) objectives."""

    size = 0
    place: Places
    value: F32
    score: F32

    def keep(self, place: Places, value: F32, score: F32, stay: NDArray[np.bool_]) -> None:
        """Half of the next parents are the best so far, where there were any."""
        if self.size:
            place = np.concatenate([self.place, place], axis=1)
            value = np.concatenate([self.value, value], axis=1)
            score = np.concatenate([self.score, score], axis=1)
        k = self.size or score.shape[1]
        order = np.argsort(-score, axis=1, kind="stable")[:, :k]
        row = np.arange(len(score))[:, None]
        self.place, self.value, self.score = (
            place[row, order][stay],
            value[row, order][stay],
            score[row, order][stay],
        )
        self.size = k


def _ahead(score: F32, pair: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(m, k) whether the first of two members (m, k, 2) has the larger objective."""
    row = np.arange(len(score))[:, None]
    return np.asarray(score[row, pair[..., 0]] >= score[row, pair[..., 1]])


def _spread(choices: NDArray[np.int64], k: int, streams: Streams) -> NDArray[np.int64]:
    """(m, k) numbers below `choices` (m,), spread evenly from a random one on; none twice before all came."""
    total = np.maximum(choices, 1)
    stride = np.maximum((total * 0.618).astype(np.int64), 1)
    while (shared := np.gcd(stride, total) > 1).any():
        stride = np.where(shared, stride - 1, stride)  # comes to 1 at the latest
    start = np.floor(streams.uniform(dtype=np.float64) * total).astype(np.int64)
    return np.asarray((start[:, None] + stride[:, None] * np.arange(k)) % total[:, None])
