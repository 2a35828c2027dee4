"""Inputs made smaller by a random factor and put at a random place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.bounds import Bounds
from armour.checks import positive
from armour.errors import InvalidArgument
from armour.rng import Streams
from armour.tensor import matmul
from armour.tensor.core import Tensor, wrap

from .evidence import DEFENSES, Evidence
from .input import InputDefense


@DEFENSES.register("random-resizing")
@dataclass(frozen=True, slots=True, kw_only=True)
class RandomResizing(InputDefense):
    """Each sample is resized by its own factor in [smallest, 1] and laid on a ground of the low bound.

    The size stays what the network takes; the place is drawn. Bilinear, half-pixel centres, without
    antialiasing: linear, so the gradient of a draw is exact, and an attack averages over draws (EOT). Raises
    InvalidArgument for smallest outside (0, 1].
    Xie et al., 2018, https://arxiv.org/abs/1711.01991, who enlarge instead, for networks of any size.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "Athalye et al., 2018, https://arxiv.org/abs/1802.00420",
        "0 % left on ImageNet at Linf .031 when gradients are averaged over draws",
    )

    smallest: float = 0.8

    def __post_init__(self) -> None:
        if positive("smallest", self.smallest) > 1:
            raise InvalidArgument(f"expected smallest above 0 and at most 1, got {self.smallest}")

    @property
    def random(self) -> bool:
        """Always, for any size but the same."""
        return self.smallest < 1

    def apply(self, x: Tensor, bounds: Bounds, streams: Streams) -> Tensor:
        """As InputDefense.apply."""
        drawn = streams.uniform((3,), dtype=np.float64)
        factor = self.smallest + drawn[:, 0] * (1 - self.smallest)
        down, right = (
            wrap(_placed(side, factor, drawn[:, 1 + axis]).astype(x.dtype)[:, None])
            for axis, side in enumerate(x.shape[2:])
        )
        moved = matmul(matmul(down, x - bounds.low), right.transpose((0, 1, 3, 2)))
        return moved + bounds.low


def _placed(side: int, factor: NDArray[np.floating], place: NDArray[np.floating]) -> NDArray[np.float64]:
    """(n, side, side): row i says what pixel i of the result is made of, all 0 beside the smaller picture.

    factor: (n,) in (0, 1]. place: (n,) in [0, 1), where the smaller picture lies between the two edges.
    """
    size = np.maximum(np.rint(side * factor), 1)[:, None]
    first = np.floor(place[:, None] * (side - size + 1))
    own = np.arange(side) - first
    at = np.clip((own + 0.5) * side / size - 0.5, 0, side - 1)[..., None]
    weights = np.maximum(1 - np.abs(at - np.arange(side)), 0)
    inside = (own >= 0) & (own < size)
    return np.asarray(weights * inside[..., None])
