"""Pooling by an array namespace's own operations, for NumPy and CuPy.

Arrays have the shapes of NCHW; what these functions return lies in memory as NHWC, like the convolutions'
results. A NumPy operation costs about a tenth of a microsecond for each run of memory, a copy only a
hundredth. So strided places are copied to and from contiguous memory, and arithmetic happens there, a few
samples at a time to stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator

from armour.tensor.backend import Array, Namespace
from armour.tensor.kernels.numpy_kernels import chunk_bytes, out_size

Pair = tuple[int, int]


def max_pool2d(xp: Namespace, x: Array, kernel: Pair, stride: Pair) -> Array:
    """Largest value of each window; NaN wins."""
    n, c, oh, ow = _out_shape(x.shape, kernel, stride)
    out = xp.empty((n, oh, ow, c), x.dtype)
    (kh, kw), (sh, sw) = kernel, stride
    for part in _chunks(xp, x):
        source = _last(xp, x[part])
        # Lines first, whose runs are long; then the pixels of the lines' maxima.
        lines: Array = source[:, : sh * (oh - 1) + 1 : sh] if kh == 1 else None
        for i in range(1, kh):
            first = source[:, : sh * (oh - 1) + 1 : sh] if lines is None else lines
            lines = xp.maximum(first, source[:, i : i + sh * (oh - 1) + 1 : sh], out=lines)
        result = out[part]
        result[...] = lines[:, :, : sw * (ow - 1) + 1 : sw]
        for j in range(1, kw):
            xp.maximum(result, xp.ascontiguousarray(lines[:, :, j : j + sw * (ow - 1) + 1 : sw]), out=result)
    return out.transpose((0, 3, 1, 2))


def max_unpool2d(xp: Namespace, g: Array, x: Array, y: Array, kernel: Pair, stride: Pair) -> Array:
    """g (n, c, oh, ow) at the first maximum y of each window of x; added up where windows overlap."""
    n, c, h, w = x.shape
    out = xp.zeros((n, h, w, c), g.dtype)
    apart = stride[0] >= kernel[0] and stride[1] >= kernel[1]
    for part, place, mask, scratch in _first_places(xp, x, y, kernel, stride):
        view = out[part][place]
        xp.multiply(_last(xp, g[part]), mask, out=scratch)
        if apart:
            view[...] = scratch
        else:
            view += scratch
    return out.transpose((0, 3, 1, 2))


def max_pick2d(xp: Namespace, values: Array, x: Array, y: Array, kernel: Pair, stride: Pair) -> Array:
    """The element of `values` where the first maximum y of each window of x was: max_unpool2d transposed."""
    out = xp.zeros((y.shape[0], *y.shape[2:], y.shape[1]), values.dtype)
    for part, place, mask, scratch in _first_places(xp, x, y, kernel, stride):
        scratch[...] = values[part].transpose((0, 2, 3, 1))[place]
        scratch *= mask
        target = out[part]
        target += scratch
    return out.transpose((0, 3, 1, 2))


def avg_pool2d(xp: Namespace, x: Array, kernel: Pair, stride: Pair) -> Array:
    """Mean of each window."""
    n, c, oh, ow = _out_shape(x.shape, kernel, stride)
    out = xp.zeros((n, oh, ow, c), x.dtype)
    for part in _chunks(xp, x):
        source, target = _last(xp, x[part]), out[part]
        for place in _places((oh, ow), kernel, stride):
            target += xp.ascontiguousarray(source[place])
        target *= x.dtype.type(1.0 / (kernel[0] * kernel[1]))
    return out.transpose((0, 3, 1, 2))


def avg_unpool2d(xp: Namespace, g: Array, size: Pair, kernel: Pair, stride: Pair) -> Array:
    """g (n, c, oh, ow) spread evenly over each window: avg_pool2d transposed."""
    n, c, oh, ow = g.shape
    out = xp.zeros((n, *size, c), g.dtype)
    apart = stride[0] >= kernel[0] and stride[1] >= kernel[1]
    for part in _chunks(xp, out):
        share, target = _last(xp, g[part]) * g.dtype.type(1.0 / (kernel[0] * kernel[1])), out[part]
        for place in _places((oh, ow), kernel, stride):
            view = target[place]
            view[...] = share if apart else xp.ascontiguousarray(view) + share
    return out.transpose((0, 3, 1, 2))


def _first_places(
    xp: Namespace, x: Array, y: Array, kernel: Pair, stride: Pair
) -> Iterator[tuple[slice, tuple[slice, slice, slice], Array, Array]]:
    # For each chunk of samples and each place in the window, row by row: the samples, the place's slices in
    # (n, h, w, c), where the place holds the first maximum, and an array of that shape to work in. The last
    # place takes what is left, so that a window with a NaN has one as well.
    places = list(_places(y.shape[2:], kernel, stride))
    free: Array = None
    for part in _chunks(xp, x):
        source, top = x[part].transpose((0, 2, 3, 1)), _last(xp, y[part])
        if free is None or free.shape != top.shape:
            free, mask, work = (
                xp.empty(top.shape, "bool"),
                xp.empty(top.shape, "bool"),
                xp.empty(top.shape, x.dtype),
            )
        free[...] = True
        for place in places[:-1]:
            work[...] = source[place]
            xp.equal(work, top, out=mask)
            mask &= free
            free ^= mask
            yield part, place, mask, work
        yield part, places[-1], free, work


def _places(size: Pair, kernel: Pair, stride: Pair) -> Iterator[tuple[slice, slice, slice]]:
    (oh, ow), (sh, sw) = size, stride
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            yield slice(None), slice(i, i + sh * (oh - 1) + 1, sh), slice(j, j + sw * (ow - 1) + 1, sw)


def _out_shape(shape: tuple[int, ...], kernel: Pair, stride: Pair) -> tuple[int, int, int, int]:
    n, c, h, w = shape
    return n, c, out_size(h, kernel[0], stride[0], 0), out_size(w, kernel[1], stride[1], 0)


def _last(xp: Namespace, x: Array) -> Array:
    # Contiguous with the channels last; no copy if it lies so.
    return xp.ascontiguousarray(x.transpose((0, 2, 3, 1)))


def _chunks(xp: Namespace, x: Array) -> Iterator[slice]:
    n, limit = x.shape[0], chunk_bytes(xp)
    step = max(1, limit * n // max(1, x.size * x.dtype.itemsize))
    return (slice(i, i + step) for i in range(0, n, step))
