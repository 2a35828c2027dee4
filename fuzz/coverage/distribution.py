"""Criteria of how values are distributed, not of single cells: NLC and SCC.

Yuan et al., Revisiting neuron coverage for DNN testing, 2023, https://arxiv.org/abs/2112.01955 (NLC);
Huang et al., Themis, 2024, https://arxiv.org/abs/2405.09314 (sensitivity convergence coverage).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np

from armour import checks
from armour.errors import InvalidArgument
from armour.fuzz.sections import Profile, Values, columns

from .base import CRITERIA, Criterion, Layers, joined

_NEURONS = 256  # of a layer, evenly chosen, whose covariance is kept
_STEPS = 1024  # whole numbers to one neuron's clean range
_FARTHEST = 1 << 15  # and at most so many: squares of a million million such fit 64 bits
_ROWS = 128  # rows looked at together


class _Cloud:
    """What a layer took in: count, mean (u,), cov (u, u) and size, its mean absolute entry."""

    def __init__(self, width: int) -> None:
        self.places = np.linspace(0, width - 1, min(width, _NEURONS)).astype(np.int64)
        size = len(self.places)
        self.count, self.size = 0, 0.0
        self.mean, self.cov = np.zeros(size), np.zeros((size, size))

    def start(self, part: np.ndarray) -> None:
        """Take in all finite rows of the clean data."""
        rows = part[:, self.places].astype(np.float64)
        rows = rows[np.isfinite(rows).all(axis=1)]
        self.count = len(rows)
        if self.count:
            self.mean = rows.mean(axis=0)
            self.cov = (rows - self.mean).T @ (rows - self.mean) / self.count
            self.size = float(np.abs(self.cov).mean())

    def offer(self, row: np.ndarray) -> float:
        """Take in a row if the mean absolute covariance grows by it; by how much it did."""
        away, n = row - self.mean, self.count
        if n and np.abs(away).mean() ** 2 * n <= self.size * (n + 1):
            return 0.0  # |dd'| is at most that, so that the sum cannot grow
        cov = self.cov * (n / (n + 1)) + np.outer(away * (n / (n + 1) ** 2), away)
        size = float(np.abs(cov).mean())
        if n and not size > self.size:
            return 0.0
        grown, self.size, self.cov = size - self.size, size, cov
        self.mean, self.count = self.mean + away / (n + 1), n + 1
        return grown


@CRITERIA.register("nlc")
class NLC(Criterion):
    """Neural coverage: the mean absolute covariance between the neurons of a layer, summed over layers.

    A sample enters a layer's statistics if they grow by it. So the order of samples matters: another order
    gives another value, a larger set may give a smaller one, and two runs cannot be merged. With `fit` the
    statistics begin with the clean data's and `value` is the ratio to them, 1 at first. Layers count by their
    scale, the last mostly most (as noted in arXiv 2601.08729). Of wide layers, 256 neurons evenly chosen are
    looked at. Samples are taken one after another, which is slow: ask for it where the model is slower.
    """

    form = "ratio"
    mergeable = False

    def __init__(self) -> None:
        super().__init__()
        self.before = 0.0
        self._clouds: dict[str, _Cloud] = {}

    @classmethod
    def fit(cls, clean: Values) -> Self:
        """Starting from the covariance of the clean data."""
        parts = columns(clean)
        made = cls()
        made._fix(parts)
        for name, part in parts.items():
            made._clouds[name].start(part)
        made.before = made.total
        return made

    @property
    def total(self) -> float:
        """Mean absolute covariances of all layers, summed."""
        return sum(cloud.size for cloud in self._clouds.values())

    @property
    def value(self) -> float:
        """The total over that of the clean data; the total itself if there were none or they did not vary."""
        return self.total / self.before if self.before > 0 else self.total

    def arrays(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for i, cloud in enumerate(self._clouds.values()):
            found |= {f"{i}.count": np.array(cloud.count), f"{i}.mean": cloud.mean, f"{i}.cov": cloud.cov}
        return found

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        for i, cloud in enumerate(self._clouds.values()):
            count, mean, cov = (arrays[f"{i}.{name}"] for name in ("count", "mean", "cov"))
            good = bool(count.shape == () and count.dtype.kind == "i" and count >= 0)
            good = good and mean.shape == cloud.mean.shape and cov.shape == cloud.cov.shape
            if not good or not all(a.dtype == np.float64 and np.isfinite(a).all() for a in (mean, cov)):
                raise ValueError(f"expected count, mean and covariance of {len(cloud.mean)} neurons")
            cloud.count, cloud.mean, cloud.cov = int(count), mean.copy(), cov.copy()
            cloud.size = float(np.abs(cov).mean()) if cov.size else 0.0

    def _fix(self, parts: Layers) -> None:
        super()._fix(parts)
        self._clouds = {name: _Cloud(part.shape[1]) for name, part in parts.items()}

    def _take(self, parts: Layers) -> np.ndarray:
        gain = np.zeros(len(next(iter(parts.values()))))
        for name, part in parts.items():
            cloud = self._clouds[name]
            rows = part[:, cloud.places].astype(np.float64)
            for i in np.flatnonzero(np.isfinite(rows).all(axis=1)).tolist():
                gain[i] += cloud.offer(rows[i])
        return gain / self.before if self.before > 0 else gain

    def _join(self, other: Any) -> None:
        raise NotImplementedError  # merge() refuses


@CRITERIA.register("scc")
class SCC(Criterion):
    """Sensitivity convergence coverage: neurons whose mean sensitivity is known well enough, over N.

    Sensitivity is how far a neuron moves, in absolute value, between an original and its mutant. It has
    converged when the 95 % interval of its mean, from at least `least` mutants, is within `tolerance` of the
    mean either way; a neuron that never moved has converged. More mutants may undo that, so the value may
    fall. scale: (N,) or a number, what a neuron's movement is measured by; 1,024 steps are told apart in it.

    This is Themis' measure by its meaning. MindArmour's class of the name runs a random walk on a normal
    density from the observed sensitivities, and counts a neuron whose steps are accepted often enough; that
    depends on the step size alone, which is the mean sensitivity, and not on convergence.
    """

    monotone = False
    paired = True
    settings: ClassVar[tuple[str, ...]] = ("scale", "tolerance", "least")

    def __init__(self, *, scale: Any = 1.0, tolerance: float = 0.05, least: int = 30) -> None:
        super().__init__()
        self.scale = np.asarray(scale, np.float64)
        self.tolerance = checks.positive("tolerance", tolerance)
        self.least = checks.count("least", least)
        if not (self.scale > 0).all() or self.least < 2:
            raise InvalidArgument("expected scale above 0 and least at or above 2")
        self._sums = np.zeros((3, 0), np.int64)  # of each neuron: how many, their sum, and of squares

    @classmethod
    def fit(cls, clean: Values) -> Self:
        """Measured by each neuron's clean range, or by 1 where it has none."""
        parts = columns(clean)
        profile = Profile.fit(joined(parts))
        span = profile.high.astype(np.float64) - profile.low
        made = cls(scale=np.where(span > 0, span, 1.0))
        made._fix(parts)
        return made

    @property
    def value(self) -> float:
        """Share of the neurons that have converged."""
        return float(self._converged(self._sums).mean()) if self._sums.size else 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        return {"sums": self._sums}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        sums = arrays["sums"]
        if sums.dtype != np.int64 or sums.shape != self._sums.shape or (sums < 0).any():
            raise ValueError(f"expected sums as int64 {self._sums.shape} at or above 0")
        self._sums = sums.copy()

    def _fix(self, parts: Layers) -> None:
        super()._fix(parts)
        width = sum(part.shape[1] for part in parts.values())
        if self.scale.ndim and self.scale.shape != (width,):
            raise InvalidArgument(f"expected the scale of {width} neurons, got {self.scale.shape}")
        self._sums = np.zeros((3, width), np.int64)

    def _take(self, parts: Layers) -> np.ndarray:
        moved = joined(parts)
        gain = np.zeros(len(moved), np.int64)
        for at in range(0, len(moved), _ROWS):
            with np.errstate(invalid="ignore", over="ignore"):
                steps = np.abs(moved[at : at + _ROWS]) * (_STEPS / self.scale)
            known = np.isfinite(steps)
            whole = np.minimum(np.rint(np.where(known, steps, 0)), _FARTHEST).astype(np.int64)
            sums = np.stack([known.astype(np.int64), whole, whole * whole]).cumsum(axis=1)
            sums += self._sums[:, None]
            count = self._converged(sums).sum(axis=1)
            gain[at : at + _ROWS] = np.diff(count, prepend=self._converged(self._sums).sum())
            if len(whole):
                self._sums = sums[:, -1].copy()
        return gain

    def _converged(self, sums: np.ndarray) -> np.ndarray:
        """(..., N) bool from sums (3, ..., N)."""
        n, total, squares = sums.astype(np.float64)
        many = np.maximum(n, 2)
        spread = np.maximum(squares - total * total / many, 0) / (many - 1)
        half = 1.96**2 * spread / many
        return np.asarray((n >= self.least) & (half <= (self.tolerance * total / many) ** 2))

    def _join(self, other: SCC) -> None:
        self._sums = self._sums + other._sums
