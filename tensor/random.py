"""Random tensors, drawn from an explicit NumPy Generator on the host, so that every device has equal numbers.

Two rows hold the Generator among their attributes: `draw`, of a stated shape, and `keep_mask`, of an input's.
Whoever runs a recorded row again draws again. rng: a numpy.random.Generator, or an int seed. What is made of
the draws (means, limits, choices) is made by other rows, so gradients reach the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from armour import rng as rngs
from armour.checks import count, non_negative, positive
from armour.errors import InvalidArgument
from armour.tensor.axes import expand_dims
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import add, equal, less, log, multiply, where
from armour.tensor.op import Case, Op, op
from armour.tensor.probability import erfinv
from armour.tensor.reduce import argmax
from armour.tensor.scatter import gather
from armour.tensor.sorting import topk

Rng = int | np.random.Generator

# kind -> (stream, shape, dtype of the draws, first and second parameter) -> array
_KINDS: dict[str, Callable[..., Any]] = {
    "uniform": lambda r, shape, dtype, a, b: r.random(shape, dtype=dtype),
    "normal": lambda r, shape, dtype, a, b: r.standard_normal(shape, dtype=dtype),
    "exponential": lambda r, shape, dtype, a, b: r.standard_exponential(shape, dtype=dtype),
    "gamma": lambda r, shape, dtype, a, b: r.standard_gamma(a, shape, dtype=dtype),
    "gumbel": lambda r, shape, dtype, a, b: r.gumbel(size=shape),
    "poisson": lambda r, shape, dtype, a, b: r.poisson(a, shape),
    "integers": lambda r, shape, dtype, a, b: r.integers(int(a), int(b), shape),
    "permutation": lambda r, shape, dtype, a, b: r.permutation(shape[0]),
}


def _stream(rng: Any) -> np.random.Generator:
    if not isinstance(rng, np.random.Generator):  # attributes of a stored network can hold none
        raise InvalidArgument(f"expected a numpy.random.Generator as rng, got {type(rng).__name__}")
    return rng


def _draw_forward(
    xp: Namespace, *, kind: str, shape: tuple[int, ...], dtype: str, rng: Any, a: float = 0.0, b: float = 0.0
) -> Array:
    native = dtype if dtype in ("float32", "float64") else "float32"
    values = _KINDS[kind](_stream(rng), shape, np.dtype(native).type, a, b)
    return xp.asarray(np.asarray(values).astype(dtype, copy=False))


def _keep_forward(xp: Namespace, x: Array, p: float, rng: Any) -> Array:
    return xp.asarray(_stream(rng).random(x.shape, dtype=np.float32) >= p)


_draw: Op = op(
    "draw",
    _draw_forward,
    cases=(
        Case((), {"kind": "normal", "shape": (3, 4), "dtype": "float32", "rng": np.random.default_rng(0)}),
    ),
)
_keep_mask: Op = op(
    "keep_mask", _keep_forward, cases=(Case(((3, 4),), {"p": 0.5, "rng": np.random.default_rng(0)}),)
)


def keep_mask(x: Any, p: float, *, rng: Rng) -> Tensor:
    """Booleans of x's shape, each False with probability p: what dropout keeps."""
    return _keep_mask(x, p=float(p), rng=rngs.generator(rng))


def _drawn(kind: str, shape: Sequence[int], dtype: Any, rng: Rng, a: float = 0.0, b: float = 0.0) -> Tensor:
    sizes = tuple(count("shape", n, at_least=0) for n in shape)
    return _draw(
        kind=kind, shape=sizes, dtype=np.dtype(dtype).name, rng=rngs.generator(rng), a=float(a), b=float(b)
    )


# -- continuous ----------------------------------------------------------------------------------------


def uniform(
    shape: Sequence[int], low: Any = 0.0, high: Any = 1.0, *, rng: Rng, dtype: Any = "float32"
) -> Tensor:
    """Uniform in [low, high); the limits are numbers or tensors that broadcast to `shape`.

    As with any generator of floating-point numbers, rounding may give `high` itself.
    """
    unit = _drawn("uniform", shape, dtype, rng)
    return add(multiply(unit, high - low), low)


def normal(
    shape: Sequence[int], mean: Any = 0.0, std: Any = 1.0, *, rng: Rng, dtype: Any = "float32"
) -> Tensor:
    """Normal; mean and standard deviation are numbers or tensors that broadcast to `shape`."""
    return add(multiply(_drawn("normal", shape, dtype, rng), std), mean)


def truncated_normal(
    shape: Sequence[int],
    mean: Any = 0.0,
    std: Any = 1.0,
    limit: float = 2.0,
    *,
    rng: Rng,
    dtype: Any = "float32",
) -> Tensor:
    """Normal, no more than `limit` standard deviations from the mean, by the inverse of the distribution."""
    inside = math.erf(positive("limit", limit) / math.sqrt(2.0))
    unit = (_drawn("uniform", shape, dtype, rng) * 2.0 - 1.0) * inside
    return add(multiply(erfinv(unit) * math.sqrt(2.0), std), mean)


def exponential(shape: Sequence[int], scale: Any = 1.0, *, rng: Rng, dtype: Any = "float32") -> Tensor:
    """Exponential with mean `scale`."""
    return multiply(_drawn("exponential", shape, dtype, rng), scale)


def laplace(
    shape: Sequence[int], mean: Any = 0.0, scale: Any = 1.0, *, rng: Rng, dtype: Any = "float32"
) -> Tensor:
    """Laplace, with standard deviation sqrt(2) * scale: the difference of two exponential draws."""
    stream = rngs.generator(rng)
    apart = _drawn("exponential", shape, dtype, stream) - _drawn("exponential", shape, dtype, stream)
    return add(multiply(apart, scale), mean)


def gamma(
    shape: Sequence[int], alpha: float, scale: Any = 1.0, *, rng: Rng, dtype: Any = "float32"
) -> Tensor:
    """Gamma with mean alpha * scale; there is no gradient for alpha."""
    return multiply(_drawn("gamma", shape, dtype, rng, positive("alpha", alpha)), scale)


# -- whole numbers and choices --------------------------------------------------------------------------


def poisson(shape: Sequence[int], rate: float, *, rng: Rng, dtype: Any = "int64") -> Tensor:
    """Poisson counts with mean `rate`."""
    return _drawn("poisson", shape, dtype, rng, non_negative("rate", rate))


def integers(shape: Sequence[int], low: int, high: int, *, rng: Rng, dtype: Any = "int64") -> Tensor:
    """Whole numbers from low to high - 1, all as probable."""
    if int(high) <= int(low):
        raise InvalidArgument(f"expected low below high, got low={low!r}, high={high!r}")
    return _drawn("integers", shape, dtype, rng, int(low), int(high))


def permutation(n: int, *, rng: Rng) -> Tensor:
    """The numbers from 0 to n - 1 in random order, int64."""
    return _drawn("permutation", (n,), "int64", rng)


def shuffle(x: Any, axis: int = 0, *, rng: Rng) -> Tensor:
    """The slices of x along `axis` in random order."""
    (t,) = lift([x])
    if not t.ndim:
        raise InvalidArgument("shuffle expects at least one axis, got a single number")
    return gather(t, permutation(t.shape[axis], rng=rng), axis)


def bernoulli(p: Any, shape: Sequence[int] | None = None, *, rng: Rng) -> Tensor:
    """Booleans, True with probability p (a number, or a tensor that broadcasts to `shape`); no gradient."""
    (chance,) = lift([p])
    return less(_drawn("uniform", chance.shape if shape is None else shape, "float32", rng), chance)


def categorical(logits: Any, samples: int = 1, *, rng: Rng) -> Tensor:
    """logits (..., k) -> (..., samples) of the classes 0 to k - 1, drawn independently by their softmax.

    By the largest of logits plus Gumbel noise (Gumbel, 1954), which needs no normalised probabilities.
    """
    return argmax(_noisy(logits, count("samples", samples), rng), axis=-1)


def multinomial(probabilities: Any, samples: int, replacement: bool = False, *, rng: Rng) -> Tensor:
    """probabilities (..., k), of any positive sum, -> (..., samples) of the numbers 0 to k - 1.

    Without replacement no number comes twice in a row of samples, the more probable ones tend to come first,
    and `samples` must not be above the count of probabilities that are not 0.
    """
    (p,) = lift([probabilities])
    zero = equal(p, 0.0)
    logits = where(zero, -math.inf, log(where(zero, 1.0, p)))
    if replacement:
        return categorical(logits, samples, rng=rng)
    noisy = _noisy(logits, 1, rng)
    samples = count("samples", samples)
    if samples > p.shape[-1]:
        raise InvalidArgument(
            f"expected at most {p.shape[-1]} samples without replacement from probabilities {p.shape}, "
            f"got {samples}; pass replacement=True"
        )
    return topk(noisy, samples)[1].reshape((*p.shape[:-1], samples))


def _noisy(logits: Any, rows: int, rng: Rng) -> Tensor:
    (z,) = lift([logits])
    if not z.ndim or not z.shape[-1] or z.dtype.kind != "f":
        raise InvalidArgument(
            f"expected floating-point numbers (..., k) for k classes, got {z.shape} {z.dtype}"
        )
    noise = _drawn("gumbel", (*z.shape[:-1], rows, z.shape[-1]), z.dtype, rng)
    return expand_dims(z, -2) + noise
