"""The nearest picture with little total variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.bounds import Bounds
from armour.checks import count, positive
from armour.errors import InvalidArgument
from armour.rng import Streams
from armour.tensor.core import Tensor

from .evidence import DEFENSES, Evidence
from .input import InputDefense, scaled, straight, unit


@DEFENSES.register("total-variation")
@dataclass(frozen=True, slots=True, kw_only=True)
class TotalVariation(InputDefense):
    """Minimises half the squared distance to the pixels that are kept, plus `weight` times total variation.

    Each pixel is kept with the probability `keep`, all channels of it; below 1 the defense is random. Values
    count on a scale from 0 to 1 over the bounds; each channel has its isotropic total variation. steps: of
    the primal-dual method of Chambolle and Pock, 2011, https://doi.org/10.1007/s10851-010-0251-1. The
    identity stands in for the gradient. Raises InvalidArgument for keep outside (0, 1].
    Guo et al., 2018, https://arxiv.org/abs/1711.00117, with the distance squared.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "Athalye et al., 2018, https://arxiv.org/abs/1802.00420",
        "0 % left on ImageNet at L2 .05 (normalised)",
    )
    backward: ClassVar[str] = "identity"

    weight: float = 0.03
    keep: float = 0.5
    steps: int = 40

    def __post_init__(self) -> None:
        positive("weight", self.weight)
        count("steps", self.steps)
        if positive("keep", self.keep) > 1:
            raise InvalidArgument(f"expected keep above 0 and at most 1, got {self.keep}")

    @property
    def random(self) -> bool:
        """True if pixels are dropped."""
        return self.keep < 1

    def apply(self, x: Tensor, bounds: Bounds, streams: Streams) -> Tensor:
        """As InputDefense.apply."""
        u = unit(x, bounds)
        kept = np.ones((len(u.data), 1, *x.shape[2:]), u.dtype)
        if self.random:
            kept = (streams.uniform(kept.shape[1:]) < self.keep).astype(u.dtype)
        made = denoised(u.data, kept, self.weight, self.steps)
        return scaled(straight(u, np.clip(made, 0, 1)), bounds)


def denoised(x: NDArray[np.floating], kept: NDArray[np.floating], weight: float, steps: int) -> NDArray:  # type: ignore[type-arg]
    """argmin over z of sum(kept * (z - x) ** 2) / 2 + weight * TV(z), for x (n, c, h, w), after `steps`.

    kept: 0 or 1, broadcasting to x.
    """
    # The operator norm of the differences is below sqrt(8), so step * step * 8 < 1 converges.
    step = x.dtype.type(0.35)
    z = ahead = x.copy()
    down, right = np.zeros_like(x), np.zeros_like(x)
    for _ in range(steps):
        down[:, :, :-1] += step * np.diff(ahead, axis=2)
        right[..., :-1] += step * np.diff(ahead, axis=3)
        length = np.maximum(np.sqrt(down * down + right * right) / x.dtype.type(weight), 1)
        down /= length
        right /= length
        # Minus the divergence; the last row of `down` and column of `right` stay 0.
        back = -down - right
        back[:, :, 1:] += down[:, :, :-1]
        back[..., 1:] += right[..., :-1]
        new = (z - step * back + step * kept * x) / (1 + step * kept)
        ahead, z = 2 * new - z, new
    return z
