"""Resizing, sampling and padding by what is inside: identities, gradients to second order, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, grad
from armour.tensor.gradcheck import check_grads
from tests.tensor.strict import StrictArray, register

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4, 5))


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
def test_the_same_size_is_the_same_image(mode: str) -> None:
    np.testing.assert_array_equal(tensor.interpolate(X, (4, 5), mode=mode).numpy(), X)


def test_linear_functions_stay_linear() -> None:
    # With corners aligned, linear and cubic interpolation give values of a plane exactly, away from the
    # border.
    plane = (np.arange(6)[:, None] * 2.0 + np.arange(8) * 0.5)[None, None]
    want = (np.linspace(0, 5, 11)[:, None] * 2.0 + np.linspace(0, 7, 15) * 0.5)[None, None]
    for mode, inner in (("bilinear", slice(None)), ("bicubic", slice(2, -2))):
        out = tensor.interpolate(plane, (11, 15), mode=mode, align_corners=True).numpy()
        np.testing.assert_allclose(out[..., inner, inner], want[..., inner, inner], rtol=1e-12)


def test_repeating_and_shrinking() -> None:
    big = tensor.interpolate(X, scale_factor=3).numpy()
    np.testing.assert_array_equal(big, X.repeat(3, 2).repeat(3, 3))
    np.testing.assert_allclose(tensor.interpolate(big, (4, 5), mode="area").numpy(), X, rtol=1e-12)


def test_pixels_and_channels_change_places() -> None:
    x = RNG.standard_normal((2, 8, 3, 5))
    out = tensor.pixel_shuffle(x, 2).numpy()
    assert out[1, 1, 3, 4] == x[1, 4 + 2 * 1 + 0, 1, 2]
    np.testing.assert_array_equal(tensor.pixel_unshuffle(out, 2).numpy(), x)


def test_the_identity_map_and_shifts() -> None:
    theta = np.broadcast_to(np.eye(2, 3), (2, 2, 3))
    for align in (False, True):
        grid = tensor.affine_grid(theta, (2, 3, 4, 5), align)
        np.testing.assert_allclose(
            tensor.grid_sample(X, grid, align_corners=align).numpy(), X, rtol=1e-12, atol=1e-12
        )
    # One pixel to the left: what comes in from the right is 0, or the border.
    moved = tensor.affine_grid(theta + np.array([[0, 0, 2 / 5], [0, 0, 0]]), (2, 3, 4, 5))
    zeros = np.concatenate([X[..., 1:], np.zeros((2, 3, 4, 1))], axis=3)
    np.testing.assert_allclose(tensor.grid_sample(X, moved).numpy(), zeros, rtol=1e-12, atol=1e-12)
    border = np.concatenate([X[..., 1:], X[..., -1:]], axis=3)
    out = tensor.grid_sample(X, moved, padding_mode="border").numpy()
    np.testing.assert_allclose(out, border, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
def test_derivatives_for_images_and_positions(padding_mode: str) -> None:
    # Positions a quarter between pixels, so that central differences meet no bend.
    rows, columns = RNG.integers(-2, 6, (2, 2, 3)) + 0.25, RNG.integers(-2, 7, (2, 2, 3)) + 0.3
    grid = np.stack([(columns + 0.5) / 2.5 - 1, (rows + 0.5) / 2 - 1], axis=3)
    check_grads(lambda x, g: tensor.grid_sample(x, g, padding_mode=padding_mode), X, grid, order=2, rng=RNG)


def test_spatial_gradient_on_arrays_that_refuse_conversion() -> None:
    register()
    grid = RNG.uniform(-1.2, 1.2, (2, 3, 3, 2))
    found = []
    for make in (np.asarray, StrictArray):
        x, g = Tensor(make(X), requires_grad=True), Tensor(make(grid), requires_grad=True)
        y = tensor.interpolate(tensor.grid_sample(x, g), (5, 2), mode="bicubic")
        y.sum().backward()
        assert type(x.grad.data) is type(x.data)  # type: ignore[union-attr]
        found.append([t.numpy() for t in (y, x.grad, g.grad)])  # type: ignore[union-attr]
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_nan_positions_read_nothing() -> None:
    grid = np.full((2, 1, 1, 2), np.nan)
    assert (tensor.grid_sample(X, grid, mode="nearest").numpy() == 0).all()


@pytest.mark.parametrize("mode", ["reflect", "edge", "wrap"])
def test_padding_is_numpys(mode: Any) -> None:
    widths = ((0, 0), (1, 2), (3, 0), (2, 4))
    np.testing.assert_array_equal(tensor.pad_edges(X, widths, mode).numpy(), np.pad(X, widths, mode=mode))
    check_grads(lambda t: tensor.pad_edges(t, widths, mode) ** 2.0, X, order=2, rng=RNG)


def test_gradients_of_repetition_are_sums() -> None:
    g = grad(lambda t: tensor.interpolate(t, scale_factor=2).sum())(X)
    assert (g.numpy() == 4).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tensor.interpolate(X), "either size or scale_factor"),
        (lambda: tensor.interpolate(X, 3, 2.0), "either size or scale_factor"),
        (lambda: tensor.interpolate(X, 3, mode="linear"), "cannot resize"),
        (lambda: tensor.interpolate(X, 3, mode="cubic"), "mode"),
        (lambda: tensor.interpolate(X, (3, 2, 1)), "one or 2 numbers"),
        (lambda: tensor.interpolate(X, 0), "size"),
        (lambda: tensor.interpolate(X, scale_factor=0.1), "leaves nothing"),
        (lambda: tensor.interpolate(X, scale_factor=float("nan")), "above 0"),
        (lambda: tensor.interpolate(X, 3, align_corners=True), "align_corners"),
        (lambda: tensor.pixel_shuffle(X, 2), "divisible by 4"),
        (lambda: tensor.pixel_unshuffle(X, 2), "divisible by 2"),
        (lambda: tensor.grid_sample(X, np.zeros((1, 2, 2, 2))), "grid_sample expects"),
        (lambda: tensor.grid_sample(X, np.zeros((2, 2, 2, 2)), padding_mode="wrap"), "padding_mode"),
        (lambda: tensor.affine_grid(np.zeros((2, 2, 3)), (1, 1, 2, 2)), "affine_grid expects"),
        (lambda: tensor.pad_edges(X, ((0, 0), (0, 0), (4, 0), (0, 0))), "at most 3"),
        (lambda: tensor.pad_edges(X, ((1, 1),)), "widths for 4 axes"),
    ],
)
def test_what_does_not_fit_is_said(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()
