"""Pooling, as layers and as rows: with uneven windows at the end, adaptive, and over the whole image."""

from __future__ import annotations

import functools
import math

import numpy as np

from armour.errors import UnsupportedError
from armour.formats.onnx.export_expand import expand
from armour.formats.onnx.export_rules import layer, row
from armour.formats.onnx.export_values import Step
from armour.formats.onnx.export_writer import Writer
from armour.tensor.pooling import _axes, _Axis
from armour.tensor.poolnd import _bins


def _lengths(step: Step) -> tuple[int, ...]:
    """Lengths of the axes of positions, which must not depend on the batch."""
    found = step.x.shape[2:]
    if None in found:
        raise UnsupportedError("pooling of an image whose sides depend on the batch")
    return tuple(n for n in found if n is not None)


def _windows(step: Step) -> list[_Axis]:
    own = step.layer
    settings = (tuple(own.kernel_size), tuple(own.stride), tuple(getattr(own, "padding", ())))
    around = settings[2] or (0,) * len(settings[0])
    return _axes(_lengths(step), settings[0], settings[1], around, bool(own.ceil_mode))


def _ends(windows: list[_Axis]) -> list[int]:
    # Never more than the padding unless a last window ends outside.
    return [a.padding for a in windows] + [max(a.padding, a.after) for a in windows]


@layer("MaxPool1d", "MaxPool2d", "MaxPool3d")
def _max_pool(w: Writer, step: Step) -> str:
    windows = _windows(step)
    # With ceil_mode a runtime may count a last window that sees padding alone; then the padding says all.
    natural = step.layer.ceil_mode and all(
        a.out == -(-(a.size + 2 * a.padding - a.kernel) // a.stride) + 1 for a in windows
    )
    return w.add(
        "MaxPool",
        [w.as_(step.x, step.out.dtype)],
        kernel_shape=[a.kernel for a in windows],
        strides=[a.stride for a in windows],
        pads=[a.padding for a in windows] * 2 if natural or not step.layer.ceil_mode else _ends(windows),
        ceil_mode=1 if natural else None,
    )


@layer("AvgPool1d", "AvgPool2d", "AvgPool3d")
def _avg_pool(w: Writer, step: Step) -> str:
    windows, counted = _windows(step), bool(step.layer.count_include_pad)
    found = w.add(
        "AveragePool",
        [w.as_(step.x, step.out.dtype)],
        kernel_shape=[a.kernel for a in windows],
        strides=[a.stride for a in windows],
        pads=_ends(windows),
        count_include_pad=int(counted),
    )
    # What is beyond the padding never counts, though it is padding here.
    beyond = any(a.after > a.padding for a in windows)
    if not counted or not beyond:
        return found
    shares = functools.reduce(np.multiply.outer, [a.shares(True) for a in windows])
    return w.add("Mul", [found, w.const(shares.astype(step.out.dtype))])


@row("max_pool2d", "avg_pool2d")
def _pool_row(w: Writer, step: Step) -> str:
    return w.add(
        "MaxPool" if step.node.type == "max_pool2d" else "AveragePool",
        [step.x.name],
        kernel_shape=list(step.attrs["kernel"]),
        strides=list(step.attrs["stride"]),
    )


@layer("LPPool1d", "LPPool2d")
def _lp_pool(w: Writer, step: Step) -> str:
    own = step.layer
    # ONNX takes absolute values and whole powers.
    if own.ceil_mode or own.norm_type % 2:
        return expand(w, step)
    return w.add(
        "LpPool",
        [step.x.name],
        kernel_shape=list(own.kernel_size),
        strides=list(own.stride),
        p=int(own.norm_type),
    )


# -- the whole image ----------------


@layer(*(f"Global{kind}Pool{axes}d" for kind in ("Avg", "Max") for axes in (1, 2, 3)))
def _global(w: Writer, step: Step) -> str:
    kind = "GlobalAveragePool" if "Avg" in step.node.type else "GlobalMaxPool"
    return w.add("Flatten", [w.add(kind, [w.as_(step.x, step.out.dtype)])], axis=1)


# -- adaptive ----------------


@layer("AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "AdaptiveAvgPool3d")
def _adaptive_avg(w: Writer, step: Step) -> str:
    lengths, out = _lengths(step), _outputs(step)
    x = w.as_(step.x, step.out.dtype)
    if math.prod(out) == 1:
        return w.add("GlobalAveragePool", [x])
    if all(n % o == 0 for n, o in zip(lengths, out, strict=True)):
        kernel = [n // o for n, o in zip(lengths, out, strict=True)]
        return w.add("AveragePool", [x], kernel_shape=kernel, strides=kernel)
    for i, (n, o) in enumerate(zip(lengths, out, strict=True)):
        if n != o:
            matrix = np.zeros((o, n))
            for line, (first, end) in zip(matrix, _bins(n, o), strict=True):
                line[first:end] = 1.0 / (end - first)
            x = w.along(x, 2 + i, step.x.ndim, matrix.astype(step.out.dtype))
    return x


@layer("AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d")
def _adaptive_max(w: Writer, step: Step) -> str:
    lengths, out, x = _lengths(step), _outputs(step), step.x.name
    if math.prod(out) == 1:
        return w.add("GlobalMaxPool", [x])
    kernel = [1] * len(out)
    for i, (n, o) in enumerate(zip(lengths, out, strict=True)):
        if n % o == 0:
            kernel[i] = n // o
            continue
        # Windows of one length, one after another: a shorter one repeats its last element.
        bins = _bins(n, o)
        kernel[i] = max(end - first for first, end in bins)
        places = [min(first + k, end - 1) for first, end in bins for k in range(kernel[i])]
        x = w.add("Gather", [x, w.ints(places)], axis=2 + i)
    return w.add("MaxPool", [x], kernel_shape=kernel, strides=kernel)


def _outputs(step: Step) -> list[int]:
    return [size.plus for size in step.out.sizes[2:]]
