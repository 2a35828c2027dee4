"""Convolution by an array namespace's own operations: the reference kernels, for NumPy and CuPy.

Arrays have the shapes of NCHW, but what these functions return lies in memory as NHWC (a transposed view),
because then a window is a few long runs and one matrix product makes the output. Any memory order is
accepted. Columns are built for a few samples at a time, so that they stay in the cache between being written
and being multiplied.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from armour.tensor.backend import Array, Namespace, strided
from armour.tensor.kernels import depthwise, line_kernels

Pair = tuple[int, int]
Margins = tuple[Pair, Pair]  # zeros above and below, left and right

# Columns of one chunk, in bytes: half an L2 cache on the host, much more on a device, which wants large
# products.
HOST_CHUNK, DEVICE_CHUNK = 512 * 1024, 256 * 1024 * 1024
# OpenBLAS multiplies without packing up to this many multiplications, which pays for narrow products.
SMALL, NARROW = 1_000_000, 32
# A bias is added to runs of up to this many elements, since every run costs a call.
LINE = 8192


def chunk_bytes(xp: Namespace) -> int:
    """Bytes of one chunk of columns."""
    return HOST_CHUNK if xp.__name__ == "numpy" else DEVICE_CHUNK


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
    o, cg, kh, kw = w.shape
    if 1 < groups == o == x.shape[1]:
        return depthwise.conv2d(xp, x, w, b, stride, padding, dilation)
    taps = w.reshape((groups, o // groups, cg, kh, kw)).transpose((0, 3, 4, 2, 1))
    return _correlate(xp, x, taps, b, stride, _both(padding), dilation)


def conv2d_input_grad(
    xp: Namespace, g: Array, w: Array, size: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """g (n, o, oh, ow), w (o, c / groups, kh, kw) -> (n, c, *size)."""
    o, cg, kh, kw = w.shape
    if not (g.size and w.size and all(n > 0 for n in size)):
        return xp.zeros((g.shape[0], groups * cg, *size), g.dtype)
    if 1 < groups == o and cg == 1:
        return depthwise.conv2d_input_grad(xp, g, w, size, stride, padding, dilation)
    plain = groups == 1 and stride == dilation == (1, 1)
    if plain and line_kernels.pays(g.shape, w.shape, size, padding):
        return line_kernels.input_grad_by_lines(xp, g, w, size, padding)
    taps = w.reshape((groups, o // groups, cg, kh, kw)).transpose((0, 3, 4, 1, 2))
    if stride != (1, 1) and dilation != (1, 1):
        spaced = (dilation[0] * (kh - 1) + 1, dilation[1] * (kw - 1) + 1)
        sparse = xp.zeros((groups, *spaced, o // groups, cg), w.dtype)
        sparse[:, :: dilation[0], :: dilation[1]] = taps
        taps, dilation = sparse, (1, 1)
    if stride != (1, 1):
        out = xp.zeros((g.shape[0], *size, groups * cg), g.dtype)
    for phase in phases(size, g.shape[2:], taps.shape[1:3], stride, padding, dilation):
        some = taps[:, phase.rows, phase.columns][:, ::-1, ::-1]
        inner = phase.inside(g.transpose((0, 2, 3, 1))).transpose((0, 3, 1, 2))
        part = _correlate(xp, inner, some, None, (1, 1), phase.margins, dilation)
        if stride == (1, 1):
            return part
        out[:, phase.top :: stride[0], phase.left :: stride[1]] = part.transpose((0, 2, 3, 1))
    return out.transpose((0, 3, 1, 2))


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of an input gradient: pixels at equal distance from the stride's grid, seen through some taps.

    top, left: its first pixel; it has every stride-th from there. rows, columns: the taps, which are turned
    around. margins: zeros around what `inside` leaves of g.
    """

    top: int
    left: int
    rows: slice
    columns: slice
    kernel: Pair
    margins: Margins
    cut: Margins

    def inside(self, g: Array) -> Array:
        """g (n, h, w, o) without what a negative margin takes away."""
        (above, below), (before, behind) = self.cut
        return g[:, above : g.shape[1] - below, before : g.shape[2] - behind]


def phases(size: Pair, grid: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> list[Phase]:
    """The parts that the input gradient (h, w) = size of a convolution with output (oh, ow) = grid has."""
    found = []
    for i in range(min(stride[0], kernel[0])):
        for j in range(min(stride[1], kernel[1])):
            taps = (len(range(i, kernel[0], stride[0])), len(range(j, kernel[1], stride[1])))
            (top, above), (left, beside) = (
                _phase(size[k], grid[k], taps[k], stride[k], padding[k], dilation[k], (i, j)[k])
                for k in (0, 1)
            )
            if top < size[0] and left < size[1]:
                margins = tuple((max(0, a), max(0, b)) for a, b in (above, beside))
                cut = tuple((max(0, -a), max(0, -b)) for a, b in (above, beside))
                rows, columns = slice(i, None, stride[0]), slice(j, None, stride[1])
                found.append(Phase(top, left, rows, columns, taps, margins, cut))  # type: ignore[arg-type]
    return found


def _phase(
    size: int, grid: int, taps: int, stride: int, padding: int, dilation: int, rest: int
) -> tuple[int, Pair]:
    # Along one axis: the first input element at distance `rest` from the stride's grid, and how many zeros g
    # needs before and after (or, if negative, loses) so that the convolution gives all such elements.
    first = (rest - padding) % stride
    count = -((first - size) // stride)
    seen = (first + padding - rest) // stride  # the last output element that the first one contributes to
    return first, (dilation * (taps - 1) - seen, seen + count - grid)


def conv2d_weight_grad(
    xp: Namespace, x: Array, g: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int
) -> Array:
    """x (n, c, h, w), g (n, o, oh, ow) -> (o, c / groups, *kernel)."""
    n, o, oh, ow = g.shape
    if 1 < groups == o == x.shape[1]:
        return depthwise.conv2d_weight_grad(xp, x, g, kernel, stride, padding, dilation)
    cg, og, (kh, kw), (sw, dw) = x.shape[1] // groups, o // groups, kernel, (stride[1], dilation[1])
    block = block_size(n * oh, ow, kernel, sw, dw, cg, og, groups)
    span = (block - 1) * sw + kw if block > 1 else kw
    rows = xp.ascontiguousarray(g.transpose((0, 2, 3, 1)))
    rows = rows.reshape((n * oh * ow // block, groups, block * og)).transpose((1, 0, 2))
    total = xp.zeros((groups, kh * span * cg, block * og), x.dtype)
    columns = _columns(
        xp, x.transpose((0, 2, 3, 1)), kernel, (oh, ow), stride, _both(padding), dilation, groups, block
    )
    for start, part in columns:
        total += xp.matmul(part.transpose((0, 2, 1)), rows[:, start : start + part.shape[1]])
    if block > 1:
        # Each pixel of a block saw its own part of the block's window.
        wide = total.reshape((kh, span, cg, block, og))
        total = wide[:, :kw, :, 0]
        for i in range(1, block):
            total = total + wide[:, i * sw : i * sw + kw, :, i]
    return total.reshape((groups, kh, kw, cg, og)).transpose((0, 4, 3, 1, 2)).reshape((o, cg, kh, kw))


def _correlate(
    xp: Namespace, x: Array, taps: Array, b: Array | None, stride: Pair, margins: Margins, dilation: Pair
) -> Array:
    # taps: (groups, kh, kw, channels of a group, outputs of a group).
    n, _, h, w = x.shape
    groups, kh, kw, cg, og = taps.shape
    oh = out_size(h + sum(margins[0]), kh, stride[0], 0, dilation[0])
    ow = out_size(w + sum(margins[1]), kw, stride[1], 0, dilation[1])
    block = block_size(n * oh, ow, (kh, kw), stride[1], dilation[1], cg, og, groups)
    if block > 1:
        matrix = wide_taps(xp, taps, block, stride[1])
    else:
        matrix = taps.reshape((groups, kh * kw * cg, og))
    out = xp.empty((n * oh * ow // block, block * groups * og), x.dtype)
    row = None
    if b is not None:
        row = xp.empty((ow * (oh if oh * ow * og <= LINE else 1), groups * og), x.dtype)
        row[...] = b
        row = row.reshape((-1,))
    columns = _columns(
        xp, x.transpose((0, 2, 3, 1)), (kh, kw), (oh, ow), stride, margins, dilation, groups, block
    )
    for start, part in columns:
        target = out[start : start + part.shape[1]]
        if groups == 1:
            _product(xp, part[0], matrix[0], target)
        else:
            target[...] = xp.matmul(part, matrix).transpose((1, 0, 2)).reshape(target.shape)
        if row is not None:
            run = row if target.size % row.shape[0] == 0 else row[: ow * groups * og]
            target = target.reshape((-1, run.shape[0]))
            target += run
    return out.reshape((n, oh, ow, groups * og)).transpose((0, 3, 1, 2))


@lru_cache(maxsize=4096)
def block_size(
    rows: int, ow: int, kernel: Pair, stride: int, dilation: int, c: int, o: int, groups: int
) -> int:
    """How many neighbouring output pixels one row of the product makes, for `rows` lines of output.

    With few channels a product is too narrow and a window's runs are too short for full speed. A window of
    several pixels then pays, although the kernel's matrix gets zeros. The choice is the cheapest by a model
    of the nanoseconds of a row: multiplications (slower where it is narrow), a call per run, the copy, and a
    share of making the matrix.
    """
    if groups > 1 or dilation > 1 or kernel == (1, 1) or c * o >= 5120:
        return 1
    best, least = 1, float("inf")
    for block in (d for d in range(1, ow + 1) if ow % d == 0):
        depth, width = kernel[0] * ((block - 1) * stride + kernel[1]) * c, block * o
        row = depth * width * (0.03 if width <= 16 else 0.024) + 10 * kernel[0] + 0.1 * depth
        cost = (row / block + depth * width / max(1, rows * ow)) * (1 + 0.03 * block)
        if cost < least:
            best, least = block, cost
    return best


def wide_taps(xp: Namespace, taps: Array, block: int, stride: int) -> Array:
    # The kernel once for each pixel of a block, each at its place in the block's window.
    _, kh, kw, c, o = taps.shape
    span = (block - 1) * stride + kw
    wide = xp.zeros((kh, span, c, block, o), taps.dtype)
    for i in range(block):
        wide[:, i * stride : i * stride + kw, :, i] = taps[0]
    return wide.reshape((1, kh * span * c, block * o))


def _product(xp: Namespace, a: Array, b: Array, out: Array) -> None:
    # out[...] = a @ b, in blocks of rows if b is narrow.
    rows, k = a.shape
    block = SMALL // max(1, k * b.shape[1]) // 16 * 16
    if b.shape[1] > NARROW or block >= rows or block < 64:
        xp.matmul(a, b, out=out)
        return
    whole = rows // block * block
    xp.matmul(a[:whole].reshape((-1, block, k)), b, out=out[:whole].reshape((-1, block, b.shape[1])))
    if whole < rows:
        xp.matmul(a[whole:], b, out=out[whole:])


def _columns(
    xp: Namespace,
    x: Array,
    kernel: Pair,
    size: Pair,
    stride: Pair,
    margins: Margins,
    dilation: Pair,
    groups: int,
    block: int,
) -> Iterator[tuple[int, Array]]:
    # For chunks of x (n, h, w, c): the first row and (groups, rows, kh * kw * c / groups), valid until the
    # next one.
    n, h, w, c = x.shape
    (kh, kw), (oh, ow), (sh, sw), ((top, below), (left, right)), (dh, dw) = (
        kernel,
        size,
        stride,
        margins,
        dilation,
    )
    if kernel == (1, 1) and margins == ((0, 0), (0, 0)) and groups == 1:
        rows = xp.ascontiguousarray(x[:, : sh * oh : sh, : sw * ow : sw])
        yield 0, rows.reshape((1, n * oh * ow, c))
        return
    item, cg = x.dtype.itemsize, c // groups
    if block > 1:
        ow, kw, sw = ow // block, (block - 1) * sw + kw, block * sw
    limit = chunk_bytes(xp)
    line_bytes = max(1, ow * kh * kw * c * item)
    chunk = max(1, min(n, limit // (line_bytes * oh)))
    # A sample whose columns are far larger than a chunk is taken in groups of output lines.
    lines = oh if line_bytes * oh <= 2 * limit else max(1, limit // line_bytes)
    direct = x.flags.c_contiguous and not (top or below or left or right)
    hp, wp = h + top + below, w + left + right
    padded = x if direct else xp.zeros((chunk, hp, wp, c), x.dtype)
    columns = xp.empty((groups, chunk, lines, ow, kh, kw, cg), x.dtype)
    image, line, pixel = hp * wp * c * item, wp * c * item, c * item
    for start in range(0, n, chunk):
        m = min(chunk, n - start)
        source = x[start : start + m] if direct else padded[:m]
        if not direct:
            source[:, top : top + h, left : left + w] = x[start : start + m]
        for first in range(0, oh, lines):
            count = min(lines, oh - first)
            part = columns[:, :m, :count]
            base = source[:, first * sh :] if first else source  # only where m is 1: contiguous
            if groups == 1 and dw == 1:  # a window's row is one run
                strides = (image, line * sh, pixel * sw, line * dh, item)
                part.reshape((m, count, ow, kh, kw * c))[...] = strided(
                    xp, base, (m, count, ow, kh, kw * c), strides
                )
            else:
                apart = (cg * item, image, line * sh, pixel * sw, line * dh, pixel * dw, item)
                part[...] = strided(xp, base, (groups, m, count, ow, kh, kw, cg), apart)
            rows = (start * oh + first) * ow
            yield rows, part.reshape((groups, m * count * ow, kh * kw * cg))


def _both(padding: Pair) -> Margins:
    return (padding[0], padding[0]), (padding[1], padding[1])
