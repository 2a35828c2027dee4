"""Rows of a table by number, and the sines that tell positions apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.checks import count
from armour.errors import InvalidArgument
from armour.tensor.control import stop_gradient
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import equal, where
from armour.tensor.scatter import gather


def embedding(indices: Any, weight: Any, padding_idx: int | None = None) -> Tensor:
    """Rows of weight (v, d) by `indices` (...), integers from 0 to v - 1; -> (..., d).

    padding_idx: the row at this number has no gradient from here. Raises InvalidArgument for other numbers (a
    GPU does not check).
    """
    places, table = lift([indices, weight])
    if table.ndim != 2 or places.dtype.kind not in "iu":
        raise InvalidArgument(
            f"embedding expects integer indices and weight (v, d), got {places.dtype} and {table.shape}"
        )
    rows = gather(table, places, 0)
    if padding_idx is None:
        return rows
    return where(equal(places, int(padding_idx)).expand_dims(places.ndim), stop_gradient(rows), rows)


def sinusoids(length: int, features: int) -> np.ndarray:
    """Sines and cosines of positions, (length, features) float64, in turn: sin, cos, sin, cos, ...

    Wavelengths rise from 2 pi to 10000 * 2 pi. Vaswani et al., 2017, https://arxiv.org/abs/1706.03762.
    """
    count("length", length, 0)
    pairs = (count("features", features) + 1) // 2
    angles = np.arange(length)[:, None] * 10000.0 ** (-2.0 * np.arange(pairs) / features)
    return np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(length, 2 * pairs)[:, :features]
