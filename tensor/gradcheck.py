"""Checks of gradients against central differences along random directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from armour.checks import count
from armour.errors import ArmourError
from armour.tensor.autodiff import vjp
from armour.tensor.backend import asnumpy, get_xp
from armour.tensor.core import Tensor, lift


class GradientMismatch(ArmourError):
    """A derivative differs from its central difference."""


def check_grads(
    fn: Callable[..., Any],
    *x: Any,
    order: int = 2,
    rng: np.random.Generator,
    rtol: float = 1e-6,
    atol: float = 1e-7,
) -> None:
    """Compare fn's vector-Jacobian products, and its gradients' up to `order`, with central differences.

    fn: Tensors in, one Tensor out. x: float64 arrays, at which fn is smooth. The Jacobian J is tested by one
    number, u.(J d) for a random cotangent u and a random direction d, which holds for all of J at once. A
    tolerance is relative to the larger of the two numbers and of the terms they are made of. Raises
    GradientMismatch.
    """
    count("order", order)
    inputs = [lift([a])[0] for a in x]
    for i, t in enumerate(inputs):
        if t.dtype != np.float64:
            raise GradientMismatch(f"expected float64 input {i} (float32 hides errors), got {t.dtype}")
    _check(fn, inputs, order, 1, rng, rtol, atol)


def _check(
    fn: Callable[..., Any],
    inputs: Sequence[Tensor],
    order: int,
    level: int,
    rng: np.random.Generator,
    rtol: float,
    atol: float,
) -> None:
    value, pull = vjp(fn, *inputs)
    if not value.size:
        pull(value)
        return
    cotangent = _random(value, rng)
    directions = [_random(t, rng) for t in inputs]
    grads = pull(cotangent)
    for i, (t, g) in enumerate(zip(inputs, grads, strict=True)):
        if g.shape != t.shape:
            raise GradientMismatch(f"expected a gradient of input {i}'s shape {t.shape}, got {g.shape}")
    found, size = _inner(grads, directions)
    expected = _difference(fn, inputs, directions, cotangent)
    if not abs(found - expected) <= atol + rtol * max(abs(expected), size):
        raise GradientMismatch(
            f"order {level}: the gradient gives {found!r} along a random direction, "
            f"central differences {expected!r} (input shapes {[t.shape for t in inputs]})"
        )
    if level < order:
        # The next order: the gradient itself is a function, linear in the cotangent.
        def gradient(seed: Tensor, *at: Tensor) -> Tensor:
            _, again = vjp(fn, *at)
            parts = [(g * d).sum() for g, d in zip(again(seed), directions, strict=True)]
            return sum(parts[1:], start=parts[0])

        _check(gradient, [cotangent, *inputs], order, level + 1, rng, rtol, atol)


def _difference(
    fn: Callable[..., Any], inputs: Sequence[Tensor], directions: Sequence[Tensor], u: Tensor
) -> float:
    # Five points: the error is of fourth order in the step, so a step of 1e-3 leaves about 1e-11.
    step = 1e-3
    weights = {-2: 1 / 12, -1: -8 / 12, 1: 8 / 12, 2: -1 / 12}
    total = 0.0
    for k, weight in weights.items():
        moved = [Tensor(t.data + k * step * d.data) for t, d in zip(inputs, directions, strict=True)]
        (y,) = lift([fn(*moved)])
        total += weight * float(asnumpy((y.data * u.data).sum()))
    return total / step


def _inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> tuple[float, float]:
    products = [asnumpy(s.data * t.data) for s, t in zip(a, b, strict=True)]
    return float(sum(p.sum() for p in products)), float(sum(np.abs(p).sum() for p in products))


def _random(like: Tensor, rng: np.random.Generator) -> Tensor:
    return Tensor(get_xp(like.data).asarray(rng.standard_normal(like.shape)))
