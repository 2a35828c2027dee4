"""The contact strip of a failure: root, mutant, minimised mutant and their differences, as a PNG.

Images are shown as they are. What is no image is drawn as a plot of its values in memory order.
"""

from __future__ import annotations

import struct
import zlib

import numpy as np

_SIDE = 84  # pixels that small images are enlarged to, at least
_GAP = 4
_WIDTH = 252  # columns of a plot, at most


def strip(root: np.ndarray, mutant: np.ndarray, minimised: np.ndarray, bounds: tuple[float, float]) -> bytes:
    """PNG bytes: root | mutant | mutant - root | minimised | minimised - root, each from (c, h, w) in bounds.

    Differences are grey where nothing changed, lighter where a value rose. Three channels are colours, of any
    other number the mean is shown in grey. Inputs of any other shape are plots: from left to right all values
    in memory order, from the low bound at the bottom to the high one at the top; where a column stands for
    many, it reaches from the least to the greatest. No change is the middle line.
    """
    low, high = bounds
    span = high - low
    panels = [(root - low) / span, (mutant - low) / span, (mutant - root) / (2 * span) + 0.5]
    panels += [(minimised - low) / span, (minimised - root) / (2 * span) + 0.5]
    tiles = [_pixels(panel) if root.ndim == 3 else _plot(panel) for panel in panels]
    gap = np.full((tiles[0].shape[0], _GAP, tiles[0].shape[2]), 255, np.uint8)
    row = [part for tile in tiles for part in (tile, gap)][:-1]
    return _png(np.concatenate(row, axis=1))


def _pixels(image: np.ndarray) -> np.ndarray:
    if image.shape[0] not in (1, 3):
        image = image.mean(axis=0, keepdims=True)
    scaled = np.round(np.clip(np.nan_to_num(image), 0, 1) * 255).astype(np.uint8)
    pixels = scaled.transpose(1, 2, 0)
    times = max(1, _SIDE // max(pixels.shape[:2]))
    enlarged: np.ndarray = pixels.repeat(times, axis=0).repeat(times, axis=1)
    return enlarged


def _plot(values: np.ndarray) -> np.ndarray:
    """(h, w, 1) uint8: unit values in their order as a dark line or band on white, at most _WIDTH columns."""
    flat = np.clip(np.nan_to_num(values.reshape(-1).astype(np.float64)), 0, 1)
    columns = min(flat.size, _WIDTH)
    starts = np.arange(columns) * flat.size // columns
    rows = np.arange(_SIDE)[::-1, None]
    # A flat stretch is a line of one row.
    bottom = np.rint(np.minimum.reduceat(flat, starts) * (_SIDE - 1))
    top = np.rint(np.maximum.reduceat(flat, starts) * (_SIDE - 1))
    shown = np.where((rows >= bottom) & (rows <= top), 0, 255).astype(np.uint8)
    return np.asarray(shown.repeat(max(1, _SIDE // columns), axis=1)[..., None])


def _png(pixels: np.ndarray) -> bytes:
    height, width, channels = pixels.shape
    # Each row starts with its filter type: 0, none.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes(), 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    )
