"""Demand of the rows for per-sample gradients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armour.tensor.backend import Array
from armour.tensor.demand_parts import CALL, MIB, MULTIPLY, PASS, Demand, Rule, size_of, slowness


def _sizes(arrays: Sequence[Array], attrs: dict[str, Any]) -> tuple[int, int, int]:
    # (columns of one sample, its input with padding, elements of one weight gradient)
    x, g = arrays
    _, c, h, w = x.shape
    o, oh, ow = g.shape[1:]
    kernel, (ph, pw) = size_of(attrs["kernel"]), attrs["padding"]
    cg = c // int(attrs["groups"])
    return c * oh * ow * kernel, c * (h + 2 * ph) * (w + 2 * pw), o * cg * kernel


def _sample_grad(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, g = arrays
    n, ow, block = x.shape[0], g.shape[3], 1 if x.shape[1] > 2 else max(1, g.shape[3])
    columns, padded, weight = _sizes(arrays, attrs)
    # A row of several pixels makes the kernel's matrix up to twice that many times as large for a chunk.
    wide = weight * block * (1 + block * attrs["stride"][1])
    chunk = columns + padded + wide
    work = MULTIPLY * slowness(arrays) * columns * n * g.shape[1] // max(1, int(attrs["groups"])) * 2
    made = n * weight
    return Demand(
        2 * made + 2 * g.size + chunk + 4 * MIB,
        CALL * (2 + ow) + 500 * n + work + PASS * (2 * made + n * (columns + padded) + 2 * g.size),
    )


def _sample_square(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x, g = arrays
    n, groups = x.shape[0], int(attrs["groups"])
    columns, padded, _ = _sizes(arrays, attrs)
    places = g.shape[2] * g.shape[3]
    grams = places * places * groups
    fitting = max(1, min(n, MIB // max(1, columns)))  # samples of a chunk
    work = MULTIPLY * slowness(arrays) * n * places * (columns + places * g.shape[1])
    return Demand(
        3 * grams * fitting + 2 * g.size + 2 * columns + padded + 2 * MIB,
        CALL * 4 + 1000 * n * groups + work + PASS * n * (3 * grams + columns + padded),
    )


def _sum_places(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    x = arrays[0]
    # Lines of pixels are summed first, where channels lie last.
    lines = max(1, size_of(x.shape[2:3]))
    return Demand(x.size // lines + size_of(x.shape[:2]) + lines, CALL * 2 + 200 * x.shape[0] + PASS * x.size)


RULES: dict[str, Rule] = {
    "conv2d_sample_grad": _sample_grad,
    "conv2d_sample_square": _sample_square,
    "sum_places": _sum_places,
}
