"""The input gradient of a convolution with few channels, by whole lines of the image.

A product that makes few channels is narrow and slow, and its columns are large. All taps of a line of output
gradients at once are one matrix (ow o, kh w c), mostly zeros: one wide product without columns, then the
lines that each kernel row gives are added up. It pays for small images of few channels.
"""

from __future__ import annotations

from armour.tensor.backend import Array, Namespace

Pair = tuple[int, int]
CHUNK = 512 * 1024  # bytes of lines before they are added up: half an L2 cache
LEAST = 8  # samples for which making the matrix pays
MUCH = 10  # channels times extra multiplications up to which it pays


def pays(g: tuple[int, ...], w: tuple[int, ...], size: Pair, padding: Pair) -> bool:
    """True if this is faster than columns for shapes g (n, o, oh, ow), w (o, c, kh, kw) and size (h, w)."""
    (n, _, oh, ow), (_, c, kh, kw) = g, w
    exact = all(
        length == out + k - 1 - 2 * p
        for length, out, k, p in zip(size, (oh, ow), (kh, kw), padding, strict=True)
    )
    # Multiplications: kh oh (ow o) (w c) here, h w (kh kw o) c with columns.
    return exact and n >= LEAST and c * oh * ow <= MUCH * size[0] * kw


def input_grad_by_lines(xp: Namespace, g: Array, w: Array, size: Pair, padding: Pair) -> Array:
    """g (n, o, oh, ow), w (o, c, kh, kw) -> (n, c, *size), for stride and dilation 1, without groups."""
    (n, o, oh, ow), (_, c, kh, _) = g.shape, w.shape
    (h, width), (ph, pw) = size, padding
    matrix = line_matrix(xp, w, ow, width, pw)
    rows = xp.ascontiguousarray(g.transpose((0, 2, 3, 1))).reshape((n, oh, ow * o))
    out = xp.zeros((n, h, width * c), g.dtype)
    step = max(1, CHUNK // max(1, oh * kh * width * c * g.dtype.itemsize))
    for start in range(0, n, step):
        some = rows[start : start + step]
        m = some.shape[0]
        part = xp.matmul(some.reshape((m * oh, ow * o)), matrix).reshape((m, oh, kh, width * c))
        target = out[start : start + step]
        for i in range(kh):
            low, high = touched(i, oh, h, ph)
            if low < high:
                target[:, low + i - ph : high + i - ph] += part[:, low:high, i]
    return out.reshape((n, h, width, c)).transpose((0, 3, 1, 2))


def line_matrix(xp: Namespace, w: Array, ow: int, width: int, padding: int) -> Array:
    """(ow * o, kh * width * c): from a line of output gradients to the lines of the input that saw it."""
    o, c, kh, kw = w.shape
    taps = w.transpose((0, 2, 3, 1))
    wide = xp.zeros((ow, o, kh, ow + kw - 1, c), w.dtype)
    for j in range(ow):
        wide[j, :, :, j : j + kw] = taps
    return wide[:, :, :, padding : padding + width].reshape((ow * o, kh * width * c))


def touched(row: int, oh: int, h: int, padding: int) -> Pair:
    """The range of output lines whose kernel row `row` lies inside the h lines of the input."""
    return max(0, padding - row), min(oh, h + padding - row)
