"""Pixels replaced by the median or the mean of their neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np

from armour.bounds import Bounds
from armour.checks import count, one_of
from armour.errors import InvalidArgument
from armour.rng import Streams
from armour.tensor import getitem, matmul, median, stack
from armour.tensor.core import Tensor, wrap

from .evidence import DEFENSES, Evidence
from .input import InputDefense


@DEFENSES.register("spatial-smoothing")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialSmoothing(InputDefense):
    """The median or the mean over a square of size by size pixels, in each channel.

    Beyond an edge, the pixel at the edge counts. An even square reaches one pixel further up and left. The
    gradient is exact: that of a median goes to the pixel in the middle, or halves to the two there. Raises
    InvalidArgument for a size outside 2..15 or another kind.
    Xu et al., 2018, https://arxiv.org/abs/1704.01155.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "He et al., 2017, https://arxiv.org/abs/1706.04701",
        "adaptive attacks on feature squeezing, of which it is a part, succeed with low distortion",
    )

    kind: Literal["median", "mean"] = "median"
    size: int = 3

    def __post_init__(self) -> None:
        one_of("kind", self.kind, ("median", "mean"))
        if not 2 <= count("size", self.size) <= 15:
            raise InvalidArgument(f"expected a size of 2 to 15 pixels, got {self.size}")

    def apply(self, x: Tensor, bounds: Bounds, streams: Streams) -> Tensor:
        """As InputDefense.apply; nothing is drawn."""
        height, width = x.shape[2:]
        if self.kind == "mean":
            down, right = (wrap(_means(side, self.size).astype(x.dtype)) for side in (height, width))
            return matmul(matmul(down, x), right.T)
        rows, columns = (_around(side, self.size) for side in (height, width))
        shifted = [getitem(x, (slice(None), slice(None), row)) for row in rows]
        near = [getitem(part, (..., column)) for part in shifted for column in columns]
        return median(stack(near, axis=-1), axis=-1)


@lru_cache(maxsize=64)
def _around(side: int, size: int) -> tuple[np.ndarray, ...]:
    """For each place of the square, (side,) which pixel of a line lies there."""
    return tuple(np.clip(np.arange(side) + k - size // 2, 0, side - 1) for k in range(size))


@lru_cache(maxsize=64)
def _means(side: int, size: int) -> np.ndarray:
    """(side, side): row i averages the pixels around i."""
    return np.asarray(np.mean([np.eye(side)[row] for row in _around(side, size)], axis=0))
