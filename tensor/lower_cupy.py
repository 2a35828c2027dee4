"""Plan kernels on a CUDA device: columns and cuBLAS products, and what follows them in one pass."""

from __future__ import annotations

from functools import partial
from typing import Any

from armour.tensor.backend import Array
from armour.tensor.kernels import cupy_source as source
from armour.tensor.kernels.cupy_kernels import bound, flat_strides
from armour.tensor.kernels.numpy_kernels import DEVICE_CHUNK
from armour.tensor.layout import Layout, kernel
from armour.tensor.lower_basic import over
from armour.tensor.program import Step, Value


def _fits(step: Step) -> bool:
    values = [v for v in (*step.inputs, *step.outs) if v.dtype.kind == "f"]
    return all(v.dtype == values[0].dtype and all(v.shape) for v in values) and values[0].dtype.itemsize >= 4


def _geometry(image: Any, size: Any, window: Any, attrs: dict[str, Any]) -> list[int]:
    """The numbers of source.GEOMETRY for an image (n, c, h, w) and an output (oh, ow)."""
    c, h, w = image.shape[1:]
    padding, dilation = attrs.get("padding", (0, 0)), attrs.get("dilation", (1, 1))
    return [h, w, c, *size, *window, *attrs["stride"], *padding, *dilation]


def _columns(layout: Layout, x: Value, size: Any, window: Any, attrs: dict[str, Any]) -> Any:
    """For chunks of samples: emits what fills their columns, then gives the first sample and the columns."""
    found = flat_strides(layout.array(x))
    if found is None:
        rows = layout.rows(x)
        n, h, w, c = rows.shape
        found = rows.reshape((-1,)), (h * w * c, w * c, c, 1)
    flat, steps = found
    n, c = x.shape[:2]
    pixels, width = size[0] * size[1], window[0] * window[1] * c
    chunk = max(1, min(n, DEVICE_CHUNK // (pixels * width * x.dtype.itemsize)))
    held = layout.scratch((chunk * pixels, width), x.dtype)
    numbers = _geometry(x, size, window, attrs)
    for start in range(0, n, chunk):
        part = held[: min(chunk, n - start) * pixels]
        images = flat[start * steps[0] :]
        layout.emit(bound(layout.xp, source.IM2COL, images, *steps, *numbers, part, size=part.size))
        yield start, part


def after(layout: Layout, flat: Array, bias: Array | None, shortcut: Array | None, relu: bool) -> None:
    """Emit flat = relu(flat + bias + shortcut), as far as they are wanted."""
    if bias is None and shortcut is None and not relu:
        return
    made = source.epilogue(bias is not None, shortcut is not None, relu)
    given = [] if bias is None else [bias, bias.shape[0]]
    given += [] if shortcut is None else [shortcut]
    layout.emit(bound(layout.xp, made, *given, flat, size=flat.size))


@kernel("conv", family="cupy")
def conv(layout: Layout, step: Step) -> bool:
    """Columns times taps, then bias, shortcut and relu in one pass."""
    x, w, *more = step.inputs
    attrs = step.attrs
    if attrs["groups"] != 1 or not _fits(step) or not layout.fixed(w):
        return False
    bias = layout.array(more[0]) if attrs["bias"] else None
    shortcut = layout.rows(more[-1]) if attrs["residual"] else None
    get, (o, c, kh, kw) = layout.weight(w), w.shape
    taps = layout.own((kh * kw * c, o), w.dtype)
    layout.on_load(lambda: taps.reshape((kh, kw, c, o)).__setitem__(..., get().transpose((2, 3, 1, 0))))
    out = layout.make_rows(step.out)
    size = step.out.shape[2:]
    rows = out.reshape((-1, o))
    for start, part in _columns(layout, x, size, (kh, kw), attrs):
        first = start * size[0] * size[1]
        layout.emit(partial(layout.xp.matmul, part, taps, out=rows[first : first + part.shape[0]]))
    after(layout, out.reshape((-1,)), bias, shortcut, attrs["relu"])
    return True


@kernel("conv_input_grad", family="cupy")
def conv_input_grad(layout: Layout, step: Step) -> bool:
    """g times taps gives columns; each element of the image sums those it is in, adds and masks."""
    g, w, *more = step.inputs
    attrs = step.attrs
    if attrs["groups"] != 1 or not _fits(step) or not layout.fixed(w):
        return False
    get, (o, c, kh, kw) = layout.weight(w), w.shape
    taps = layout.own((o, kh * kw * c), w.dtype)
    layout.on_load(lambda: taps.reshape((o, kh, kw, c)).__setitem__(..., get().transpose((0, 2, 3, 1))))
    rows = layout.rows(g).reshape((-1, o))
    others = [layout.rows(v) for v in more]
    out = layout.make_rows(step.out)
    n, pixels = g.shape[0], g.shape[2] * g.shape[3]
    chunk = max(1, min(n, DEVICE_CHUNK // (pixels * taps.shape[1] * g.dtype.itemsize)))
    held = layout.scratch((chunk * pixels, taps.shape[1]), g.dtype)
    made = source.col2im(attrs["add"], attrs["mask"])
    numbers = _geometry(step.out, g.shape[2:], (kh, kw), attrs)
    for start in range(0, n, chunk):
        m = min(chunk, n - start)
        part = held[: m * pixels]
        layout.emit(partial(layout.xp.matmul, rows[start * pixels : (start + m) * pixels], taps, out=part))
        target = out[start : start + m]
        given = [a[start : start + m] for a in others]
        layout.emit(bound(layout.xp, made, part, *given, *numbers, target, size=target.size))
    return True


@kernel("conv2d_weight_grad", family="cupy")
def conv_weight_grad(layout: Layout, step: Step) -> bool:
    """Columns transposed times g, chunk by chunk."""
    x, g = step.inputs
    attrs = step.attrs
    if attrs["groups"] != 1 or not _fits(step):
        return False
    xp, (kh, kw), (o, size, c) = layout.xp, attrs["kernel"], (g.shape[1], g.shape[2:], x.shape[1])
    rows = layout.rows(g).reshape((-1, o))
    total = layout.scratch((kh * kw * c, o), x.dtype)
    held = layout.scratch(total.shape, x.dtype)
    out = layout.make(step.out, last=False)
    for start, part in _columns(layout, x, size, (kh, kw), attrs):
        first = start * size[0] * size[1]
        target = held if start else total
        layout.emit(partial(xp.matmul, part.T, rows[first : first + part.shape[0]], out=target))
        if start:
            layout.emit(partial(xp.add, total, held, total))
    layout.copy(out.transpose((2, 3, 1, 0)), total.reshape((kh, kw, c, o)))
    return True


@kernel("linear", "linear_relu", family="cupy")
def linear(layout: Layout, step: Step) -> bool:
    """x @ w.T, then bias and relu in one pass."""
    x, w, *bias = step.inputs
    if not _fits(step) or len(x.shape) != 2:
        return False
    given = layout.array(bias[0]) if bias else None
    out = layout.make(step.out, last=False)
    layout.emit(partial(layout.xp.matmul, layout.array(x), layout.array(w).T, out=out))
    after(layout, out.reshape((-1,)), given, None, bool(step.attrs.get("relu")))
    return True


@kernel("chain", "relu", "relu_grad", family="cupy")
def chain(layout: Layout, step: Step) -> bool:
    """All rows of the chain in one pass."""
    if not _fits(step):
        return False
    ops = step.attrs.get("ops") or ((step.row.name, tuple(range(len(step.inputs)))),)
    shape = step.out.shape
    wide = [v for v in step.inputs if v.shape == shape]
    if not wide or layout.flat(wide) is None or any(v not in wide and _size(v) != 1 for v in step.inputs):
        return False
    single = tuple(v.shape != shape for v in step.inputs)
    turned = not layout.array(wide[0]).flags.c_contiguous
    if over(layout, step) is None:
        layout.make(step.out, last=turned)
    flat = layout.flat([*wide, step.out])
    if flat is None:
        return False
    known = {id(v): a for v, a in zip([*wide, step.out], flat, strict=True)}
    given = [known[id(v)] if id(v) in known else layout.array(v).reshape((-1,)) for v in step.inputs]
    made = source.chain(ops, single)
    layout.emit(bound(layout.xp, made, *given, flat[-1], size=flat[-1].size))
    return True


def _size(value: Value) -> int:
    size = 1
    for d in value.shape:
        size *= d
    return size


@kernel("max_pool2d", family="cupy")
def max_pool2d(layout: Layout, step: Step) -> bool:
    """One thread for each window."""
    (x,) = step.inputs
    if not _fits(step):
        return False
    rows, out = layout.rows(x), layout.make_rows(step.out)
    numbers = _geometry(x, step.out.shape[2:], step.attrs["kernel"], step.attrs)
    layout.emit(bound(layout.xp, source.MAX_POOL, rows, *numbers, out, size=out.size))
    return True


@kernel("max_unpool2d", family="cupy")
def max_unpool2d(layout: Layout, step: Step) -> bool:
    """One thread for each element of the image, which looks at the windows that it is in."""
    g, x, y = step.inputs
    if not _fits(step):
        return False
    given = [layout.rows(v) for v in (g, x, y)]
    out = layout.make_rows(step.out)
    numbers = _geometry(x, y.shape[2:], step.attrs["kernel"], step.attrs)
    layout.emit(bound(layout.xp, source.MAX_UNPOOL, *given, *numbers, out, size=out.size))
    return True


@kernel("cross_entropy_pair", family="cupy")
def cross_entropy_pair(layout: Layout, step: Step) -> bool:
    """One thread for each sample. A label that is no class gives NaN: looking first would wait."""
    logits, labels = step.inputs
    z = layout.array(logits)
    if not _fits(step) or labels.dtype != "int64" or not z.flags.c_contiguous:
        return False
    loss, slope = (layout.make(v, last=False) for v in step.outs)
    n, k = logits.shape
    layout.emit(bound(layout.xp, source.CROSS_ENTROPY, z, layout.array(labels), k, loss, slope, size=n))
    return True
