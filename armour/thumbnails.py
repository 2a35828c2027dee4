"""Small pictures inside a report: arrays to PNG text, and the difference of two images as a picture."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armour.errors import FormatError, InvalidArgument

MAX_SIDE = 512
MAX_PNG = 400_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"

# Lowered values towards a dark blue, raised ones towards a mid orange, no change near white: the two ends
# differ in lightness as well as in hue.
_LOWERED, _SAME, _RAISED = (12.0, 44.0, 96.0), (244.0, 244.0, 242.0), (222.0, 108.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A PNG as base64 text with its size in pixels. Raises FormatError if the text is not such a PNG."""

    width: int
    height: int
    png: str

    def __post_init__(self) -> None:
        if len(self.png) > MAX_PNG:
            raise FormatError(f"expected a thumbnail of at most {MAX_PNG} characters, got {len(self.png)}")
        try:
            head = base64.b64decode(self.png, validate=True)[:24]
        except (binascii.Error, ValueError):
            raise FormatError("expected a picture as base64 text, got something else") from None
        if len(head) < 24 or not head.startswith(_SIGNATURE) or head[12:16] != b"IHDR":
            raise FormatError("expected a PNG picture, got other bytes")
        size = struct.unpack(">II", head[16:24])
        if size != (self.width, self.height) or not all(0 < side <= MAX_SIDE for side in size):
            raise FormatError(
                f"expected a PNG of {self.width} x {self.height}, sides at most {MAX_SIDE}, got {size}"
            )


def picture(image: NDArray[np.floating], bounds: tuple[float, float]) -> Picture:
    """An image (c, h, w) in `bounds` as a picture of 8 bits a channel; values outside are clipped.

    One channel is grey, three are red, green and blue; any other number of channels lies side by side in
    grey. NaN is drawn as black. An image larger than MAX_SIDE is thinned to every k-th pixel.
    """
    low, high = bounds
    span = high - low
    scaled = (np.nan_to_num(_planes(image), nan=low, posinf=high, neginf=low) - low) / (span or 1.0)
    return _encode(np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8))


def difference(image: NDArray[np.floating], root: NDArray[np.floating]) -> tuple[Picture, float]:
    """What changed from `root` to `image`, and the largest absolute change, which is where the colours end.

    White is no change, dark blue is lowered, orange is raised; a pixel of several channels shows the channel
    that changed most.
    """
    if image.shape != root.shape:
        raise InvalidArgument(f"expected two images of one shape, got {image.shape} and {root.shape}")
    change = np.nan_to_num(_planes(image).astype(np.float64) - _planes(root), posinf=0.0, neginf=0.0)
    strongest = np.take_along_axis(change, np.abs(change).argmax(axis=2)[..., None], axis=2)
    largest = float(np.abs(strongest).max(initial=0.0))
    ratio = strongest / (largest or 1.0)
    end = np.where(ratio < 0, np.asarray(_LOWERED), np.asarray(_RAISED))
    # The square root lets faint changes be seen.
    weight = np.sqrt(np.abs(ratio))
    return _encode(np.round(np.asarray(_SAME) * (1 - weight) + end * weight).astype(np.uint8)), largest


def _planes(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """(h, w, 1 or 3) from (c, h, w), (h, w) or a vector, thinned to at most MAX_SIDE."""
    if image.size == 0:
        raise InvalidArgument(f"expected an image with pixels, got shape {image.shape}")
    if image.ndim < 2:
        image = image.reshape(1, 1, -1)
    image = image.reshape((-1, *image.shape[-2:]))
    if len(image) not in (1, 3):
        image = np.concatenate(list(image), axis=1)[None]
    thin = -(-max(image.shape[1:]) // MAX_SIDE)
    return image[:, ::thin, ::thin].transpose(1, 2, 0)


def _encode(pixels: NDArray[np.uint8]) -> Picture:
    height, width, channels = pixels.shape
    # Each row starts with its filter type: 0, none.
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    png = _SIGNATURE + b"".join(_chunk(name, body) for name, body in parts)
    return Picture(width=width, height=height, png=base64.b64encode(png).decode("ascii"))


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
