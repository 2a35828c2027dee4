"""What per-sample gradients of a convolution need: each sample's own weight gradient, and its square norm."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from armour.tensor.backend import Array, Namespace
from armour.tensor.kernels.numpy_kernels import Pair, _both, _columns


def conv2d_sample_grad(
    xp: Namespace, x: Array, g: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """x (n, c, h, w), g (n, o, oh, ow) -> (n, o, c / groups, *kernel): a weight gradient for each."""
    n, o, oh, ow = g.shape
    cg, og, (kh, kw), (sw, dw) = x.shape[1] // groups, o // groups, kernel, (stride[1], dilation[1])
    if not n:
        return xp.zeros((0, o, cg, kh, kw), x.dtype)
    block = _sample_block(oh, ow, kernel, sw, dw, cg, og) if groups == 1 else 1
    span = (block - 1) * sw + kw
    lines = oh * ow // block
    rows = xp.ascontiguousarray(g.transpose((0, 2, 3, 1))).reshape((n, lines, groups, block * og))
    rows = rows.transpose((2, 0, 1, 3))
    out = xp.empty((groups, n, kh, kw, cg, og), x.dtype)
    columns = _columns(
        xp, x.transpose((0, 2, 3, 1)), kernel, (oh, ow), stride, _both(padding), dilation, groups, block
    )
    for start, part in columns:
        first, line = divmod(start, lines)
        m = max(1, part.shape[1] // lines)  # samples of the chunk; a large one comes in several parts
        count = part.shape[1] // m
        flipped = part.reshape((groups, m, count, part.shape[2])).transpose((0, 1, 3, 2))
        target = out[:, first : first + m]
        right = rows[:, first : first + m, line : line + count]
        if block == 1 and not line:
            xp.matmul(flipped, right, out=target.reshape((groups, m, kh * kw * cg, og)))
            continue
        if not line:
            target[...] = 0
        # Each pixel of a block saw its own part of the block's window.
        wide = xp.matmul(flipped, right).reshape((groups, m, kh, span, cg, block, og))
        for i in range(block):
            target += wide[:, :, :, i * sw : i * sw + kw, :, i]
    split = out.transpose((1, 0, 5, 4, 2, 3))
    return split[:, 0] if groups == 1 else split.reshape((n, o, cg, kh, kw))


def conv2d_sample_square(
    xp: Namespace, x: Array, g: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """Square norms (n,) of those gradients, by the Gram matrices of columns and of output gradients.

    |sum_t g_t a_t^T|^2 = sum_st (a_s . a_t)(g_s . g_t): the gradients themselves are never in memory.
    """
    n, o, oh, ow = g.shape
    places = oh * ow
    rows = xp.ascontiguousarray(g.transpose((0, 2, 3, 1))).reshape((n, places, groups, o // groups))
    rows = rows.transpose((2, 0, 1, 3))
    out = xp.zeros(n, x.dtype)
    columns = _columns(
        xp, x.transpose((0, 2, 3, 1)), kernel, (oh, ow), stride, _both(padding), dilation, groups, 1
    )
    for first, part in _whole(xp, columns, places):
        a = part.reshape((groups, -1, places, part.shape[2]))
        right = rows[:, first : first + a.shape[1]]
        gram = xp.matmul(a, a.transpose((0, 1, 3, 2)))
        gram *= xp.matmul(right, right.transpose((0, 1, 3, 2)))
        out[first : first + a.shape[1]] = gram.sum(axis=(0, 2, 3))
    return out


def _whole(xp: Namespace, columns: Iterator[tuple[int, Array]], places: int) -> Iterator[tuple[int, Array]]:
    # (first sample, columns of whole samples): parts of a large one are joined.
    parts: list[Array] = []
    for start, part in columns:
        if part.shape[1] % places == 0:
            yield start // places, part
            continue
        parts.append(part.copy())
        if sum(p.shape[1] for p in parts) == places:
            yield start // places, xp.concatenate(parts, axis=1)
            parts = []


@lru_cache(maxsize=4096)
def _sample_block(oh: int, ow: int, kernel: Pair, stride: int, dilation: int, c: int, o: int) -> int:
    """How many neighbouring pixels one row of the products makes, by a model of the nanoseconds of a sample.

    Copying a window costs by its runs, which are short with few channels; a row of several pixels has longer
    and fewer runs, but more multiplications, and parts that must be added up.
    """
    if dilation > 1 or kernel == (1, 1):
        return 1
    best, least = 1, float("inf")
    for block in (d for d in range(1, ow + 1) if ow % d == 0):
        run, width, lines = ((block - 1) * stride + kernel[1]) * c, block * o, oh * ow // block
        cost = lines * kernel[0] * (7 + 0.35 * run + 0.04 * run * width)
        if block > 1:
            cost += 18 * kernel[0] * kernel[1] * c * block
        if cost < least:
            best, least = block, cost
    return best


def sum_places(xp: Namespace, x: Array) -> Array:
    """x (n, c, ...) -> (n, c), summed over all places; fast where the channels lie last in memory."""
    n, c = x.shape[:2]
    last = x.transpose((0, *range(2, x.ndim), 1))
    if x.ndim < 3 or not x.size or not last.flags.c_contiguous:
        return xp.sum(x, axis=tuple(range(2, x.ndim)))
    # Products with ones: lines of pixels first, whose runs are long, then the pixels of a line.
    lines, width = x.shape[2], last[0, 0].size
    sums = xp.matmul(xp.ones((1, lines), x.dtype), last.reshape((n, lines, width))).reshape((n, -1, c))
    return xp.matmul(xp.ones(sums.shape[1], x.dtype), sums)
