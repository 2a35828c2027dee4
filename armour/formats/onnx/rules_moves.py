"""Operators that put numbers elsewhere: reversed sequences, caches, unpooling, columns, centred cuts."""

from __future__ import annotations

import math

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor

from .rules import Call, rule
from .rules_array import check_size
from .rules_conv import several
from .rules_shape import padded


@rule("ReverseSequence")
def reverse_sequence(c: Call) -> Tensor:
    """The first steps of each sample, as many as its length says, in reverse."""
    x, lengths = c.x(0), c.x(1)
    time, batch = int(c.attr("time_axis", 0)), int(c.attr("batch_axis", 1))
    if x.ndim < 2 or {time, batch} != {0, 1} or lengths.shape != (x.shape[batch],):
        raise c.damaged(f"reverses {x.shape} by lengths {lengths.shape}")
    lengths = T.cast(lengths, "int64")
    steps = np.arange(x.shape[time])
    steps, ends = (steps[:, None], T.reshape(lengths, (1, -1))) if time == 0 else (
        steps[None], T.reshape(lengths, (-1, 1))
    )  # fmt: skip
    index = T.where(T.less(steps, ends), T.subtract(T.subtract(ends, 1), steps), steps)
    index = T.reshape(index, (*x.shape[:2], *(1,) * (x.ndim - 2)))
    return T.take_along_axis(x, T.broadcast_to(index, x.shape), time)


@rule("TensorScatter")
def tensor_scatter(c: Call) -> Tensor:
    """A cache with new steps written over it, from a place on that each sample has; circular or not."""
    cache, update = c.x(0), c.x(1)
    axis = int(c.attr("axis", -2)) % cache.ndim
    size, count = cache.shape[axis], update.shape[axis] if update.ndim == cache.ndim else -1
    wanted = (*cache.shape[:axis], count, *cache.shape[axis + 1 :])
    if axis == 0 or update.shape != wanted or not 0 <= count <= size:
        raise c.damaged(f"writes {update.shape} into {cache.shape}")
    first = T.reshape(T.cast(c.x(2), "int64"), (-1, 1)) if c.has(2) else np.zeros((1, 1), np.int64)
    # Which step of the update lies at each place of the cache, if any.
    step = T.subtract(np.arange(size), first)
    step = T.mod(step, size) if c.attr("mode", "linear") == "circular" else step
    hit = T.logical_and(T.greater_equal(step, 0), T.less(step, count))
    if not count:
        return cache
    step = T.where(hit, step, 0)
    shape = (-1, *(1,) * (axis - 1), size, *(1,) * (cache.ndim - axis - 1))
    spread = T.broadcast_to(T.reshape(step, shape), cache.shape)
    return T.where(T.reshape(hit, shape), T.take_along_axis(update, spread, axis), cache)


@rule("CenterCropPad")
def center_crop_pad(c: Call) -> Tensor:
    """Cut or padded with zeros to lengths; of an odd difference the larger half comes after."""
    x = c.x(0)
    lengths = c.ints(1)
    axes = [int(a) % x.ndim for a in c.attr("axes", None) or range(x.ndim)]
    if len(lengths) != len(axes):
        raise c.damaged(f"has {len(lengths)} lengths for {len(axes)} axes")
    check_size(c, *(n for i, n in enumerate(x.shape) if i not in axes), *lengths)
    pairs = [(0, 0)] * x.ndim
    for axis, length in zip(axes, lengths, strict=True):
        more = length - x.shape[axis]
        half = abs(more) // 2
        pairs[axis] = (half, more - half) if more >= 0 else (-half, more + half)
    return padded(c, x, pairs, "constant", 0.0)


@rule("MaxUnpool")
def max_unpool(c: Call) -> Tensor:
    """Numbers back at the places that MaxPool took them from, zeros elsewhere."""
    x, places = c.x(0), c.x(1)
    axes = x.ndim - 2
    if axes < 1 or places.shape != x.shape:
        raise c.damaged(f"has places {places.shape} for {x.shape}")
    kernel, strides = several(c, "kernel_shape", axes), several(c, "strides", axes)
    pads = several(c, "pads", 2 * axes, 0)
    inner = tuple(
        (x.shape[2 + i] - 1) * strides[i] - pads[i] - pads[axes + i] + kernel[i] for i in range(axes)
    )
    shape = (*x.shape[:2], *inner)
    check_size(c, *shape)
    size = math.prod(shape)
    index = T.reshape(T.cast(places, "int64"), (-1, 1))
    if c.fixed(1) or not c.run.building:
        known = np.asarray(c.known(1))
        if known.size and (known.min() < 0 or known.max() >= size):
            raise c.damaged(f"has places outside of {shape}")
    flat = T.scatter_update(T.zeros_like(T.reshape(T.cast(np.zeros(size), x.dtype.name), (-1,))), index,
                            T.reshape(x, (-1,)))  # fmt: skip
    out = T.reshape(flat, shape)
    if not c.has(2):
        return out
    wanted = c.ints(2)
    if len(wanted) != x.ndim or any(a < b for a, b in zip(wanted, shape, strict=True)):
        raise c.damaged(f"has an output of {wanted} for {shape}")
    check_size(c, *wanted)
    return padded(c, out, [(0, a - b) for a, b in zip(wanted, shape, strict=True)], "constant", 0.0)


@rule("Col2Im")
def col2im(c: Call) -> Tensor:
    """(n, c * elements of a block, blocks) as an image (n, c, *lengths), where blocks overlap the sum."""
    x, lengths, block = c.x(0), c.ints(1), c.ints(2)
    axes = len(lengths)
    strides, dilations = several(c, "strides", axes), several(c, "dilations", axes)
    pads = several(c, "pads", 2 * axes, 0)
    whole = [n + pads[i] + pads[axes + i] for i, n in enumerate(lengths)]
    if min((*block, *strides, *dilations, *lengths), default=0) < 1 or len(block) != axes or x.ndim != 3:
        raise c.damaged(f"puts {x.shape} into an image of {lengths} by blocks of {block}")
    counts = [
        (n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(whole, block, strides, dilations, strict=True)
    ]
    channels, rest = divmod(x.shape[1], math.prod(block))
    if rest or x.shape[2] != math.prod(counts) or min(counts) < 1:
        raise c.damaged(f"has {x.shape} for blocks of {block} at {counts} places")
    check_size(c, x.shape[0], channels, *whole)
    out = T.reshape(x, (x.shape[0], channels, *block, *counts))
    for i in range(axes):
        # Axes: n, c, lengths done, blocks left, counts left; the next count goes before its block.
        out = T.moveaxis(out, 2 + axes, 2 + i)
        out = T.overlap_add(out, axis=2 + i, length=whole[i], stride=strides[i], dilation=dilations[i])
    pairs = [(0, 0), (0, 0), *((-pads[i], -pads[axes + i]) for i in range(axes))]
    return padded(c, out, pairs, "constant", 0.0)
