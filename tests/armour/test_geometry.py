"""The warp, and the maps that feed it: exact cases."""

import numpy as np
import pytest
from pictures import images
from scipy import ndimage

from armour import geometry
from armour.bounds import Bounds
from armour.rng import generator, per_item

UNIT = Bounds(0, 1)


def strengths(*values):
    return np.array(values, dtype=np.float32)


def ones(n):
    return np.ones(n, dtype=np.float32)


@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 8, 13), (2, 1, 1), (1, 1, 5)], ids=str)
def test_the_warp_is_bilinear_interpolation_with_edges_repeated(shape):
    x = images(3, shape)
    h, w = shape[1:]
    rng = np.random.default_rng(0)
    rows, columns = (rng.uniform(-2, side + 1, (3, h, w)).astype(np.float32) for side in (h, w))
    out = geometry.warp(x, rows, columns)
    for i in range(3):
        place = np.stack([np.clip(rows[i], 0, h - 1), np.clip(columns[i], 0, w - 1)])
        expected = [
            ndimage.map_coordinates(c.astype(np.float64), place, order=1, mode="nearest") for c in x[i]
        ]
        assert out[i] == pytest.approx(np.stack(expected), abs=2e-6)


def test_whole_positions_are_exact():
    x = images(2, (3, 7, 9))
    i, j = np.meshgrid(np.arange(7, dtype=np.float32), np.arange(9, dtype=np.float32), indexing="ij")
    same = geometry.warp(x, np.stack([i, i]), np.stack([j, j]))
    assert np.array_equal(same, x)
    mirrored = geometry.warp(x, np.stack([i, i]), np.stack([8 - j, 8 - j]))
    assert np.array_equal(mirrored, x[..., ::-1])


def test_a_shift_by_whole_pixels_is_a_shifted_array():
    x = images(4, (2, 10, 12))
    out = geometry.translate(x, strengths(1, 0, -3, 100), strengths(0, 2, -1, 0), UNIT)
    assert np.array_equal(out[0, :, :, 1:], x[0, :, :, :-1]) and np.array_equal(
        out[0, :, :, 0], x[0, :, :, 0]
    )
    assert np.array_equal(out[1, :, 2:], x[1, :, :-2]) and np.array_equal(out[1, :, 0], x[1, :, 0])
    assert np.array_equal(out[2, :, :-1, :-3], x[2, :, 1:, 3:])
    assert np.array_equal(out[3], np.broadcast_to(x[3, :, :, :1], x[3].shape))


def test_half_a_pixel_is_the_mean_of_two():
    x = images(1, (1, 8, 8))
    out = geometry.translate(x, strengths(0.5), strengths(0), UNIT)
    assert out[0, 0, :, 1:] == pytest.approx((x[0, 0, :, 1:] + x[0, 0, :, :-1]) / 2, abs=1e-6)


@pytest.mark.parametrize("side", [8, 9])
def test_turns_by_right_angles_are_rot90(side):
    x = images(3, (2, side, side))
    out = geometry.rotate(x, strengths(90, 180, -90), UNIT)
    for quarter, item, result in zip((1, 2, -1), x, out, strict=True):
        assert result == pytest.approx(np.rot90(item, quarter, axes=(1, 2)), abs=1e-5)


def test_a_turn_there_and_back_is_close_to_nothing():
    i, j = np.mgrid[0:32, 0:32]
    smooth = np.exp(-((i - 14) ** 2 + (j - 18) ** 2) / 40)[None, None].astype(np.float32)
    there = geometry.rotate(smooth, strengths(10), UNIT)
    assert abs(there - smooth).max() > 0.03
    assert abs(geometry.rotate(there, strengths(-10), UNIT) - smooth).max() < 0.03


def test_scale_two_doubles_about_the_centre():
    x = images(1, (1, 9, 9))
    out = geometry.scale(x, strengths(2), strengths(1), UNIT)[0, 0]
    assert out[:, ::2] == pytest.approx(x[0, 0, :, 2:7], abs=1e-6)
    assert np.array_equal(out[:, 4], x[0, 0, :, 4])
    tall = geometry.scale(x, strengths(1), strengths(0.5), UNIT)[0, 0]
    assert tall[3:6] == pytest.approx(x[0, 0, [2, 4, 6]], abs=1e-6)


def test_shear_moves_rows_in_proportion_to_their_height():
    x = images(1, (1, 9, 9))
    out = geometry.shear(x, strengths(1), strengths(0), UNIT)[0, 0]
    assert np.array_equal(out[4], x[0, 0, 4])
    assert out[6, 2:] == pytest.approx(x[0, 0, 6, :-2]) and out[3, :-1] == pytest.approx(x[0, 0, 3, 1:])
    down = geometry.shear(x, strengths(0), strengths(1), UNIT)[0, 0]
    assert down[1:, 5] == pytest.approx(x[0, 0, :-1, 5])


def coordinates(n, side):
    """Images that hold their own coordinates, so that a warped one says where each pixel came from."""
    i, j = np.mgrid[0:side, 0:side].astype(np.float32)
    return np.broadcast_to(np.stack([i, j]), (n, 2, side, side)).copy(), Bounds(0, side)


def test_the_affine_map_is_the_product_of_its_parts():
    x, bounds = coordinates(1, 33)
    degrees, wide, high, slant = (strengths(v) for v in (12, 1.1, 0.9, 0.1))
    matrix = geometry.similarity_matrix(degrees, wide, high, slant)
    whole = geometry.affine_about(x, matrix, strengths(2), strengths(-3), bounds)
    parts = geometry.scale(geometry.shear(x, slant, strengths(0), bounds), wide, high, bounds)
    parts = geometry.translate(geometry.rotate(parts, degrees, bounds), strengths(2), strengths(-3), bounds)
    inner = np.s_[..., 10:24, 10:24]
    assert whole[inner] == pytest.approx(parts[inner], abs=1e-4)
    assert abs(whole - x)[inner].max() > 3


@pytest.mark.parametrize("name", ["perspective", "wave", "elastic"])
def test_how_far_pixels_move(name):
    side, n = 40, 200
    x, bounds = coordinates(n, side)
    streams, one = per_item(generator(0), n), ones(n)
    if name == "perspective":
        out, most = geometry.perspective(x, 0.15 * one, -0.15 * one, bounds), 0.18
    elif name == "wave":
        out, most = geometry.wave(x, 0.08 * side * one, one, streams, bounds), 0.08
        assert np.array_equal(out[:, 0], x[:, 0]), "rows stay in their place"
    else:
        out, most = geometry.elastic(x, 0.1 * side * one, streams, bounds), 0.1
    distance = abs(out - x).max(axis=(1, 2, 3))
    assert distance.max() <= most * side + 1e-3 and distance.min() > 0.02 * side


def test_perspective_shrinks_the_side_that_recedes():
    bars = np.zeros((1, 1, 41, 41), dtype=np.float32)
    bars[..., 10:31, :] = 1
    out = geometry.perspective(bars, strengths(0.3), strengths(0), UNIT)[0, 0]
    assert out[:, 0].sum() > 21 > out[:, -1].sum()
    assert out[:, 20].sum() == pytest.approx(21, abs=0.1)
