"""Estimates of memory and time for rows of networks beyond the basic ones; see demand.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armour.tensor.backend import Array
from armour.tensor.demand_parts import CALL, PASS, Demand, Rule, one_pass, size_of


def _sliding(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    # A view, but whoever reads it sees every window.
    (x,) = arrays
    axis, size = int(attrs["axis"]), int(attrs["size"])
    count = max(0, (x.shape[axis] - int(attrs["dilation"]) * (size - 1) - 1) // int(attrs["stride"]) + 1)
    return one_pass(x.size // max(1, x.shape[axis]) * count * size)


def _overlap(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    (g,) = arrays
    axis = int(attrs["axis"]) % (g.ndim - 1)
    others = size_of((*g.shape[:axis], *g.shape[axis + 2 :]))
    made = others * int(attrs["length"])
    return Demand(
        made + 2 * others * g.shape[axis], CALL * (1 + g.shape[axis + 1]) + PASS * (made + 2 * g.size)
    )


def _read(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, rows = arrays[:2]
    made = x.shape[0] * x.shape[1] * (rows.size // max(1, rows.shape[0]))
    return Demand(x.size + 3 * made + 8 * rows.size, CALL + PASS * (x.size + 4 * made + 10 * rows.size))


def _add_pixels(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    g, rows = arrays[:2]
    made = g.shape[0] * g.shape[1] * size_of(attrs["size"])
    return Demand(made + 6 * g.size + 8 * rows.size, CALL + PASS * (made + 20 * g.size + 10 * rows.size))


def _deviation(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x = arrays[0]  # copied if its rows are apart; then blocks of 64 Ki elements
    return Demand(x.size + x.shape[0] + (1 << 18), CALL + 4 * PASS * x.size)


RULES: dict[str, Rule] = {
    "add_pixels": _add_pixels,
    "inverse_deviation": _deviation,
    "overlap_add": _overlap,
    "read_pixels": _read,
    "sliding_windows": _sliding,
}
