"""What estimates of memory and time are made of: a Demand, prices in nanoseconds, sizes of shapes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from armour.tensor.backend import Array

MIB = 1 << 20
CALL = 10_000.0  # nanoseconds of one operation, however small
ELEMENT = 5.0  # of one element of an elementwise row
PASS = 1.0  # of one element that is read, written or copied
MULTIPLY = 0.05  # of one multiplication inside a matrix product of float32
SLOW = 20.0  # times that without BLAS: integers and float16


@dataclass(frozen=True, slots=True)
class Demand:
    """elements: of the output and the scratch memory, at most. nanoseconds: about how long it takes."""

    elements: int
    nanoseconds: float


Rule = Callable[[Sequence[Array], dict[str, Any]], Demand]  # of a row's arrays and attributes


def size_of(shape: Sequence[int]) -> int:
    """Elements of an array of that shape, as a Python number, which cannot overflow."""
    return math.prod(int(n) for n in shape)


def slowness(arrays: Sequence[Array]) -> float:
    """How many times longer a multiplication takes than one of float32."""
    slowest = 1.0
    for a in arrays:
        if a.dtype.name != "float32":
            slowest = max(slowest, 2.0 if a.dtype.name == "float64" else SLOW)
    return slowest


def broadcast_size(shapes: Sequence[tuple[int, ...]]) -> int:
    """Elements of the arrays broadcast against each other; 0 along with anything is 0."""
    axes = max((len(s) for s in shapes), default=0)
    lengths = []
    for i in range(1, axes + 1):
        found = {s[-i] for s in shapes if len(s) >= i}
        lengths.append(0 if 0 in found else max(found))
    return math.prod(lengths)


def viewed(arrays: Sequence[Array], attrs: dict[str, Any]) -> Demand:
    """A view of the first array, or a copy."""
    return Demand(arrays[0].size, CALL + PASS * arrays[0].size)


def one_pass(elements: int, read: int = 0) -> Demand:
    """An output of that many elements, each written once, after reading `read` elements."""
    return Demand(elements, CALL + PASS * (elements + read))


def matrix_product(batch: int, m: int, k: int, n: int, arrays: Sequence[Array]) -> Demand:
    """`batch` products of (m, k) and (k, n) matrices."""
    made, read = batch * m * n, batch * (m * k + k * n)
    work = MULTIPLY * slowness(arrays) * batch * m * k * n
    # Operands may have to be copied first: into one dtype, or into one run of memory.
    return Demand(2 * made + read, CALL + 200 * batch + PASS * (made + read) + work)
