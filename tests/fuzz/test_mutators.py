"""The contract of every registered mutator."""

from itertools import pairwise

import numpy as np
import pytest
from pictures import images, textures

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.fuzz import recipe as recipe  # registers all mutators
from armour.fuzz.mutators import MUTATORS, Param, get, mutator, names_for
from armour.rng import Streams, generator, per_item
from tests.tensor import strict

SHAPES = [(1, 8, 8), (1, 28, 28), (2, 17, 23), (3, 32, 32)]
BOUNDS = [Bounds(0, 1), Bounds(0, 255), Bounds(-1, 1)]
ALL = MUTATORS.names()
CASES = [(name, shape) for shape in SHAPES for name in names_for(shape)]


def drawn(row, n, seed=1):
    streams = per_item(generator(seed), n)
    return row.sample(streams.child(0)), streams.child(1)


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_results_are_like_the_input_and_inside_the_bounds(name, shape, bounds):
    row = get(name)
    x = images(12, shape, bounds)
    before = x.copy()
    params, streams = drawn(row, 12)
    out = row.apply(x, params, streams, bounds)
    assert out.shape == x.shape and out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out.min() >= np.float32(bounds.low) and out.max() <= np.float32(bounds.high)
    assert np.array_equal(x, before), "the input was written to"
    assert not np.shares_memory(out, x)
    assert (out != x).any()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bounds", BOUNDS, ids=str)
def test_identity_is_exact_alone_and_among_others(name, bounds):
    row = get(name)
    x = images(6, (3, 17, 23), bounds)
    params, streams = drawn(row, 6)
    params[[0, 3]] = row.identity
    out = row.apply(x, params, streams, bounds)
    assert np.array_equal(out[[0, 3]], x[[0, 3]])
    assert (out[[1, 2, 4, 5]] != x[[1, 2, 4, 5]]).any()
    alone = row.apply(x, np.tile(np.float32(row.identity), (6, 1)), streams, bounds)
    assert np.array_equal(alone, x)


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_an_item_does_not_depend_on_its_batch_mates_to_the_bit(name, shape):
    row = get(name)
    x = images(37, shape)
    params, streams = drawn(row, 37)
    whole = row.apply(x, params, streams, BOUNDS[0])
    assert np.array_equal(whole, row.apply(x, params, streams, BOUNDS[0])), "not deterministic"
    for group in ([0], [36], [5, 4], list(range(3, 20)), list(range(36, -1, -1))):
        part = row.apply(x[group], params[group], streams[group], BOUNDS[0])
        assert np.array_equal(part.view(np.uint32), whole[group].view(np.uint32))


@pytest.mark.parametrize("name", ALL)
def test_a_group_may_be_empty(name):
    row = get(name)
    empty = np.zeros((0, 3, 8, 8), dtype=np.float32)
    params, streams = drawn(row, 0)
    assert params.shape == (0, len(row.params))
    assert row.apply(empty, params, streams, BOUNDS[0]).shape == empty.shape
    columns = np.zeros((len(row.params), 0), dtype=np.float32)
    assert row.function(empty, columns, streams, BOUNDS[0]).shape == empty.shape


@pytest.mark.parametrize("name", ALL)
def test_arrays_may_live_on_a_device(name):
    strict.register()
    row, x = get(name), images(5, (3, 17, 23))
    params, streams = drawn(row, 5)
    params[1] = row.identity
    out = row.apply(strict.StrictArray(x), strict.StrictArray(params), streams, BOUNDS[0])
    assert np.array_equal(out.inner, row.apply(x, params, streams, BOUNDS[0]))


@pytest.mark.parametrize("name", ALL)
def test_parameters_are_drawn_inside_their_ranges_whatever_the_batch(name):
    row = get(name)
    streams = per_item(generator(2), 300)
    params = row.sample(streams)
    assert params.shape == (300, len(row.params)) and params.dtype == np.float32
    for k, param in enumerate(row.params):
        low, high = np.float32(param.low), np.float32(param.high)
        assert low <= params[:, k].min() < low + (high - low) / 10
        assert high - (high - low) / 10 < params[:, k].max() <= high
        assert param.low <= param.identity <= param.high
    assert np.array_equal(row.sample(per_item(generator(2), 300)[[7, 2]]), params[[7, 2]])


@pytest.mark.parametrize("name", ALL)
def test_the_effect_grows_with_the_parameters(name):
    row = get(name)
    n = 64
    x = textures(n)
    streams = per_item(generator(7), n)
    base = np.float32(row.identity)
    # A direction or a number of cycles says where, not how much: held still while the strength grows.
    strength = np.array([p.name != "cycles" and (p.name != "deg" or row.geometric) for p in row.params])
    for ends in ([p.low for p in row.params], [p.high for p in row.params]):
        reach = np.where(strength, np.float32(ends) - base, np.float32(0))
        if not reach.any():
            continue
        effect = [0.0]
        for t in (0.25, 0.5, 0.75, 1.0):
            params = np.tile((base + np.float32(t) * reach).astype(np.float32), (n, 1))
            effect.append(float(np.abs(row.apply(x, params, streams, BOUNDS[0]) - x).mean()))
        assert all(a < b for a, b in pairwise(effect)), effect


def test_noise_differs_between_keys_and_repeats_for_a_key():
    for name in ("gaussian-noise", "snow", "elastic", "occlude", "fog", "spatter", "spot", "pixel-change"):
        row = get(name)
        x = np.repeat(images(1, (1, 28, 28)), 4, axis=0)
        params = np.tile(np.float32([p.high for p in row.params]), (4, 1))
        out = row.apply(x, params, Streams(np.array([5, 6, 7, 5], dtype=np.uint64)), BOUNDS[0])
        assert np.array_equal(out[0], out[3])
        assert (out[0] != out[1]).any() and (out[1] != out[2]).any()


def test_there_are_enough_and_colour_ones_are_kept_from_grey_images():
    assert len(names_for((1, 28, 28))) >= 18
    assert set(names_for((3, 32, 32))) - set(names_for((1, 28, 28))) == {"saturate", "tint", "channel-drop"}
    assert {get(name).family for name in ALL} == {
        "light",
        "colour",
        "noise",
        "blur",
        "compression",
        "occlusion",
        "weather",
        "geometry",
    }
    assert {name for name in ALL if get(name).geometric} == {
        name for name in ALL if get(name).family == "geometry"
    }


def test_names_are_matched_loosely_and_unknown_ones_get_a_suggestion():
    assert get("Gaussian_Noise").name == "gaussian-noise"
    with pytest.raises(InvalidArgument, match="unknown mutator 'rotat'; did you mean rotate"):
        get("rotat")


def test_a_name_is_registered_once():
    with pytest.raises(InvalidArgument, match="registered twice"):
        mutator("Rotate", "geometry", Param("deg", -1, 1))(lambda x, p, streams, bounds: x)
