"""Plan kernels for max pooling on (n, h, w, c), by whole lines and copies of strided pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from armour.tensor.backend import Array
from armour.tensor.kernels.numpy_kernels import Pair
from armour.tensor.layout import Layout, kernel
from armour.tensor.program import Step

PLANES = 1 << 15  # elements of an array that is pooled in few calls rather than in little memory


@kernel("max_pool2d")
def max_pool2d(layout: Layout, step: Step) -> bool:
    """Lines first, whose runs are long; then the pixels of the lines' maxima, copied together."""
    (x,) = step.inputs
    (kh, kw), (sh, sw) = step.attrs["kernel"], step.attrs["stride"]
    if not all(step.out.shape) or x.dtype.kind != "f":
        return False
    pool_rows(layout, layout.rows(x), layout.make_rows(step.out), (kh, kw), (sh, sw))
    return True


def pool_rows(
    layout: Layout,
    source: Array,
    out: Array,
    kernel: Pair,
    stride: Pair,
    scratch: Callable[[Sequence[int], Any], Array] | None = None,
) -> None:
    """Emit out (n, oh, ow, c) = the largest of each window of source (n, h, w, c).

    scratch: gives memory for a shape, the step's own by default.
    """
    take = scratch or layout.scratch
    (kh, kw), (sh, sw), xp = kernel, stride, layout.xp
    n, oh, ow, c = out.shape
    lines = source[:, : sh * (oh - 1) + 1 : sh]
    if kh > 1:
        held = take((n, oh, source.shape[2], c), source.dtype)
        for i in range(1, kh):
            other = source[:, i : i + sh * (oh - 1) + 1 : sh]
            layout.emit(partial(xp.maximum, lines if i == 1 else held, other, out=held))
        lines = held
    layout.copy(out, lines[:, :, : sw * (ow - 1) + 1 : sw])
    if kw > 1:
        pixels = take(out.shape, source.dtype)
        for j in range(1, kw):
            layout.copy(pixels, lines[:, :, j : j + sw * (ow - 1) + 1 : sw])
            layout.emit(partial(xp.maximum, out, pixels, out=out))


@kernel("max_unpool2d")
def max_unpool2d(layout: Layout, step: Step) -> bool:
    """g at the first maximum y of each window of x, if windows lie apart; the last place takes the rest."""
    g, x, y = step.inputs
    (kh, kw), (sh, sw) = step.attrs["kernel"], step.attrs["stride"]
    oh, ow = y.shape[2:]
    h, w = x.shape[2:]
    if sh < kh or sw < kw or not all(y.shape) or g.dtype != x.dtype:
        return False
    if (sh, sw) == (kh, kw) and (oh * sh, ow * sw) == (h, w) and math.prod(x.shape) <= PLANES:
        _unpool_planes(layout, step)
        return True
    xp = layout.xp
    source, top = layout.array(x).transpose((0, 2, 3, 1)), layout.rows(y)
    amounts, out = layout.rows(g), layout.make_rows(step.out)
    if (sh, sw) != (kh, kw) or (oh * sh, ow * sw) != (h, w):
        layout.emit(partial(out.fill, 0))
    free, mask = layout.scratch(top.shape, "bool"), layout.scratch(top.shape, "bool")
    work = layout.scratch(top.shape, x.dtype)
    places = [(i, j) for i in range(kh) for j in range(kw)]
    for number, (i, j) in enumerate(places):
        at = (slice(None), slice(i, i + sh * (oh - 1) + 1, sh), slice(j, j + sw * (ow - 1) + 1, sw))
        last, here = number == len(places) - 1, mask
        if number == 0:
            here = free if last else mask
            if last:
                layout.emit(partial(free.fill, True))
        if last:
            here = free
        else:
            layout.copy(work, source[at])
            layout.emit(partial(xp.equal, work, top, mask))
            if number == 0:
                layout.emit(partial(xp.logical_not, mask, free))
            else:
                layout.emit(partial(xp.logical_and, mask, free, mask))
                layout.emit(partial(xp.logical_xor, free, mask, free))
        layout.emit(partial(xp.multiply, amounts, here, work))
        layout.copy(out[at], work)
    return True


def _unpool_planes(layout: Layout, step: Step) -> None:
    """The same for small arrays: all places of the windows in one array, so that there are fewer calls."""
    g, x, y = step.inputs
    (kh, kw), (n, c, oh, ow), xp = step.attrs["kernel"], y.shape, layout.xp
    places, parts = kh * kw, (n, oh, kh, ow, kw, c)
    source, top, amounts = layout.rows(x), layout.rows(y), layout.rows(g)
    out = layout.make_rows(step.out)
    planes = layout.scratch((places, n, oh, ow, c), x.dtype)
    apart = planes.reshape((kh, kw, n, oh, ow, c)).transpose((2, 3, 0, 4, 1, 5))
    found, taken = layout.scratch(planes.shape, "bool"), layout.scratch(top.shape, "bool")
    layout.copy(apart, source.reshape(parts))
    layout.emit(partial(xp.equal, planes, top, found))
    for i in range(1, places):
        # What of the places before was the maximum; the last place takes the rest, as where there is a NaN.
        if i == 1:
            before = found[0]
        else:
            layout.emit(partial(xp.logical_or, before, found[i - 1], taken))
            before = taken
        if i < places - 1:
            layout.emit(partial(xp.greater, found[i], before, found[i]))
        else:
            layout.emit(partial(xp.logical_not, before, found[i]))
    if places == 1:
        layout.emit(partial(found.fill, True))
    layout.emit(partial(xp.multiply, found, amounts, planes))
    layout.copy(out.reshape(parts), apart)
