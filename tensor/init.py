"""Initial weights. Every function draws from the generator it is given; `rng` is required.

shape: (out, in) for linear layers, (out, in / groups, kh, kw) for convolutions. All return float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from armour.checks import one_of, positive
from armour.errors import InvalidArgument

Weights = NDArray[np.float32]
Distribution = Literal["normal", "uniform"]


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """(inputs, outputs) that one element of the output, or of the input, is connected to."""
    if len(shape) < 2:
        raise InvalidArgument(
            f"expected a weight shape of at least two axes (out, in, ...), got {tuple(shape)}"
        )
    field = math.prod(shape[2:])
    return shape[1] * field, shape[0] * field


def he(
    shape: Sequence[int],
    *,
    rng: np.random.Generator,
    distribution: Distribution = "normal",
    slope: float = 0.0,
    fan: Literal["in", "out"] = "in",
) -> Weights:
    """Variance 2 / ((1 + slope^2) fan): keeps the scale of activations through (leaky) ReLU layers.

    slope: of the leaky ReLU for negative inputs. He et al., 2015, https://arxiv.org/abs/1502.01852.
    """
    one_of("fan", fan, ("in", "out"))
    connections = fans(shape)[0 if fan == "in" else 1]
    return _draw(shape, math.sqrt(2.0 / ((1.0 + slope * slope) * max(connections, 1))), distribution, rng)


def glorot(
    shape: Sequence[int],
    *,
    rng: np.random.Generator,
    distribution: Distribution = "uniform",
    gain: float = 1.0,
) -> Weights:
    """Variance gain^2 * 2 / (fan in + fan out): a compromise between the scales forward and backward.

    Glorot and Bengio, 2010, https://proceedings.mlr.press/v9/glorot10a.html.
    """
    positive("gain", gain)
    return _draw(shape, gain * math.sqrt(2.0 / max(sum(fans(shape)), 1)), distribution, rng)


def orthogonal(shape: Sequence[int], *, rng: np.random.Generator, gain: float = 1.0) -> Weights:
    """Rows (or columns, if there are more rows) orthonormal, times gain; later axes count as columns.

    Uniform over such matrices. Saxe et al., 2014, https://arxiv.org/abs/1312.6120.
    """
    positive("gain", gain)
    fans(shape)  # refuses fewer than two axes
    rows, columns = shape[0], math.prod(shape[1:])
    if not rows or not columns:
        return np.zeros(tuple(shape), np.float32)
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    # QR leaves the signs to the algorithm; tied to those of r, the distribution is uniform (Mezzadri, 2007).
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    matrix = q if rows >= columns else q.T
    return np.asarray(gain * matrix, np.float32).reshape(tuple(shape))


def _draw(shape: Sequence[int], std: float, distribution: str, rng: np.random.Generator) -> Weights:
    one_of("distribution", distribution, ("normal", "uniform"))
    if distribution == "normal":
        return rng.standard_normal(tuple(shape), dtype=np.float32) * np.float32(std)
    unit = rng.random(tuple(shape), dtype=np.float32)
    return (unit * np.float32(2.0) - np.float32(1.0)) * np.float32(math.sqrt(3.0) * std)
