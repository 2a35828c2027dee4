"""Correlation laid out for a plan: columns of a few samples at a time, one matrix product each.

The plan's form of kernels/numpy_kernels.py: the same columns and blocks, with buffers, views and matrices
made once. What follows a convolution (bias, shortcut, relu, mask) is done to each part of the output while
it is in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from armour.tensor.backend import Array, strided
from armour.tensor.kernels.numpy_kernels import (
    NARROW,
    SMALL,
    Margins,
    Pair,
    block_size,
    chunk_bytes,
    wide_taps,
)
from armour.tensor.layout import Layout

After = Callable[[slice], None]
"""Told which rows (pixels) of the output are done, emits what else is done to them."""


def correlation(
    layout: Layout,
    x: Array,
    taps: Callable[[], Array],
    kernel: Pair,
    out: Array,
    stride: Pair,
    margins: Margins,
    dilation: Pair,
    after: After | None = None,
) -> None:
    """Lay out the correlation of x (n, h, w, c), in any memory order, into contiguous out (n, oh, ow, o).

    taps: gives (kh, kw, c, o) at load time. margins: zeros around x.
    """
    (kh, kw), c = kernel, x.shape[3]
    n, oh, ow, o = out.shape
    block = 1
    if layout.xp is np:  # a device has no use for wider products with zeros in them
        block = block_size(n * oh, ow, kernel, stride[1], dilation[1], c, o, 1)
    span = (block - 1) * stride[1] + kw
    matrix = layout.own((kh * span * c, block * o), out.dtype)

    def load() -> None:
        found = taps()[None]
        made = wide_taps(layout.xp, found, block, stride[1]) if block > 1 else found
        matrix[...] = made.reshape(matrix.shape)

    layout.on_load(load)
    rows = out.reshape((n * oh * ow // block, block * o))
    for first, part in columns(layout, x, kernel, (oh, ow), stride, margins, dilation, block):
        product(layout, part, matrix, rows[first : first + part.shape[0]])
        if after is not None:
            after(slice(first * block, (first + part.shape[0]) * block))


def product(layout: Layout, a: Array, b: Array, out: Array) -> None:
    """Emit out = a @ b, in blocks of rows if b is narrow: OpenBLAS multiplies small matrices unpacked."""
    xp = layout.xp
    rows, k = a.shape
    size = SMALL // max(1, k * b.shape[1]) // 16 * 16 if xp is np else rows
    if b.shape[1] > NARROW or size >= rows or size < 64:
        layout.emit(partial(xp.matmul, a, b, out=out))
        return
    whole = rows // size * size
    shape = (-1, size, b.shape[1])
    layout.emit(partial(xp.matmul, a[:whole].reshape((-1, size, k)), b, out=out[:whole].reshape(shape)))
    if whole < rows:
        layout.emit(partial(xp.matmul, a[whole:], b, out=out[whole:]))


def columns(
    layout: Layout,
    x: Array,
    kernel: Pair,
    size: Pair,
    stride: Pair,
    margins: Margins,
    dilation: Pair,
    block: int,
) -> Iterator[tuple[int, Array]]:
    """For chunks of samples: emits what fills their columns, then gives the first row and the columns.

    The columns (rows, kh * kw * c) are valid until the next chunk is asked for.
    """
    n, h, w, c = x.shape
    (kh, kw), (oh, ow), (sh, sw), (dh, dw) = kernel, size, stride, dilation
    (top, below), (left, right) = margins
    if kernel == (1, 1) and margins == ((0, 0), (0, 0)):
        seen = x[:, : sh * oh : sh, : sw * ow : sw]
        if not seen.flags.c_contiguous:
            held = layout.scratch(seen.shape, x.dtype)
            layout.copy(held, seen)
            seen = held
        yield 0, seen.reshape((n * oh * ow, c))
        return
    if block > 1:
        ow, kw, sw = ow // block, (block - 1) * sw + kw, block * sw
    item = x.dtype.itemsize
    limit = chunk_bytes(layout.xp)
    chunk = max(1, min(n, limit // max(1, oh * ow * kh * kw * c * item)))
    lines = oh
    if oh * ow * kh * kw * c * item > 2 * limit:  # a large sample goes in groups of output lines
        lines = max(1, limit // (ow * kh * kw * c * item))
    hp, wp = h + top + below, w + left + right
    direct = x.flags.c_contiguous and (hp, wp) == (h, w)
    padded = x
    if not direct:
        shape = (chunk, hp, wp, c)
        padded = layout.kept(("padded", margins), shape, x.dtype, lambda a: a.fill(0))
    held = layout.scratch((chunk * lines * ow, kh * kw * c), x.dtype)
    image, line, pixel = hp * wp * c * item, wp * c * item, c * item
    for start in range(0, n, chunk):
        m = min(chunk, n - start)
        source = x[start : start + m] if direct else padded[:m]
        if not direct:
            layout.copy(source[:, top : top + h, left : left + w], x[start : start + m])
        for first in range(0, oh, lines):
            count = min(lines, oh - first)
            part = held[: m * count * ow]
            base = source[:, first * sh :] if first else source  # only where m is 1: contiguous
            if dw == 1:  # a window's row is one run
                shape5 = (m, count, ow, kh, kw * c)
                strides5 = (image, line * sh, pixel * sw, line * dh, item)
                layout.copy(part.reshape(shape5), strided(layout.xp, base, shape5, strides5))
            else:
                shape6 = (m, count, ow, kh, kw, c)
                strides6 = (image, line * sh, pixel * sw, line * dh, pixel * dw, item)
                layout.copy(part.reshape(shape6), strided(layout.xp, base, shape6, strides6))
            yield (start * oh + first) * ow, part
