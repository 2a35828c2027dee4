"""The inputs that a certificate is about: a ball around each sample, and the box it lies in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from armour.bounds import Bounds
from armour.defenses.bounds.rounding import EXACT, Rounding
from armour.errors import InvalidArgument
from armour.tensor import maximum
from armour.tensor.core import Tensor, wrap
from armour.tensor.elementwise import abs as magnitude

NORMS = ("linf", "l2", "l1")
_HELD = 1e-6  # of the budget: what float32 may lose when a perturbation is kept to it
_STEP = 2.0**-22  # of an input's magnitude: rounding of x + perturbation and of the range's ends


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """norm: "linf", "l2" or "l1". center (n, *shape); radius: of the ball; low, high (n, *shape): a box that
    holds all inputs. Inputs are in the ball and the box both."""

    norm: str
    center: Tensor
    radius: float
    low: Tensor
    high: Tensor

    def __len__(self) -> int:
        return self.low.shape[0]

    def least(self, rows: Tensor, owner: np.ndarray) -> Tensor:
        """The least value (m,) of rows (m, *shape) times an input of sample owner (m,), or below it."""
        flat = rows.reshape(rows.shape[0], -1)
        size = magnitude(flat)
        middle, half = ((self.high + self.low) * 0.5, (self.high - self.low) * 0.5)
        found = (flat * _of(middle, owner) - size * _of(half, owner)).sum(axis=1)
        if self.norm == "linf":
            return found
        dual = (flat * flat).sum(axis=1).sqrt() if self.norm == "l2" else size.max(axis=1)
        ball = (flat * _of(self.center, owner)).sum(axis=1) - self.radius * dual
        return maximum(found, ball)

    def part(self, chosen: np.ndarray) -> Region:
        """The region of some of the samples."""
        center, low, high = (wrap(t.data[chosen]) for t in (self.center, self.low, self.high))
        return Region(norm=self.norm, center=center, radius=self.radius, low=low, high=high)


def _of(values: Tensor, owner: np.ndarray) -> Tensor:
    """Each row's own sample, flat; a single one is broadcast, not copied."""
    flat = values.reshape(values.shape[0], -1)
    return flat if flat.shape[0] == 1 else flat[owner]


def region_of(
    x: np.ndarray,
    epsilon: float,
    norm: str = "linf",
    *,
    bounds: Bounds,
    rounding: Rounding,
    dtype: str = "float64",
) -> Region:
    """The ball of radius epsilon around each of x (n, *shape), within the model's bounds.

    With rounding, the ball is wider by what float32 may add to an input's distance. Raises InvalidArgument
    for another norm.
    """
    if norm not in NORMS:
        raise InvalidArgument(
            f"expected norm to be one of {', '.join(NORMS)} for a certificate, got {norm!r}"
        )
    center = np.asarray(x, np.float64)
    radius = float(epsilon)
    span = np.abs(center) + radius
    more = np.zeros_like(center)
    if rounding.precision == "float32":
        more = _STEP * span + _HELD * radius
    elif rounding.pads:
        more = 8 * EXACT * span
    low, high = center - radius - more, center + radius + more
    edge = 2 * _HELD * (bounds.high - bounds.low) if rounding.precision == "float32" else 0.0
    # An input outside the model's bounds keeps at least itself.
    low = np.maximum(low, np.minimum(bounds.low - edge, center))
    high = np.minimum(high, np.maximum(bounds.high + edge, center))
    if norm != "linf" and rounding.pads:
        radius += (
            float(np.sqrt((more**2).reshape(len(more), -1).sum(axis=1)).max(initial=0.0))
            if (norm == "l2")
            else float(more.reshape(len(more), -1).sum(axis=1).max(initial=0.0))
        )
    arrays = (wrap(a.astype(dtype)) for a in (center, low, high))
    middle, least, most = arrays
    return Region(norm=norm, center=middle, radius=radius, low=least, high=most)
