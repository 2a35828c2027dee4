"""The views of the transfer attacks against brute force, and their ways back against finite differences."""

from __future__ import annotations

import numpy as np
from scipy import signal, stats

from armour.attacks.image_maps import Diversity, Smoothing, scaled
from armour.rng import per_item


def batch(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def shrunk(image: np.ndarray, tall: int, wide: int, top: int, left: int, low: float) -> np.ndarray:
    """Bilinear resizing with pixels as areas, then padding, pixel by pixel in float64."""
    out = np.full(image.shape, low, np.float64)
    _, height, width = image.shape
    for i in range(tall):
        for j in range(wide):
            r = min(max((i + 0.5) * height / tall - 0.5, 0), height - 1)
            s = min(max((j + 0.5) * width / wide - 0.5, 0), width - 1)
            r0, s0 = int(r), int(s)
            r1, s1 = min(r0 + 1, height - 1), min(s0 + 1, width - 1)
            a, b = r - r0, s - s0
            out[:, top + i, left + j] = (1 - a) * ((1 - b) * image[:, r0, s0] + b * image[:, r0, s1]) + a * (
                (1 - b) * image[:, r1, s0] + b * image[:, r1, s1]
            )
    return out


def test_every_view_is_a_resized_and_padded_image() -> None:
    low = 0.25
    x = low + 0.75 * batch(4, 4, 1, 7, 9)
    views, _ = Diversity(probability=0.7, smallest=0.6)(x, low, per_item(np.random.default_rng(0), 4))
    sizes = set()
    for i in range(4):
        for k in range(4):
            matching = [
                (tall, wide, top, left)
                for tall in range(4, 8)
                for wide in range(5, 10)
                for top in range(7 - tall + 1)
                for left in range(9 - wide + 1)
                if np.abs(views[i, k] - shrunk(x[i, k], tall, wide, top, left, low)).max() < 1e-5
            ]
            assert len(matching) == 1, (i, k, matching)
            sizes.add(matching[0])
    assert len(sizes) > 6 and (7, 9, 0, 0) in sizes, "and some are left as they are"


def test_how_often_and_where() -> None:
    n = 4000
    x = np.ones((n, 1, 1, 10, 10), np.float32)
    views, _ = Diversity(probability=0.3, smallest=0.5)(x, 0.0, per_item(np.random.default_rng(1), n))
    changed = (views != 1).any(axis=(1, 2, 3, 4))
    assert abs(changed.mean() - 0.3) < 0.03
    rows = views[changed][:, 0, 0].max(axis=2) > 0
    sides, tops = rows.sum(axis=1), rows.argmax(axis=1)
    assert set(sides) == {5, 6, 7, 8, 9}
    assert stats.chisquare(np.bincount(sides)[5:]).pvalue > 1e-4
    assert stats.chisquare(np.bincount(tops[sides == 7], minlength=4)).pvalue > 1e-4


def test_the_way_back_is_the_transpose() -> None:
    """Against central differences of a curved function of the views."""
    rng = np.random.default_rng(2)
    x = batch(3, 2, 2, 7, 6)
    weights = rng.normal(size=x.shape)
    diverse = Diversity(probability=0.8, smallest=0.5)

    def value(at: np.ndarray) -> np.ndarray:
        views, _ = diverse(at.astype(np.float32), 0.0, per_item(np.random.default_rng(3), 3))
        return np.asarray((weights * views**2).sum(axis=(1, 2, 3, 4)))

    views, back = diverse(x, 0.0, per_item(np.random.default_rng(3), 3))
    gradient = back((2 * weights * views).astype(np.float32))
    for _ in range(5):
        direction = rng.normal(size=x.shape)
        step = 1e-2  # the function is quadratic: central differences are exact but for rounding
        slope = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
        np.testing.assert_allclose((gradient * direction).sum(axis=(1, 2, 3, 4)), slope, rtol=2e-3, atol=2e-3)


def test_a_side_of_one_pixel_and_no_shrinking() -> None:
    x = batch(2, 1, 1, 1, 5)
    views, _ = Diversity(probability=1.0, smallest=1.0)(x, 0.0, per_item(np.random.default_rng(0), 2))
    np.testing.assert_allclose(views, x, atol=1e-7)


def test_scaled_copies_and_the_mean_of_their_scaled_gradients() -> None:
    low = -1.0
    x = batch(3, 2, 1, 4, 4) * 2 - 1
    copies, back = scaled(x, 4, low)
    assert copies.shape == (3, 8, 1, 4, 4)
    for i in range(4):
        np.testing.assert_allclose(
            copies.reshape(3, 2, 4, 1, 4, 4)[:, :, i], low + (x - low) / 2**i, atol=1e-6
        )
    gradient = np.random.default_rng(1).normal(size=copies.shape).astype(np.float32)
    expected = (
        sum(gradient.reshape(3, 2, 4, 1, 4, 4)[:, :, i].astype(np.float64) / 2**i for i in range(4)) / 4
    )
    np.testing.assert_allclose(back(gradient), expected, atol=1e-6)


def test_smoothing_is_convolution_with_a_gaussian() -> None:
    gradient = np.random.default_rng(0).normal(size=(3, 2, 20, 11)).astype(np.float32)
    line = stats.norm.pdf(np.linspace(-3, 3, 15))
    kernel = np.outer(line, line) / np.outer(line, line).sum()
    smooth = Smoothing(size=15)(gradient)
    for i in range(3):
        for c in range(2):
            expected = signal.convolve2d(gradient[i, c].astype(np.float64), kernel, mode="same")
            np.testing.assert_allclose(smooth[i, c], expected, atol=2e-6)
    np.testing.assert_array_equal(Smoothing(size=1)(gradient), gradient)
