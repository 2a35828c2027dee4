"""How the values of an input lie: as images of channels, rows and columns, and in square cells of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def planes(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width of inputs: (c, h, w) as they are, (c, t) and (t,) with height 1.

    Inputs of other shapes are taken for one row.
    """
    if len(shape) == 3:
        return shape[0], shape[1], shape[2]
    if len(shape) == 2:
        return shape[0], 1, shape[1]
    return 1, 1, math.prod(shape)


def cells(shape: tuple[int, int, int], side: int) -> tuple[NDArray[np.int64], int]:
    """The number of the cell each of c * h * w values lies in, and how many cells there are.

    Cells have that side, but at the far edges, and belong to one channel.
    """
    c, height, width = shape
    tall, wide = -(-height // side), -(-width // side)
    channel, i, j = np.unravel_index(np.arange(c * height * width), shape)
    return (channel * tall + i // side) * wide + j // side, c * tall * wide
