"""Convolutions along one and three axes against sums written out; transposes by inner products; im2col."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.signal

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor
from armour.tensor.gradcheck import check_grads
from tests.tensor import references

RNG = np.random.default_rng(0)


def test_conv1d_is_correlation() -> None:
    x, w = RNG.standard_normal(20), RNG.standard_normal(4)
    out = tensor.conv1d(x.reshape(1, 1, 20), w.reshape(1, 1, 4)).numpy()
    np.testing.assert_allclose(out[0, 0], np.correlate(x, w, "valid"), rtol=1e-12)
    out = tensor.conv1d(x.reshape(1, 1, 20), w.reshape(1, 1, 4), padding="same").numpy()
    np.testing.assert_allclose(out[0, 0], np.correlate(np.pad(x, (1, 2)), w, "valid"), rtol=1e-12)


def test_conv3d_is_correlation() -> None:
    x, w, b = (
        RNG.standard_normal((2, 3, 5, 6, 7)),
        RNG.standard_normal((4, 3, 2, 3, 2)),
        RNG.standard_normal(4),
    )
    out = tensor.conv3d(x, w, b, stride=(1, 2, 3), padding=(1, 0, 2)).numpy()
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0), (2, 2)))
    for n, o in np.ndindex(2, 4):
        whole = sum(scipy.signal.correlate(padded[n, c], w[o, c], "valid") for c in range(3))
        np.testing.assert_allclose(out[n, o], whole[:, ::2, ::3] + b[o], rtol=1e-10)


CASES: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any], tuple[int, ...]]] = [
    ("1d", (2, 4, 6), (4, 3, 3), {"stride": 2, "padding": 1, "groups": 2}, (1,)),
    ("1d", (2, 4, 6), (4, 3, 3), {"stride": 1, "padding": 2, "dilation": 3}, (2,)),
    ("2d", (2, 4, 3, 5), (4, 1, 3, 2), {"stride": (2, 3), "padding": (1, 0), "groups": 4}, (1, 2)),
    ("2d", (2, 3, 4, 4), (3, 2, 2, 3), {"dilation": (3, 2), "padding": (1, 2)}, (2, 1)),
    ("3d", (2, 2, 3, 4, 3), (2, 2, 2, 3, 1), {"stride": (2, 1, 2), "padding": (1, 1, 0)}, (1, 0, 1)),
    ("3d", (1, 4, 2, 3, 3), (4, 1, 3, 2, 2), {"dilation": (2, 1, 3), "groups": 2}, (1, 0, 2)),
]


@pytest.mark.parametrize(("axes", "shape", "kernel", "attrs", "more"), CASES)
def test_transposed_convolution_is_the_transpose(
    axes: str, shape: Any, kernel: Any, attrs: Any, more: Any
) -> None:
    forward = getattr(tensor, f"conv{axes}")
    backward = getattr(tensor, f"conv_transpose{axes}")
    x, w = RNG.standard_normal(shape), RNG.standard_normal(kernel)
    y = backward(x, w, output_padding=more, **attrs).numpy()
    z = RNG.standard_normal(y.shape)
    # As a convolution w brings z to x's size, and to a little more where output_padding is a whole stride.
    back = forward(z, w, **attrs).numpy()[tuple(slice(0, n) for n in shape)]
    assert back.shape == shape
    np.testing.assert_allclose((y * z).sum(), (x * back).sum(), rtol=1e-10)
    bias = RNG.standard_normal(y.shape[1])
    with_bias = backward(x, w, bias, output_padding=more, **attrs).numpy()
    np.testing.assert_allclose(with_bias, y + bias.reshape(-1, *[1] * (y.ndim - 2)), rtol=1e-10, atol=1e-12)
    check_grads(lambda a, b: backward(a, b, output_padding=more, **attrs), x, w, order=2, rng=RNG)


def test_empty_batches() -> None:
    assert tensor.conv1d(np.zeros((0, 2, 5)), np.zeros((3, 2, 2))).shape == (0, 3, 4)
    assert tensor.conv3d(np.zeros((0, 2, 5, 5, 5)), np.zeros((3, 2, 2, 2, 2))).shape == (0, 3, 4, 4, 4)
    assert tensor.conv_transpose3d(np.zeros((0, 2, 5, 5, 5)), np.zeros((2, 3, 2, 2, 2))).shape == (
        0, 3, 6, 6, 6,
    )  # fmt: skip


def test_im2col_times_weights_is_convolution_and_col2im_its_transpose() -> None:
    attrs: dict[str, Any] = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)}
    x, w = RNG.standard_normal((2, 3, 6, 5)), RNG.standard_normal((4, 3, 3, 2))
    columns = tensor.im2col(x, (3, 2), **attrs)
    want = references.conv2d(x, w, groups=1, **attrs)
    np.testing.assert_allclose(
        (w.reshape(4, -1) @ columns.numpy()).reshape(want.shape), want, rtol=1e-10, atol=1e-12
    )
    g = RNG.standard_normal(columns.shape)
    back = tensor.col2im(g, (6, 5), (3, 2), **attrs).numpy()
    np.testing.assert_allclose((back * x).sum(), (g * columns.numpy()).sum(), rtol=1e-10)
    check_grads(lambda t: tensor.im2col(t, (3, 2), **attrs) ** 2.0, x, order=2, rng=RNG)
    check_grads(lambda t: tensor.col2im(t, (6, 5), (3, 2), **attrs) ** 2.0, g, order=2, rng=RNG)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tensor.conv1d(np.ones((1, 1, 5, 5)), np.ones((1, 1, 3))), "conv1d expects input"),
        (lambda: tensor.conv1d(np.ones((1, 1, 2)), np.ones((1, 1, 3))), "larger than the padded input"),
        (lambda: tensor.conv1d(np.ones((1, 1, 5)), np.ones((1, 1, 3)), stride=2, padding="same"), "stride 1"),
        (lambda: tensor.conv2d(np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3)), padding="full"), "same"),
        (lambda: tensor.conv2d(np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3)), padding=((1, 2),)), "2 pairs"),
        (
            lambda: tensor.conv2d(np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3)), padding=((1, -2), 1)),
            "2 pairs",
        ),
        (
            lambda: tensor.conv3d(np.ones((1, 1, 5, 5, 5)), np.ones((1, 1, 1, 1, 1)), stride=(1, 2)),
            "one or 3",
        ),
        (lambda: tensor.conv3d(np.ones((1, 1, 2, 5, 5)), np.ones((1, 1, 3, 1, 1))), "does not fit"),
        (lambda: tensor.conv_transpose2d(np.ones((1, 2, 3, 3)), np.ones((3, 1, 2, 2))), r"weight \(2, o"),
        (
            lambda: tensor.conv_transpose1d(np.ones((1, 2, 3)), np.ones((2, 1, 2)), output_padding=1),
            "output_padding below the stride 1",
        ),
        (
            lambda: tensor.conv_transpose1d(np.ones((1, 2, 1)), np.ones((2, 1, 2)), padding=1),
            "takes all of the output",
        ),
        (lambda: tensor.col2im(np.ones((1, 9, 5)), 4, 3), r"expects columns \(n, c \* 9, 4\)"),
        (lambda: tensor.im2col(np.ones((1, 9, 5)), 3), "im2col expects x"),
        (lambda: tensor.sliding_windows(np.ones(4), 0, 5), "does not fit the 4 elements of axis 0"),
        (lambda: tensor.overlap_add(np.ones((4, 2)), 0, 4), "holds 4 windows of 2, got 4"),
    ],
)
def test_what_does_not_fit_is_said(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()


def test_windows_copy_nothing() -> None:
    x = Tensor(np.zeros((4, 1000)))
    assert np.shares_memory(tensor.sliding_windows(x, 1, 100).data, x.data)
