"""Rows with plan kernels of their own, in the memory orders of networks, by every family there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import armour.tensor as T
from armour.tensor import OPS, Tensor, compile, grad, use_kernels
from armour.tensor.families import why_not
from armour.tensor.lower_basic import BLOCK

RNG = np.random.default_rng(0)
W3, W1 = (Tensor(RNG.standard_normal(s).astype(np.float32)) for s in ((6, 3, 3, 3), (5, 6, 1, 1)))
TALL, BIAS = (Tensor(RNG.standard_normal(s).astype(np.float32)) for s in ((7, 3, 5, 1), (7,)))
DENSE = Tensor(RNG.standard_normal((9, 6)).astype(np.float32))


@pytest.fixture(params=["numpy", "numba", "onednn", "all"])
def family(request: pytest.FixtureRequest) -> Iterator[str]:
    names = ("numba", "onednn") if request.param == "all" else (request.param,)
    for name in names:
        if (reason := why_not(name)) is not None:
            pytest.skip(f"extra fast: {reason}")
    with use_kernels(*names):
        yield request.param


def image(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def agree(function: Callable[[Tensor], Tensor], x: np.ndarray, tolerance: float = 1e-5) -> None:
    """The function and its gradient by a plan, twice on other numbers, as by operations."""

    def objective(t: Tensor) -> Tensor:
        y = function(t)
        return (y * y * 0.5 + y).sum()

    planned, slope = compile(function), compile(grad(objective))
    for scale in (1.0, -0.7):
        given = x * np.float32(scale)
        for ours, theirs in (
            (planned(given), function(Tensor(given))),
            (slope(given), grad(objective)(given)),
        ):
            want = theirs.numpy()
            size = max(1.0, float(np.abs(want).max(initial=0.0)))
            np.testing.assert_allclose(ours.numpy(), want, rtol=tolerance, atol=tolerance * size)
            assert ours.dtype == theirs.dtype


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "clip": lambda x: T.clip(x, -0.4, None),
    "elu": lambda x: T.elu(x, 0.8),
    "gelu": T.gelu,
    "gelu_tanh": T.gelu_tanh,
    "hardsigmoid": T.hardsigmoid,
    "hardswish": T.hardswish,
    "hardtanh": lambda x: T.hardtanh(x, -0.9, 0.6),
    "leaky_relu": lambda x: T.leaky_relu(x, 0.2),
    "mish": T.mish,
    "relu6": T.relu6,
    "sigmoid": T.sigmoid,
    "silu": T.silu,
    "softplus": T.softplus,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_between_convolutions(name: str, family: str) -> None:
    act = ACTIVATIONS[name]
    agree(lambda x: T.conv2d(act(T.conv2d(x, W3, padding=1)), W1), image(2, 3, 6, 5), 1e-4)


@pytest.mark.parametrize("name", ["gelu", "hardswish", "silu"])
def test_activations_of_turned_and_of_large_arrays(name: str, family: str) -> None:
    act = ACTIVATIONS[name]
    agree(lambda x: act(T.transpose(x, (1, 2, 0))), image(4, 3, 5))
    agree(act, image(3, BLOCK // 2 + 7))
    agree(lambda x: act(x) + x, image(2, 3))  # the input is read again


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "clip"])
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_special_numbers(name: str, family: str) -> None:
    x = np.float32([[np.nan, np.inf, -np.inf, 0.0], [1e-30, -1e-30, 50.0, -50.0]])
    act = compile(ACTIVATIONS[name])
    act(np.zeros_like(x))
    got, want = act(x).numpy(), ACTIVATIONS[name](Tensor(x)).numpy()
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_padding_in_both_orders(family: str) -> None:
    around = ((0, 0), (0, 0), (1, 0), (2, 3))
    agree(lambda x: T.pad(x, around, -1.5), image(2, 3, 4, 5))
    agree(lambda x: T.conv2d(T.pad(T.conv2d(x, W3), around, 0.5), W1), image(2, 3, 6, 5), 1e-4)
    agree(lambda x: T.pad(x, ((1, 2), (0, 1)), 2.0), image(3, 2))


def test_overlapping_maxima_over_one_sided_padding(family: str) -> None:
    def pooled(x: Tensor) -> Tensor:
        y = T.relu(T.conv2d(x, W3, padding=1))
        y = T.pad(y, ((0, 0), (0, 0), (0, 1), (0, 1)), float("-inf"))
        return T.conv2d(T.max_pool2d(y, 3, 2), W1)

    agree(pooled, image(2, 3, 8, 8), 1e-4)


def test_joining(family: str) -> None:
    agree(lambda x: T.concat([T.conv2d(x, W3), T.relu(T.conv2d(x, W3))], axis=1), image(2, 3, 5, 5), 1e-4)
    agree(lambda x: T.concat([x, x * 2.0, x[:, :1]], axis=-2), image(2, 3, 4))
    agree(lambda x: T.concat([T.conv2d(x, W3, padding=1), x], axis=1), image(2, 3, 5, 5), 1e-4)


def test_casts(family: str) -> None:
    agree(lambda x: (x > 0.1).astype("float32") * x, image(3, 4))
    numbers = compile(lambda x: (x * 3.0).astype("int64").astype("float32"))
    x = image(4, 5)
    for scale in (1.0, 2.0):
        given = x * np.float32(scale)
        np.testing.assert_array_equal(numbers(given).numpy(), np.trunc(given * np.float32(3)))


def test_linear_layers_over_more_axes(family: str) -> None:
    agree(lambda x: OPS["linear"](x, DENSE), image(2, 5, 6), 1e-4)
    agree(lambda x: T.relu(OPS["linear"](T.transpose(x, (1, 2, 0)), DENSE)), image(6, 2, 5), 1e-4)
    agree(lambda x: x @ T.transpose(x, (0, 2, 1)), image(3, 4, 5), 1e-4)


@pytest.mark.parametrize("options", [{}, {"stride": (2, 1)}, {"padding": (2, 0)}, {"dilation": (2, 1)}])
def test_images_of_one_column(options: dict[str, Any], family: str) -> None:
    agree(lambda x: T.relu(T.conv2d(x, TALL, BIAS, **options)), image(3, 3, 12, 1), 1e-4)
    x = Tensor(image(3, 3, 12, 1))
    agree(lambda w: T.conv2d(x, w, BIAS, **options), image(*TALL.shape), 1e-4)


@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), [
    ((8, 12), 7, 2, 3), ((6, 6), 3, 2, 1), ((9, 6), 3, 3, 0), ((8, 8), 5, (2, 4), 2), ((4, 6), 1, 2, 0),
])  # fmt: skip
def test_first_layers_with_a_stride(size: Any, kernel: int, stride: Any, padding: int, family: str) -> None:
    for channels in (1, 2, 3):
        w = Tensor(image(5, channels, kernel, kernel))
        agree(lambda x, w=w: T.conv2d(x, w, stride=stride, padding=padding), image(2, channels, *size), 1e-4)


def test_parts_and_their_gradients(family: str) -> None:
    x = image(2, 3, 6, 5)
    agree(lambda t: T.conv2d(t, W3, padding=1)[:, 1:4, 2:] * 2.0, x, 1e-4)
    for index in (1, (slice(None), -1), (slice(1, None, 2), 0), (0, slice(None), slice(4, 1)), (1, 2, 3, 4)):
        agree(lambda t, index=index: t[index] * 3.0, x)  # type: ignore[misc]
    agree(lambda t: t[..., 1:3] + t[:, :, :2, None, 0][..., :2] * 0.5, image(2, 3, 2, 5)[:, :, :2])
    agree(lambda t: T.stack([t, t * 2.0, T.relu(t)], axis=-2), image(2, 3))


def test_powers(family: str) -> None:
    agree(lambda t: t**2 + (t + 5.0) ** -1.0 + (t + 5.0) ** 0.5 + T.reciprocal(t + 6.0), image(3, 4))
