"""Plan kernel for input gradients of convolutions with few channels, by whole lines of the image."""

from __future__ import annotations

from functools import partial

from armour.tensor.kernels.line_kernels import CHUNK, line_matrix, pays, touched
from armour.tensor.layout import Layout, kernel
from armour.tensor.lower_basic import mask_blocks
from armour.tensor.program import Step


@kernel("conv_input_grad")
def conv_input_grad_by_lines(layout: Layout, step: Step) -> bool:
    """As kernels/line_kernels.py, with the matrix made when weights are loaded; then the sum and the mask."""
    g, w, *more = step.inputs
    attrs, size, padding = step.attrs, step.attrs["size"], step.attrs["padding"]
    plain = attrs["groups"] == 1 and attrs["stride"] == attrs["dilation"] == (1, 1)
    if not plain or not all((*step.out.shape, *g.shape)) or not layout.fixed(w):
        return False
    if any(v.dtype != g.dtype for v in step.inputs) or not pays(g.shape, w.shape, size, padding):
        return False
    xp, get = layout.xp, layout.weight(w)
    (n, o, oh, ow), (c, kh), (h, width) = g.shape, w.shape[1:3], size
    source = layout.rows(g).reshape((n * oh, ow * o))
    other = layout.rows(more[0]).reshape((-1,)) if attrs["add"] else None
    mask = layout.rows(more[-1]).reshape((-1,)) if attrs["mask"] else None
    out = layout.make_rows(step.out).reshape((n, h, width * c))
    matrix = layout.own((ow * o, kh * width * c), w.dtype)
    layout.on_load(lambda: xp.copyto(matrix, line_matrix(xp, get(), ow, width, padding[1])))
    chunk = max(1, min(n, CHUNK // (oh * matrix.shape[1] * matrix.dtype.itemsize)))
    held = layout.scratch((chunk * oh, matrix.shape[1]), g.dtype)
    for start in range(0, n, chunk):
        m = min(chunk, n - start)
        part = held[: m * oh]
        layout.emit(partial(xp.matmul, source[start * oh : (start + m) * oh], matrix, out=part))
        lines, target = part.reshape((m, oh, kh, width * c)), out[start : start + m]
        layout.emit(partial(target.fill, 0))
        for i in range(kh):
            low, high = touched(i, oh, h, padding[0])
            if low < high:
                seen = target[:, low + i - padding[0] : high + i - padding[0]]
                layout.emit(partial(xp.add, seen, lines[:, low:high, i], seen))
        flat, where = target.reshape((-1,)), slice(start * h * width * c, (start + m) * h * width * c)
        if other is not None:
            layout.emit(partial(xp.add, flat, other[where], flat))
        if mask is not None:
            mask_blocks(layout, flat, mask[where], flat)
    return True
