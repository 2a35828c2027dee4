"""What rows of networks must compute, beyond the basic ones: see references.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def slid(x: Any, axis: int, size: int, stride: int, dilation: int) -> Any:
    """Each window copied by itself."""
    x = np.moveaxis(x, axis, 0)
    starts = range(0, len(x) - dilation * (size - 1), stride)
    windows = np.array([[x[s + dilation * k] for k in range(size)] for s in starts])
    axis %= x.ndim
    return np.moveaxis(windows, (0, 1), (axis, axis + 1))


def overlapped(g: Any, axis: int, length: int, stride: int, dilation: int) -> Any:
    """Each element of each window added at its place."""
    g = np.moveaxis(g, (axis, axis + 1), (0, 1))
    out = np.zeros((length, *g.shape[2:]))
    for s in range(g.shape[0]):
        for k in range(g.shape[1]):
            out[s * stride + k * dilation] += g[s, k]
    return np.moveaxis(out, 0, axis)


REFERENCES: dict[str, Callable[..., Any]] = {
    "overlap_add": overlapped,
    "sliding_windows": slid,
}
