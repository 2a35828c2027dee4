"""Convolution by an array namespace's own operations: the reference kernels, for NumPy and CuPy.

Arrays have the shapes of NCHW, but what these functions return lies in memory as NHWC (a transposed view), because
then a window is a few long runs and one matrix product makes the output. Any memory order is accepted. Columns are
built for a few samples at a time, so that they stay in the cache between being written and being multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator

from armour.tensor.backend import Array, Namespace, strided

Pair = tuple[int, int]

# Columns of one chunk, in bytes: half an L2 cache on the host, much more on a device, which wants large products.
HOST_CHUNK, DEVICE_CHUNK = 512 * 1024, 256 * 1024 * 1024
# Up to this many input channels planes are used instead: runs of a window row would be too short.
FEW = 3


def out_size(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    """Length of a convolution's output along one axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def conv2d(
    xp: Namespace,
    x: Array,
    w: Array,
    b: Array | None,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Array:
    """x (n, c, h, w), w (o, c / groups, kh, kw), b (o,) or None -> (n, o, oh, ow)."""
    (o, cg, kh, kw), simple = w.shape, groups == 1 and stride == dilation == (1, 1)
    if simple and cg <= FEW and kh * kw > 1 and x.shape[0]:
        return _planes_forward(xp, x, w, b, padding)
    taps = w.reshape((groups, o // groups, cg, kh, kw)).transpose((0, 3, 4, 2, 1))
    return _correlate(xp, x, taps.reshape((groups, kh * kw * cg, o // groups)), b, (kh, kw), stride, padding, dilation)


def conv2d_input_grad(
    xp: Namespace, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """g (n, o, oh, ow), w (o, c / groups, kh, kw) -> (n, c, *size)."""
    o, cg, kh, kw = w.shape
    outer = (dilation[0] * (kh - 1) - padding[0], dilation[1] * (kw - 1) - padding[1])
    if groups == 1 and cg <= FEW and kh * kw > 1 and stride == dilation == (1, 1) and g.shape[0]:
        return _planes_input_grad(xp, g, w, size, padding)
    if stride == (1, 1) and min(outer) >= 0:
        # Every input element is seen through every tap: a convolution of g with the kernel turned around.
        taps = w.reshape((groups, o // groups, cg, kh, kw)).transpose((0, 3, 4, 1, 2))[:, ::-1, ::-1]
        taps = taps.reshape((groups, kh * kw * (o // groups), cg))
        return _correlate(xp, g, taps, None, (kh, kw), stride, outer, dilation)
    return _spread(xp, g, w, size, stride, padding, dilation, groups)


def conv2d_weight_grad(
    xp: Namespace, x: Array, g: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """x (n, c, h, w), g (n, o, oh, ow) -> (o, c / groups, *kernel)."""
    n, o, oh, ow = g.shape
    cg, og, (kh, kw) = x.shape[1] // groups, o // groups, kernel
    rows = xp.ascontiguousarray(g.transpose((0, 2, 3, 1))).reshape((n * oh * ow, groups, og)).transpose((1, 0, 2))
    total = xp.zeros((groups, kh * kw * cg, og), x.dtype)
    size = (oh, ow)
    for start, columns in _columns(xp, x.transpose((0, 2, 3, 1)), kernel, size, stride, padding, dilation, groups):
        total += xp.matmul(columns.transpose((0, 2, 1)), rows[:, start : start + columns.shape[1]])
    return total.reshape((groups, kh, kw, cg, og)).transpose((0, 4, 3, 1, 2)).reshape((o, cg, kh, kw))


def _correlate(
    xp: Namespace,
    x: Array,
    taps: Array,
    b: Array | None,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Array:
    # taps: (groups, kh * kw * channels of a group, outputs of a group), rows ordered like a window in NHWC.
    n, _, h, w = x.shape
    groups, _, og = taps.shape
    oh = out_size(h, kernel[0], stride[0], padding[0], dilation[0])
    ow = out_size(w, kernel[1], stride[1], padding[1], dilation[1])
    out = xp.empty((n * oh * ow, groups * og), x.dtype)
    row = None if b is None else xp.tile(b, ow)
    for start, columns in _columns(
        xp, x.transpose((0, 2, 3, 1)), kernel, (oh, ow), stride, padding, dilation, groups
    ):
        part = out[start : start + columns.shape[1]]
        if groups == 1:
            xp.matmul(columns[0], taps[0], out=part)
        else:
            part[...] = xp.matmul(columns, taps).transpose((1, 0, 2)).reshape(part.shape)
        if row is not None:
            part = part.reshape((-1, row.shape[0]))
            part += row
    return out.reshape((n, oh, ow, groups * og)).transpose((0, 3, 1, 2))


def _columns(
    xp: Namespace,
    x: Array,
    kernel: Pair,
    size: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
    groups: int,
) -> Iterator[tuple[int, Array]]:
    # For chunks of x (n, h, w, c): the first output row and (groups, rows, kh * kw * c / groups), valid until the next.
    n, h, w, c = x.shape
    (kh, kw), (oh, ow), (sh, sw), (ph, pw), (dh, dw) = kernel, size, stride, padding, dilation
    if kernel == (1, 1) and padding == (0, 0) and groups == 1:
        rows = xp.ascontiguousarray(x[:, : sh * oh : sh, : sw * ow : sw])
        yield 0, rows.reshape((1, n * oh * ow, c))
        return
    item, cg = x.dtype.itemsize, c // groups
    chunk = _chunk(xp, n, oh * ow * kh * kw * c * item)
    contiguous = x.flags.c_contiguous
    direct = contiguous and not (ph or pw)
    hp, wp = h + 2 * ph, w + 2 * pw
    padded = x if direct else xp.zeros((chunk, hp, wp, c), x.dtype)
    columns = xp.empty((groups, chunk, oh, ow, kh, kw, cg), x.dtype)
    run = groups == 1 and dw == 1  # a window's row is then one run
    for start in range(0, n, chunk):
        m = min(chunk, n - start)
        if direct:
            source = x[start : start + m]
        else:
            source = padded[:m]
            source[:, ph : ph + h, pw : pw + w] = x[start : start + m]
        image, line, pixel = hp * wp * c * item, wp * c * item, c * item
        if run:
            view = strided(
                xp, source, (m, oh, ow, kh, kw * c), (image, line * sh, pixel * sw, line * dh, item)
            )
            columns[:, :m].reshape((m, oh, ow, kh, kw * c))[...] = view
        else:
            view = strided(
                xp,
                source,
                (groups, m, oh, ow, kh, kw, cg),
                (cg * item, image, line * sh, pixel * sw, line * dh, pixel * dw, item),
            )
            columns[:, :m] = view
        yield start * oh * ow, columns[:, :m].reshape((groups, m * oh * ow, kh * kw * cg))


def _spread(
    xp: Namespace, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    # Each output element's gradient times the kernel, added where its window lay: right for every stride.
    n, o, oh, ow = g.shape
    _, cg, kh, kw = w.shape
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    c, og = groups * cg, o // groups
    taps = w.reshape((groups, og, cg, kh, kw)).transpose((0, 1, 3, 4, 2)).reshape((groups, og, kh * kw * cg))
    rows = g.transpose((0, 2, 3, 1))
    chunk = _chunk(xp, n, oh * ow * kh * kw * c * g.dtype.itemsize)
    out = xp.zeros((n, size[0] + 2 * ph, size[1] + 2 * pw, c), g.dtype)
    for start in range(0, n, chunk):
        part = xp.ascontiguousarray(rows[start : start + chunk])
        m = part.shape[0]
        flat = part.reshape((m * oh * ow, groups, og)).transpose((1, 0, 2))
        products = xp.matmul(flat, taps).reshape((groups, m, oh, ow, kh, kw, cg))
        target = out[start : start + m].reshape((m, *out.shape[1:3], groups, cg))
        for i in range(kh):
            for j in range(kw):
                top, left = i * dh, j * dw
                lines, pixels = slice(top, top + sh * oh, sh), slice(left, left + sw * ow, sw)
                place = target[:, lines, pixels][:, :oh, :ow]
                place += products[:, :, :, :, i, j].transpose((1, 2, 3, 0, 4))
    return out[:, ph : ph + size[0], pw : pw + size[1]].transpose((0, 3, 1, 2))


def _planes_forward(xp: Namespace, x: Array, w: Array, b: Array | None, padding: Pair) -> Array:
    # Padded planes lie one behind the other, so that a tap of all pixels is one long run; the pixels of the padding
    # are computed too and thrown away.
    n, c, h, wd = x.shape
    o, _, kh, kw = w.shape
    (ph, pw), hp, wp = padding, h + 2 * padding[0], wd + 2 * padding[1]
    oh, ow = hp - kh + 1, wp - kw + 1
    item, length = x.dtype.itemsize, oh * wp
    chunk = _chunk(xp, n, c * kh * kw * length * item)
    planes = xp.zeros(chunk * c * hp * wp + kw, x.dtype)
    inner = planes[: chunk * c * hp * wp].reshape((chunk, c, hp, wp))[:, :, ph : ph + h, pw : pw + wd]
    view = strided(
        xp, planes, (chunk, c, kh, kw, length), (c * hp * wp * item, hp * wp * item, wp * item, item, item)
    )
    columns = xp.empty((chunk, c, kh, kw, length), x.dtype)
    taps = w.reshape((o, c * kh * kw)).T
    out = xp.empty((n, oh, ow, o), x.dtype)
    row = None if b is None else xp.tile(b, ow).reshape((ow, o))
    for start in range(0, n, chunk):
        m = min(chunk, n - start)
        inner[:m] = x[start : start + m]
        columns[:m] = view[:m]
        products = xp.matmul(columns[:m].reshape((m, c * kh * kw, length)).transpose((0, 2, 1)), taps)
        products = products.reshape((m, oh, wp, o))[:, :, :ow]
        if row is None:
            out[start : start + m] = products
        else:
            xp.add(products, row, out=out[start : start + m])
    return out.transpose((0, 3, 1, 2))


def _planes_input_grad(xp: Namespace, g: Array, w: Array, size: Pair, padding: Pair) -> Array:
    # The transpose of _planes_forward: each tap of the products is one long run, added to the planes at an offset.
    n, o, oh, ow = g.shape
    _, c, kh, kw = w.shape
    (ph, pw), hp, wp = padding, size[0] + 2 * padding[0], size[1] + 2 * padding[1]
    length = oh * wp
    chunk = _chunk(xp, n, c * kh * kw * length * g.dtype.itemsize)
    wide = xp.zeros((chunk, oh, wp, o), g.dtype)
    taps = w.reshape((o, c * kh * kw)).T
    planes = xp.empty((chunk, c, hp * wp + kw), g.dtype)
    out = xp.empty((n, c, *size), g.dtype)
    for start in range(0, n, chunk):
        m = min(chunk, n - start)
        wide[:m, :, :ow] = g[start : start + m].transpose((0, 2, 3, 1))
        products = xp.matmul(taps, wide[:m].reshape((m, length, o)).transpose((0, 2, 1)))
        products = products.reshape((m, c, kh, kw, length))
        planes[:m] = 0
        for i in range(kh):
            for j in range(kw):
                place = planes[:m, :, i * wp + j : i * wp + j + length]
                place += products[:, :, i, j]
        whole = planes[:m, :, : hp * wp].reshape((m, c, hp, wp))
        out[start : start + m] = whole[:, :, ph : ph + size[0], pw : pw + size[1]]
    return out


def _chunk(xp: Namespace, n: int, bytes_each: int) -> int:
    limit = DEVICE_CHUNK if xp.__name__ == "cupy" else HOST_CHUNK
    return max(1, min(n, limit // max(1, bytes_each)))
