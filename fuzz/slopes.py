"""Which way a model's answers change at each seed, asked once, so that recipes rebuild without the model.

A gradient taken again would have other last bits on another machine or in another batch. So it is taken at
the seeds alone, before the campaign, in batches of one shape, rounded to 8 bits and stored with the corpus;
the mutators that use it go along what is stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from armour.errors import InvalidArgument
from armour.events import OnEvent, emit
from armour.model import Model
from armour.rng import Streams

if TYPE_CHECKING:
    from .roots import Roots

TOWARD = 3  # classes for each seed: those with the smallest gaps
FEATURES = 2  # directions of the features for each seed
MOST_BYTES = 256 << 20
_REACH = 0.05  # of the span: how far the three steps of projected gradient descent go
_UNIT = 127
_KEY = 0x5105E5  # of the streams that mix the features, the same for every campaign


@dataclass(frozen=True, slots=True)
class Slopes:
    """int8 directions in input space for each of R seeds, each at most 127 in size.

    steps: (R, t, *shape), signs of the gradient of the lead of each of the t nearest classes. walks: (R, 1,
    *shape), where three steps of projected gradient descent toward the nearest class end. features: (R, f,
    *shape), gradients of random mixtures of the logits, which are the directions of the penultimate layer's
    features that the last layer reads.
    """

    steps: np.ndarray
    walks: np.ndarray
    features: np.ndarray

    def at(self, root: np.ndarray) -> SlopesAt:
        """Those of items with these root numbers (m,)."""
        return SlopesAt(self, root)

    @property
    def digest(self) -> str:
        """Hex sha256 of all three."""
        total = hashlib.sha256()
        for name, array in self.arrays().items():
            total.update(f"{name}{array.shape}|".encode())
            total.update(np.ascontiguousarray(array).data)
        return total.hexdigest()

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays, to be stored."""
        return {"steps": self.steps, "walks": self.walks, "features": self.features}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], seeds: np.ndarray) -> Slopes:
        """What arrays() wrote, for seeds (R, *shape); InvalidArgument if an array does not fit."""
        found = [arrays.get(name) for name in ("steps", "walks", "features")]
        t = found[0].shape[1] if found[0] is not None and found[0].ndim > 1 else 0
        for array, count in zip(found, (t, 1, FEATURES), strict=True):
            shape = (len(seeds), count, *seeds.shape[1:])
            if array is None or array.dtype != np.int8 or array.shape != shape or not 0 < t <= TOWARD:
                came = "nothing" if array is None else f"{array.dtype} {array.shape}"
                raise InvalidArgument(f"expected int8 slopes {shape}, got {came}")
        steps, walks, features = (array for array in found if array is not None)
        return cls(steps, walks, features)


@dataclass(frozen=True, slots=True)
class SlopesAt:
    """The slopes of m items, whose root numbers are root (m,)."""

    slopes: Slopes
    root: np.ndarray

    def steps(self, rank: np.ndarray) -> np.ndarray:
        """(m, *shape) int8, toward the class of that rank (m,), 0 for the nearest."""
        array = self.slopes.steps
        return np.asarray(array[self.root, np.minimum(rank.astype(np.int64), array.shape[1] - 1)])

    def walks(self) -> np.ndarray:
        """(m, *shape) int8, toward the nearest class."""
        return np.asarray(self.slopes.walks[self.root, 0])

    def features(self) -> np.ndarray:
        """(m, f, *shape) int8."""
        return np.asarray(self.slopes.features[self.root])


def size(roots: int, shape: tuple[int, ...], classes: int) -> int:
    """Bytes of the slopes of so many seeds."""
    return roots * (min(TOWARD, classes - 1) + 1 + FEATURES) * int(np.prod(shape))


def fit(model: Model, roots: Roots, batch: int, on_event: OnEvent = None) -> Slopes:
    """Ask the model, which has gradients, at every seed, in batches of `batch` rows."""
    done = 0

    def pulled(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
        nonlocal done
        slope = _pulled(model, x, weights, batch)
        done += 1
        emit(on_event, "slopes", done, nearest.shape[1] + 2 + FEATURES, "the model's gradients at the seeds")
        return slope

    x, (n, classes) = roots.x, roots.gaps.shape
    others = roots.gaps.copy()
    others[np.arange(n), roots.labels] = np.iinfo(np.int64).max
    nearest = np.argsort(others, axis=1, kind="stable")[:, : min(TOWARD, classes - 1)]
    low, high = (np.float32(v) for v in model.bounds)
    span = high - low
    own = np.eye(classes, dtype=np.float32)[roots.labels]
    steps, walks, features = [], [], []
    for rank in range(nearest.shape[1]):
        lead = np.eye(classes, dtype=np.float32)[nearest[:, rank]] - own
        sign = np.sign(pulled(x, lead))
        steps.append(sign.astype(np.int8))
        if rank:
            continue
        here = x
        for number in range(3):
            if number:
                sign = np.sign(pulled(here, lead))
            here = np.clip(here + sign * (span * _REACH / 2), x - span * _REACH, x + span * _REACH)
            here = np.clip(here, low, high).astype(np.float32)
        walks.append(np.rint((here - x) * (_UNIT / (span * _REACH))).clip(-_UNIT, _UNIT).astype(np.int8))
    keys = Streams(np.arange(n, dtype=np.uint64) + np.uint64(_KEY))
    for k in range(FEATURES):
        slope = pulled(x, keys.child(k).normal((classes,)))
        largest = np.abs(slope).reshape(n, -1).max(axis=1).reshape(n, *(1,) * (x.ndim - 1))
        features.append(np.rint(slope * (_UNIT / np.maximum(largest, np.float32(1e-30)))).astype(np.int8))
    return Slopes(*(np.stack(each, axis=1) for each in (steps, walks, features)))


def _pulled(model: Model, x: np.ndarray, weights: np.ndarray, batch: int) -> np.ndarray:
    """Gradient (n, *shape) of each item's logits weighted by (n, k), 0 where it is not finite."""
    found = np.empty_like(x)
    for start in range(0, len(x), batch):
        rows = np.arange(start, min(start + batch, len(x)))
        padded = np.concatenate([rows, np.repeat(rows[:1], batch - len(rows))])
        part = weights[padded]

        def along(z: Any, part: np.ndarray = part) -> Any:
            return (z * part).sum(axis=1)

        found[rows] = model.gradient(x[padded], along)[1][: len(rows)]
    return np.asarray(np.nan_to_num(found, nan=0.0, posinf=0.0, neginf=0.0))
