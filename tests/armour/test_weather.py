"""Weather and the smooth fields under it."""

import numpy as np
import pytest

from armour import fields, weather
from armour.bounds import Bounds
from armour.rng import generator, per_item

UNIT = Bounds(0, 1)
N = 60


def streams(seed=0):
    return per_item(generator(seed), N)


def full(value):
    return np.full(N, value, dtype=np.float32)


def dark(shape=(1, 28, 28)):
    return np.zeros((N, *shape), dtype=np.float32)


def test_fields_are_smooth_bounded_and_centred():
    field = fields.smooth_fields(streams(), 2, 3, 40, 50, np)
    assert field.shape == (N, 2, 40, 50) and field.dtype == np.float32
    assert abs(field).max() <= 1 and abs(field.mean()) < 0.03
    assert field.std() == pytest.approx(0.27, abs=0.04)
    assert abs(np.diff(field, axis=3)).max() < 0.1 and abs(np.diff(field, axis=2)).max() < 0.12
    assert abs((field[:, 0] * field[:, 1]).mean()) < 0.02


def test_more_cells_are_rougher():
    rough = [
        abs(np.diff(fields.smooth_fields(streams(), 1, cells, 32, 32, np))).mean() for cells in (1, 3, 8)
    ]
    assert rough[0] < rough[1] < rough[2]


@pytest.mark.parametrize("size", [8, 28, 224])
def test_a_cloud_reaches_from_nought_to_one(size):
    cloud = fields.plasma(streams()[:4], size, size, np)
    assert cloud.min(axis=(1, 2)) == pytest.approx(np.zeros(4)) and cloud.max(axis=(1, 2)) == pytest.approx(
        np.ones(4)
    )


def test_fog_brightens_up_to_its_thickness():
    out = weather.fog(dark(), full(0.4), streams(), UNIT)
    assert out.min(axis=(1, 2, 3)) == pytest.approx(np.zeros(N)) and out.max(axis=(1, 2, 3)) == pytest.approx(
        full(0.4)
    )
    white = np.ones((N, 1, 28, 28), dtype=np.float32)
    assert np.array_equal(weather.fog(white, full(0.4), streams(), UNIT), white)


def test_snow_falls_on_its_share_of_the_pixels_and_never_darkens():
    out = weather.snow(dark(), full(0.05), streams(), UNIT)
    share = (out > 0).mean()
    assert share == pytest.approx(1 - 0.95**3, abs=0.01), "a flake and two pixels of its streak"
    assert (out == 1).mean() == pytest.approx(0.025, abs=0.005)
    grey = dark() + np.float32(0.5)
    assert (weather.snow(grey, full(0.05), streams(), UNIT) >= grey).all()
    more = weather.snow(dark(), full(0.1), streams(), UNIT)
    assert (more >= out).all()


def test_spatter_blots_have_one_level_and_spread():
    x = dark() + np.float32(0.5)
    areas = []
    for amount in (0.1, 0.3, 0.6):
        out = weather.spatter(x, full(amount), streams(), UNIT)
        areas.append((out != x).mean())
        above, below = (out > x).any(axis=(1, 2, 3)), (out < x).any(axis=(1, 2, 3))
        assert not (above & below).any()
    assert 0 < areas[0] < areas[1] < areas[2] < 0.6
