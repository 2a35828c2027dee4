"""How far a network evaluated in floating point may be from the same network in real numbers.

A sum of n products evaluated with unit round-off u, in any order and with or without fused operations, is
within gamma(n) * (sum of magnitudes) of its real value, gamma(n) = n * u / (1 - n * u) (Higham, Accuracy and
Stability of Numerical Algorithms, 2002, https://doi.org/10.1137/1.9780898718027, section 3.1). Each step of a
network is widened by that much, so that a bound holds for the values a float network computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from armour.errors import InvalidArgument

Precision: TypeAlias = Literal["float32", "float64", "none"]

MORE = 8  # operations beside the products: bias, a folded normalisation, its deviation's root
ULPS = 8  # most that a library's exp or tanh is off, in units in the last place
EXACT = 2.0**-53


@dataclass(frozen=True, slots=True)
class Rounding:
    """What a bound allows for.

    precision: "float32", the network as it is evaluated in float32; "float64", evaluated in float64; "none",
    the formulas alone, which may be off by the rounding of computing them. Raises InvalidArgument.
    """

    precision: Precision = "float32"

    def __post_init__(self) -> None:
        if self.precision not in get_args(Precision):
            known = ", ".join(get_args(Precision))
            raise InvalidArgument(f"expected rounding to be one of {known}; got {self.precision!r}")

    @property
    def pads(self) -> bool:
        """Whether anything is added at all."""
        return self.precision != "none"

    @property
    def unit(self) -> float:
        """Unit round-off of the network's evaluation."""
        return {"float32": 2.0**-24, "float64": EXACT, "none": 0.0}[self.precision]

    def products(self, terms: int, numel: int, size: np.ndarray) -> np.ndarray:
        """Slack of sums of `terms` products whose magnitudes add up to `size`.

        numel: length of the longest sum taken while bounds are computed, which is done in float64.
        """
        tiny = 2.0**-126 if self.precision == "float32" else 2.0**-1022  # what underflow may lose
        share = _gamma(terms + MORE, self.unit) + _gamma(2 * numel + 64, EXACT)
        return share * size + (terms + MORE) * tiny

    def function(self, size: np.ndarray) -> np.ndarray:
        """Slack of a function from a library whose values and parts are of magnitude `size`."""
        return (2 * ULPS * self.unit + 64 * EXACT) * size + 2.0**-126

    def lines(self, size: np.ndarray) -> np.ndarray:
        """Slack of a line computed here, in float64, where values are of magnitude `size`."""
        return 16 * EXACT * size


def _gamma(terms: int, unit: float) -> float:
    if terms * unit >= 0.5:
        raise InvalidArgument(
            f"expected sums short enough for a rounding bound, got {terms:,} terms; use rounding='float64'"
        )
    return terms * unit / (1 - terms * unit)
