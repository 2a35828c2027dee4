"""Estimates for rows that gather, scatter, repeat, sort, accumulate and solve; see demand.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from armour.tensor.backend import Array
from armour.tensor.demand_parts import (
    CALL,
    ELEMENT,
    MULTIPLY,
    PASS,
    Demand,
    Rule,
    broadcast_size,
    one_pass,
    size_of,
    slowness,
)

SCATTER = 20  # passes that adding at positions costs, an element at a time


def _gather(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, indices = arrays
    length = x.shape[int(attrs["axis"])]
    rest = size_of(x.shape) // length if length else 0
    return one_pass(rest * indices.size + 2 * indices.size)


def _scatter(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    values, indices = arrays
    made = size_of(attrs["shape"])
    # Along the first axis, places of single elements, 64 bits each, and their rows.
    copies = 4 if attrs.get("axis") == 0 else 1
    return Demand(
        made + 4 * indices.size + copies * values.size, CALL + PASS * (made + SCATTER * values.size)
    )


def _gather_nd(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, indices = arrays
    coordinates = indices.shape[-1]
    made = indices.size // max(1, coordinates) * size_of(x.shape[coordinates:])
    return one_pass(made + 4 * indices.size)


def _scatter_update(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, values, indices = arrays
    return one_pass(x.size + 4 * indices.size, SCATTER * values.size)


def _diag_embed(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    (x,) = arrays
    return one_pass(size_of(x.shape[:-1]) * (x.shape[-1] + abs(int(attrs["offset"]))) ** 2)


def _tile(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    # An axis after the other is repeated, so that the last but one result may be there too.
    return one_pass(2 * arrays[0].size * size_of(attrs["reps"]))


def _repeat(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    return one_pass(arrays[0].size * int(attrs["repeats"]))


def _argsort(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    (x,) = arrays
    return Demand(8 * x.size, CALL + ELEMENT * x.size * math.log2(2 + x.size))


def _passes(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    # As many passes, each over some eight arrays, as the length along the axis has binary digits.
    (x,) = arrays
    passes = int(x.shape[int(attrs["axis"])]).bit_length() + 1
    return Demand(14 * x.size, passes * (10 * CALL + 2 * ELEMENT * x.size))


def _recurrence(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    b = arrays[1]
    return Demand(4 * b.size, CALL * (1 + b.shape[int(attrs["axis"])]) + ELEMENT * b.size)


def _sum_of_many(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    largest = broadcast_size([a.shape for a in arrays])
    return Demand(3 * largest, len(arrays) * (CALL + ELEMENT * largest))


def _matrices(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    # n^3 multiplications a matrix for the factors and as many for each n columns, not at full speed.
    a = arrays[0]
    n = a.shape[-1]
    columns = arrays[1].shape[-1] if len(arrays) > 1 else n
    batch = broadcast_size([v.shape[:-2] for v in arrays])
    work = 4 * MULTIPLY * slowness(arrays) * batch * n * n * (n + columns)
    return Demand(batch * n * (4 * n + 4 * columns), CALL + 2_000 * batch + work)


def _polynomials(passes: int) -> Rule:
    def rule(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
        size = arrays[0].size
        return Demand(20 * size, CALL * passes + PASS * passes * size)

    return rule


def _draw(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    size = size_of(attrs["shape"])
    return Demand(5 * size, CALL + 10 * ELEMENT * size)


RULES: dict[str, Rule] = {
    "add_along_axis": _scatter_update,
    "add_n": _sum_of_many,
    "argsort": _argsort,
    "cholesky": _matrices,
    "cumargmax": _passes,
    "cumargmin": _passes,
    "det": _matrices,
    "diag_embed": _diag_embed,
    "det_sign": _matrices,
    "draw": _draw,
    "erfc": _polynomials(120),
    "erfinv": _polynomials(700),
    "gather": _gather,
    "gather_grad": _scatter,
    "gather_nd": _gather_nd,
    "index_add": _scatter_update,
    "inv": _matrices,
    "logabsdet": _matrices,
    "recurrence": _recurrence,
    "repeat": _repeat,
    "scatter_nd": _scatter,
    "scatter_nd_add": _scatter_update,
    "scatter_update": _scatter_update,
    "solve": _matrices,
    "tile": _tile,
}
