"""Light and colour: known values."""

import numpy as np
import pytest
from pictures import images, textures

from armour import transforms
from armour.bounds import Bounds
from armour.rng import generator, per_item

UNIT, BYTES, SIGNED = Bounds(0, 1), Bounds(0, 255), Bounds(-1, 1)


def strengths(*values):
    return np.array(values, dtype=np.float32)


def streams(n, seed=0):
    return per_item(generator(seed), n)


def test_brightness_adds_a_share_of_the_span():
    x = np.full((3, 1, 8, 8), 0.5, dtype=np.float32)
    out = transforms.brightness(x, strengths(0.1, -0.2, 0.9), UNIT)
    assert out[:, 0, 0, 0] == pytest.approx([0.6, 0.3, 1.0])
    assert transforms.brightness(x * 255, strengths(0.1, -0.2, 0.9), BYTES)[0, 0, 0, 0] == pytest.approx(153)
    assert transforms.brightness(x * 0, strengths(0.1, -0.2, 0), SIGNED)[:2, 0, 0, 0] == pytest.approx(
        [0.2, -0.4]
    )


def test_contrast_stretches_about_the_mean_of_the_item():
    x = images(2, (3, 17, 23)) * np.float32(0.4) + np.float32(0.3)
    out = transforms.contrast(x, strengths(0.5, 0), UNIT)
    mean = x.mean(axis=(1, 2, 3), dtype=np.float64)
    assert out[0] == pytest.approx(mean[0] + 0.5 * (x[0] - mean[0]), abs=1e-6)
    assert out[1] == pytest.approx(np.full(x[1].shape, mean[1]), abs=1e-6)


@pytest.mark.parametrize("bounds", [UNIT, BYTES, SIGNED], ids=str)
def test_gamma_is_a_power_of_the_share_of_the_span(bounds):
    x = images(3, (1, 28, 28), bounds)
    x[0, 0, 0, :2] = bounds.low, bounds.high
    out = transforms.gamma(x, strengths(1, -1, 0.3), bounds)
    unit = (x.astype(np.float64) - bounds.low) / bounds.span
    expected = np.stack([unit[0] ** 2, unit[1] ** 0.5, unit[2] ** 2**0.3]) * bounds.span + bounds.low
    assert out == pytest.approx(expected, abs=2e-6 * bounds.span)
    assert out[0, 0, 0, 0] == bounds.low


def test_a_luminance_gradient_rises_in_its_direction_by_twice_delta():
    x = np.full((4, 2, 9, 13), 0.5, dtype=np.float32)
    change = (
        transforms.luminance_gradient(x, strengths(0.2, 0.2, 0.2, 0.1), strengths(0, 90, 180, 45), UNIT) - x
    )
    assert change[0, 0, :, 0] == pytest.approx(np.full(9, -0.2)) and change[0, 1, :, -1] == pytest.approx(
        np.full(9, 0.2)
    )
    assert change[1, 0, 0] == pytest.approx(np.full(13, 0.2), abs=1e-6)
    assert change[2, 0, 3] == pytest.approx(-change[0, 0, 3], abs=1e-6)
    assert (change[3, 0, 0, -1], change[3, 0, -1, 0]) == pytest.approx((0.1, -0.1), abs=1e-6)
    assert abs(change.mean(axis=(1, 2, 3))).max() < 1e-6


def test_a_spot_is_as_high_as_asked_and_lies_inside():
    x = np.full((50, 1, 32, 32), 0.5, dtype=np.float32)
    change = (transforms.spot(x, np.full(50, -0.2, dtype=np.float32), streams(50), UNIT) - x)[:, 0]
    assert change.min(axis=(1, 2)) == pytest.approx(np.full(50, -0.2), abs=0.002)
    place = change.reshape(50, -1).argmin(axis=1)
    rows, columns = place // 32, place % 32
    assert rows.min() >= 4 and rows.max() <= 27 and columns.min() >= 4 and columns.max() <= 27
    assert np.ptp(rows) > 10 and np.ptp(columns) > 10


def test_saturation_keeps_the_mean_of_each_pixel_and_zero_is_grey():
    x = textures(2) * np.float32(0.4) + np.float32(0.3)
    out = transforms.saturate(x, strengths(0, 1.5), UNIT)
    assert out[0] == pytest.approx(np.broadcast_to(x[0].mean(axis=0), x[0].shape), abs=1e-6)
    assert out[1].mean(axis=0) == pytest.approx(x[1].mean(axis=0), abs=1e-6)
    assert transforms.saturate(x[:, :1], strengths(0, 1.5), UNIT) == pytest.approx(x[:, :1])


def test_tint_scales_each_channel_by_one_factor():
    x = np.full((200, 3, 8, 8), 0.5, dtype=np.float32)
    out = transforms.tint(x, np.full(200, 0.3, dtype=np.float32), streams(200), UNIT)
    assert np.ptp(out, axis=(2, 3)).max() == 0
    factor = out[:, :, 0, 0] / 0.5
    assert 0.7 <= factor.min() < 0.71 and 1.29 < factor.max() <= 1.3
    assert (np.ptp(factor, axis=1) > 0).all()


def test_channel_drop_fades_one_channel_toward_the_low_bound():
    x = np.full((300, 3, 8, 8), 0.5, dtype=np.float32)
    out = transforms.channel_drop(x, np.full(300, 0.5, dtype=np.float32), streams(300), SIGNED)
    faded = (out != x).all(axis=(2, 3))
    assert (faded.sum(axis=1) == 1).all() and (faded.sum(axis=0) > 70).all()
    assert out[faded] == pytest.approx(np.full((300, 8, 8), -0.25))
