"""The contact strip, read back with Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from armour.fuzz.preview import strip


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (2, "L")])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_five_panels(channels: int, mode: str, bounds: tuple[float, float]) -> None:
    low, high = bounds
    root = np.full((channels, 8, 8), low, np.float32)
    mutant = np.full((channels, 8, 8), high, np.float32)
    image = Image.open(io.BytesIO(strip(root, mutant, root, bounds)))
    assert image.mode == mode and image.size == (5 * 80 + 4 * 4, 80)
    pixels = np.asarray(image).reshape(80, image.width, -1)[..., 0]
    panels = [pixels[:, start : start + 80] for start in range(0, image.width, 84)]
    # Root dark, mutant white, its difference white, the minimised one dark again and its difference grey.
    assert [int(np.median(panel)) for panel in panels] == [0, 255, 255, 0, 128]
    assert all((panel == panel[0, 0]).all() for panel in panels)
    assert (pixels[:, 80:84] == 255).all()


def test_large_and_broken_images() -> None:
    image = np.full((3, 300, 200), np.nan, np.float32)
    decoded = Image.open(io.BytesIO(strip(image, image, image, (0, 1))))
    assert decoded.size == (5 * 200 + 16, 300)
