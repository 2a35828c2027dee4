"""Convolutions along one, two and three axes, transposed too, are PyTorch's for odd settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import tensor
from armour.tensor import nn
from tests.parity.torch_layers import same_function, same_layer

CONVS = {1: (tensor.conv1d, F.conv1d), 2: (tensor.conv2d, F.conv2d), 3: (tensor.conv3d, F.conv3d)}
TRANSPOSED = {
    1: (tensor.conv_transpose1d, F.conv_transpose1d),
    2: (tensor.conv_transpose2d, F.conv_transpose2d),
    3: (tensor.conv_transpose3d, F.conv_transpose3d),
}


@st.composite
def problems(draw: Any) -> tuple[int, dict[str, Any]]:
    """Number of axes and sizes, with at least one output element; half of them depthwise or grouped."""
    axes = draw(st.sampled_from([1, 2, 2, 3]))
    high = 4 if axes < 3 else 3

    def several(low: int, top: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, top)) for _ in range(axes))

    kernel, stride, padding, dilation = several(1, high), several(1, 3), several(0, 2), several(1, 3)
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, high))
        for d, k, p in zip(dilation, kernel, padding, strict=True)
    )
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    each, out = (1, 1) if draw(st.booleans()) else (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    more = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    return axes, {
        "n": draw(st.integers(1, 2)), "c": groups * each, "o": groups * out, "groups": groups, "kernel":
        kernel, "stride": stride, "padding": padding, "dilation": dilation, "size": size, "more": more,
        "bias": draw(st.booleans()),
    }  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(problems())
def test_convolutions(problem: Any) -> None:
    axes, p = problem
    fn, peer = CONVS[axes]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((p["n"], p["c"], *p["size"]))]
    arrays.append(rng.standard_normal((p["o"], p["c"] // p["groups"], *p["kernel"])))
    arrays += [rng.standard_normal(p["o"])] if p["bias"] else []
    attrs = {key: p[key] for key in ("stride", "padding", "dilation", "groups")}
    same_function(
        f"conv{axes}d",
        lambda x, w, b=None: fn(x, w, b, **attrs),
        lambda x, w, b=None: peer(x, w, b, **attrs),
        arrays,
    )


@settings(max_examples=150, deadline=None)
@given(problems())
def test_transposed_convolutions(problem: Any) -> None:
    axes, p = problem
    fn, peer = TRANSPOSED[axes]
    rng = np.random.default_rng(0)
    settings = ("stride", "padding", "dilation", "more", "kernel", "size")
    sized = zip(*(p[key] for key in settings), strict=True)
    if min((n - 1) * s - 2 * m + d * (k - 1) + o + 1 for s, m, d, o, k, n in sized) < 1:
        return
    arrays = [rng.standard_normal((p["n"], p["c"], *p["size"]))]
    arrays.append(rng.standard_normal((p["c"], p["o"] // p["groups"], *p["kernel"])))
    arrays += [rng.standard_normal(p["o"])] if p["bias"] else []
    attrs = {key: p[key] for key in ("stride", "padding", "dilation", "groups")} | {
        "output_padding": p["more"]
    }
    same_function(
        f"conv_transpose{axes}d",
        lambda x, w, b=None: fn(x, w, b, **attrs),
        lambda x, w, b=None: peer(x, w, b, **attrs),
        arrays,
    )


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (2, 1), (3, 2), (4, 1), (5, 1), (2, 3)])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_padding_by_name(axes: int, kernel: int, dilation: int, padding: str) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 2, *(7, 8, 6)[:axes])), rng.standard_normal((3, 2, *(kernel,) * axes))]
    fn, peer = CONVS[axes]
    same_function(
        f"conv{axes}d padding={padding}",
        lambda x, w: fn(x, w, None, 1, padding, dilation),
        lambda x, w: peer(x, w, None, 1, padding, dilation),
        arrays,
    )


def test_padding_on_each_side() -> None:
    # ONNX's pads (top, left, bottom, right) = (1, 0, 0, 2), which PyTorch has as an operation of its own.
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 2)), rng.standard_normal(4)]
    same_function(
        "conv2d asymmetric",
        lambda x, w, b: tensor.conv2d(x, w, b, 2, ((1, 0), (0, 2))),
        lambda x, w, b: F.conv2d(F.pad(x, (0, 2, 1, 0)), w, b, 2),
        arrays,
    )


LAYERS: dict[str, tuple[nn.Module, torch.nn.Module, tuple[int, ...]]] = {
    "Conv1d": (nn.Conv1d(4, 6, 3, 2, 1, 2, 2), torch.nn.Conv1d(4, 6, 3, 2, 1, 2, 2), (3, 4, 9)),
    "Conv1d same": (
        nn.Conv1d(4, 6, 4, padding="same", bias=False),
        torch.nn.Conv1d(4, 6, 4, padding="same", bias=False),
        (3, 4, 9),
    ),
    "Conv2d same": (
        nn.Conv2d(2, 3, 4, padding="same"),
        torch.nn.Conv2d(2, 3, 4, padding="same"),
        (2, 2, 6, 5),
    ),
    "Conv2d depthwise": (
        nn.Conv2d(6, 6, 3, 2, 1, groups=6),
        torch.nn.Conv2d(6, 6, 3, 2, 1, groups=6),
        (3, 6, 9, 8),
    ),
    "Conv3d": (
        nn.Conv3d(2, 4, (2, 3, 1), (1, 2, 1), (1, 0, 2), (2, 1, 1), 2),
        torch.nn.Conv3d(2, 4, (2, 3, 1), (1, 2, 1), (1, 0, 2), (2, 1, 1), 2),
        (2, 2, 4, 5, 6),
    ),
    "ConvTranspose1d": (
        nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2),
        torch.nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2),
        (3, 4, 9),
    ),
    "ConvTranspose2d": (
        nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (1, 2)),
        torch.nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, True, (1, 2)),
        (2, 4, 5, 6),
    ),
    "ConvTranspose3d": (
        nn.ConvTranspose3d(2, 4, (2, 3, 1), (1, 2, 1), (1, 0, 0), (0, 1, 0), 2, False, (2, 1, 1)),
        torch.nn.ConvTranspose3d(2, 4, (2, 3, 1), (1, 2, 1), (1, 0, 0), (0, 1, 0), 2, False, (2, 1, 1)),
        (2, 2, 4, 5, 6),
    ),
}


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    ours, theirs, shape = LAYERS[name]
    same_layer(name, ours, theirs, np.random.default_rng(1).standard_normal(shape))
