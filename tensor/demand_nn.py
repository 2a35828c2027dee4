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


RULES: dict[str, Rule] = {
    "overlap_add": _overlap,
    "sliding_windows": _sliding,
}
