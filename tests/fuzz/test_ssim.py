"""SSIM against the definition written out window by window."""

import numpy as np
import pytest
from pictures import images, textures

from armour.bounds import Bounds
from armour.fuzz.ssim import ssim

UNIT = Bounds(0, 1)


def naive(x, y, span=1.0, window=7):
    """Mean SSIM of two images (c, h, w) by the formula of Wang et al., with population statistics."""
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    x, y = x.astype(np.float64), y.astype(np.float64)
    high, wide = min(window, x.shape[1]), min(window, x.shape[2])
    values = []
    for a, b in zip(x, y, strict=True):
        for i in range(a.shape[0] - high + 1):
            for j in range(a.shape[1] - wide + 1):
                p, q = a[i : i + high, j : j + wide], b[i : i + high, j : j + wide]
                covariance = ((p - p.mean()) * (q - q.mean())).mean()
                numerator = (2 * p.mean() * q.mean() + c1) * (2 * covariance + c2)
                values.append(numerator / ((p.mean() ** 2 + q.mean() ** 2 + c1) * (p.var() + q.var() + c2)))
    return np.mean(values)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (2, 17, 23), (3, 11, 9), (1, 5, 12)], ids=str)
def test_it_is_the_formula(shape):
    x = np.repeat(images(1, shape), 4, axis=0)
    noise = np.random.default_rng(1).normal(0, 0.1, x.shape)
    y = np.clip(x + np.float32([0, 0.2, 1, 3])[:, None, None, None] * noise, 0, 1).astype(np.float32)
    value = ssim(x, y, UNIT)
    assert value.dtype == np.float32 and value.shape == (4,)
    assert value == pytest.approx([naive(a, b) for a, b in zip(x, y, strict=True)], abs=2e-5)
    assert value[0] == pytest.approx(1, abs=1e-6) and value[1] > value[2] > value[3]


def test_flat_images_are_judged_by_the_stabilising_constants():
    black, grey, white = (np.full((1, 1, 28, 28), level, dtype=np.float32) for level in (0, 0.5, 1))
    assert ssim(black, black, UNIT) == pytest.approx(1)
    assert ssim(black, white, UNIT) == pytest.approx(1e-4 / (1 + 1e-4), rel=1e-3)
    assert ssim(grey, white, UNIT) == pytest.approx((1 + 1e-4) / (1.25 + 1e-4), rel=1e-6)
    faint = black + np.where(np.indices((28, 28)).sum(axis=0) % 2, 0.002, 0).astype(np.float32)
    assert ssim(black, faint, UNIT) > 0.97, "noise far below the constants does not count"


def test_a_digit_on_black_keeps_its_likeness_under_faint_noise_and_loses_it_under_strong_noise():
    digit = np.zeros((1, 1, 28, 28), dtype=np.float32)
    digit[..., 4:24, 12:16] = 1
    noise = np.random.default_rng(0).normal(size=digit.shape)
    values = [
        float(ssim(digit, np.clip(digit + s * noise, 0, 1).astype(np.float32), UNIT)[0])
        for s in (0.01, 0.05, 0.5)
    ]
    assert values[0] > 0.9 and values[0] > values[1] > values[2] and values[2] < 0.3


@pytest.mark.parametrize("bounds", [Bounds(0, 255), Bounds(-1, 1), Bounds(-3, 5)], ids=str)
def test_the_bounds_are_only_units(bounds):
    x, y = textures(3), np.roll(textures(3), 1, axis=3)
    scaled = [(z * bounds.span + bounds.low).astype(np.float32) for z in (x, y)]
    assert ssim(*scaled, bounds) == pytest.approx(ssim(x, y, UNIT), abs=2e-4)


def test_an_item_does_not_depend_on_its_batch_mates():
    x, y = textures(37), np.roll(textures(37), 1, axis=2)
    whole = ssim(x, y, UNIT)
    assert np.array_equal(whole, ssim(x, y, UNIT))
    for group in ([0], [36, 3], list(range(5, 30))):
        assert np.array_equal(ssim(x[group], y[group], UNIT), whole[group])
    assert ssim(x[:0], y[:0], UNIT).shape == (0,)


@pytest.mark.parametrize("shape", [(1, 80, 90), (3, 96, 70), (1, 5, 100), (2, 100, 7)], ids=str)
def test_large_images_follow_the_formula_too(shape):
    x = np.repeat(images(1, shape), 3, axis=0)
    noise = np.random.default_rng(1).normal(0, 0.1, x.shape)
    y = np.clip(x + np.float32([0, 0.5, 2])[:, None, None, None] * noise, 0, 1).astype(np.float32)
    value = ssim(x, y, UNIT)
    assert value == pytest.approx([naive(a, b) for a, b in zip(x, y, strict=True)], abs=2e-5)
    assert np.array_equal(ssim(x[[2, 1]], y[[2, 1]], UNIT), value[[2, 1]])


def test_a_part_of_the_windows_stands_for_all_of_a_very_large_image():
    x = images(1, (1, 200, 130))
    noise = np.random.default_rng(2).normal(0, 0.1, x.shape)
    y = np.clip(x + noise, 0, 1).astype(np.float32)
    assert ssim(x, y, UNIT) == pytest.approx([naive(x[0], y[0])], abs=5e-3)
    # A change anywhere inside shows.
    for i, j in ((3, 3), (100, 64), (193, 123)):
        z = x.copy()
        z[0, 0, i, j] = 1 - np.rint(z[0, 0, i, j])
        assert ssim(x, z, UNIT) < 1 - 1e-4
