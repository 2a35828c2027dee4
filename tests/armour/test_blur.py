"""Blurs against SciPy and against sums written out."""

import numpy as np
import pytest
from pictures import images, textures
from scipy import ndimage

from armour import blur
from armour.bounds import Bounds

UNIT = Bounds(0, 1)


def strengths(*values):
    return np.array(values, dtype=np.float32)


def spike(size=15):
    x = np.zeros((1, 1, size, size), dtype=np.float32)
    x[0, 0, size // 2, size // 2] = 1
    return x


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 23), (2, 8, 8)], ids=str)
def test_gaussian_blur_is_scipys(shape):
    x = images(5, shape)
    sigma = strengths(0.3, 0.7, 1, 1.9, 4)
    out = blur.gaussian_blur(x, sigma, UNIT)
    for item, width, result in zip(x, sigma, out, strict=True):
        expected = [
            ndimage.gaussian_filter(c.astype(np.float64), width, mode="nearest", truncate=3) for c in item
        ]
        assert result == pytest.approx(np.stack(expected), abs=2e-6)


@pytest.mark.parametrize("radius", [1, 2, 3])
def test_box_blur_is_scipys(radius):
    x = images(2, (1, 28, 20))
    out = blur.box_blur(x, strengths(radius, radius), UNIT)
    expected = ndimage.uniform_filter(
        x.astype(np.float64), (0, 0, 2 * radius + 1, 2 * radius + 1), mode="nearest"
    )
    assert out == pytest.approx(expected, abs=2e-6)


def test_a_fractional_box_lies_between_its_neighbours():
    row = blur.box_blur(spike(), strengths(1.5), UNIT)[0, 0, 7]
    assert row[4:11] / row[7] == pytest.approx([0, 0.5, 1, 1, 1, 0.5, 0])


@pytest.mark.parametrize("name", ["gaussian_blur", "box_blur", "defocus_blur"])
def test_a_blur_keeps_constants_and_the_mean_away_from_the_edge(name):
    function = getattr(blur, name)
    flat = np.full((2, 3, 9, 8), 0.37, dtype=np.float32)
    assert function(flat, strengths(0.8, 5), UNIT) == pytest.approx(flat, abs=1e-6)
    assert function(spike(31), strengths(2), UNIT).sum() == pytest.approx(1, abs=1e-5)


def test_defocus_is_a_disk():
    out = blur.defocus_blur(spike(), strengths(2), UNIT)[0, 0]
    i, j = np.mgrid[-7:8, -7:8]
    disk = np.clip(3 - np.hypot(i, j), 0, 1)
    assert out == pytest.approx(disk / disk.sum(), abs=1e-6)


@pytest.mark.parametrize("degrees", [0, 30, 45, 90, -60])
def test_motion_blur_is_a_line_in_its_direction(degrees):
    out = blur.motion_blur(spike(), strengths(6), strengths(degrees), UNIT)[0, 0].astype(np.float64)
    i, j = np.mgrid[7:-8:-1, -7:8]  # i counts upward
    assert out.sum() == pytest.approx(1, abs=1e-5)
    assert ((i * out).sum(), (j * out).sum()) == pytest.approx((0, 0), abs=1e-5)
    along = i * np.sin(np.radians(degrees)) + j * np.cos(np.radians(degrees))
    beside = i * np.cos(np.radians(degrees)) - j * np.sin(np.radians(degrees))
    assert (along**2 * out).sum() == pytest.approx(np.mean(np.linspace(-3, 3, 5) ** 2), abs=0.3)
    assert (beside**2 * out).sum() < 0.26 and abs((along * beside * out).sum()) < 0.05


def test_a_kernel_is_correlated_with_edges_repeated():
    x = images(3, (2, 17, 11))
    out = blur.defocus_blur(x, strengths(1, 3, 2.4), UNIT)
    for item, radius, result in zip(x, (1, 3, 2.4), out, strict=True):
        r = int(np.ceil(radius))
        i, j = np.mgrid[-r : r + 1, -r : r + 1]
        kernel = np.clip(radius + 1 - np.hypot(i, j), 0, 1)
        expected = [
            ndimage.correlate(c.astype(np.float64), kernel / kernel.sum(), mode="nearest") for c in item
        ]
        assert result == pytest.approx(np.stack(expected), abs=3e-6)


def test_a_radius_beyond_the_image_works():
    x = images(1, (1, 8, 8))
    wide = blur.box_blur(x, strengths(20), UNIT)
    expected = ndimage.uniform_filter(x.astype(np.float64), (0, 0, 41, 41), mode="nearest")
    assert wide == pytest.approx(expected, abs=1e-5)


def test_sharpening_undoes_a_blur_in_part():
    x = textures(4)
    soft = blur.gaussian_blur(x, np.ones(4, dtype=np.float32), UNIT)
    sharp = blur.sharpen(soft, np.ones(4, dtype=np.float32), UNIT)
    assert abs(sharp - x).mean() < 0.9 * abs(soft - x).mean()
