"""Inputs drawn with characters, for a terminal."""

from __future__ import annotations

import numpy as np

_WIDE, _HIGH = 64, 40  # pixels that a picture has at most
_SMALL = 32  # pictures up to this side are drawn at twice their size
_RAMP = " .:-=+*#%@"  # dark to light
_BARS = " ▁▂▃▄▅▆▇█"
_ROWS = 8  # lines of a plot


def drawn(x: np.ndarray, bounds: tuple[float, float], *, colour: bool) -> str:
    """An input as lines of text: an image (c, h, w) as it is, all else as a plot of its values in their
    order.

    colour: two pixels to a character by 24-bit colours; otherwise one to two characters, in ten shades.
    """
    unit = np.clip((np.nan_to_num(x.astype(np.float64)) - bounds[0]) / (bounds[1] - bounds[0]), 0, 1)
    if x.ndim != 3:
        return _plot(unit.reshape(-1))
    if unit.shape[0] not in (1, 3):
        unit = unit.mean(axis=0, keepdims=True)
    pixels = _fitted(unit)
    return _blocks(pixels) if colour else _shades(pixels.mean(axis=0))


def _fitted(image: np.ndarray) -> np.ndarray:
    """(c, h, w) made smaller by means, or twice as large, to fit the screen; an even number of rows."""
    _, height, width = image.shape
    if max(height, width) <= _SMALL and 2 * height <= _HIGH + 24:
        image = image.repeat(2, axis=1).repeat(2, axis=2)
    else:
        times = max(1, -(-width // _WIDE), -(-height // _HIGH))
        rows, columns = np.arange(0, height, times), np.arange(0, width, times)
        image = np.add.reduceat(np.add.reduceat(image, rows, axis=1), columns, axis=2)
        counts = np.diff([*rows, height])[:, None] * np.diff([*columns, width])
        image = image / counts
    return np.pad(image, ((0, 0), (0, image.shape[1] % 2), (0, 0)))


def _blocks(pixels: np.ndarray) -> str:
    """An upper half block for two pixels, one in its colour and one in the background's."""
    levels = np.rint(np.broadcast_to(pixels, (3, *pixels.shape[1:])) * 255).astype(int)
    lines = []
    for row in range(0, levels.shape[1], 2):
        upper, lower = levels[:, row].T.tolist(), levels[:, row + 1].T.tolist()
        cells = [
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m▀"
            for a, b in zip(upper, lower, strict=True)
        ]
        lines.append("".join(cells) + "\x1b[0m")
    return "\n".join(lines)


def _shades(pixels: np.ndarray) -> str:
    """One character for the mean of two pixels, one above the other."""
    pairs = (pixels[::2] + pixels[1::2]) / 2
    places = np.minimum((pairs * len(_RAMP)).astype(int), len(_RAMP) - 1)
    return "\n".join("".join(_RAMP[place] for place in row).rstrip() for row in places.tolist())


def _plot(values: np.ndarray) -> str:
    """The values from left to right as bars; where a column stands for many, their mean."""
    columns = min(len(values), _WIDE)
    starts = np.arange(columns) * len(values) // columns
    heights = np.add.reduceat(values, starts) / np.diff([*starts, len(values)])
    eighths = np.rint(heights * _ROWS * 8).astype(int)
    lines = []
    for row in range(_ROWS - 1, -1, -1):
        filled = np.clip(eighths - row * 8, 0, 8).tolist()
        lines.append("".join(_BARS[part] for part in filled).rstrip())
    return "\n".join(lines)
