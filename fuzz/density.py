"""How far an input lies from the clean data, inside and outside the data's own principal components."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from armour.bounds import Bounds
from armour.errors import InvalidArgument

_COMPONENTS = 64
_VARIANCE = 0.95  # share of the variance that the components explain, if 64 of them do
_PERCENTILE = 99.75  # for each of the two distances, so that about 99.5 % of clean data pass both
_LEAST = 20  # below this many clean inputs nothing is known of their spread, and nothing is refused
_FITTED = 1024  # clean inputs that the components are fitted to, at most
_VALUES = 1 << 24  # and the values in them: fewer inputs if they are large
_BLOCK = 64  # rows of each product: a fixed shape, so that a row's bits do not depend on their number


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """Principal components and two limits, as in process monitoring: Hotelling's T2 and the residual Q.

    mean: (d,); axes: (d, k) scaled so that clean scores have variance 1; limits: (2,) squared Mahalanobis
    distance and squared residual at the 99.75th percentile of clean data that the components were not fitted
    to; infinite if unknown.
    """

    mean: np.ndarray
    axes: np.ndarray
    scale: np.ndarray
    limits: np.ndarray

    @classmethod
    def fit(cls, x_clean: np.ndarray, bounds: Bounds) -> Density:
        """Fit the components to one half of (n, ...) and the limits to the other; deterministic."""
        n, size = len(x_clean), x_clean[0].size
        if n < _LEAST:
            return cls.unknown(size, x_clean.reshape(n, size).astype(np.float64).mean(axis=0))
        order = np.random.default_rng(0).permutation(n)
        half = order[: min((n + 1) // 2, _FITTED, max(_LEAST, _VALUES // size))]
        rows = x_clean[half].reshape(len(half), size).astype(np.float64)
        mean = rows.mean(axis=0)
        variance, axes = _components(rows - mean)
        # A floor, so that a direction in which clean data do not vary does not make every mutant infinitely
        # far.
        floor = (1e-3 * bounds.span) ** 2
        fitted = cls(
            mean=mean.astype(np.float32),
            axes=np.ascontiguousarray(axes, dtype=np.float32),
            scale=(1 / np.maximum(variance, floor)).astype(np.float32),
            limits=np.ones(2, dtype=np.float32),
        )
        inside, outside = fitted._parts(x_clean[order[(n + 1) // 2 :]])
        limits = np.percentile(inside, _PERCENTILE) + 1e-3, np.percentile(outside, _PERCENTILE) + size * floor
        return replace(fitted, limits=np.array(limits, dtype=np.float32))

    @classmethod
    def unknown(cls, size: int, mean: np.ndarray | None = None) -> Density:
        """One that refuses nothing, for inputs of `size` values: nothing is known of their spread."""
        return cls(
            mean=np.zeros(size, np.float32) if mean is None else mean.astype(np.float32),
            axes=np.zeros((size, 0), dtype=np.float32),
            scale=np.zeros(0, dtype=np.float32),
            limits=np.full(2, np.inf, dtype=np.float32),
        )

    def distance(self, x: np.ndarray) -> np.ndarray:
        """(n,) float32: the larger of the two distances, in units of its limit; within the data up to 1."""
        if np.isinf(self.limits).all():  # nothing is far from what is not known
            return np.zeros(len(x), dtype=np.float32)
        inside, outside = self._parts(x)
        distance: np.ndarray = np.sqrt(np.maximum(inside / self.limits[0], outside / self.limits[1]))
        return distance

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays, to be stored."""
        return {"mean": self.mean, "axes": self.axes, "scale": self.scale, "limits": self.limits}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], size: int) -> Density:
        """What arrays() wrote, for inputs of `size` values; InvalidArgument if an array does not fit."""
        found = {name: arrays.get(name) for name in ("mean", "axes", "scale", "limits")}
        k = 0 if found["scale"] is None else found["scale"].size
        shapes = {"mean": (size,), "axes": (size, k), "scale": (k,), "limits": (2,)}
        for name, array in found.items():
            if (
                array is None
                or array.shape != shapes[name]
                or array.dtype != np.float32
                or np.isnan(array).any()
            ):
                came = "nothing" if array is None else f"shape {array.shape}, dtype {array.dtype}"
                raise InvalidArgument(f"expected a float32 array {name} of shape {shapes[name]}, got {came}")
        return cls(**{name: array for name, array in found.items() if array is not None})

    def _parts(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n = len(x)
        inside, outside = np.zeros(n, dtype=np.float32), np.zeros(n, dtype=np.float32)
        block = np.zeros((_BLOCK, self.mean.size), dtype=np.float32)
        for start in range(0, n, _BLOCK):
            rows = x[start : start + _BLOCK].reshape(-1, self.mean.size)
            np.subtract(rows, self.mean, out=block[: len(rows)])
            scores = block @ self.axes
            squares = scores * scores
            total = np.square(block).sum(axis=1)
            stop = start + len(rows)
            inside[start:stop] = (squares * self.scale).sum(axis=1)[: len(rows)]
            outside[start:stop] = np.maximum(total - squares.sum(axis=1), 0)[: len(rows)]
        return inside, outside


def _components(centred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(k,) variances and (size, k) unit axes of the largest principal components of rows (n, size)."""
    n, size = centred.shape
    wide = size > n
    gram = centred @ centred.T if wide else centred.T @ centred
    variance, vectors = np.linalg.eigh(gram / n)
    variance, vectors = np.maximum(variance[::-1], 0), vectors[:, ::-1]
    enough = int(np.searchsorted(np.cumsum(variance), _VARIANCE * variance.sum())) + 1
    k = max(1, min(_COMPONENTS, enough, n // 4))
    axes = centred.T @ vectors[:, :k] if wide else vectors[:, :k]
    return variance[:k], axes / np.maximum(np.linalg.norm(axes, axis=0), 1e-12)
