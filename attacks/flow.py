"""Flow: images bent by a smooth field of displacements."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from armour.checks import count, fraction, non_negative, positive
from armour.contract import Model
from armour.criteria import Criterion, Loss
from armour.errors import UnsupportedError
from armour.geometry import warp, warp_slopes
from armour.regions import F32
from armour.rng import Streams

from .base import ATTACKS
from .fgsm import check_loss
from .gradient import finite
from .own_limits import OwnLimitsAttack

# Differences of neighbouring displacements below this, in pixels, count as their square: no bend at 0.
_ROUND = np.float32(1e-3)


@ATTACKS.register("flow")
@dataclass(frozen=True, slots=True, kw_only=True)
class Flow(OwnLimitsAttack):
    """Spatially transformed adversarial examples: each pixel is taken from a place nearby.

    Adam moves the displacements of all pixels, from none, along the gradient of the loss through the bilinear
    sampling, and against their roughness; once the criterion is met, against their roughness alone. What is
    handed back is the smoothest field that meets it, or else the one with the largest loss. What would come
    in from outside is the nearest pixel. Needs gradients. The paper uses L-BFGS instead of Adam.

    smoothness: weight of the roughness, which is the sum over pixels and their four neighbours of how far
    their displacements are apart, in pixels.
    reach: furthest displacement each way, as a share of the shorter side, in (0, 1].
    steps: gradient evaluations. step_size: pixels a step moves at most at first; it falls to a tenth.
    loss: "margin", "cross-entropy", "dlr", or a function (logits, labels) -> (n,).
    norm: measures only. Raises UnsupportedError if the model is a black box, and for inputs that are no
    images (c, h, w).
    Xiao et al., 2018, https://arxiv.org/abs/1801.02612.
    """

    smoothness: float = 0.05
    reach: float = 0.2
    steps: int = 100
    step_size: float = 0.2
    loss: str | Loss = "margin"

    def __post_init__(self) -> None:
        OwnLimitsAttack.__post_init__(self)
        non_negative("smoothness", self.smoothness)
        positive("reach", fraction("reach", self.reach))
        count("steps", self.steps)
        positive("step_size", self.step_size)
        check_loss(self.loss)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run; rng is not used."""
        if x.ndim != 4:
            raise UnsupportedError(f"expected images (n, c, h, w) to bend, got inputs {x.shape}")
        n, _, h, w = x.shape
        reach = np.float32(self.reach * min(h, w))
        flow = np.zeros((n, 2, h, w), np.float32)
        mean, square = np.zeros_like(flow), np.zeros_like(flow)
        best, smoothest = x.copy(), np.full(n, np.inf, np.float32)
        largest = np.full(n, -np.inf, np.float32)
        for step in range(1, self.steps + 1):
            adv = np.clip(bent(x, flow), *model.bounds)
            value, gradient, logits = model.gradient(adv, criterion.objective(self.loss))
            met, (rough, slopes) = criterion(logits), roughness(flow)
            better = np.where(met, rough < smoothest, np.isinf(smoothest) & (value > largest))
            best[better] = adv[better]
            smoothest = np.where(met, np.minimum(rough, smoothest), smoothest)
            largest = np.fmax(value, largest)
            slopes *= np.float32(self.smoothness)
            slopes -= flow_slopes(x, flow, finite(gradient)) * ~met[:, None, None, None]
            # Adam, Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980, with its usual weights. Pixels that
            # hardly have a slope would follow its rounding as far as others: their scale is not their own.
            mean += np.float32(0.1) * (slopes - mean)
            square += np.float32(0.001) * (slopes * slopes - square)
            size = np.sqrt(square / np.float32(1 - 0.999**step))
            size = np.maximum(size, np.float32(0.2) * size.max(axis=(1, 2, 3), keepdims=True))
            length = self.step_size * (1 - 0.9 * (step - 1) / self.steps) / (1 - 0.9**step)
            flow -= np.float32(length) * mean / (size + np.float32(1e-12))
            np.clip(flow, -reach, reach, out=flow)
        adv = np.clip(bent(x, flow), *model.bounds)
        met = criterion(model.logits(adv))
        better = met & (roughness(flow)[0] < smoothest)
        best[better] = adv[better]
        return best


def bent(x: F32, flow: F32) -> F32:
    """Pixel (i, j) of x (n, c, h, w) taken from (i, j) + flow (n, 2, h, w); without displacement x itself."""
    out: F32 = warp(x, *_positions(flow))
    return out


def flow_slopes(x: F32, flow: F32, along: F32) -> F32:
    """(n, 2, h, w): how (along * bent(x, flow)).sum() of each image changes with its flow."""
    return np.stack(warp_slopes(x, *_positions(flow), along), axis=1)


def roughness(flow: F32) -> tuple[F32, F32]:
    """(n,) sum over pixels and their four neighbours of the distance of displacements, and its gradient."""
    total, slopes = np.zeros(len(flow), np.float32), np.zeros_like(flow)
    for axis in (2, 3):
        first, second = (
            (np.s_[:, :, :-1], np.s_[:, :, 1:]) if axis == 2 else (np.s_[..., :-1], np.s_[..., 1:])
        )
        apart = flow[second] - flow[first]
        distance = np.sqrt((apart * apart).sum(axis=1, keepdims=True) + _ROUND * _ROUND)
        # Each pair of neighbours is met from both sides.
        total += 2 * (distance - _ROUND).sum(axis=(1, 2, 3))
        apart *= 2 / distance
        slopes[second] += apart
        slopes[first] -= apart
    return total, slopes


def _positions(flow: F32) -> tuple[F32, F32]:
    h, w = flow.shape[2:]
    rows, columns = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)
    return flow[:, 0] + rows, flow[:, 1] + columns
