"""Compression: against real JPEG files, and known values."""

import io

import numpy as np
import pytest
from pictures import images, textures
from PIL import Image

from armour import compression
from armour.bounds import Bounds

UNIT = Bounds(0, 1)


def strengths(*values):
    return np.array(values, dtype=np.float32)


def real_jpeg(x, quality):
    """(c, h, w) in 0..1 through Pillow's encoder and back."""
    levels = np.rint(x * 255).astype(np.uint8)
    picture = Image.fromarray(levels[0]) if len(x) == 1 else Image.fromarray(levels.transpose(1, 2, 0))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, subsampling=0)
    back = np.asarray(Image.open(io.BytesIO(buffer.getvalue())), dtype=np.float32) / 255
    return back[None] if back.ndim == 2 else back.transpose(2, 0, 1)


@pytest.mark.parametrize(("quality", "coarseness"), [(75, 0.5), (50, 1.0), (25, 2.0), (10, 5.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_that_of_a_real_jpeg_file(quality, coarseness, channels):
    x = np.rint(textures(6)[:, :channels] * 255).astype(np.float32) / np.float32(255)
    ours = compression.jpeg(x, np.full(6, coarseness, dtype=np.float32), UNIT)
    real = np.stack([real_jpeg(item, quality) for item in x])
    loss = abs(real - x).mean()
    # Steps rounded to whole numbers and 8-bit arithmetic in the file: far less than what compression itself
    # does.
    assert abs(ours - real).mean() < 0.15 * loss + 0.003
    assert abs(ours - x).mean() == pytest.approx(loss, rel=0.05)


def test_blocks_that_do_not_fill_the_image_are_fine():
    x = images(2, (2, 17, 23))
    out = compression.jpeg(x, strengths(0.05, 0.05), UNIT)
    assert abs(out - x).max() < 0.05
    flat = np.full((1, 1, 9, 9), 0.5, dtype=np.float32)
    assert compression.jpeg(flat, strengths(4), UNIT) == pytest.approx(flat, abs=0.26)


def test_the_bounds_are_only_units():
    x = images(2, (3, 16, 16))
    unit = compression.jpeg(x, strengths(1, 3), UNIT)
    bytes_ = compression.jpeg(x * 255, strengths(1, 3), Bounds(0, 255)) / 255
    assert (abs(unit - bytes_) > 1e-4).mean() < 0.05, "but for coefficients that sit on a rounding edge"


def test_pixelate_averages_blocks():
    x = textures(2)[:, :1, :12, :8]
    out = compression.pixelate(x, strengths(2, 4), UNIT)
    blocks = x[0, 0].reshape(6, 2, 4, 2).mean(axis=(1, 3))
    assert out[0, 0] == pytest.approx(np.kron(blocks, np.ones((2, 2))), abs=1e-6)
    blocks = x[1, 0].reshape(3, 4, 2, 4).mean(axis=(1, 3))
    assert out[1, 0] == pytest.approx(np.kron(blocks, np.ones((4, 4))), abs=1e-6)
    between = compression.pixelate(x, strengths(1.5, 1.5), UNIT)[0, 0]
    assert np.array_equal(between[0], between[1]) and (between[2] != between[1]).any()
    assert between.mean() == pytest.approx(x[0].mean(), abs=1e-6)


def test_quantise_rounds_to_steps_from_the_low_bound():
    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)
    out = compression.quantise(x, strengths(0.25), Bounds(-1, 1))
    assert set(np.unique(out)) == {-1.0, -0.5, 0.0, 0.5, 1.0}
    assert abs(out - x).max() <= 0.25
    assert compression.quantise(x, strengths(0.4), Bounds(-1, 1)).max() == pytest.approx(0.6)
