"""Surprise adequacy: how unlike the clean data of its own predicted class is an input, inside the network?

Values of each sample are there as `surprise`; as coverage, they are counted over buckets.

Kim et al., Guiding deep learning system testing using surprise adequacy, 2019,
https://arxiv.org/abs/1808.08444 (LSA, DSA and their coverage).
"""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

import numpy as np

from armour import checks
from armour.errors import InvalidArgument
from armour.fuzz.sections import Values, columns

from .base import CRITERIA, CellCriterion, Layers

_MOST = 2000  # clean samples that are compared with
_ROWS = 256  # rows compared at once
_UNITS = 1e4  # surprise is rounded to this before it falls into a bucket
_CONSTANT = 1e-6  # share of the largest variance at which a neuron counts as constant
_FLOOR = 1e-3  # share of the mean variance that every direction is given at least


class Surprise(CellCriterion):
    """Surprise coverage: buckets of `limits` that were hit, over all of them.

    clean: activations of clean data, the logits as the last layer; at most 2,000 samples are kept, evenly
    chosen. layer: the one to compare, by default the last but one, or the only one. limits: (low, high) of
    the surprise that is divided into buckets; what lies outside hits none. By default from the clean data,
    each left out once. A class that no clean sample is predicted to be makes infinite surprise.
    """

    layered = False
    settings: ClassVar[tuple[str, ...]] = ("layer", "buckets", "limits", "points", "classes")

    def __init__(
        self,
        *,
        clean: Values,
        layer: str | None = None,
        buckets: int = 100,
        limits: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.buckets = checks.count("buckets", buckets)
        with np.errstate(invalid="ignore", over="ignore"):
            parts = columns(clean)
        names = list(parts)
        self.layer = layer or names[max(0, len(names) - 2)]
        if self.layer not in parts:
            raise InvalidArgument(f"expected the layer {layer!r}, got {', '.join(names)}")
        points, classes = self._read(parts)
        sound = np.flatnonzero(np.isfinite(points).all(axis=1) & (classes >= 0))
        kept = sound[np.linspace(0, len(sound) - 1, min(len(sound), _MOST)).astype(np.int64)]
        if len(kept) < 2:
            raise InvalidArgument(f"expected at least 2 finite clean samples, got {len(kept)}")
        self.points, self.classes = points[kept], classes[kept]
        self._prepare()
        if limits is None:
            own = self._among(self.points, self.classes, np.arange(len(kept)))
            limits = self._limits(own[np.isfinite(own)])
        self.limits = (float(limits[0]), float(limits[1]))
        if not np.isfinite(self.limits).all() or round((limits[1] - limits[0]) * _UNITS) < self.buckets:
            raise InvalidArgument(
                f"expected limits (low, high) at least {self.buckets / _UNITS:g} apart, got {self.limits}"
            )
        self._fix(parts)

    @classmethod
    def fit(cls, clean: Values) -> Self:
        """With the layer before the logits and limits from the clean data."""
        return cls(clean=clean)

    def surprise(self, activations: Values) -> np.ndarray:
        """Surprise of each sample (n,) float64; infinite where its layer or logits are not finite."""
        return self._surprise(self._parts(activations))

    def _surprise(self, parts: Layers) -> np.ndarray:
        x, classes = self._read(parts)
        found = np.full(len(x), np.inf)
        rows = np.flatnonzero(np.isfinite(x).all(axis=1) & np.isin(classes, self.classes))
        for at in range(0, len(rows), _ROWS):
            some = rows[at : at + _ROWS]
            found[some] = self._among(x[some], classes[some], np.full(len(some), -1))
        return found

    def _read(self, parts: Layers) -> tuple[np.ndarray, np.ndarray]:
        """The layer (n, units) float64 and the predicted classes (n,), -1 where logits are not finite."""
        logits = next(reversed(parts.values()))
        sound = np.isfinite(logits).all(axis=1)
        return np.asarray(parts[self.layer], np.float64), np.where(sound, logits.argmax(axis=1), -1)

    def _cells(self, width: int) -> int:
        return self.buckets

    def _hits(self, parts: Layers) -> np.ndarray:
        low, high = (round(limit * _UNITS) for limit in self.limits)
        found = self._surprise(parts)
        inside = (found * _UNITS >= low - 1) & (found * _UNITS <= high + 1)
        units = np.rint(np.where(inside, found, self.limits[0]) * _UNITS).astype(np.int64)
        cells = np.minimum((units - low) * self.buckets // (high - low), self.buckets - 1)
        return np.where(inside & (units >= low) & (units <= high), cells, -1)[:, None]

    @abstractmethod
    def _prepare(self) -> None:
        """What can be worked out from the clean data alone."""

    @abstractmethod
    def _among(self, x: np.ndarray, classes: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Surprise (n,) of finite x of known classes; own: (n,) numbers of clean points not to be counted."""

    @abstractmethod
    def _limits(self, clean: np.ndarray) -> tuple[float, float]:
        """Limits from the surprise of clean samples."""


@CRITERIA.register("lsa")
class LSA(Surprise):
    """Likelihood-based surprise: minus the log density of a sample among those of its class.

    A kernel density estimate with Scott's bandwidth and the covariance within classes, all in logarithms, so
    that many neurons do not underflow. Nearly constant neurons are left out and no direction has less than a
    thousandth of the mean variance; without that, a covariance of more neurons than samples has no inverse.
    """

    def _prepare(self) -> None:
        spread = self.points.var(axis=0)
        self._used = np.flatnonzero(spread > max(1e-12, _CONSTANT * float(spread.max(initial=0.0))))
        if not len(self._used):
            raise InvalidArgument(f"expected a layer whose neurons vary on clean data, got {self.layer}")
        used = self.points[:, self._used]
        self._centre = used.mean(axis=0)
        within = used - self._centre
        count = np.bincount(self.classes)
        for label in np.flatnonzero(count).tolist():
            within[self.classes == label] -= within[self.classes == label].mean(axis=0)
        free = len(within) - int((count > 0).sum())
        if free < 1:  # every class has one sample
            within, free = used - self._centre, len(used) - 1
        values, vectors = np.linalg.eigh(within.T @ within / free)
        values = np.maximum(values, max(_FLOOR * float(values.mean()), 1e-30))
        self._whiten = vectors / np.sqrt(values)
        self._log_volume = 0.5 * float(np.log(values).sum() + len(values) * np.log(2 * np.pi))
        self._white = (used - self._centre) @ self._whiten

    def _among(self, x: np.ndarray, classes: np.ndarray, own: np.ndarray) -> np.ndarray:
        white = (x[:, self._used] - self._centre) @ self._whiten
        size = white.shape[1]
        found = np.full(len(x), np.inf)
        for label in np.unique(classes).tolist():
            rows, known = np.flatnonzero(classes == label), np.flatnonzero(self.classes == label)
            width = len(known) ** (-1 / (size + 4))
            exponent = -0.5 * squares(white[rows], self._white[known]) / width**2
            exponent[own[rows][:, None] == known] = -np.inf
            others = len(known) - (own[rows] >= 0)
            some = others > 0
            log = _log_sum(exponent[some]) - np.log(others[some])
            found[rows[some]] = self._log_volume + size * np.log(width) - log
        return found

    def _limits(self, clean: np.ndarray) -> tuple[float, float]:
        if not len(clean):
            raise InvalidArgument("expected two clean samples of one class; state limits=(low, high)")
        low, high = float(clean.min()), float(clean.max())
        return low, high + max(high - low, 1.0)


@CRITERIA.register("dsa")
class DSA(Surprise):
    """Distance-based surprise: how far the nearest clean sample of the predicted class is, over how far that
    one is from the nearest clean sample of another class.
    """

    def _prepare(self) -> None:
        if len(np.unique(self.classes)) < 2:
            raise InvalidArgument("expected clean samples predicted to be of at least two classes")
        self._apart = np.concatenate(
            [
                self._nearest(self.points[at : at + _ROWS], self.classes[at : at + _ROWS], same=False)[0]
                for at in range(0, len(self.points), _ROWS)
            ]
        )

    def _nearest(
        self, x: np.ndarray, classes: np.ndarray, own: np.ndarray | None = None, *, same: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Distance (n,) to the nearest clean sample of the class, or of the others, and its number."""
        apart = squares(x, self.points)
        apart[(classes[:, None] == self.classes) != same] = np.inf
        if own is not None:
            apart[own[:, None] == np.arange(len(self.points))] = np.inf
        nearest = apart.argmin(axis=1)
        # Taken again from the difference, since squares cancel where samples are close.
        distance = np.linalg.norm(x - self.points[nearest], axis=1)
        return np.where(np.isfinite(apart.min(axis=1)), distance, np.inf), nearest

    def _among(self, x: np.ndarray, classes: np.ndarray, own: np.ndarray) -> np.ndarray:
        distance, nearest = self._nearest(x, classes, own, same=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = distance / self._apart[nearest]
        return np.where(distance == 0, 0.0, found)

    def _limits(self, clean: np.ndarray) -> tuple[float, float]:
        return 0.0, max(2 * float(clean.max(initial=0.0)), 0.1)


def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m): squared distances between the rows of a and of b, not below 0."""
    both = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * (a @ b.T)
    return np.asarray(np.maximum(both, 0.0))


def _log_sum(exponents: np.ndarray) -> np.ndarray:
    """(n,): log of the sum of exp over each row (n, m) that has something finite."""
    largest = exponents.max(axis=1, initial=-np.inf)
    return np.asarray(largest + np.log(np.exp(exponents - largest[:, None]).sum(axis=1)))
