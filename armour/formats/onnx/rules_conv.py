"""Convolutions, transposed ones too, in one to three axes of positions."""

from __future__ import annotations

from typing import Any

import numpy as np

import armour.tensor as T
from armour.errors import CheckpointError
from armour.tensor.core import Tensor

from .halves import in_single
from .rules import Call, rule
from .rules_shape import padded

Pairs = tuple[tuple[int, int], ...]
_CONV: dict[int, Any] = {1: T.conv1d, 2: T.conv2d, 3: T.conv3d}
_TRANSPOSED: dict[int, Any] = {1: T.conv_transpose1d, 2: T.conv_transpose2d, 3: T.conv_transpose3d}


def several(c: Call, name: str, count: int, default: int = 1) -> tuple[int, ...]:
    """An attribute with one whole number for each axis of positions."""
    values = tuple(int(v) for v in c.attr(name, None) or (default,) * count)
    if len(values) != count:
        raise CheckpointError(f"node {c.node.shown} has {name} {values} for {count} axes; get the file again")
    return values


def margins(
    c: Call,
    sizes: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> Pairs:
    """(before, after) elements around each axis: `pads`, or what auto_pad comes to."""
    auto = c.attr("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pairs = []
        for n, k, s, d in zip(sizes, window, strides, dilations, strict=True):
            total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
            small, large = total // 2, total - total // 2
            pairs.append((small, large) if auto == "SAME_UPPER" else (large, small))
        return tuple(pairs)
    if auto == "VALID":
        return ((0, 0),) * len(sizes)
    flat = several(c, "pads", 2 * len(sizes), 0)
    return tuple(zip(flat[: len(sizes)], flat[len(sizes) :], strict=True))


@rule("Conv")
@in_single
def conv(c: Call) -> Tensor:
    """A layer if weights and bias are known."""
    x, w = c.x(0), c.inputs[1]
    axes = x.ndim - 2
    if axes not in _CONV or len(c.shape(1)) != axes + 2:
        raise c.unsupported(f"a convolution of {x.shape} with {c.shape(1)}")
    kernel = c.shape(1)[2:]
    strides, dilations = several(c, "strides", axes), several(c, "dilations", axes)
    around = margins(c, x.shape[2:], kernel, strides, dilations)
    groups = int(c.attr("group", 1))
    if any(a < 0 or b < 0 for a, b in around):
        x = padded(c, x, [(0, 0), (0, 0), *((min(a, 0), min(b, 0)) for a, b in around)], "constant", 0.0)
        around = tuple((max(a, 0), max(b, 0)) for a, b in around)
    if not _usual(c, w):
        bias = c.x(2) if c.has(2) else None
        return _CONV[axes](x, c.x(1), bias, strides, around, dilations, groups)  # type: ignore[no-any-return]
    config = {
        "in_channels": c.shape(1)[1] * groups,
        "out_channels": c.shape(1)[0],
        "kernel_size": kernel,
        "stride": strides,
        "padding": tuple(a for a, _ in around) if all(a == b for a, b in around) else around,
        "dilation": dilations,
        "groups": groups,
        "bias": c.has(2),
    }
    weights = {"weight": c.known(1), "bias": c.known(2) if c.has(2) else None}
    return c.layer(f"Conv{axes}d", config, weights)(x)  # type: ignore[no-any-return]


def _usual(c: Call, w: Any) -> bool:
    return isinstance(w, np.ndarray) and w.dtype.kind == "f" and (not c.has(2) or c.fixed(2))


@rule("ConvTranspose")
@in_single
def conv_transpose(c: Call) -> Tensor:
    """Computed without padding, then cut: the padding of ONNX may differ on both sides."""
    x = c.x(0)
    axes = x.ndim - 2
    if axes not in _TRANSPOSED or len(c.shape(1)) != axes + 2:
        raise c.unsupported(f"a transposed convolution of {x.shape} with {c.shape(1)}")
    kernel, groups = c.shape(1)[2:], int(c.attr("group", 1))
    strides, dilations = several(c, "strides", axes), several(c, "dilations", axes)
    more = several(c, "output_padding", axes, 0)
    full = [
        (n - 1) * s + d * (k - 1) + 1
        for n, s, d, k in zip(x.shape[2:], strides, dilations, kernel, strict=True)
    ]
    around, more = _cuts(c, full, x.shape[2:], strides, more)
    usual = _usual(c, c.inputs[1]) and all(a == b for a, b in around) and all(
        m < max(s, d) for m, s, d in zip(more, strides, dilations, strict=True)
    )  # fmt: skip
    if usual:
        config = {
            "in_channels": c.shape(1)[0],
            "out_channels": c.shape(1)[1] * groups,
            "kernel_size": kernel,
            "stride": strides,
            "padding": tuple(a for a, _ in around),
            "output_padding": more,
            "groups": groups,
            "bias": c.has(2),
            "dilation": dilations,
        }
        weights = {"weight": c.known(1), "bias": c.known(2) if c.has(2) else None}
        return c.layer(f"ConvTranspose{axes}d", config, weights)(x)  # type: ignore[no-any-return]
    out = _TRANSPOSED[axes](x, c.x(1), None, strides, 0, 0, groups, dilations)
    pairs = [(-a, m - b) for (a, b), m in zip(around, more, strict=True)]
    out = padded(c, out, [(0, 0), (0, 0), *pairs], "constant", 0.0)
    if c.has(2):
        out = out + T.reshape(c.x(2), (-1, *(1,) * axes))
    return out


def _cuts(
    c: Call, full: list[int], sizes: tuple[int, ...], strides: tuple[int, ...], more: tuple[int, ...]
) -> tuple[list[tuple[int, int]], tuple[int, ...]]:
    """(before, after) elements to take off each axis, and elements to put on after."""
    auto, wanted = c.attr("auto_pad", "NOTSET"), c.attr("output_shape", None)
    count = len(full)
    if auto in ("SAME_UPPER", "SAME_LOWER") and not wanted:
        wanted = tuple(n * s for n, s in zip(sizes, strides, strict=True))
    if not wanted:
        flat = (0,) * (2 * count) if auto == "VALID" else several(c, "pads", 2 * count, 0)
        return list(zip(flat[:count], flat[count:], strict=True)), more
    pairs, put = [], []
    for n, o, m in zip(full, wanted[-count:], more, strict=True):
        total = n + m - int(o)
        if total < 0:
            pairs.append((0, 0))
            put.append(m - total)
            continue
        small, large = total // 2, total - total // 2
        pairs.append((small, large) if auto == "SAME_UPPER" else (large, small))
        put.append(m)
    return pairs, tuple(put)


def convolved(c: Call, x: Tensor, w: Tensor) -> Tensor:
    """The convolution that the attributes describe, without a bias."""
    axes = x.ndim - 2
    if axes not in _CONV or w.ndim != x.ndim:
        raise c.unsupported(f"a convolution of {x.shape} with {w.shape}")
    strides, dilations = several(c, "strides", axes), several(c, "dilations", axes)
    around = margins(c, x.shape[2:], w.shape[2:], strides, dilations)
    return _CONV[axes](x, w, None, strides, around, dilations, int(c.attr("group", 1)))  # type: ignore[no-any-return]
