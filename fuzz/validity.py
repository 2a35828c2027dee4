"""The validity ladder: how far a mutant may still be called the same input as its root.

V0: finite, inside the bounds, of the right shape and dtype. V1: at most 2 % of the values changed, or none by
more than 20 % of the span (DeepHunter's rule, Xie et al. 2019, doi:10.1145/3293882.3330579), and the
geometric step inside its limits. V2: mean SSIM at least 0.5, and no further from the clean data than the
99.5th percentile of clean data. All differences are taken to the reference: the root after the geometric step
alone.

That is the ladder of images. Arrays of other shapes and whole numbers have their own V1 and V2, which
armour/fuzz/kinds.py states.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from armour.bounds import Bounds
from armour.errors import InvalidArgument

from .aids import NOTHING, Aids
from .density import Density
from .kinds import IMAGE, KINDS, Kind
from .mutators import get
from .recipe import Step

_MOST_AXES = 8  # of an input that a stored model may state


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """The verdict on n mutants and what it rests on, each (n,).

    level: int8, -1 (outside V0), 0, 1 or 2; l0: share of the pixels that changed, or of the values of what is
    no image; linf: largest change as a fraction of the span; likeness: to the reference, 1 where equal: mean
    SSIM of images, 1 less the relative distance of arrays, 1 less the changed share of whole numbers;
    density: 0 at the centre of the clean data, above 1 outside its 99.5th percentile, 0 where nobody asks.
    """

    level: np.ndarray
    l0: np.ndarray
    linf: np.ndarray
    likeness: np.ndarray
    density: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidityModel:
    """What valid inputs look like: the bounds, the shape, the density of the clean data, and their kind."""

    bounds: Bounds
    shape: tuple[int, ...]
    density: Density
    kind: Kind = IMAGE

    @classmethod
    def fit(cls, x_clean: np.ndarray, bounds: Bounds, kind: Kind = IMAGE) -> ValidityModel:
        """Learn from clean inputs, images (n, c, h, w) unless `kind` says otherwise; the same data give the
        same model. Raises InvalidArgument.
        """
        fits = x_clean.ndim == 4 if kind.pixels else x_clean.ndim >= 2
        if not fits or x_clean.size == 0 or not np.isfinite(x_clean).all():
            shape = "(n, c, h, w)" if kind.pixels else "(n, ...)"
            raise InvalidArgument(f"expected finite clean inputs of shape {shape}, got shape {x_clean.shape}")
        density = Density.unknown(x_clean[0].size)
        if kind.density:
            density = Density.fit(*kind.seen(x_clean, bounds))
        return cls(bounds=bounds, shape=tuple(x_clean.shape[1:]), density=density, kind=kind)

    def assess(self, x: np.ndarray, ref: np.ndarray, steps: Sequence[Sequence[Step]]) -> Validity:
        """Judge mutants x (n, *shape) against their references; steps: the n lists that made them."""
        n = len(x)
        if tuple(x.shape[1:]) != self.shape or x.dtype != np.float32 or n == 0:
            empty = np.zeros(n, dtype=np.float32)
            return Validity(
                level=np.full(n, -1, dtype=np.int8), l0=empty, linf=empty, likeness=empty, density=empty
            )
        l0 = self.kind.share(x, ref)
        linf = self.kind.largest(x, ref, self.bounds)
        likeness = self.kind.likeness_to(x, ref, self.bounds)
        density = self.density.distance(self.kind.seen(x, self.bounds)[0])
        domain = self._in_domain(x)
        size = math.prod(self.shape)
        rule = domain & self.kind.rule(l0, linf, self.kind.parts(size))
        rule &= np.array([within_limits(own) for own in steps], dtype=bool)
        fidelity = rule & self.kind.likely(l0, likeness, size) & (density <= 1)
        level = domain.astype(np.int8) + rule.astype(np.int8) + fidelity.astype(np.int8) - np.int8(1)
        return Validity(level=level.astype(np.int8), l0=l0, linf=linf, likeness=likeness, density=density)

    def level(self, x: np.ndarray, ref: np.ndarray, steps: Sequence[Sequence[Step]]) -> np.ndarray:
        """(n,) int8: the highest level each mutant reaches, -1 if it is outside V0."""
        return self.assess(x, ref, steps).level

    def arrays(self) -> dict[str, np.ndarray]:
        """The model as named arrays, to be stored."""
        return {
            "bounds": np.array(list(self.bounds)),
            "shape": np.array(self.shape, dtype=np.int64),
            **self.density.arrays(),
            # Images are what a model without it is of, as all were once.
            **(
                {}
                if self.kind.name == IMAGE.name
                else {"kind": np.frombuffer(self.kind.name.encode(), np.uint8)}
            ),
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], aids: Aids = NOTHING) -> ValidityModel:
        """The model that arrays() wrote; InvalidArgument if an array is missing or does not fit.

        aids: what was stated of the inputs, which is stored apart.
        """
        try:
            bounds = Bounds(*(float(v) for v in arrays["bounds"].reshape(2)))
            named = arrays.get("kind")
            kind = IMAGE if named is None else KINDS.get(named.astype(np.uint8).tobytes().decode())
            kind = kind if aids is NOTHING else replace(kind, aids=aids)
            shape = tuple(int(v) for v in arrays["shape"].reshape(3 if kind.pixels else -1))
            if not 0 < len(shape) <= _MOST_AXES or min(shape) < 1:
                raise ValueError(f"shape {shape}")
        except (KeyError, ValueError) as error:
            raise InvalidArgument(
                f"expected the arrays of a validity model, got {sorted(arrays)}: {error}"
            ) from None
        density = Density.from_arrays(arrays, size=math.prod(shape))
        return cls(bounds=bounds, shape=shape, density=density, kind=kind)

    def _in_domain(self, x: np.ndarray) -> np.ndarray:
        flat = x.reshape(len(x), -1)
        # A NaN makes the minimum NaN, and then the comparison is false.
        low, high = np.float32(self.bounds.low), np.float32(self.bounds.high)
        inside: np.ndarray = (flat.min(axis=1) >= low) & (flat.max(axis=1) <= high)
        # Only where values are finite: what a kind asks is arithmetic.
        if inside.all():
            return np.asarray(self.kind.domain(x), dtype=bool)
        good = np.flatnonzero(inside)
        inside[good] = self.kind.domain(x[good])
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
