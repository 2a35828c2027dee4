"""Plan kernels for means over space of arrays (n, h, w, c), alone and beside what they are the means of.

By NumPy a sample is taken as lines of several pixels that are added up by a product with a vector, a few
samples at a time, so that what is made of them is made while they are in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from armour.tensor.backend import Array
from armour.tensor.layout import Layout, kernel
from armour.tensor.lower_basic import RUN, against_run, apply_relu
from armour.tensor.lower_pool import pool_rows
from armour.tensor.passes_means import over_space
from armour.tensor.program import Step, Value
from armour.tensor.recording import channels_last

WIDTH = 64  # elements of a line, at least
BLOCK = 1 << 16  # elements that stay in the cache between two passes


def _once(layout: Layout) -> Callable[[Sequence[int], Any], Array]:
    """Memory for this step alone, the same for each block of one shape."""
    known: dict[Any, Array] = {}

    def scratch(shape: Sequence[int], dtype: Any) -> Array:
        key = tuple(shape), np.dtype(dtype).str
        if key not in known:
            known[key] = layout.scratch(shape, dtype)
        return known[key]

    return scratch


class _Sums:
    """Emits means (b, c) over space of blocks of (n, h, w, c)."""

    def __init__(self, layout: Layout, area: int, c: int, dtype: Any) -> None:
        self.layout, self.area, self.channels, self.dtype = layout, area, c, dtype
        self.scratch = _once(layout)
        self.repeats = next(k for k in range(1, area + 1) if area % k == 0 and (k * c >= WIDTH or k == area))

    def of(self, block: Array, out: Array) -> None:
        """Emit out (b, c) = the means of a contiguous block (b, h, w, c)."""
        layout, n, k, c = self.layout, block.shape[0], self.repeats, self.channels
        lines = block.reshape((n, self.area // k, k * c))
        key, share = ("shares", self.area), 1 / self.area
        shares = layout.kept(key, (1, self.area // k), self.dtype, lambda a: a.fill(share))
        if k == 1:
            layout.emit(partial(layout.xp.matmul, shares, lines, out=out.reshape((n, 1, c))))
            return
        part = self.scratch((n, 1, k * c), self.dtype)
        ones = layout.kept("ones", (1, k), self.dtype, lambda a: a.fill(1))
        layout.emit(partial(layout.xp.matmul, shares, lines, out=part))
        layout.emit(partial(layout.xp.matmul, ones, part.reshape((n, k, c)), out=out.reshape((n, 1, c))))


@kernel("mean", family="numba")
def fast_mean(layout: Layout, step: Step) -> bool:
    """One pass that only reads."""
    x = step.inputs[0]
    if not over_space(step) or x.dtype != "float32" or not channels_last(layout.array(x)):
        return False
    from armour.tensor.kernels import numba_means

    out = layout.make(step.out, last=False)
    run, _ = numba_means.activated(layout.rows(x), None, None, [out, None, None], False)
    layout.emit(run)
    return True


@kernel("mean")
def mean(layout: Layout, step: Step) -> bool:
    """A product with a vector."""
    x = step.inputs[0]
    if not over_space(step) or x.dtype.kind != "f" or not channels_last(layout.array(x)):
        return False
    _, c, h, w = x.shape
    _Sums(layout, h * w, c, np.dtype(x.dtype)).of(layout.rows(x), layout.make(step.out, last=False))
    return True


@kernel("activated", family="numba")
def fast_activated(layout: Layout, step: Step) -> bool:
    """One pass in place."""
    if any(v.dtype != "float32" for v in (*step.inputs, *step.outs)):
        return False
    from armour.tensor.kernels import numba_means

    pair, other = _parts(layout, step)
    out = _in_place(layout, step)
    run, load = numba_means.activated(out, other, pair, _means(layout, step)[:3], step.attrs["relu"])
    layout.on_load(load)
    layout.emit(run)
    return True


@kernel("activated_pooled", family="numba")
def fast_pooled(layout: Layout, step: Step) -> bool:
    """One pass over what is pooled."""
    if any(v.dtype != "float32" for v in (*step.inputs, *step.outs)):
        return False
    from armour.tensor.kernels import numba_means

    source, (pair, _) = layout.rows(step.inputs[0]), _parts(layout, step)
    out, width = layout.make_rows(step.out), step.attrs["kernel"][1]
    run, load = numba_means.activated_pooled(source, out, pair, _means(layout, step), width)
    layout.on_load(load)
    layout.emit(run)
    return True


@kernel("activated")
def activated(layout: Layout, step: Step) -> bool:
    """Block by block: sums, scale and shift, what is added, relu, sums."""
    pair, other = _parts(layout, step)
    _blocks(layout, step, _in_place(layout, step), pair, other, None)
    return True


@kernel("activated_pooled")
def activated_pooled(layout: Layout, step: Step) -> bool:
    """The same, and each block is pooled."""
    x = step.inputs[0]
    if layout.dying(x) and channels_last(layout.array(x)):
        work = layout.rows(x)
    else:
        work = layout.scratch([x.shape[i] for i in (0, 2, 3, 1)], x.dtype)
        layout.copy(work, layout.array(x).transpose((0, 2, 3, 1)))
    _blocks(layout, step, work, _parts(layout, step)[0], None, layout.make_rows(step.out))
    return True


def _blocks(
    layout: Layout, step: Step, work: Array, pair: Array | None, other: Array | None, pooled: Array | None
) -> None:
    xp, attrs, (n, h, w, c) = layout.xp, step.attrs, work.shape
    low, middle, high, top = _means(layout, step)
    before = low
    if before is None and middle is not None:
        before = layout.scratch((n, c), work.dtype)
    sums, scratch = _Sums(layout, h * w, c, work.dtype), _once(layout)
    small = None if pooled is None else _Sums(layout, pooled.shape[1] * pooled.shape[2], c, work.dtype)
    runs = [] if pair is None else [_run(layout, pair, i, h * w) for i in (0, 1)]
    samples = max(1, BLOCK // (h * w * c)) if xp is np else n
    for start in range(0, n, samples):
        rows = slice(start, min(start + samples, n))
        block = work[rows]
        flat = block.reshape((-1,))
        if before is not None:
            sums.of(block, before[rows])
        for name, run in zip(("multiply", "add"), runs, strict=False):
            against_run(layout, name, flat, run, flat)
        if other is not None:
            layout.emit(partial(xp.add, flat, other[rows].reshape((-1,)), flat))
        if attrs["relu"] if pooled is None else True:
            apply_relu(layout, flat)
        if high is not None:
            sums.of(block, high[rows])
        if pooled is not None:
            pool_rows(layout, block, pooled[rows], attrs["kernel"], attrs["stride"], scratch)
            if top is not None and small is not None:
                small.of(pooled[rows], top[rows])
    if middle is not None and before is not None and pair is not None:
        layout.emit(partial(xp.multiply, before, pair[0], middle))
        layout.emit(partial(xp.add, middle, pair[1], middle))


def _parts(layout: Layout, step: Step) -> tuple[Array | None, Array | None]:
    """Scale and shift (2, c), and what is added as (n, h, w, c)."""
    pair = layout.array(step.inputs[1]) if step.attrs["norm"] else None
    return pair, layout.rows(step.inputs[-1]) if step.attrs.get("residual") else None


def _means(layout: Layout, step: Step) -> list[Array | None]:
    """Memory for the means before, normed, after and pooled; None for those that are not wanted."""
    rest = iter(step.outs[1:])
    wanted = [step.attrs.get(key, False) for key in ("before", "normed", "after", "pooled")]
    return [layout.make(next(rest), last=False) if one else None for one in wanted]


def _in_place(layout: Layout, step: Step) -> Array:
    """The output (n, h, w, c) with the input in it, in its memory if nobody reads it any more."""
    x: Value = step.inputs[0]
    if layout.dying(x) and channels_last(layout.array(x)):
        return layout.take_over(step.out, x).transpose((0, 2, 3, 1))
    out = layout.make_rows(step.out)
    layout.copy(out, layout.array(x).transpose((0, 2, 3, 1)))
    return out


def _run(layout: Layout, pair: Array, row: int, area: int) -> Array:
    """Scale or shift written several times, kept up to date with the weights."""
    c = pair.shape[1]
    run = layout.own((max(1, min(RUN // c, area)), c), pair.dtype)

    def load() -> None:
        run[...] = pair[row]

    layout.on_load(load)
    return run.reshape((-1,))
