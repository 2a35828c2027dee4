"""Convolution of each channel by itself (groups == channels): sums of input lines times lines of weights.

As a product such a convolution is a batch of tiny ones. Here an output line (ow * c) is a sum of input lines,
each times a line in which the weights of one tap are repeated, so that every operation runs over long runs of
memory (n, h, w, c). With a stride the image is parted first by the position between the steps, into phases; a
phase's lines are contiguous, and its taps are evenly spaced. A few samples at a time stay in the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from armour.tensor.backend import Array, Namespace

Pair = tuple[int, int]

HOST_CHUNK, DEVICE_CHUNK = (
    192 * 1024,
    64 * 1024 * 1024,
)  # bytes of one array of a chunk; there are about three


class _Taps(NamedTuple):
    """The taps along one axis that see one phase: `some` of the kernel, `number` of them.

    The first one is `first` lines into the phase, and they are `apart` lines apart.
    """

    phase: int
    some: slice
    number: int
    first: int
    apart: int


class _Axis(NamedTuple):
    """Lengths along one axis: of the input, the output and a phase."""

    size: int
    out: int
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def phase(self) -> int:
        """Elements of one phase: all that the taps reach."""
        return -(-(self.dilation * (self.kernel - 1) + 1) // self.stride) + self.out - 1

    def taps(self) -> Iterator[_Taps]:
        """The taps, by the phase that they see."""
        common = math.gcd(self.stride, self.dilation)
        step = self.stride // common
        for i in range(min(step, self.kernel)):
            first, phase = divmod(i * self.dilation, self.stride)
            count = -((i - self.kernel) // step)
            yield _Taps(phase, slice(i, None, step), count, first, self.dilation // common)

    def inside(self) -> tuple[int, int]:
        """(first, end) of the part of the padded axis that is both input and within reach."""
        return self.padding, max(self.padding, min(self.padding + self.size, self.phase * self.stride))


def _axes(size: Pair, out: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> list[_Axis]:
    return [_Axis(size[k], out[k], kernel[k], stride[k], padding[k], dilation[k]) for k in (0, 1)]


def conv2d(
    xp: Namespace, x: Array, w: Array, b: Array | None, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """x (n, c, h, w), w (c, 1, kh, kw), b (c,) or None -> (n, c, oh, ow)."""
    n, c, *size = x.shape
    kernel = w.shape[2:]
    oh, ow = ((size[k] + 2 * padding[k] - dilation[k] * (kernel[k] - 1) - 1) // stride[k] + 1 for k in (0, 1))
    down, across = _axes(size, (oh, ow), kernel, stride, padding, dilation)
    weights = _repeated(xp, w[:, 0].transpose((1, 2, 0)), ow)
    bias = None if b is None else _repeated(xp, b, ow)
    out = xp.empty((n, oh, ow * c), x.dtype)
    for start, phases in _phases(xp, x, down, across):
        target, more = out[start : start + len(phases)], False
        for v in down.taps():
            for u in across.taps():
                lines = _windows(xp, phases[:, v.phase, u.phase, v.first :, u.first * c :], v, u, (oh, ow), c)
                part = _sum(xp, lines, weights[v.some, u.some], None if more else target)
                if more:
                    target += part
                more = True
        if bias is not None:
            target += bias
    return out.reshape((n, oh, ow, c)).transpose((0, 3, 1, 2))


def conv2d_input_grad(
    xp: Namespace, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """g (n, c, oh, ow), w (c, 1, kh, kw) -> (n, c, *size)."""
    n, c, oh, ow = g.shape
    down, across = _axes(size, (oh, ow), w.shape[2:], stride, padding, dilation)
    (top, bottom), (left, right) = down.inside(), across.inside()
    out = xp.zeros((n, *size, c), g.dtype)
    # A pixel of a phase is a sum over the output elements before it: g with zeros around, seen through the
    # taps in reverse.
    above, before = down.phase - oh, across.phase - ow
    chunk = _chunk(xp, n, down, across, c * g.dtype.itemsize)
    wide = xp.zeros((chunk, above + down.phase, (before + across.phase) * c), g.dtype)
    phases = xp.zeros((chunk, *stride, down.phase, across.phase * c), g.dtype)
    weights = _repeated(xp, w[:, 0].transpose((1, 2, 0)), across.phase)
    for start in range(0, n, chunk):
        m = min(chunk, n - start)
        inner = wide[:m].reshape((m, above + down.phase, before + across.phase, c))
        inner[:, above : above + oh, before : before + ow] = g[start : start + m].transpose((0, 2, 3, 1))
        for v in down.taps():
            for u in across.taps():
                row = above - v.first - (v.number - 1) * v.apart
                column = before - u.first - (u.number - 1) * u.apart
                lines = _windows(
                    xp, wide[:m, row:, column * c :], v, u, (down.phase, across.phase), c
                )  # fmt: skip
                some = weights[v.some, u.some][::-1, ::-1]
                _sum(xp, lines, some, phases[:m, v.phase, u.phase])
        whole = phases[:m].reshape((m, *stride, down.phase, across.phase, c)).transpose((0, 3, 1, 4, 2, 5))
        whole = whole.reshape((m, down.phase * stride[0], across.phase * stride[1], c))
        out[start : start + m, : bottom - top, : right - left] = whole[:, top:bottom, left:right]
    return out.transpose((0, 3, 1, 2))


def conv2d_weight_grad(
    xp: Namespace, x: Array, g: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """x (n, c, h, w), g (n, c, oh, ow) -> (c, 1, *kernel)."""
    c, oh, ow = g.shape[1:]
    down, across = _axes(x.shape[2:], (oh, ow), kernel, stride, padding, dilation)
    total = xp.zeros((*kernel, ow * c), x.dtype)
    for start, phases in _phases(xp, x, down, across):
        part = g[start : start + len(phases)].transpose((0, 2, 3, 1))
        cotangents = xp.ascontiguousarray(part).reshape((len(phases), oh, ow * c))
        for v in down.taps():
            for u in across.taps():
                lines = _windows(xp, phases[:, v.phase, u.phase, v.first :, u.first * c :], v, u, (oh, ow), c)
                total[v.some, u.some] += xp.einsum("nrijl,nrl->ijl", lines, cotangents)
    return total.reshape((*kernel, ow, c)).sum(axis=2).transpose((2, 0, 1)).reshape((c, 1, *kernel))


def _phases(xp: Namespace, x: Array, down: _Axis, across: _Axis) -> Iterator[tuple[int, Array]]:
    # For chunks of samples: the first one, and (samples, sh, sw, rows, columns * c), valid until the next
    # one.
    n, c = x.shape[:2]
    (top, bottom), (left, right) = down.inside(), across.inside()
    rows, columns, steps = down.phase, across.phase, (down.stride, across.stride)
    chunk = _chunk(xp, n, down, across, c * x.dtype.itemsize)
    padded = xp.zeros((chunk, rows * steps[0], columns * steps[1], c), x.dtype)
    apart = padded if steps == (1, 1) else xp.empty((chunk, *steps, rows, columns, c), x.dtype)
    for start in range(0, n, chunk):
        m = min(chunk, n - start)
        pixels = x[start : start + m, :, : bottom - top, : right - left]
        whole = padded[:m]
        whole[:, top:bottom, left:right] = pixels.transpose((0, 2, 3, 1))
        if apart is not padded:
            parted = whole.reshape((m, rows, steps[0], columns, steps[1], c))
            apart[:m] = parted.transpose((0, 2, 4, 1, 3, 5))
        yield start, apart[:m].reshape((m, *steps, rows, columns * c))


def _windows(xp: Namespace, base: Array, v: _Taps, u: _Taps, size: Pair, c: int) -> Array:
    # (samples, rows, taps down, taps across, columns * c): for each tap its lines of `base` (samples, lines,
    # line), the first of which is at its start.
    image, line, item = base.strides
    strides = (image, line, line * v.apart, item * c * u.apart, item)
    shape = (len(base), size[0], v.number, u.number, size[1] * c)
    return xp.lib.stride_tricks.as_strided(base, shape, strides)


def _sum(xp: Namespace, lines: Array, weights: Array, out: Array | None) -> Array:
    # Lines (n, r, i, j, l) times weights (i, j, l), summed over the taps i, j.
    if xp.__name__ == "numpy":  # one pass for each tap, in which the sum stays in the cache
        return xp.einsum("nrijl,ijl->nrl", lines, weights, out=out)
    taps = [(i, j) for i in range(lines.shape[2]) for j in range(lines.shape[3])]
    total = lines[:, :, 0, 0] * weights[0, 0]
    for i, j in taps[1:]:
        total += lines[:, :, i, j] * weights[i, j]
    if out is None:
        return total
    out[...] = total
    return out


def _repeated(xp: Namespace, values: Array, times: int) -> Array:
    # (..., c) -> (..., times * c): a line's worth of the same values.
    line = xp.empty((*values.shape[:-1], times, values.shape[-1]), values.dtype)
    line[...] = values[..., None, :]
    return line.reshape((*values.shape[:-1], times * values.shape[-1]))


def _chunk(xp: Namespace, n: int, down: _Axis, across: _Axis, pixel: int) -> int:
    limit = HOST_CHUNK if xp.__name__ == "numpy" else DEVICE_CHUNK
    image = down.phase * down.stride * across.phase * across.stride * pixel
    return min(max(n, 1), max(1, limit // max(1, image)))
