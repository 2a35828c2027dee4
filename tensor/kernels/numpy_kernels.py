"""Convolution and pooling by an array namespace's own operations: the reference kernels."""

from __future__ import annotations

from armour.tensor.backend import Array, Namespace

Pair = tuple[int, int]


def out_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Length of a convolution's output along one axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _columns(xp: Namespace, x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> Array:
    # (n, c, kh, kw, oh, ow)
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, stride, padding, dilation
    n, c, h, w = x.shape
    oh, ow = out_size(h, kh, sh, ph, dh), out_size(w, kw, sw, pw, dw)
    padded = xp.zeros((n, c, h + 2 * ph, w + 2 * pw), x.dtype)
    padded[:, :, ph : ph + h, pw : pw + w] = x
    out = xp.empty((n, c, kh, kw, oh, ow), x.dtype)
    for i in range(kh):
        for j in range(kw):
            top, left = i * dh, j * dw
            out[:, :, i, j] = padded[
                :, :, top : top + sh * (oh - 1) + 1 : sh, left : left + sw * (ow - 1) + 1 : sw
            ]
    return out


def conv2d(
    xp: Namespace, x: Array, w: Array, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """(n, c, h, w) and (o, c / groups, kh, kw) -> (n, o, oh, ow)."""
    n, o = x.shape[0], w.shape[0]
    cols = _columns(xp, x, w.shape[2:], stride, padding, dilation)
    oh, ow = cols.shape[4:]
    cols = cols.reshape((n, groups, w.shape[1] * w.shape[2] * w.shape[3], oh * ow))
    return xp.matmul(w.reshape((1, groups, o // groups, -1)), cols).reshape((n, o, oh, ow))


def conv2d_input_grad(
    xp: Namespace, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """(n, o, oh, ow) and (o, c / groups, kh, kw) -> (n, c, *size)."""
    n, o, oh, ow = g.shape
    _, cg, kh, kw = w.shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    wt = w.reshape((1, groups, o // groups, cg * kh * kw)).transpose((0, 1, 3, 2))
    cols = xp.matmul(wt, g.reshape((n, groups, o // groups, oh * ow))).reshape(
        (n, groups * cg, kh, kw, oh, ow)
    )
    out = xp.zeros((n, groups * cg, size[0] + 2 * ph, size[1] + 2 * pw), cols.dtype)
    for i in range(kh):
        for j in range(kw):
            top, left = i * dh, j * dw
            out[:, :, top : top + sh * (oh - 1) + 1 : sh, left : left + sw * (ow - 1) + 1 : sw] += cols[
                :, :, i, j
            ]
    return out[:, :, ph : ph + size[0], pw : pw + size[1]]


def conv2d_weight_grad(
    xp: Namespace, x: Array, g: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """(n, c, h, w) and (n, o, oh, ow) -> (o, c / groups, *kernel)."""
    n, o, oh, ow = g.shape
    cols = _columns(xp, x, kernel, stride, padding, dilation)
    cg = x.shape[1] // groups
    cols = cols.reshape((n, groups, cg * kernel[0] * kernel[1], oh * ow)).transpose((0, 1, 3, 2))
    parts = xp.matmul(g.reshape((n, groups, o // groups, oh * ow)), cols)
    return parts.sum(axis=0).reshape((o, cg, *kernel))


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
