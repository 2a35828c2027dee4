"""The validity ladder: how far a mutant may still be called the same input as its root.

V0: finite, inside the bounds, of the right shape and dtype. V1: at most 2 % of the values changed, or none by
more than 20 % of the span (DeepHunter's rule, Xie et al. 2019, doi:10.1145/3293882.3330579), and the
geometric step inside its limits. V2: mean SSIM at least 0.5, and no further from the clean data than the
99.5th percentile of clean data. All differences are taken to the reference: the root after the geometric step
alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armour.bounds import Bounds
from armour.errors import InvalidArgument

from .density import Density
from .limits import changed_share, within_rule
from .mutators import get
from .recipe import Step
from .ssim import ssim

SIMILAR = 0.5  # V2: least mean SSIM


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """The verdict on n mutants and what it rests on, each (n,).

    level: int8, -1 (outside V0), 0, 1 or 2; l0: share of the pixels that changed; linf: largest change as a
    fraction of the span; ssim: mean SSIM to the reference; density: 0 at the centre of the clean data, above
    1 outside its 99.5th percentile.
    """

    level: np.ndarray
    l0: np.ndarray
    linf: np.ndarray
    ssim: np.ndarray
    density: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidityModel:
    """What valid inputs look like: the bounds, the shape (c, h, w) and the density of the clean data."""

    bounds: Bounds
    shape: tuple[int, ...]
    density: Density

    @classmethod
    def fit(cls, x_clean: np.ndarray, bounds: Bounds) -> ValidityModel:
        """Learn from clean inputs (n, c, h, w); the same data give the same model. Raises InvalidArgument."""
        if x_clean.ndim != 4 or len(x_clean) == 0 or not np.isfinite(x_clean).all():
            raise InvalidArgument(
                f"expected finite clean inputs of shape (n, c, h, w), got shape {x_clean.shape}"
            )
        return cls(bounds=bounds, shape=tuple(x_clean.shape[1:]), density=Density.fit(x_clean, bounds))

    def assess(self, x: np.ndarray, ref: np.ndarray, steps: Sequence[Sequence[Step]]) -> Validity:
        """Judge mutants x (n, c, h, w) against their references; steps: the n lists that made them."""
        n = len(x)
        if tuple(x.shape[1:]) != self.shape or x.dtype != np.float32 or n == 0:
            empty = np.zeros(n, dtype=np.float32)
            return Validity(
                level=np.full(n, -1, dtype=np.int8), l0=empty, linf=empty, ssim=empty, density=empty
            )
        l0 = changed_share(x, ref)
        linf = np.abs(x - ref).reshape(n, -1).max(axis=1) / np.float32(self.bounds.span)
        similarity = ssim(x, ref, self.bounds)
        density = self.density.distance(x)
        domain = self._in_domain(x)
        rule = domain & within_rule(l0, linf) & np.array([within_limits(own) for own in steps], dtype=bool)
        fidelity = rule & (similarity >= SIMILAR) & (density <= 1)
        level = domain.astype(np.int8) + rule.astype(np.int8) + fidelity.astype(np.int8) - np.int8(1)
        return Validity(level=level.astype(np.int8), l0=l0, linf=linf, ssim=similarity, density=density)

    def level(self, x: np.ndarray, ref: np.ndarray, steps: Sequence[Sequence[Step]]) -> np.ndarray:
        """(n,) int8: the highest level each mutant reaches, -1 if it is outside V0."""
        return self.assess(x, ref, steps).level

    def arrays(self) -> dict[str, np.ndarray]:
        """The model as named arrays, to be stored."""
        return {
            "bounds": np.array(list(self.bounds)),
            "shape": np.array(self.shape, dtype=np.int64),
            **self.density.arrays(),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> ValidityModel:
        """The model that arrays() wrote; InvalidArgument if an array is missing or does not fit."""
        try:
            bounds = Bounds(*(float(v) for v in arrays["bounds"].reshape(2)))
            shape = tuple(int(v) for v in arrays["shape"].reshape(3))
            if min(shape) < 1:
                raise ValueError(f"shape {shape}")
        except (KeyError, ValueError) as error:
            raise InvalidArgument(
                f"expected the arrays of a validity model, got {sorted(arrays)}: {error}"
            ) from None
        return cls(bounds=bounds, shape=shape, density=Density.from_arrays(arrays, size=math.prod(shape)))

    def _in_domain(self, x: np.ndarray) -> np.ndarray:
        flat = x.reshape(len(x), -1)
        # A NaN makes the minimum NaN, and then the comparison is false.
        low, high = np.float32(self.bounds.low), np.float32(self.bounds.high)
        inside: np.ndarray = (flat.min(axis=1) >= low) & (flat.max(axis=1) <= high)
        return inside


def within_limits(steps: Sequence[Step]) -> bool:
    """True if every geometric step's parameters lie inside the mutator's range, which is the V1 limit."""
    for step in steps:
        row = get(step.mutator)
        if row.geometric and not all(
            np.float32(p.low) <= v <= np.float32(p.high) for p, v in zip(row.params, step.params, strict=True)
        ):
            return False
    return True
