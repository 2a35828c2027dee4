"""Plan kernels for convolution, its input gradient and its weight gradient, by an array namespace alone."""

from __future__ import annotations

from functools import partial
from typing import Any

from armour.tensor import lower_lines  # noqa: F401  (filed before the kernels here, so tried first)
from armour.tensor.backend import Array
from armour.tensor.correlate import columns, correlation
from armour.tensor.kernels.numpy_kernels import block_size, phases
from armour.tensor.layout import Layout, kernel
from armour.tensor.lower_basic import RUN, against_run, apply_mask, apply_relu, bias_run
from armour.tensor.program import Step

Taps = Any


@kernel("conv")
def conv(layout: Layout, step: Step) -> bool:
    """Correlation, then bias, shortcut and relu on each part of the output while it is in the cache."""
    x, w, *more = step.inputs
    attrs = step.attrs
    if attrs["groups"] != 1 or not all(step.out.shape) or any(v.dtype != x.dtype for v in step.inputs):
        return False
    bias = more[0] if attrs["bias"] else None
    if not layout.fixed(w) or (bias is not None and not layout.fixed(bias)) or not x.shape[1]:
        return False
    shortcut = layout.rows(more[-1]) if attrs["residual"] else None
    get = layout.weight(w)
    source = layout.array(x).transpose((0, 2, 3, 1))
    out = layout.make_rows(step.out)
    pixels, o = out.reshape((-1, out.shape[3])), out.shape[3]
    run = None if bias is None else bias_run(layout, bias, max(1, min(RUN // o, len(pixels))))

    def after(rows: slice) -> None:
        part = pixels[rows].reshape((-1,))
        if run is not None:
            against_run(layout, "add", part, run, part)
        if shortcut is not None:
            other = shortcut.reshape((-1, o))[rows].reshape((-1,))
            layout.emit(partial(layout.xp.add, part, other, part))
        if attrs["relu"]:
            apply_relu(layout, part)

    (ph, pw) = attrs["padding"]
    correlation(
        layout, source, lambda: get().transpose((2, 3, 1, 0)), (w.shape[2], w.shape[3]), out, attrs["stride"],
        ((ph, ph), (pw, pw)), attrs["dilation"], after,
    )  # fmt: skip
    return True


@kernel("conv_input_grad")
def conv_input_grad(layout: Layout, step: Step) -> bool:
    """Correlations of g with turned taps, one for each phase of the stride; then the sum and the mask."""
    g, w, *more = step.inputs
    attrs = step.attrs
    stride, dilation = attrs["stride"], attrs["dilation"]
    if attrs["groups"] != 1 or not all(step.out.shape) or not g.shape[1] or not layout.fixed(w):
        return False
    if any(v.dtype != g.dtype for v in step.inputs) or (stride != (1, 1) and dilation != (1, 1)):
        return False
    get, c = layout.weight(w), w.shape[1]
    source = layout.array(g).transpose((0, 2, 3, 1))
    other = layout.rows(more[0]) if attrs["add"] else None
    mask = layout.rows(more[-1]) if attrs["mask"] else None
    out = layout.make_rows(step.out)
    pixels = out.reshape((-1, c))

    def after(rows: slice) -> None:
        part = pixels[rows].reshape((-1,))
        if other is not None:
            layout.emit(partial(layout.xp.add, part, other.reshape((-1, c))[rows].reshape((-1,)), part))
        if mask is not None:
            apply_mask(layout, part, mask.reshape((-1, c))[rows].reshape((-1,)))

    found = phases(
        attrs["size"], (g.shape[2], g.shape[3]), (w.shape[2], w.shape[3]), stride, attrs["padding"], dilation
    )
    if stride == (1, 1):
        (phase,) = found
        correlation(
            layout, phase.inside(source), _turned(get, phase), phase.kernel, out, (1, 1), phase.margins,
            dilation, after,
        )  # fmt: skip
        return True
    if len(found) < stride[0] * stride[1]:
        layout.emit(partial(out.fill, 0))
    for phase in found:
        target = out[:, phase.top :: stride[0], phase.left :: stride[1]]
        part = layout.scratch(target.shape, out.dtype)
        correlation(
            layout,
            phase.inside(source),
            _turned(get, phase),
            phase.kernel,
            part,
            (1, 1),
            phase.margins,
            (1, 1),
        )
        layout.copy(target, part)
    after(slice(0, pixels.shape[0]))
    return True


def _turned(get: Any, phase: Any) -> Any:
    """The taps of a phase turned around, as (kh, kw, o, c)."""

    def taps() -> Array:
        some = get().transpose((2, 3, 0, 1))[phase.rows, phase.columns]
        return some[::-1, ::-1]

    return taps


@kernel("conv2d_weight_grad")
def conv_weight_grad(layout: Layout, step: Step) -> bool:
    """Columns transposed times g, chunk by chunk."""
    x, g = step.inputs
    attrs = step.attrs
    n, o, oh, ow = g.shape
    (kh, kw), c, sw = attrs["kernel"], x.shape[1], attrs["stride"][1]
    if attrs["groups"] != 1 or not all((*g.shape, *x.shape)) or x.dtype != g.dtype:
        return False
    xp = layout.xp
    block = block_size(n * oh, ow, (kh, kw), sw, attrs["dilation"][1], c, o, 1)
    span = (block - 1) * sw + kw
    rows = layout.rows(g).reshape((n * oh * ow // block, block * o))
    total = layout.scratch((kh * span * c, block * o), x.dtype)
    part = layout.scratch(total.shape, x.dtype)
    out = layout.make(step.out, last=False)
    ph, pw = attrs["padding"]
    source = layout.array(x).transpose((0, 2, 3, 1))
    pieces = columns(
        layout, source, (kh, kw), (oh, ow), attrs["stride"], ((ph, ph), (pw, pw)), attrs["dilation"], block
    )
    for first, piece in pieces:
        target = part if first else total
        layout.emit(partial(xp.matmul, piece.T, rows[first : first + piece.shape[0]], out=target))
        if first:
            layout.emit(partial(xp.add, total, part, total))
    # Each pixel of a block saw its own part of the block's window.
    wide = total.reshape((kh, span, c, block, o))
    result = out.transpose((2, 3, 1, 0))
    layout.copy(result, wide[:, :kw, :, 0])
    for i in range(1, block):
        layout.emit(partial(xp.add, result, wide[:, i * sw : i * sw + kw, :, i], result))
    return True
