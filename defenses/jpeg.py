"""JPEG compression in front of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour.bounds import Bounds
from armour.checks import count
from armour.compression import jpeg
from armour.errors import InvalidArgument
from armour.rng import Streams
from armour.tensor.core import Tensor

from .evidence import DEFENSES, Evidence
from .input import InputDefense, straight


@DEFENSES.register("jpeg")
@dataclass(frozen=True, slots=True, kw_only=True)
class JPEG(InputDefense):
    """Cosine coefficients of 8 by 8 blocks, quantised as JPEG does at a quality of 1 to 99.

    The identity stands in for the gradient: it is what remains of transform and inverse if the rounding
    between them lets gradients pass. Raises InvalidArgument for another quality.
    Guo et al., 2018, https://arxiv.org/abs/1711.00117; Dziugaite et al., 2016,
    https://arxiv.org/abs/1608.00853.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "Athalye et al., 2018, https://arxiv.org/abs/1802.00420",
        "0 % left on ImageNet at L2 .05 (normalised)",
    )
    backward: ClassVar[str] = "identity"

    quality: int = 75

    def __post_init__(self) -> None:
        if count("quality", self.quality) > 99:
            raise InvalidArgument(f"expected a quality of 1 to 99, got {self.quality}")

    def apply(self, x: Tensor, bounds: Bounds, streams: Streams) -> Tensor:
        """As InputDefense.apply; nothing is drawn."""
        # The scale of the Independent JPEG Group: quality 50 takes the standard's steps as they are.
        coarseness = 50 / self.quality if self.quality < 50 else 2 - self.quality / 50
        # Rounding coefficients is unstable at ties: the type stays float32 whatever x is.
        low = np.asarray(x.data, np.float32)
        made = jpeg(low, np.full(len(low), coarseness, np.float32), bounds)
        return straight(x, made.astype(x.dtype))
