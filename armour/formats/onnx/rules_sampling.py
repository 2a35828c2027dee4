"""Operators that sample at positions: GridSample, AffineGrid, RoiAlign and DeformConv."""

from __future__ import annotations

import math

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor

from .rules import Call, rule
from .rules_array import check_size
from .rules_conv import margins, several
from .sampling import centres, in_elements, reflected, sampled

_MODES = {
    "bilinear": "linear",
    "bicubic": "cubic",
    "linear": "linear",
    "cubic": "cubic",
    "nearest": "nearest",
}


@rule("GridSample")
def grid_sample(c: Call) -> Tensor:
    """x (n, c, *lengths) at a grid (n, *out, axes) of places from -1 to 1, the last axis of x first."""
    x, grid = c.x(0), c.x(1)
    mode, padding = _MODES.get(c.attr("mode", "linear")), c.attr("padding_mode", "zeros")
    align = bool(c.attr("align_corners", 0))
    axes = x.ndim - 2
    if mode is None or padding not in ("zeros", "border", "reflection"):
        raise c.unsupported(f"sampling by {c.attr('mode', '')!r} with padding {padding!r}")
    if axes < 1 or grid.shape[-1] != axes or grid.ndim != x.ndim or grid.shape[0] != x.shape[0]:
        raise c.damaged(f"samples {x.shape} at a grid {grid.shape}")
    check_size(c, x.shape[0], x.shape[1], *grid.shape[1:-1])
    if axes == 2 and mode != "cubic":
        return T.grid_sample(x, grid, "nearest" if mode == "nearest" else "bilinear", padding, align)
    out = grid.shape[1:-1]
    places = []
    for i, length in enumerate(x.shape[2:]):
        at = T.reshape(T.getitem(grid, (..., axes - 1 - i)), (x.shape[0], -1))
        place = in_elements(at, length, align)
        if mode != "cubic" and padding == "border":
            place = T.clip(place, 0.0, length - 1.0)
        elif mode != "cubic" and padding == "reflection":
            place = reflected(place, length, align)
        places.append(place)
    return T.reshape(sampled(x, places, mode, padding, align), (*x.shape[:2], *out))


@rule("AffineGrid")
def affine_grid(c: Call) -> Tensor:
    """Places (n, *lengths, axes) from affine maps theta (n, axes, axes + 1)."""
    theta, size = c.x(0), c.ints(1)
    lengths, align = size[2:], bool(c.attr("align_corners", 0))
    axes = len(lengths)
    if theta.ndim != 3 or theta.shape[1:] != (axes, axes + 1) or axes < 1:
        raise c.damaged(f"has maps {theta.shape} for {axes} axes")
    check_size(c, *lengths, axes + 1)
    grid = np.meshgrid(*(centres(n, align) for n in lengths), indexing="ij")
    base = np.stack([*grid[::-1], np.ones(lengths)], axis=-1).reshape(-1, axes + 1).astype(theta.dtype)
    return T.reshape(T.matmul(base, T.transpose(theta, (0, 2, 1))), (theta.shape[0], *lengths, axes))


@rule("RoiAlign")
def roi_align(c: Call) -> Tensor:
    """Boxes (r, 4) of x (n, c, h, w) as (r, c, height, width): means, or the largest weighted elements.

    He et al., 2017, https://arxiv.org/abs/1703.06870. Boxes must be known, or the model just run.
    """
    x, boxes, owner = c.x(0), c.known(1).astype(np.float64), c.known(2).astype(np.int64)
    if x.ndim != 4 or boxes.shape != (len(owner), 4) or not np.isfinite(boxes).all():
        raise c.damaged(f"has boxes {boxes.shape} for {x.shape}")
    if len(owner) and (owner.min() < 0 or owner.max() >= x.shape[0]):
        raise c.damaged("has boxes of images that are not there")
    height, width = int(c.attr("output_height", 1)), int(c.attr("output_width", 1))
    # The name and its default came with opset 16.
    how = c.attr("coordinate_transformation_mode", "half_pixel" if c.opset >= 16 else "output_half_pixel")
    half = how == "half_pixel"
    edges = boxes * float(c.attr("spatial_scale", 1.0)) - (0.5 if half else 0.0)
    spans = edges[:, 2:] - edges[:, :2]
    spans = spans if half else np.maximum(spans, 1.0)
    ratio = int(c.attr("sampling_ratio", 0))
    check_size(c, len(owner), x.shape[1], height, width)
    found, samples = [], 0
    for box, span, i in zip(edges, spans, owner, strict=True):
        counts = [ratio if ratio > 0 else math.ceil(span[1 - a] / n) for a, n in enumerate((height, width))]
        samples += x.shape[1] * height * width * max(counts[0], 1) * max(counts[1], 1)
        check_size(c, 4, samples)  # each is made of four elements
        rows, columns = (
            _lines(box[1 - a], span[1 - a], n, k)
            for a, (n, k) in enumerate(zip((height, width), counts, strict=True))
        )
        found.append(_box(c, T.getitem(x, slice(int(i), int(i) + 1)), rows, columns, (height, width), counts))
    if not found:
        return T.cast(np.zeros((0, x.shape[1], height, width)), x.dtype.name)
    return T.concat(found, 0)


def _lines(start: float, span: float, bins: int, count: int) -> np.ndarray:
    """(bins * count,) places, `count` in each of `bins` parts of a box's side."""
    bin_size = span / bins
    places = start + np.arange(bins)[:, None] * bin_size + (np.arange(count) + 0.5) * bin_size / max(count, 1)
    return places.reshape(-1)


def _box(
    c: Call, x: Tensor, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int], counts: list[int]
) -> Tensor:
    h, w = x.shape[2:]
    (r0, r1, fr, rin), (c0, c1, fc, cin) = _between(rows, h), _between(columns, w)
    inside = rin[:, None] & cin
    corners = []
    for r, wr in ((r0, 1 - fr), (r1, fr)):
        for k, wk in ((c0, 1 - fc), (c1, fc)):
            weights = np.where(inside, wr[:, None] * wk, 0.0).astype(x.dtype)
            corners.append(T.gather(T.gather(x, r, 2), k, 3) * weights)
    shape = (1, x.shape[1], size[0], counts[0], size[1], counts[1])
    if c.attr("mode", "avg") == "max":
        top = corners[0]
        for corner in corners[1:]:
            top = T.maximum(top, corner)
        return T.max(T.reshape(top, shape), axis=(3, 5))
    total = corners[0] + corners[1] + corners[2] + corners[3]
    return T.sum(T.reshape(total, shape), axis=(3, 5)) / float(max(counts[0] * counts[1], 1))


def _between(at: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(element before, element after, part of the way, is it near the image) for places along an axis."""
    near = (at >= -1.0) & (at <= length)
    at = np.clip(at, 0.0, None)
    low = np.minimum(np.where(near, at, 0.0).astype(np.int64), length - 1)
    high = np.minimum(low + 1, length - 1)
    part = np.where((high > low) & near, at - low, 0.0)
    return low, high, part, near


@rule("DeformConv")
def deform_conv(c: Call) -> Tensor:
    """A convolution whose windows' elements are moved by offsets and weighted by a mask.

    Dai et al., 2017, https://arxiv.org/abs/1703.06211; with a mask Zhu et al., 2018, 1811.11168.
    """
    x, w, offset = c.x(0), c.x(1), c.x(2)
    if x.ndim != 4 or w.ndim != 4:
        raise c.unsupported(f"a deformable convolution of {x.shape}")
    kernel, groups, parts = w.shape[2:], int(c.attr("group", 1)), int(c.attr("offset_group", 1))
    strides, dilations = several(c, "strides", 2), several(c, "dilations", 2)
    around = margins(c, x.shape[2:], kernel, strides, dilations)
    n, channels = x.shape[:2]
    size, k = offset.shape[2:], math.prod(kernel)
    fits = groups > 0 and parts > 0 and channels == w.shape[1] * groups and channels % parts == 0
    if not fits or w.shape[0] % groups or offset.shape[:2] != (n, 2 * parts * k):
        raise c.damaged(f"has offsets {offset.shape} and weights {w.shape} for {x.shape}")
    check_size(c, n, channels, k, *size)
    moved = T.reshape(offset, (n * parts, k, 2, *size))
    places = []
    for a in (0, 1):
        taps = np.arange(kernel[a]) * dilations[a]
        taps = np.repeat(taps, kernel[1]) if a == 0 else np.tile(taps, kernel[0])
        steps = np.arange(size[a]) * strides[a] - around[a][0]
        base = taps[:, None, None] + (steps[:, None] if a == 0 else steps)
        at = T.getitem(moved, (slice(None), slice(None), a)) + base.astype(x.dtype)
        places.append(T.reshape(at, (n * parts, -1)))
    split = T.reshape(x, (n * parts, channels // parts, *x.shape[2:]))
    values = T.reshape(sampled(split, places), (n, parts, channels // parts, k, *size))
    if c.has(4):
        values = values * T.reshape(c.x(4), (n, parts, 1, k, *size))
    columns = T.reshape(values, (n, groups, -1, math.prod(size)))
    out = T.matmul(T.reshape(w, (groups, w.shape[0] // groups, -1)), columns)
    out = T.reshape(out, (n, w.shape[0], *size))
    return out + T.reshape(c.x(3), (-1, 1, 1)) if c.has(3) else out
