"""Randomised smoothing: the class that a model gives most often under normal noise, with a certified radius.

The noise is not clipped into the model's bounds. The theorem is about the model at x + noise for noise of the
whole space; clipping would be sound too (it would be a part of the base classifier), but of another smoothed
classifier than the published one, and not what networks trained under noise have seen. So the model is asked
by `Model.unchecked`, which takes inputs outside the bounds; what it does with them is its own affair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour import checks
from armour.contract import Model
from armour.defenses.evidence import DEFENSES, Evidence
from armour.errors import InvalidArgument
from armour.events import OnEvent, emit
from armour.rng import Streams, by_content, generator
from armour.stats import clopper_pearson
from armour.training import Transform

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
# (rows' counts (m, classes), draws made so far) -> (m,) bool: the outcome is certain, stop drawing.
Settled: TypeAlias = Callable[[Ints, int], NDArray[np.bool_]]

ABSTAIN = -1
# Draws of one sample that come from one stream, and values drawn at once. They depend on the shape of an
# input alone, so that no result depends on a batch size.
_BLOCK = 100
_VALUES = 1 << 20
_SELECT, _ESTIMATE, _PREDICT = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SmoothedCertificate:
    """What is certified of n samples; each holds by itself with confidence 1 - alpha (no correction for n).

    prediction: (n,) int64, the class, or -1 where it abstains. radius: (n,) float64, in input units: within
    this l2 distance the smoothed class is `prediction`; 0 where it abstains. counts: (n, classes) how often
    each class was given among the `draws`; answers that are not finite count for none. p_lower: (n,) the
    lower bound on the probability of the class that was picked with the first `selection` draws. sigma,
    alpha: as asked. partial results (of an interrupted run) hold the first samples only.
    """

    prediction: Ints
    radius: Floats
    counts: Ints
    p_lower: Floats
    sigma: float
    alpha: float
    draws: int
    selection: int

    def __len__(self) -> int:
        return len(self.radius)

    def certified(self, y: np.ndarray, epsilon: float) -> NDArray[np.bool_]:
        """(n,) True where label y (n,) is certified in the closed l2 ball of radius `epsilon`."""
        epsilon = checks.non_negative("epsilon", epsilon)
        right = self.prediction == np.asarray(y)
        return np.asarray(right & (self.radius > epsilon))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SmoothedPrediction:
    """What the smoothed classifier says of n samples.

    prediction: (n,) int64; wrong with probability at most alpha, -1 where it abstains. counts: (n, classes)
    among the draws made. draws: (n,) draws made, less than asked for where the outcome was certain before.
    """

    prediction: Ints
    counts: Ints
    draws: Ints
    sigma: float
    alpha: float

    def __len__(self) -> int:
        return len(self.prediction)


@DEFENSES.register("randomized-smoothing")
class RandomizedSmoothing:
    """The class that `model` gives most often to x + noise, normal with deviation `sigma` (input units).

    Works on any classifier, also on a black box; one trained under the same noise (`gaussian_noise`) holds
    much further. Cohen, Rosenfeld and Kolter, 2019, https://arxiv.org/abs/1902.02918. Raises InvalidArgument
    for a sigma that is not above 0.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "certified",
        "Cohen et al., 2019, https://arxiv.org/abs/1902.02918",
        "l2, each image with confidence 1 - alpha; 49 % of ImageNet certified at radius 0.5",
    )

    def __init__(self, model: Model, sigma: float) -> None:
        self.model = model
        self.sigma = checks.positive("sigma", sigma)

    def certify(
        self,
        x: np.ndarray,
        n: int = 100_000,
        n0: int = 100,
        alpha: float = 0.001,
        rng: int | np.random.Generator | Streams = 0,
        *,
        on_event: OnEvent = None,
    ) -> SmoothedCertificate:
        """Classes of x (n, *input_shape) with radii: `n0` draws pick the class, `n` others bound its chance.

        Radius sigma * Phi^-1(p), with p the one-sided Clopper-Pearson bound at confidence 1 - alpha; it
        abstains where p is not above 1/2. rng: each sample has its own stream, chosen by its content, so that
        neither order nor batch matters (Streams: one per sample, given). on_event: told after each piece of
        work, of n (n0 + n) draws. Interrupted, the error's `partial` holds the samples that are finished.
        Raises InvalidArgument for inputs that are not the model's and for settings out of range.
        """
        n, n0, alpha = checks.count("n", n), checks.count("n0", n0), _level(alpha)
        x, streams = self._taken(x, rng)
        counts: list[Ints] = []
        picked: list[Ints] = []

        def result() -> SmoothedCertificate:
            tops = np.concatenate([np.zeros(0, np.int64), *picked])
            table = np.concatenate(counts) if counts else np.zeros((0, self._classes(x)), np.int64)
            bound = lower_bound(table[np.arange(len(tops)), tops], n, alpha)
            sure = bound > 0.5
            radius = np.zeros(len(tops))
            radius[sure] = radius_of(bound[sure], self.sigma)
            return SmoothedCertificate(
                prediction=np.where(sure, tops, ABSTAIN),
                radius=radius,
                counts=table,
                p_lower=bound,
                sigma=self.sigma,
                alpha=alpha,
                draws=n,
                selection=n0,
            )

        progress = _Progress("certify", len(x) * (n + n0), on_event)
        try:
            for rows in self._groups(x):
                first = self._counts(x[rows], streams[rows].child(_SELECT), n0, progress)[0]
                table = self._counts(x[rows], streams[rows].child(_ESTIMATE), n, progress)[0]
                picked.append(first.argmax(axis=1))
                counts.append(table)
        except (KeyboardInterrupt, Exception) as error:
            done = min(len(picked), len(counts))
            del picked[done:], counts[done:]
            if done:
                error.partial = result()  # type: ignore[union-attr]
            raise
        return result()

    def predict(
        self,
        x: np.ndarray,
        n: int = 1000,
        alpha: float = 0.001,
        rng: int | np.random.Generator | Streams = 0,
        *,
        on_event: OnEvent = None,
    ) -> SmoothedPrediction:
        """The smoothed class of x (n, *input_shape), or -1 where `n` draws cannot tell the two most frequent.

        The two-sided binomial test of their counts at level alpha. A sample is drawn no further once no
        outcome of the draws to come could change its prediction. rng, on_event, errors: as for `certify`.
        """
        n, alpha = checks.count("n", n), _level(alpha)
        x, streams = self._taken(x, rng)
        progress = _Progress("predict", len(x) * n, on_event)

        def settled(counts: Ints, drawn: int) -> NDArray[np.bool_]:
            top, second = _two(counts)
            rest = n - drawn
            # At worst all the rest goes to the second, at best to the first; then nothing is open.
            won = (top > second + rest) & (two_sided(top, second + rest) <= alpha)
            return np.asarray(won | (two_sided(top + rest, second) > alpha))

        tables = [np.zeros((0, self._classes(x)), np.int64)]
        made = [np.zeros(0, np.int64)]
        for rows in self._groups(x):
            table, draws = self._counts(x[rows], streams[rows].child(_PREDICT), n, progress, settled)
            tables.append(table)
            made.append(draws)
        counts, drawn = np.concatenate(tables), np.concatenate(made)
        top, second = _two(counts)
        rest = n - drawn
        sure = (top > second + rest) & (two_sided(top, second + rest) <= alpha)
        prediction = np.where(sure, counts.argmax(axis=1), ABSTAIN)
        return SmoothedPrediction(
            prediction=prediction, counts=counts, draws=drawn, sigma=self.sigma, alpha=alpha
        )

    def _taken(
        self, x: np.ndarray, rng: int | np.random.Generator | Streams
    ) -> tuple[NDArray[np.float32], Streams]:
        """The inputs, checked (before noise they are inside the bounds), and a stream for each."""
        x = self.model.check_input(x)
        if not isinstance(rng, Streams):
            return x, by_content(generator(rng), x)
        if len(rng) != len(x):
            raise InvalidArgument(f"expected {len(x)} streams, one per sample, got {len(rng)}")
        return x, rng

    def _classes(self, x: np.ndarray) -> int:
        """The number of classes; asks the model once if it is not known."""
        if self.model.num_classes is None and len(x):
            self.model.predict(x[:1])
        self.model.check_labels(np.zeros(0, np.int64), 0)  # what is no classifier says so
        return int(self.model.num_classes or 0)

    def _groups(self, x: np.ndarray) -> list[slice]:
        """Samples whose draws are held together."""
        rows = max(1, _VALUES // max(1, _block(x) * math.prod(x.shape[1:])))
        return [slice(i, min(i + rows, len(x))) for i in range(0, len(x), rows)]

    def _counts(
        self,
        x: NDArray[np.float32],
        streams: Streams,
        n: int,
        progress: _Progress,
        settled: Settled | None = None,
    ) -> tuple[Ints, Ints]:
        """(m, classes) labels given to `n` noisy copies of each of m samples, and (m,) how many were made."""
        m, k, size = len(x), self._classes(x), _block(x)
        counts = np.zeros((m, k), np.int64)
        draws = np.zeros(m, np.int64)
        left = np.arange(m)
        for block, start in enumerate(range(0, n, size)):
            stop = min(n, start + size)
            # Each block has streams of its own, drawn whole: its noise depends on neither n nor the others.
            noise = streams[left].child(block).normal((size, *x.shape[1:]))[:, : stop - start]
            noise *= np.float32(self.sigma)
            noise += x[left, None]
            labels = self._labels(noise.reshape(-1, *x.shape[1:])).reshape(len(left), -1)
            cells = labels + (k + 1) * np.arange(len(left))[:, None]
            counts[left] += np.bincount(cells.ravel(), minlength=len(left) * (k + 1)).reshape(-1, k + 1)[
                :, :k
            ]
            draws[left] = stop
            progress.add(labels.size)
            if settled is not None and stop < n:
                certain = settled(counts[left], stop)
                progress.add(int(certain.sum()) * (n - stop))
                left = left[~certain]
                if not left.size:
                    break
        return counts, draws

    def _labels(self, x: NDArray[np.float32]) -> Ints:
        """(n,) labels of noisy inputs; num_classes stands for an answer that is not finite."""
        parts = []
        for start in range(0, len(x), self.model.batch_size):
            logits = self.model.unchecked(x[start : start + self.model.batch_size])
            label = logits.argmax(axis=1)
            # -inf is a probability of 0; NaN or +inf name no class.
            label[~(logits < np.inf).all(axis=1)] = logits.shape[1]
            parts.append(label)
        self.model.counter.add(len(x))
        return np.concatenate(parts)


class _Progress:
    """Draws done, of all."""

    def __init__(self, stage: str, total: int, on_event: OnEvent) -> None:
        self.stage, self.total, self.on_event, self.done = stage, total, on_event, 0

    def add(self, draws: int) -> None:
        self.done += draws
        emit(self.on_event, self.stage, self.done, self.total)


def lower_bound(counts: np.ndarray, n: int, alpha: float) -> Floats:
    """(m,) one-sided Clopper-Pearson bounds at confidence 1 - alpha of chances seen `counts` of n times."""
    distinct, place = np.unique(np.asarray(counts, np.int64), return_inverse=True)
    bounds = [clopper_pearson(int(k), n, 1 - alpha, side="lower").low for k in distinct]
    return np.asarray(bounds, np.float64)[place.reshape(-1)]


def radius_of(p: np.ndarray, sigma: float) -> Floats:
    """(m,) certified l2 radii of chances p (m,) above 1/2: sigma * Phi^-1(p)."""
    from scipy.special import ndtri

    return np.asarray(sigma * ndtri(p), np.float64)


def two_sided(first: np.ndarray, second: np.ndarray) -> Floats:
    """(m,) p-values of the exact test that two counts are equally likely."""
    from scipy.special import bdtr

    low, total = np.minimum(first, second), first + second
    return np.asarray(np.minimum(1.0, 2 * bdtr(low, total, 0.5)), np.float64)


def gaussian_noise(sigma: float) -> Transform:
    """A `transform` for armour.training.fit: batches with new normal noise of deviation `sigma`, unclipped.

    Smoothing certifies a network far enough only if it was trained under the noise it is smoothed with.
    Raises InvalidArgument for a sigma that is not above 0.
    """
    deviation = np.float32(checks.positive("sigma", sigma))

    def transform(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = rng.standard_normal(x.shape, dtype=np.float32)
        noise *= deviation
        noise += x
        return noise

    return transform


def _block(x: np.ndarray) -> int:
    return max(1, min(_BLOCK, _VALUES // max(1, math.prod(x.shape[1:]))))


def _two(counts: Ints) -> tuple[Ints, Ints]:
    """(m,) the largest and the second largest count."""
    if counts.shape[1] < 2:
        return counts.sum(axis=1), np.zeros(len(counts), np.int64)
    ordered = np.partition(counts, -2, axis=1)
    return ordered[:, -1], ordered[:, -2]


def _level(alpha: float) -> float:
    if not 0 < checks.fraction("alpha", alpha) < 1:
        raise InvalidArgument(f"expected an alpha between 0 and 1, such as 0.001, got {alpha!r}")
    return float(alpha)
