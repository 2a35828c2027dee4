"""Losses of numbers against numbers, per sample: each returns (n,), the mean over all axes but the first.

Prediction and target have one shape, (n, ...); mse is in losses.py.
"""

from __future__ import annotations

from typing import Any

from armour.checks import positive
from armour.errors import InvalidArgument
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import abs as absolute
from armour.tensor.elementwise import clip
from armour.tensor.measures import cosine_similarity


def both(name: str, prediction: Any, target: Any) -> tuple[Tensor, Tensor]:
    """The two as tensors; InvalidArgument if their shapes differ, which would broadcast unseen."""
    a, b = lift([prediction, target])
    if a.shape != b.shape or not a.ndim:
        raise InvalidArgument(
            f"{name} expects prediction and target of one shape (n, ...), got {a.shape} and {b.shape}; "
            "reshape one of them"
        )
    return a, b


def per_sample(x: Tensor) -> Tensor:
    """The mean over all axes but the first."""
    return x.mean(axis=tuple(range(1, x.ndim))) if x.ndim > 1 else x


def l1(prediction: Any, target: Any) -> Tensor:
    """Mean of absolute differences; gradient 0 where they are 0."""
    a, b = both("l1", prediction, target)
    return per_sample(absolute(a - b))


def huber(prediction: Any, target: Any, delta: float = 1.0) -> Tensor:
    """Half the square of differences up to delta, and beyond it a line of slope delta (Huber, 1964)."""
    delta = positive("delta", delta)
    a, b = both("huber", prediction, target)
    gap = a - b
    inner = clip(gap, -delta, delta)
    return per_sample(inner * (gap - inner * 0.5))


def smooth_l1(prediction: Any, target: Any, beta: float = 1.0) -> Tensor:
    """Absolute differences, rounded off below beta: huber divided by beta (Girshick, 2015)."""
    return huber(prediction, target, beta) * (1.0 / beta)


def cosine_distance(prediction: Any, target: Any, eps: float = 1e-8) -> Tensor:
    """1 minus the cosine of the angle between the two vectors (n, d) of each sample; in [0, 2]."""
    a, b = both("cosine_distance", prediction, target)
    return 1.0 - cosine_similarity(a.reshape((a.shape[0], -1)), b.reshape((b.shape[0], -1)), -1, eps)
