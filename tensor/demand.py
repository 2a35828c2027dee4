"""What a row of the op table takes in memory and time, estimated from shapes before it runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor import demand_arrays, demand_nn, demand_samples
from armour.tensor.backend import Array
from armour.tensor.demand_parts import (
    CALL,
    ELEMENT,
    MIB,
    MULTIPLY,
    PASS,
    Demand,
    Rule,
    broadcast_size,
    matrix_product,
    one_pass,
    size_of,
    slowness,
    viewed,
)
from armour.tensor.kernels.line_kernels import pays
from armour.tensor.op import Op

# Arrays of the output's size that an elementwise row may hold at once; rows of one NumPy call hold few.
TEMPORARIES, FEW = 8, 2
LIGHT = frozenset(
    (
        *("abs", "add", "alias", "cast", "clip", "divide", "equal", "greater", "greater_equal", "leaky_relu"),
        *("less", "less_equal", "maximum", "minimum", "multiply", "negative", "not_equal", "relu", "sqrt"),
        "subtract",
    )
)


def demand(row: Op, arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    """What `row` would take on arrays of these shapes; InvalidArgument if that cannot be told."""
    try:
        rule = RULES.get(row.name)
        if rule is None:
            return _elementwise(arrays, FEW if row.name in LIGHT else TEMPORARIES)
        return rule(arrays, attrs)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise InvalidArgument(f"op {row.name} cannot take such inputs and attributes: {error}") from error


def _elementwise(arrays: Sequence[Array], temporaries: int) -> Demand:
    largest = max(broadcast_size([a.shape for a in arrays]), *(a.size for a in arrays))
    return Demand(temporaries * largest, CALL + ELEMENT * largest)


def _channels(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    # Values of each channel beside x (n, c, ...), as large as x at most when spread.
    x = arrays[0]
    channels = x.shape[1] if x.ndim > 1 else 1
    return Demand(3 * x.size + 2 * channels, CALL + ELEMENT * x.size)


def _shaped(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    # The output has the shape that the attribute states: gradients of indexing, and broadcasting.
    return one_pass(size_of(attrs["shape"]), broadcast_size([a.shape for a in arrays]))


def _broadcast_to(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    return one_pass(size_of(attrs["shape"]))  # a view, but whatever reads it sees all of it


def _pad(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    (x,) = arrays
    widths = attrs["widths"]
    sizes = [n + int(a) + int(b) for n, (a, b) in zip(x.shape, widths, strict=True)]
    if any(int(a) < 0 or int(b) < 0 for a, b in widths):
        raise ValueError("widths below 0")
    return one_pass(size_of(sizes))


def _joined(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    return one_pass(sum(a.size for a in arrays))


def _getitem(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, index = arrays[0], attrs["index"]
    parts = index if isinstance(index, tuple) else (index,)
    picked = [p for p in parts if hasattr(p, "dtype") or isinstance(p, (list, tuple))]
    if not picked:
        return viewed(arrays, attrs)
    if any(not hasattr(p, "dtype") for p in picked):
        raise ValueError("an index that is neither a number, a slice nor an array")
    # Index arrays take axes away and put their common shape there. The bound holds for any axes if the
    # smallest are taken to be those that went.
    gone = sum(p.ndim if p.dtype.kind == "b" else 1 for p in picked)
    rest = size_of(sorted(x.shape)[min(gone, x.ndim) :])
    common = broadcast_size([(p.size,) if p.dtype.kind == "b" else p.shape for p in picked])
    return one_pass(rest * common)


def _take_along_axis(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, indices = arrays
    axis = int(attrs["axis"])
    others = [[n for i, n in enumerate(a.shape) if i != axis % max(a.ndim, 1)] for a in (x, indices)]
    along = indices.shape[axis]
    return one_pass(4 * along * broadcast_size([tuple(o) for o in others]))


def _take_grad(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    return one_pass(size_of(attrs["shape"]), 20 * broadcast_size([a.shape for a in arrays]))


def _matmul(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    a, b = arrays
    if not a.ndim or not b.ndim:
        raise ValueError("a single number")
    rows = a.shape[-2] if a.ndim > 1 else 1
    columns = b.shape[-1] if b.ndim > 1 else 1
    batch = broadcast_size([a.shape[:-2], b.shape[:-2]])
    return matrix_product(batch, rows, a.shape[-1], columns, arrays)


def _linear(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, w = arrays[:2]
    if w.ndim != 2 or not x.ndim:
        raise ValueError(f"a weight of shape {w.shape}")
    return matrix_product(1, size_of(x.shape[:-1]), x.shape[-1], w.shape[0], arrays)


def _einsum(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    terms = str(attrs["subscripts"]).replace(" ", "").partition("->")[0].split(",")
    if len(terms) != len(arrays) or not all(t.isalpha() or not t for t in terms):
        raise ValueError(f"the subscripts {str(attrs['subscripts'])[:60]!r}")
    lengths: dict[str, int] = {}
    for term, a in zip(terms, arrays, strict=True):
        for letter, n in zip(term, a.shape, strict=True):
            lengths[letter] = max(lengths.get(letter, 0), n)
    work = math.prod(lengths.values())
    kept = math.prod(lengths.get(c, 1) for c in str(attrs["subscripts"]).replace(" ", "").partition("->")[2])
    # Three operands or more may be multiplied in any order, so any intermediate result may appear.
    return Demand(work if len(arrays) > 2 else 2 * kept, CALL * len(arrays) + PASS * work)


def _conv2d(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, w = arrays[:2]
    n, c, h, width = x.shape
    o, cg, kh, kw = w.shape
    (sh, sw), (ph, pw), (dh, dw) = attrs["stride"], attrs["padding"], attrs["dilation"]
    oh = max(0, (h + 2 * ph - dh * (kh - 1) - 1) // sh + 1)
    ow = max(0, (width + 2 * pw - dw * (kw - 1) - 1) // sw + 1)
    padded = c * (h + 2 * ph) * (width + 2 * pw)
    columns = c * oh * ow * kh * kw
    made = n * o * oh * ow
    work = MULTIPLY * slowness(arrays) * made * cg * kh * kw + PASS * (n * (padded + 2 * columns) + made)
    # A chunk holds one sample at least, and half a megabyte of columns at most beyond that.
    return Demand(2 * made + padded + columns + MIB, CALL + ow * 100 + work)


def _conv_input_grad(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    g, w = arrays
    n, o, oh, ow = g.shape
    _, cg, kh, kw = w.shape
    (sh, sw), (dh, dw) = attrs["stride"], attrs["dilation"]
    size = size_of(attrs["size"])
    spaced = w.size * dh * dw
    made = n * cg * int(attrs["groups"]) * size
    columns = o * size * kh * kw * dh * dw
    work = MULTIPLY * slowness(arrays) * made * o * kh * kw * dh * dw
    around = n * o * (oh + 2 * kh * dh) * (ow + 2 * kw * dw)
    calls = CALL * (1 + sh * sw)
    if pays(g.shape, w.shape, attrs["size"], attrs["padding"]):  # by lines: one large matrix instead
        columns += 2 * ow * o * kh * (ow + kw) * cg
        work = max(work, MULTIPLY * slowness(arrays) * n * oh * kh * ow * o * (ow + kw) * cg)
    return Demand(
        3 * made + columns + spaced + around + MIB, calls + work + PASS * (3 * made + n * columns + around)
    )


def _conv_weight_grad(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, g = arrays
    n, c, h, w = x.shape
    o, oh, ow = g.shape[1:]
    kernel = size_of(attrs["kernel"])
    ph, pw = attrs["padding"]
    columns = c * oh * ow * kernel
    padded = c * (h + 2 * ph) * (w + 2 * pw)
    made = o * c * kernel * max(1, ow)
    work = MULTIPLY * slowness(arrays) * n * o * columns
    return Demand(
        3 * made + columns + padded + g.size + MIB, CALL + work + PASS * (3 * made + n * (columns + padded))
    )


def _avg_pool(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, places = arrays[0], size_of(attrs["kernel"])
    made = _windows(x, attrs)  # each place of the window is a pass over the output
    return Demand(3 * made + x.size, CALL * (1 + places) + PASS * (x.size + places * made))


def _max_pool(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, places = arrays[0], sum(attrs["kernel"])
    lines = max(x.size, _windows(x, attrs))  # lines of the window first, then the pixels of the lines
    return Demand(3 * lines, CALL * (1 + places) + PASS * places * lines)


def _windows(x: Array, attrs: dict[str, Any]) -> int:
    (kh, kw), (sh, sw) = attrs["kernel"], attrs["stride"]
    n, c, h, w = x.shape
    return int(n * c * max(0, (h - kh) // sh + 1) * max(0, (w - kw) // sw + 1))


def _first_maximum(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    largest, y, places = max(a.size for a in arrays), arrays[-1].size, size_of(attrs["kernel"])
    return Demand(2 * largest + 4 * y, CALL * (1 + places) + PASS * (2 * largest + 5 * places * y))


def _unpool(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    g = arrays[0]
    made = g.shape[0] * g.shape[1] * size_of(attrs["size"])
    places = size_of(attrs["kernel"])
    return Demand(2 * made + g.size, CALL * (1 + places) + PASS * (made + places * g.size))


def _one_hot(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    return one_pass(2 * max(1, arrays[0].size) * max(1, int(attrs["classes"])))


# Rows whose output can be larger than their inputs broadcast against each other, or that take more than a
# pass over it.
RULES: dict[str, Rule] = (
    {
        "avg_pool2d": _avg_pool,
        "avg_unpool2d": _unpool,
        "batch_norm_eval": _channels,
        "batch_norm_input_grad": _channels,
        "batch_norm_sums": _channels,
        "batch_norm_train": _channels,
        "batch_statistics": _channels,
        "broadcast_to": _broadcast_to,
        "concat": _joined,
        "conv2d": _conv2d,
        "conv2d_input_grad": _conv_input_grad,
        "conv2d_weight_grad": _conv_weight_grad,
        "einsum": _einsum,
        "getitem": _getitem,
        "getitem_grad": _shaped,
        "linear": _linear,
        "matmul": _matmul,
        "max_pick2d": _first_maximum,
        "max_pool2d": _max_pool,
        "max_unpool2d": _first_maximum,
        "one_hot": _one_hot,
        "pad": _pad,
        "reshape": viewed,
        "scale_channels": _channels,
        "scale_shift": _channels,
        "stack": _joined,
        "take_along_axis": _take_along_axis,
        "take_along_axis_grad": _take_grad,
        "transpose": viewed,
    }
    | demand_samples.RULES
    | demand_arrays.RULES
)
RULES |= demand_nn.RULES
