"""Layers that move and mix pixels: resizing, shuffling, windows as columns."""

from __future__ import annotations

import math

import numpy as np

from armour.errors import UnsupportedError
from armour.formats.onnx.export_expand import expand
from armour.formats.onnx.export_linear import transposed
from armour.formats.onnx.export_rules import layer
from armour.formats.onnx.export_values import Size, Step
from armour.formats.onnx.export_writer import Writer

_MODES = {"nearest": "nearest", "bilinear": "linear", "bicubic": "cubic"}


@layer("Upsample")
def _upsample(w: Writer, step: Step) -> str:
    own, x = step.layer, step.x
    # Runtimes resize one and three axes by lines only in part; there the matrices say the same.
    if own.mode not in _MODES or (own.mode == "nearest" and x.ndim != 4) or None in x.shape[2:]:
        return expand(w, step)
    settings: dict[str, object] = {"mode": _MODES[own.mode]}
    if own.mode == "nearest":
        settings |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    else:
        corners = "align_corners" if own.align_corners else "half_pixel"
        settings["coordinate_transformation_mode"] = corners
    if own.mode == "bicubic":
        settings["cubic_coeff_a"] = -0.75
    name = w.as_(x, step.out.dtype)
    if own.scale_factor is None:
        return w.add("Resize", [name, "", "", w.lengths(step.out.sizes)], **settings)
    given = own.scale_factor
    factors = given if isinstance(given, tuple) else (given,) * (x.ndim - 2)
    scales = np.asarray([1.0, 1.0, *factors], np.float32)
    lengths = [math.floor(n.plus * float(s)) for n, s in zip(x.sizes[2:], scales[2:], strict=True)]
    # Runtimes copy an image that keeps its size, whatever the factors.
    if lengths != [size.plus for size in step.out.sizes[2:]] or step.out.sizes == x.sizes:
        return expand(w, step)
    return w.add("Resize", [name, "", w.const(scales)], **settings)


@layer("PixelShuffle")
def _pixel_shuffle(w: Writer, step: Step) -> str:
    return w.add("DepthToSpace", [step.x.name], blocksize=step.layer.upscale_factor, mode="CRD")


@layer("PixelUnshuffle")
def _pixel_unshuffle(w: Writer, step: Step) -> str:
    # SpaceToDepth has the channels of the image last; here they come first.
    n, c, h, width = step.x.sizes
    if h.per or width.per:
        raise UnsupportedError("an image whose sides depend on the batch")
    r = step.layer.downscale_factor
    split = (n, c, Size(0, h.plus // r), Size(0, r), Size(0, width.plus // r), Size(0, r))
    parts = w.transpose(w.reshape(step.x.name, split, step.x.sizes), (0, 1, 3, 5, 2, 4))
    return w.reshape(parts, step.out.sizes, (n,))


@layer("Unfold")
def _unfold(w: Writer, step: Step) -> str:
    """Columns by their places in the padded image, flattened."""
    own, c = step.layer, step.x.sizes[1]
    sides = [size.plus + 2 * p for size, p in zip(step.x.sizes[2:], own.padding, strict=True)]
    if any(size.per for size in step.x.sizes[1:]):
        raise UnsupportedError("an image whose sides depend on the batch")
    x = w.pad(step.x.name, ((0, 0), (0, 0), *((p, p) for p in own.padding)))
    places = []
    for side, k, s, d in zip(sides, own.kernel_size, own.stride, own.dilation, strict=True):
        steps = (side - d * (k - 1) - 1) // s + 1
        places.append(np.arange(k)[:, None] * d + np.arange(steps) * s)  # (k, steps)
    rows, columns = places
    index = rows[:, None, :, None] * sides[1] + columns[None, :, None, :]
    flat = (step.x.sizes[0], c, Size(0, sides[0] * sides[1]))
    index = index.reshape(math.prod(own.kernel_size), -1)
    found = w.add("Gather", [w.reshape(x, flat, step.x.sizes), w.const(index)], axis=2)
    return w.reshape(found, step.out.sizes, flat)


@layer("Fold")
def _fold(w: Writer, step: Step) -> str:
    """A transposed convolution of each channel by windows with a single 1."""
    own, dtype = step.layer, step.out.dtype
    n, columns, _ = step.x.sizes
    c, places = step.out.sizes[1].plus, math.prod(own.kernel_size)
    out = [
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, p, d, k, s in zip(
            own.output_size, own.padding, own.dilation, own.kernel_size, own.stride, strict=True
        )
    ]
    image = (n, columns, Size(0, out[0]), Size(0, out[1]))
    more = [
        size + 2 * p - ((o - 1) * s + d * (k - 1) + 1)
        for size, p, o, s, d, k in zip(
            own.output_size, own.padding, out, own.stride, own.dilation, own.kernel_size, strict=True
        )
    ]
    kernel = np.tile(np.eye(places, dtype=dtype).reshape(places, 1, *own.kernel_size), (c, 1, 1, 1))
    names = [w.reshape(step.x.name, image, step.x.sizes), w.const(kernel)]
    settings = {"strides": list(own.stride), "dilations": list(own.dilation), "group": c}
    return transposed(w, names, own.padding, more, settings)
