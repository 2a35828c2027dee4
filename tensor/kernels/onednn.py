"""Convolutions by oneDNN on arrays (n, h, w, c), float32, C-contiguous, of fixed shape and place.

Each class is one operation of a captured plan: made once for its arrays, `load` takes the weights (and must
be called again when they change), `run()` computes into the output array. Weights have the shape
(o, c / groups, kh, kw) of the eager operation and are repacked by `load` into the layout that the kernel
wants. `relu=True` gives 0 for NaN, unlike the eager relu: see ConvForward.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.kernels.calls import chain
from armour.tensor.kernels.numpy_kernels import Margins, Pair
from armour.tensor.kernels.onednn_library import available as available
from armour.tensor.kernels.onednn_library import limit_threads as limit_threads
from armour.tensor.kernels.onednn_library import one_thread as one_thread
from armour.tensor.kernels.onednn_library import why_not as why_not
from armour.tensor.kernels.onednn_primitive import (
    BIAS,
    DIFF_BIAS,
    DIFF_DST,
    DIFF_SRC,
    DIFF_WEIGHTS,
    DST,
    POST_OP,
    SRC,
    SRC_1,
    WEIGHTS,
    Attributes,
    Handle,
    Memory,
    Primitive,
    Shape,
    aligned,
    alike,
    check,
    check_like,
    describe_operation,
    dims,
    free,
    nhwc,
    plain,
    reorder,
    wanted,
)  # fmt: skip

FORWARD, INFERENCE, DIRECT = 64, 96, 1
WASTE = 10  # lines of so many windows are still faster as matrices, see _way


class _Window:
    """Checked geometry of x (n, h, w, c), w (o, c / groups, kh, kw) and y (n, oh, ow, o)."""

    def __init__(
        self, x: Shape, w: Shape, y: Shape, stride: Pair, padding: Margins, dilation: Pair, groups: int
    ) -> None:
        o, cg, *kernel = w
        sizes = [
            (x[1 + i] + sum(padding[i]) - dilation[i] * (kernel[i] - 1) - 1) // stride[i] + 1 for i in (0, 1)
        ]
        if x[3] != cg * groups or o % groups or y != (x[0], *sizes, o):
            raise InvalidArgument(
                f"expected x (n, h, w, c), w (o, c / groups, kh, kw), y (n, oh, ow, o) of one convolution, "
                f"got {x}, {w} and {y} for stride {stride}, padding {padding}, dilation {dilation}, "
                f"groups {groups}"
            )
        self.x, self.w, self.y = x, w, y
        self.grouped: Shape = w if groups == 1 else (groups, o // groups, *w[1:])
        # A window may end before the margin does; oneDNN then computes the same size from it.
        self.numbers = (
            dims(stride), dims([d - 1 for d in dilation]),
            dims([p[0] for p in padding]), dims([p[1] for p in padding]),
        )  # fmt: skip

    def forward(self, x: Handle, y: Handle, bias: Handle | None, attributes: Attributes, prop: int) -> Handle:
        """The forward operation with any layout of the weights; the others want it as a hint."""
        return describe_operation(
            "convolution_forward",
            prop,
            DIRECT,
            x,
            free(self.grouped),
            bias,
            y,
            *self.numbers,
            attributes.handle,
        )


class _Weights:
    """Weights in the layout a primitive wants, filled from arrays in the eager layout."""

    def __init__(self, shape: Shape, grouped: Shape, want: int, owner: Handle) -> None:
        self.shape, self.owner = shape, owner
        self.packed = Memory(want)
        self.source = Memory(plain(grouped), aligned(grouped))
        self.pack = reorder(self.source, self.packed)

    def load(self, w: np.ndarray) -> None:
        """Repack w; its values are copied."""
        if w.shape != self.shape:
            raise InvalidArgument(f"expected weights of shape {self.shape}, got {w.shape}")
        self.source.array[...] = w.reshape(self.source.array.shape)
        self.pack.run()


class ConvForward:
    """out[...] = relu(conv(x, w) + b + residual); bias, residual and relu are optional and cost no pass.

    x: (n, h, w, c). out: (n, oh, ow, o). padding: ((top, bottom), (left, right)) zeros. add: False, True (the
    residual is what `out` holds before the call), or an array like `out`. NaN: where the sum before relu is
    NaN, oneDNN's relu gives 0. A caller that must see NaN uses relu=False and a relu of its own, or makes
    sure that inputs are finite and too small to overflow. implementation: oneDNN's name for the kernel;
    "ref..." is a slow one.
    """

    def __init__(
        self,
        x: np.ndarray,
        w_shape: Shape,
        out: np.ndarray,
        stride: Pair = (1, 1),
        padding: Margins = ((0, 0), (0, 0)),
        dilation: Pair = (1, 1),
        groups: int = 1,
        *,
        bias: bool = False,
        relu: bool = False,
        add: np.ndarray | bool = False,
    ) -> None:
        check("x", x, 4), check("out", out, 4)
        window = _Window(x.shape, w_shape, out.shape, stride, padding, dilation, groups)
        memories = {SRC: Memory(nhwc(x), x), DST: Memory(nhwc(out), out)}
        follow: Handle | bool = False
        if isinstance(add, np.ndarray):
            follow = nhwc(check_like("add", add, out))
            memories[POST_OP | SRC_1] = Memory(follow, add)
        elif add:
            follow = True
        if bias:
            memories[BIAS] = Memory(plain((w_shape[0],)), aligned((w_shape[0],)))
        operation = window.forward(
            nhwc(x), nhwc(out), plain((w_shape[0],)) if bias else None, Attributes(relu, follow), INFERENCE
        )
        self._weights = _Weights(w_shape, window.grouped, wanted(operation, WEIGHTS), operation)
        memories[WEIGHTS] = self._weights.packed
        self._primitive = Primitive(operation, memories)
        self.implementation = self._primitive.implementation
        self.run: Callable[[], Any] = self._primitive.run if out.size else _nothing

    def load(self, w: np.ndarray, b: np.ndarray | None = None) -> None:
        """Take weights (o, c / groups, kh, kw) and, if and only if bias=True, a bias (o,)."""
        memories = self._primitive.memories
        if (b is not None) != (BIAS in memories):
            raise InvalidArgument(
                f"expected {'a' if BIAS in memories else 'no'} bias, got {'one' if b is not None else 'none'}"
            )
        self._weights.load(w)
        if b is not None:
            memories[BIAS].array[...] = b

    def rebind(self, *, x: np.ndarray | None = None, out: np.ndarray | None = None) -> None:
        """Read from, write to, other arrays of the same shapes from now on."""
        for argument, name, array in ((SRC, "x", x), (DST, "out", out)):
            if array is not None:
                _rebind(self._primitive.memories[argument], name, array)


class ConvInputGrad:
    """out[...] = the gradient of conv(x, w) by x, for the gradient g of its output.

    g: (n, oh, ow, o). out: (n, h, w, c). Others as in ConvForward. way: how it is computed, see _way.
    """

    def __init__(
        self,
        g: np.ndarray,
        w_shape: Shape,
        out: np.ndarray,
        stride: Pair = (1, 1),
        padding: Margins = ((0, 0), (0, 0)),
        dilation: Pair = (1, 1),
        groups: int = 1,
        *,
        add: np.ndarray | bool = False,
    ) -> None:
        check("g", g, 4), check("out", out, 4)
        window = _Window(out.shape, w_shape, g.shape, stride, padding, dilation, groups)
        margins = _turned_margins(window, stride, padding, dilation)
        self.way = _way(window, groups, dilation) if margins else _backward(window, groups)
        o, cg, kh, kw = w_shape
        if self.way == "turned" and margins:
            turned = ConvForward(
                g, (cg * groups, o // groups, kh, kw), out, (1, 1), margins, dilation, groups, add=add
            )
            self._load: Callable[[np.ndarray], None] = lambda w: turned.load(_turned(w, groups))
            self.implementation, self.run = turned.implementation, turned.run
            return
        if self.way == "lines" and margins:
            (n, h, w, c), ow = out.shape, g.shape[2]
            add = add.reshape(n, 1, h, w * c) if isinstance(add, np.ndarray) else add
            lines = ConvForward(
                g.reshape(n, 1, g.shape[1], ow * o), (w * c, ow * o, 1, kh), out.reshape(n, 1, h, w * c),
                padding=((0, 0), margins[0]), add=add,
            )  # fmt: skip
            self._load = lambda weights: lines.load(_banded(weights, w, ow, margins[1][0]))
            self.implementation, self.run = lines.implementation, lines.run
            return
        # Added up afterwards, since oneDNN's backward operations have nothing that follows them.
        layout = nhwc(out)
        target = Memory(layout, out if add is False else aligned(out.shape))
        n, h, w, c = out.shape
        wide = free((n, c, h, w)) if self.way == "open" else layout
        hint = window.forward(wide, nhwc(g), None, Attributes(), FORWARD)
        operation = describe_operation(
            "convolution_backward_data", DIRECT, wide, free(window.grouped), nhwc(g), *window.numbers,
            hint, Attributes().handle,
        )  # fmt: skip
        weights = _Weights(w_shape, window.grouped, wanted(operation, WEIGHTS), operation)
        memories = {WEIGHTS: weights.packed, DIFF_DST: Memory(nhwc(g), g), DIFF_SRC: target}
        if not alike(wanted(operation, DIFF_SRC), target.desc):
            memories[DIFF_SRC] = Memory(wanted(operation, DIFF_SRC))
        primitive = Primitive(operation, memories)
        calls = [primitive.run]
        if memories[DIFF_SRC] is not target:
            calls.append(reorder(memories[DIFF_SRC], target).run)
        if add is not False:
            other = add if isinstance(add, np.ndarray) else out
            calls.append(partial(np.add, target.array, check_like("add", other, out), out))
        self._load = weights.load
        self.implementation = primitive.implementation
        self.run = chain(calls) if out.size else _nothing

    def load(self, w: np.ndarray) -> None:
        """Take weights (o, c / groups, kh, kw)."""
        self._load(w)


def _way(window: _Window, groups: int, dilation: Pair) -> str:
    """The fastest of four ways where the stride is 1, as measured on AVX-512 for batches of 8 and 32.

    "turned": a forward convolution by the weights turned around. "lines": the same for whole lines of the
    image taken as channels, with a band of weights in a matrix of zeros; for one channel, where a vector has
    nothing to hold, several times the arithmetic is done in less than half the time (and what is not finite
    in `g` spreads over its line). "backward": oneDNN's
    own operation on our layout. "open": the same where oneDNN may choose the layout of `out`, which for few
    channels leads to another kernel that is up to twice as fast (and mostly to our layout after all).
    """
    if window.x[3] == 1 and dilation[1] == 1 and window.y[2] <= WASTE * window.w[3]:
        return "lines"
    way = _backward(window, groups)
    return way if way == "open" else "turned"


def _backward(window: _Window, groups: int) -> str:
    c, o = window.x[3], window.y[3]
    return "open" if groups == 1 and c < 16 and (c >= 6 or o < 16) else "backward"


def _turned_margins(window: _Window, stride: Pair, padding: Margins, dilation: Pair) -> Margins | None:
    # The margins of the turned convolution, if it is one that oneDNN computes.
    spans = [dilation[i] * (window.w[2 + i] - 1) for i in (0, 1)]
    before = [spans[i] - padding[i][0] for i in (0, 1)]
    after = [window.x[1 + i] - window.y[1 + i] + spans[i] - before[i] for i in (0, 1)]
    if stride != (1, 1) or min(*before, *after) < 0:
        return None
    return (before[0], after[0]), (before[1], after[1])


def _banded(w: np.ndarray, width: int, from_width: int, before: int) -> np.ndarray:
    # (width * c, from_width * o, 1, kh): what each pixel of a line gets from each pixel of g's lines.
    o, c, kh, kw = w.shape
    taps = w.transpose(1, 0, 2, 3)[..., ::-1, ::-1]
    band = np.zeros((width, from_width, c, o, kh), np.float32)
    for b in range(kw):
        first, last = max(0, before - b), min(width, from_width + before - b)
        to = np.arange(first, max(first, last))
        band[to, to - before + b] = taps[..., b]
    return band.transpose(0, 2, 1, 3, 4).reshape(width * c, from_width * o, 1, kh)


def _turned(w: np.ndarray, groups: int) -> np.ndarray:
    o, cg, kh, kw = w.shape
    split = w.reshape(groups, o // groups, cg, kh, kw).transpose(0, 2, 1, 3, 4)[..., ::-1, ::-1]
    return split.reshape(groups * cg, o // groups, kh, kw)


class ConvWeightGrad:
    """out[...] = the gradient of conv(x, w) by w (o, c / groups, kh, kw), for the gradient g of its output.

    x: (n, h, w, c). g: (n, oh, ow, o). bias: an array (o,) that gets the bias's gradient, or None. A plan
    that takes a batch in parts can call `compute` for each part, add up `packed` (kernel's layout), and call
    `unpack` at the end instead of `run`.
    """

    def __init__(
        self,
        x: np.ndarray,
        g: np.ndarray,
        out: np.ndarray,
        stride: Pair = (1, 1),
        padding: Margins = ((0, 0), (0, 0)),
        dilation: Pair = (1, 1),
        groups: int = 1,
        *,
        bias: np.ndarray | None = None,
    ) -> None:
        check("x", x, 4), check("g", g, 4), check("out", out, 4)
        window = _Window(x.shape, out.shape, g.shape, stride, padding, dilation, groups)
        offset = None if bias is None else plain((out.shape[0],))
        hint = window.forward(nhwc(x), nhwc(g), offset, Attributes(), FORWARD)
        operation = describe_operation(
            "convolution_backward_weights", DIRECT, nhwc(x), free(window.grouped), offset, nhwc(g),
            *window.numbers, hint, Attributes().handle,
        )  # fmt: skip
        packed = Memory(wanted(operation, DIFF_WEIGHTS))
        memories = {SRC: Memory(nhwc(x), x), DIFF_DST: Memory(nhwc(g), g), DIFF_WEIGHTS: packed}
        if bias is not None:
            memories[DIFF_BIAS] = Memory(plain(out.shape[:1]), check_like("bias", bias, out[:, 0, 0, 0]))
        primitive = Primitive(operation, memories)
        self.implementation = primitive.implementation
        self.packed = packed.array
        self.compute: Callable[[], Any] = primitive.run
        self.unpack: Callable[[], Any] = reorder(packed, Memory(plain(window.grouped), out)).run
        self.run: Callable[[], Any] = chain([self.compute, self.unpack])
        if not x.size:

            def clear() -> None:
                out.fill(0)
                if bias is not None:
                    bias.fill(0)

            self.run = clear


def _rebind(memory: Memory, name: str, array: np.ndarray) -> None:
    memory.rebind(check_like(name, array, memory.array))


def _nothing() -> None:
    """For empty batches."""
