"""Pooling by an array namespace's own operations."""

from __future__ import annotations

from armour.tensor.backend import Array, Namespace
from armour.tensor.kernels.numpy_kernels import out_size

Pair = tuple[int, int]


def windows(x: Array, kernel: Pair, stride: Pair) -> list[Array]:
    """One strided view of (n, c, h, w) for each place in the window, row by row."""
    (kh, kw), (sh, sw) = kernel, stride
    oh, ow = out_size(x.shape[2], kh, sh, 0), out_size(x.shape[3], kw, sw, 0)
    return [
        x[:, :, i : i + sh * (oh - 1) + 1 : sh, j : j + sw * (ow - 1) + 1 : sw]
        for i in range(kh)
        for j in range(kw)
    ]


def max_pool2d(xp: Namespace, x: Array, kernel: Pair, stride: Pair) -> Array:
    """Largest value of each window; NaN wins."""
    views = windows(x, kernel, stride)
    out = views[0].copy()
    for view in views[1:]:
        xp.maximum(out, view, out=out)
    return out


def first_maximum(xp: Namespace, x: Array, y: Array, kernel: Pair, stride: Pair) -> Array:
    """(n, c, oh, ow) uint8 or int32: the place in its window of the first maximum (or the first NaN)."""
    views = windows(x, kernel, stride)
    place = xp.zeros(y.shape, "uint8" if len(views) < 256 else "int32")
    for i in range(len(views) - 1, -1, -1):
        hit = (views[i] == y) | (views[i] != views[i])
        place[hit] = i
    return place
