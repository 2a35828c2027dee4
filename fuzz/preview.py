"""The contact strip of a failure: root, mutant, minimised mutant and their differences, as a PNG."""

from __future__ import annotations

import struct
import zlib

import numpy as np

_SIDE = 84  # pixels that small images are enlarged to, at least
_GAP = 4


def strip(root: np.ndarray, mutant: np.ndarray, minimised: np.ndarray, bounds: tuple[float, float]) -> bytes:
    """PNG bytes: root | mutant | mutant - root | minimised | minimised - root, each from (c, h, w) in bounds.

    Differences are grey where nothing changed, lighter where a value rose. Three channels are colours, of any
    other number the mean is shown in grey.
    """
    low, high = bounds
    span = high - low
    panels = [(root - low) / span, (mutant - low) / span, (mutant - root) / (2 * span) + 0.5]
    panels += [(minimised - low) / span, (minimised - root) / (2 * span) + 0.5]
    tiles = [_pixels(panel) for panel in panels]
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
