"""Resizing, sampling at positions and moving pixels are PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from armour import tensor
from tests.parity.torch_layers import same_function

RNG = np.random.default_rng(0)
MODES = {
    1: ("nearest", "nearest-exact", "linear", "area"),
    3: ("nearest", "nearest-exact", "trilinear", "area"),
}
MODES[2] = ("nearest", "nearest-exact", "bilinear", "bicubic", "area")


@st.composite
def resizings(draw: Any) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Lengths and settings that PyTorch accepts."""
    axes = draw(st.sampled_from([1, 2, 2, 3]))
    lengths = tuple(draw(st.integers(1, 7)) for _ in range(axes))
    mode = draw(st.sampled_from(MODES[axes]))
    chosen: dict[str, Any] = {"mode": mode}
    if draw(st.booleans()):
        chosen["size"] = tuple(draw(st.integers(1, 11)) for _ in range(axes))
    else:
        chosen["scale_factor"] = tuple(draw(st.sampled_from([1.0, 1.3, 2.0, 3.0, 2.7])) for _ in range(axes))
    if mode in ("linear", "bilinear", "trilinear", "bicubic"):
        chosen["align_corners"] = draw(st.booleans())
    return lengths, chosen


@settings(max_examples=300, deadline=None)
@given(resizings())
def test_interpolate(resizing: Any) -> None:
    lengths, chosen = resizing
    if chosen["mode"] == "nearest" and "scale_factor" in chosen:
        # Where a length stays or doubles by another factor, PyTorch's answer depends on the memory format.
        for n, s in zip(lengths, chosen["scale_factor"], strict=True):
            assume(int(n * s) == n * s or int(n * s) not in (n, 2 * n))
    x = RNG.standard_normal((2, 3, *lengths))
    same_function(
        f"interpolate {chosen['mode']}",
        lambda t: tensor.interpolate(t, **chosen),
        lambda t: F.interpolate(t, **chosen),
        [x],
    )


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.75])
@pytest.mark.parametrize("mode", MODES[2])
def test_shrinking(mode: str, factor: float) -> None:
    x = RNG.standard_normal((2, 3, 9, 8))
    same_function(
        f"interpolate {mode}, smaller",
        lambda t: tensor.interpolate(t, scale_factor=factor, mode=mode),
        lambda t: F.interpolate(t, scale_factor=factor, mode=mode),
        [x],
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_grid_sample(mode: str, padding_mode: str, align_corners: bool) -> None:
    chosen: dict[str, Any] = {"mode": mode, "padding_mode": padding_mode, "align_corners": align_corners}
    for shape in ((2, 3, 5, 6), (1, 1, 1, 4), (2, 1, 4, 1)):
        x, grid = RNG.standard_normal(shape), RNG.uniform(-2.6, 2.6, (shape[0], 4, 7, 2))
        if mode == "nearest":  # PyTorch's gradient for the grid is an array of zeros, ours is none
            same_function(
                f"grid_sample {mode} {padding_mode}",
                lambda t, grid=grid: tensor.grid_sample(t, grid, **chosen),
                lambda t, grid=grid: F.grid_sample(t, torch.from_numpy(grid), **chosen),
                [x],
            )
            continue
        same_function(
            f"grid_sample {mode} {padding_mode}",
            lambda t, g: tensor.grid_sample(t, g, **chosen),
            lambda t, g: F.grid_sample(t, g, **chosen),
            [x, grid],
        )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(2, 3, 5, 4), (2, 1, 2, 6)])
def test_affine_grid(size: tuple[int, ...], align_corners: bool) -> None:
    theta = RNG.standard_normal((2, 2, 3))
    same_function(
        "affine_grid",
        lambda t: tensor.affine_grid(t, size, align_corners),
        lambda t: F.affine_grid(t, list(size), align_corners),
        [theta],
    )


MOVES: dict[str, tuple[Any, Any, tuple[int, ...]]] = {
    "pixel_shuffle": (lambda t: tensor.pixel_shuffle(t, 3), lambda t: F.pixel_shuffle(t, 3), (2, 18, 3, 4)),
    "pixel_unshuffle": (
        lambda t: tensor.pixel_unshuffle(t, 2),
        lambda t: F.pixel_unshuffle(t, 2),
        (2, 3, 6, 4),
    ),
    "unfold": (
        lambda t: tensor.im2col(t, (3, 2), (1, 2), (1, 2), (2, 1)),
        lambda t: F.unfold(t, (3, 2), (1, 2), (1, 2), (2, 1)),
        (2, 3, 6, 5),
    ),
    "fold": (
        lambda t: tensor.col2im(t, (6, 5), (3, 2), (1, 2), (1, 2), (2, 1)),
        lambda t: F.fold(t, (6, 5), (3, 2), (1, 2), (1, 2), (2, 1)),
        (2, 18, 21),
    ),
    "reflection": (
        lambda t: tensor.pad_edges(t, ((0, 0), (0, 0), (2, 3), (1, 0))),
        lambda t: F.pad(t, (1, 0, 2, 3), "reflect"),
        (2, 3, 4, 5),
    ),
    "replication": (
        lambda t: tensor.pad_edges(t, ((0, 0), (0, 0), (2, 9), (1, 0)), "edge"),
        lambda t: F.pad(t, (1, 0, 2, 9), "replicate"),
        (2, 3, 4, 5),
    ),
    "circular": (
        lambda t: tensor.pad_edges(t, ((0, 0), (0, 0), (2, 4), (1, 0)), "wrap"),
        lambda t: F.pad(t, (1, 0, 2, 4), "circular"),
        (2, 3, 4, 5),
    ),
}


@pytest.mark.parametrize("name", MOVES)
def test_moving_pixels(name: str) -> None:
    fn, peer, shape = MOVES[name]
    same_function(name, fn, peer, [RNG.standard_normal(shape)])
