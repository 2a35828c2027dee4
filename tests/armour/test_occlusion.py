"""Occlusion: areas and counts."""

import numpy as np
import pytest

from armour import occlusion
from armour.bounds import Bounds
from armour.rng import generator, per_item

SIGNED = Bounds(-1, 1)


def grey(n, shape=(1, 20, 24)):
    return np.zeros((n, *shape), dtype=np.float32)


def test_a_square_of_one_level_covers_its_area():
    x = grey(200)
    out = occlusion.occlude(x, np.full(200, 5.5, dtype=np.float32), per_item(generator(0), 200), SIGNED)
    level = np.where(out.max(axis=(1, 2, 3)) > 0, out.max(axis=(1, 2, 3)), out.min(axis=(1, 2, 3)))
    assert out.sum(axis=(1, 2, 3)) == pytest.approx(level * 5.5**2, rel=1e-4)
    assert level.min() < -0.9 and level.max() > 0.9
    assert ((out != 0).sum(axis=(1, 2, 3)) <= 7 * 7).all()
    assert (out != 0).any(axis=(0, 1))[2:-2, 2:-2].all(), "every place is covered at some time"


def test_a_square_may_cover_everything():
    out = occlusion.occlude(grey(1), np.float32([30]), per_item(generator(0), 1), SIGNED)
    assert np.ptp(out) == 0


@pytest.mark.parametrize(("share", "count"), [(0.0001, 1), (0.01, 4), (0.02, 9)])
def test_pixel_change_counts_pixels(share, count):
    x = grey(300, (3, 20, 24))
    out = occlusion.pixel_change(
        x, np.full(300, share, dtype=np.float32), per_item(generator(0), 300), SIGNED
    )
    changed = (out != x).all(axis=1).reshape(300, -1).sum(axis=1)
    assert changed.max() == count and changed.mean() > count - 0.2, "now and then two fall on one place"
    assert ((out != x).any(axis=1) == (out != x).all(axis=1)).all()
    values = out[out != x]
    assert values.min() < -0.9 and values.max() > 0.9 and abs(values.mean()) < 0.1


def test_a_larger_share_keeps_the_pixels_of_a_smaller_one():
    x = grey(20)
    few, many = (
        occlusion.pixel_change(x, np.full(20, share, dtype=np.float32), per_item(generator(0), 20), SIGNED)
        for share in (0.01, 0.02)
    )
    assert (few != x).sum() < (many != x).sum() and ((few == x) | (many != x)).all()


def test_a_square_of_another_picture() -> None:
    x, other = np.zeros((60, 2, 20, 30), np.float32), np.ones((60, 2, 20, 30), np.float32)
    out = occlusion.paste(x, other, np.full(60, 6, np.float32), per_item(generator(0), 60), Bounds(0, 1))
    # A square of six by six pixels, wherever its corner lies between pixels.
    np.testing.assert_allclose(out.sum(axis=(2, 3)), 36, rtol=1e-4)
    assert (out[:, 0] == out[:, 1]).all()
    for picture in out[:, 0]:
        rows, columns = np.nonzero(picture)
        assert np.ptp(rows) <= 6 and np.ptp(columns) <= 6
    assert len({tuple(picture.reshape(-1).nonzero()[0][:1]) for picture in out[:, 0]}) > 30


def test_a_blend_is_a_weighted_mean() -> None:
    rng = np.random.default_rng(0)
    x, other = rng.random((2, 5, 1, 8, 8)).astype(np.float32)
    amount = np.float32([0, 0.1, 0.3, 0.5, 1])
    out = occlusion.blend(x, other, amount, Bounds(0, 1))
    weight = amount[:, None, None, None]
    np.testing.assert_allclose(out, (1 - weight) * x + weight * other, atol=1e-6)
    assert np.array_equal(out[0], x[0])
