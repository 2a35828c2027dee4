"""What rows of networks must compute, beyond the basic ones: see references.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special


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


def standardised(x: Any, eps: float, centred: bool) -> Any:
    if centred:
        x = x - x.mean(axis=-1, keepdims=True)
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)


def standardise_grad(g: Any, y: Any, inverse: Any, centred: bool) -> Any:
    inner = g - y * (g * y).mean(axis=-1, keepdims=True)
    return inverse * (inner - g.mean(axis=-1, keepdims=True) if centred else inner)


def inverse_deviation(x: Any, eps: float, centred: bool) -> Any:
    square = (x * x).mean(axis=-1, keepdims=True)
    return 1 / np.sqrt((x.var(axis=-1, keepdims=True) if centred else square) + eps)


def read_pixels(x: Any, rows: Any, columns: Any) -> Any:
    """One pixel after another; 0 outside."""
    n, c, h, w = x.shape
    out = np.zeros((n, c, *rows.shape[1:]))
    for i, j, k in np.ndindex(*rows.shape):
        y, z = int(rows[i, j, k]), int(columns[i, j, k])
        if 0 <= y < h and 0 <= z < w:
            out[i, :, j, k] = x[i, :, y, z]
    return out


def add_pixels(g: Any, rows: Any, columns: Any, size: Any) -> Any:
    out = np.zeros((*g.shape[:2], *size))
    for i, j, k in np.ndindex(*rows.shape):
        y, z = int(rows[i, j, k]), int(columns[i, j, k])
        if 0 <= y < size[0] and 0 <= z < size[1]:
            out[i, :, y, z] += g[i, :, j, k]
    return out


def derivative(kind: str, x: Any, **attrs: Any) -> Any:
    """Of an activation, written out; a half-open bend belongs to the side that PyTorch takes."""
    s, t = scipy.special.expit(x), np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    low, high = attrs.get("low"), attrs.get("high")
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    return {
        "clip": lambda: ((x >= low) & (x <= high)) * 1.0,
        "hardtanh": lambda: ((x > low) & (x < high)) * 1.0,
        "hardsigmoid": lambda: (np.abs(x) < 3) / 6,
        "hardswish": lambda: np.where(np.abs(x) < 3, x / 3 + 0.5, x > 0),
        "leaky_relu": lambda: np.where(x > 0, 1.0, attrs["slope"]),
        "elu": lambda: np.where(x > 0, 1.0, attrs["alpha"] * np.exp(x)),
        "silu": lambda: s + x * s * (1 - s),
        "softplus": lambda: s,
        "gelu": lambda: scipy.special.ndtr(x) + x * np.exp(-x * x / 2) / np.sqrt(2 * np.pi),
        "gelu_tanh": lambda: (
            (1 + t) / 2 + x / 2 * (1 - t * t) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
        ),
    }[kind]()


# Values at which rows bend, and rows of which no example is empty: for test_op_table.
BENDS: dict[str, tuple[float, ...]] = {
    "activation_grad": (-3.0, -0.5, 0.0, 0.7, 1.0, 3.0),
    "hardtanh": (-0.5, 0.7),
    **dict.fromkeys(("hardsigmoid", "hardswish"), (-3.0, 3.0)),
}
NEVER_EMPTY: set[str] = set()

REFERENCES: dict[str, Callable[..., Any]] = {
    "activation_grad": lambda g, x, kind, **attrs: g * derivative(kind, x, **attrs),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hardtanh": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "inverse_deviation": inverse_deviation,
    "mish": lambda x: x * np.tanh(np.log1p(np.exp(x))),
    "add_pixels": add_pixels,
    "overlap_add": overlapped,
    "read_pixels": read_pixels,
    "sliding_windows": slid,
    "standardise": standardised,
    "standardise_grad": standardise_grad,
}
