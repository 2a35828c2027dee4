"""Mutators of the rows of a table, whose columns a schema describes (fuzz/schema.py).

Strengths are in standard deviations of a column among the seeds, shares are of all columns. Every result is
made whole, put in range and repaired where it breaks a constraint (Table.settle).
"""

from __future__ import annotations

import math

import numpy as np

from armour.bounds import Bounds
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp

from .mutators import Param, mutator
from .table import Table
from .token_mutators import chosen_of

TABULAR = ("tabular",)
SOME = 0.2  # share of the columns that one step changes, at most: what V1 lets pass


@mutator("column-jitter", "noise", Param("sigma", 0.0, 0.4), inputs=TABULAR, needs="table")
def _jitter(x: Array, p: Array, streams: Streams, bounds: Bounds, table: Table) -> Array:
    xp = get_xp(x)
    noise = xp.asarray(streams.normal(x.shape[1:])) * xp.asarray(_numbers(table) * table.spread)
    noise = xp.where(x == xp.asarray(table.missing), xp.float32(0), noise)
    return table.settle(x, x + noise * p[0][:, None], p[0] != 0, bounds)


@mutator("column-step", "element", Param("delta", -2.0, 2.0), inputs=TABULAR, needs="table")
def _step(x: Array, p: Array, streams: Streams, bounds: Bounds, table: Table) -> Array:
    """One number goes up or down."""
    xp = get_xp(x)
    chosen = _columns(x, p[0] * 0 + 1e-6, streams, table, ("numeric", "integer"))
    out = xp.where(chosen, x + p[0][:, None] * xp.asarray(table.spread), x)
    return table.settle(x, out, p[0] != 0, bounds)


@mutator("column-round", "rounding", Param("step", 0.0, 1.0), inputs=TABULAR, needs="table")
def _round(x: Array, p: Array, streams: Streams, bounds: Bounds, table: Table) -> Array:
    """Numbers become multiples of a step."""
    xp = get_xp(x)
    size = xp.maximum(p[0], xp.float32(1e-6))[:, None] * xp.asarray(table.spread)
    able = xp.asarray(_numbers(table) > 0) & (x != xp.asarray(table.missing))
    return table.settle(x, xp.where(able, xp.rint(x / size) * size, x), p[0] != 0, bounds)


@mutator("column-unit", "unit", Param("power", -3.0, 3.0), inputs=TABULAR, needs="table")
def _unit(x: Array, p: Array, streams: Streams, bounds: Bounds, table: Table) -> Array:
    """One number is multiplied by a power of ten, as if it were given in another unit."""
    xp = get_xp(x)
    chosen = _columns(x, p[0] * 0 + 1e-6, streams, table, ("numeric", "integer"))
    factor = xp.exp2(p[0] * xp.float32(math.log2(10)))[:, None]
    return table.settle(x, xp.where(chosen, x * factor, x), p[0] != 0, bounds)


@mutator("column-missing", "missing", Param("share", 0.0, SOME), inputs=TABULAR, needs="missing")
def _missing(x: Array, p: Array, streams: Streams, bounds: Bounds, table: Table) -> Array:
    """Values become the number that stands for "not known"."""
    xp = get_xp(x)
    known = np.isfinite(table.missing)
    chosen = _columns(x, p[0], streams, table, ("numeric", "integer", "category"), known)
    return table.settle(x, xp.where(chosen, xp.asarray(np.nan_to_num(table.missing)), x), p[0] != 0, bounds)


@mutator("category-swap", "category", Param("share", 0.0, SOME), inputs=TABULAR, needs="categories")
def _swap(x: Array, p: Array, streams: Streams, bounds: Bounds, table: Table) -> Array:
    """Categories and one-hot groups change to another of their values."""
    xp = get_xp(x)
    chosen = _columns(x, p[0], streams, table, ("category", "one-hot"))
    unit = xp.asarray(streams.child(1).uniform((len(table.schema.columns),)))
    out = x.copy()
    for number, column in enumerate(table.schema.columns):
        if column.kind == "category":
            values = xp.asarray(np.array(column.values, np.float32))
            pick = xp.minimum(xp.floor(unit[:, number] * len(values)).astype(xp.int64), len(values) - 1)
            # One further where the draw hits the value that is there.
            new = values[xp.where(values[pick] == x[:, column.at], (pick + 1) % len(values), pick)]
            out[:, column.at] = xp.where(chosen[:, column.at], new, x[:, column.at])
        elif column.kind == "one-hot":
            part = slice(column.at, column.at + column.width)
            now = x[:, part].argmax(axis=1)
            further = 1 + xp.floor(unit[:, number] * (column.width - 1)).astype(xp.int64)
            pick = (now + xp.minimum(further, column.width - 1)) % column.width
            new = (xp.arange(column.width)[None] == pick[:, None]).astype(x.dtype)
            out[:, part] = xp.where(chosen[:, column.at][:, None], new, x[:, part])
    return table.settle(x, out, p[0] != 0, bounds)


@mutator("column-boundary", "extreme", Param("share", 0.0, SOME), inputs=TABULAR, needs="table")
def _boundary(x: Array, p: Array, streams: Streams, bounds: Bounds, table: Table) -> Array:
    """Numbers become their least or greatest, one more than the greatest, 0 or -0."""
    xp = get_xp(x)
    chosen = _columns(x, p[0], streams, table, ("numeric", "integer"))
    which = xp.asarray(streams.child(1).integers(5, x.shape[1:]))
    least, greatest = xp.asarray(table.ends[0]), xp.asarray(table.ends[1])
    edge = xp.where(which == 0, least, xp.where(which == 1, greatest, xp.where(which == 2, greatest + 1, 0)))
    edge = xp.where(which == 4, xp.float32(-0.0), edge)
    return table.settle(x, xp.where(chosen, edge, x), p[0] != 0, bounds)


def _numbers(table: Table) -> np.ndarray:
    """(size,) float32: 1 where a number may change by an amount."""
    return np.asarray(table.of_kind("numeric", "integer")[table.column].astype(np.float32))


def _columns(
    x: Array,
    share: Array,
    streams: Streams,
    table: Table,
    kinds: tuple[str, ...],
    known: np.ndarray | None = None,
) -> Array:
    """Bool like x: all values of columns drawn among those of these kinds, at least one if any is there."""
    xp = get_xp(x)
    able = table.of_kind(*kinds)
    if known is not None:
        able = able & known[table.starts]
    picked = chosen_of(xp.broadcast_to(xp.asarray(able)[None], (len(x), len(able))), share, streams, SOME)
    return picked[:, xp.asarray(table.column)]
