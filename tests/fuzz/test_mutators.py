"""The contract of every registered mutator."""

import math
from itertools import pairwise

import numpy as np
import pytest
from fuzz_inputs import bounds_of, extra, inputs, kind_of, part, shape_of
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import images, textures

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.fuzz import recipe as recipe  # registers all mutators
from armour.fuzz.kinds import ARRAY, BYTES, IMAGE, SERIES, TABULAR, TOKENS, WHOLE
from armour.fuzz.mutators import MUTATORS, Param, get, mutator, names_for
from armour.rng import Streams, generator, per_item
from tests.tensor import strict

SHAPES = [(1, 8, 8), (1, 28, 28), (2, 17, 23), (3, 32, 32)]
BOUNDS = [Bounds(0, 1), Bounds(0, 255), Bounds(-1, 1)]
ALL = MUTATORS.names()
VECTORS = [(6,), (53,), (16, 24), (2, 3, 4, 5)]
OF = {kind: [name for name in ALL if kind.name in get(name).inputs] for kind in (IMAGE, ARRAY, WHOLE)}
OF |= {
    kind: [name for name in ALL if kind.name == kind_of(name)] for kind in (SERIES, BYTES, TOKENS, TABULAR)
}
CASES = [(name, shape) for shape in SHAPES for name in OF[IMAGE] if get(name).min_channels <= shape[0]]
CASES += [
    (name, shape) for kind in (ARRAY, WHOLE, SERIES, BYTES, TOKENS) for shape in VECTORS for name in OF[kind]
]
CASES += [(name, (12,)) for name in OF[TABULAR]]
CASES = list(dict.fromkeys(CASES))


def drawn(row, n, seed=1):
    streams = per_item(generator(seed), n)
    return row.sample(streams.child(0)), streams.child(1)


def vector(name, n, shape, bounds=None):
    """Inputs that a case asks for: of images for shapes (c, h, w), else of the mutator's own kind."""
    bounds = bounds or bounds_of(name)[0]
    if kind_of(name) == "image" and len(shape) != 3:
        x = np.random.default_rng(3).uniform(bounds.low, bounds.high, (n, *shape)).astype(np.float32)
        return x, extra(name, x), bounds
    x = inputs(name, n, shape, bounds)
    return x, extra(name, x), bounds


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_results_are_like_the_input_and_inside_the_bounds(name, shape):
    for bounds in bounds_of(name):
        check_result(name, shape, bounds)


def check_result(name, shape, bounds):
    row = get(name)
    x, needed, _ = vector(name, 12, shape, bounds)
    before = x.copy()
    params, streams = drawn(row, 12)
    out = row.apply(x, params, streams, bounds, needed)
    assert out.shape == x.shape and out.dtype == np.float32
    assert np.isfinite(out).all()
    assert out.min() >= np.float32(bounds.low) and out.max() <= np.float32(bounds.high)
    assert np.array_equal(x, before), "the input was written to"
    assert not np.shares_memory(out, x)
    assert (out != x).any()


@pytest.mark.parametrize("name", ALL)
def test_identity_is_exact_alone_and_among_others(name):
    row = get(name)
    for bounds in bounds_of(name):
        x, needed, _ = vector(name, 6, shape_of(name), bounds)
        params, streams = drawn(row, 6)
        params[[0, 3]] = row.identity
        out = row.apply(x, params, streams, bounds, needed)
        assert np.array_equal(out[[0, 3]], x[[0, 3]])
        assert (out[[1, 2, 4, 5]] != x[[1, 2, 4, 5]]).any()
        alone = row.apply(x, np.tile(np.float32(row.identity), (6, 1)), streams, bounds, needed)
        assert np.array_equal(alone, x)


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_an_item_does_not_depend_on_its_batch_mates_to_the_bit(name, shape):
    row = get(name)
    x, needed, bounds = vector(name, 37, shape)
    params, streams = drawn(row, 37)
    whole = row.apply(x, params, streams, bounds, needed)
    assert np.array_equal(whole, row.apply(x, params, streams, bounds, needed)), "not deterministic"
    for group in ([0], [36], [5, 4], list(range(3, 20)), list(range(36, -1, -1))):
        own = part(needed, group)
        some = row.apply(x[group], params[group], streams[group], bounds, own)
        assert np.array_equal(some.view(np.uint32), whole[group].view(np.uint32))


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(ALL),
    sides=st.lists(st.integers(1, 5), min_size=3, max_size=3),
    n=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    level=st.none() | st.floats(0, 1, width=32),
)
def test_the_smallest_and_the_constant_inputs(name, sides, n, seed, level):
    row, bounds = get(name), bounds_of(name)[0]
    shape = (12,) if kind_of(name) == "tabular" else tuple(sides)
    x = np.random.default_rng(seed).uniform(bounds.low, bounds.high, (n, *shape)).astype(np.float32)
    if level is not None:
        x[:] = bounds.low + level * bounds.span
    if kind_of(name) in ("whole", "bytes", "tokens"):
        x = np.rint(x)
    params, streams = drawn(row, n, seed)
    out = row.apply(x, params, streams, bounds, extra(name, x))
    assert out.shape == x.shape and out.dtype == np.float32 and np.isfinite(out).all()
    assert out.min() >= np.float32(bounds.low) and out.max() <= np.float32(bounds.high)
    one = row.apply(x[:1], params[:1], streams[:1], bounds, part(extra(name, x), [0]))
    assert np.array_equal(one, out[:1])


@pytest.mark.parametrize("name", ALL)
def test_a_group_may_be_empty(name):
    row = get(name)
    empty = np.zeros((0, *shape_of(name)), dtype=np.float32)
    params, streams = drawn(row, 0)
    assert params.shape == (0, len(row.params))
    needed = extra(name, empty)
    assert row.apply(empty, params, streams, BOUNDS[0], needed).shape == empty.shape
    columns = np.zeros((len(row.params), 0), dtype=np.float32)
    others = (empty,) if row.paired else (needed,) if row.needs else ()
    assert row.function(empty, columns, streams, BOUNDS[0], *others).shape == empty.shape


@pytest.mark.parametrize("name", ALL)
def test_arrays_may_live_on_a_device(name):
    strict.register()
    row = get(name)
    x, needed, bounds = vector(name, 5, shape_of(name))
    params, streams = drawn(row, 5)
    params[1] = row.identity
    out = row.apply(strict.StrictArray(x), strict.StrictArray(params), streams, bounds, needed)
    assert np.array_equal(out.inner, row.apply(x, params, streams, bounds, needed))


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
    x, bounds = textures(n), BOUNDS[0]
    if kind_of(name) == "tabular":
        x, bounds = inputs(name, n, (12,), bounds_of(name)[0]), bounds_of(name)[0]
    elif IMAGE.name not in row.inputs:
        # Long rough signals, so that a hundredth of the length is many values.
        walk = np.random.default_rng(5).standard_normal((n, 1500)).cumsum(axis=1)
        x, bounds = np.rint(np.clip(128 + 3 * walk, 0, 255)).astype(np.float32), BOUNDS[1]
    streams, needed = per_item(generator(7), n), extra(name, x)
    base = np.float32(row.identity)
    # A direction or a number of cycles says where, not how much: held still while the strength grows.
    strength = np.array(
        [p.name not in ("cycles", "toward") and (p.name != "deg" or row.geometric) for p in row.params]
    )
    for ends in ([p.low for p in row.params], [p.high for p in row.params]):
        reach = np.where(strength, np.float32(ends) - base, np.float32(0))
        if not reach.any():
            continue
        effect = [0.0]
        for t in (0.25, 0.5, 0.75, 1.0):
            params = np.tile((base + np.float32(t) * reach).astype(np.float32), (n, 1))
            change = row.apply(x, params, streams, bounds, needed) - x
            # Bytes and tokens are no quantities: what counts is how many of them are others.
            counted = change != 0 if row.inputs[0] in ("bytes", "tokens") else np.abs(change)
            effect.append(float(counted.mean()))
        assert all(a < b for a, b in pairwise(effect)) or grows_in_steps(row, effect), effect


def grows_in_steps(row, effect):
    """What an arithmetic step writes over is the same number of bytes, and rows have few columns."""
    few = row.inputs == ("tabular",) or row.name == "arithmetic"
    return few and effect[0] < effect[1] and all(a <= b * 1.02 for a, b in pairwise(effect))


def test_noise_differs_between_keys_and_repeats_for_a_key():
    for name in ("gaussian-noise", "snow", "elastic", "occlude", "fog", "spatter", "spot", "pixel-change"):
        row = get(name)
        x = np.repeat(images(1, (1, 28, 28)), 4, axis=0)
        params = np.tile(np.float32([p.high for p in row.params]), (4, 1))
        out = row.apply(x, params, Streams(np.array([5, 6, 7, 5], dtype=np.uint64)), BOUNDS[0])
        assert np.array_equal(out[0], out[3])
        assert (out[0] != out[1]).any() and (out[1] != out[2]).any()


def test_there_are_enough_and_colour_ones_are_kept_from_grey_images():
    assert len(names_for((1, 28, 28))) >= 33
    assert set(names_for((3, 32, 32))) - set(names_for((1, 28, 28))) == {"saturate", "tint", "channel-drop"}
    pictures = [name for name in ALL if IMAGE.name in get(name).inputs]
    assert {get(name).family for name in pictures} == {
        "light",
        "colour",
        "noise",
        "blur",
        "compression",
        "occlusion",
        "weather",
        "geometry",
        "crossover",
        "gradient",
    }
    assert {name for name in pictures if get(name).geometric} == {
        name for name in pictures if get(name).family == "geometry"
    }


def test_each_kind_has_mutators_of_its_own():
    arrays, whole = names_for((2048,), ARRAY), names_for((2048,), WHOLE)
    assert len(arrays) >= 12 and len(whole) >= 7
    assert set(arrays) & set(whole) == {"block-copy", "splice"}
    series, text = names_for((2048,), SERIES), names_for((2048,), BYTES)
    assert {"gain", "clip", "drift", "stretch", "band-stop", "dropout", "resample", "sensor-freeze"} <= {
        *series
    }
    assert {"bit-flip", "arithmetic", "interesting", "block-duplicate", "block-fill", "splice"} <= {*text}
    assert "dictionary" not in text and "synonym" not in names_for((64,), TOKENS), "they need to be told"
    assert not set(names_for((3, 32, 32))) & {*arrays, *whole}
    assert set(arrays) - set(names_for((2048,), ARRAY, paired=False)) == {"splice"}
    assert {name for name in ALL if get(name).geometric and IMAGE.name not in get(name).inputs} == {
        "shift",
        "stretch",
        "element-insert",
        "element-delete",
        "block-duplicate",
        "repeat",
    }


@pytest.mark.parametrize("name", names_for((53,), WHOLE))
@pytest.mark.parametrize("bounds", [Bounds(0, 256), Bounds(-2, 3), Bounds(-0.5, 9.5)], ids=str)
def test_whole_numbers_stay_whole(name, bounds):
    rng = np.random.default_rng(0)
    low, high = math.ceil(bounds.low), math.floor(bounds.high)
    x = rng.integers(low, high + 1, (40, 4, 53)).astype(np.float32)
    params, streams = drawn(get(name), 40)
    out = get(name).apply(x, params, streams, bounds)
    assert np.array_equal(out, np.rint(out)) and out.min() >= low and out.max() <= high
    assert (out != x).any(axis=(1, 2)).mean() > 0.7


def strongest(name, x, partners=None):
    row = get(name)
    params = np.tile(np.float32([p.high for p in row.params]), (len(x), 1))
    return row.apply(x, params, per_item(generator(3), len(x)), Bounds(0, 999), partners)


def test_what_the_edits_of_whole_numbers_do():
    x = np.tile(np.arange(100, dtype=np.float32), (30, 1))
    replaced = strongest("element-replace", x) != x
    assert set(replaced.sum(axis=1).tolist()) <= {1, 2} and replaced.sum() > 50
    assert set(abs(strongest("element-step", x) - x).max(axis=1).tolist()) == {1.0}
    swapped = strongest("element-swap", x)
    assert np.array_equal(np.sort(swapped, axis=1), x) and (abs(swapped - x).max(axis=1) == 1).all()
    for row in strongest("element-insert", x):
        place = int(np.flatnonzero(row != np.arange(100))[0]) if (row != np.arange(100)).any() else 0
        # Two values came in somewhere; what stood there follows two places later.
        assert any(np.array_equal(row[k + 2 :], x[0, k:98]) for k in (place, place - 1, place - 2) if k >= 0)
    for row in strongest("element-delete", x):
        gone = sorted(set(range(100)) - set(row.astype(int).tolist()))
        assert len(gone) in (1, 2) and row[-1] == row[-2] == row.max()


def test_what_the_pieces_of_arrays_do():
    x = np.tile(np.arange(100, dtype=np.float32), (30, 2, 1))
    copied = strongest("block-copy", x)
    assert ((copied != x).sum(axis=2) <= 10).all() and np.isin(copied, x).all()
    assert np.array_equal(copied[:, 0], copied[:, 1]), "all lines take the block from the same place"
    spliced = strongest("splice", x, x + 500)
    assert ((spliced == x + 500).sum(axis=2) == 10).all() and ((spliced == x).sum(axis=2) == 90).all()
    shifted = strongest("shift", x)
    assert np.array_equal(shifted[:, :, 10:], x[:, :, :90]) and (shifted[:, :, :10] == 0).all()


def test_names_are_matched_loosely_and_unknown_ones_get_a_suggestion():
    assert get("Gaussian_Noise").name == "gaussian-noise"
    with pytest.raises(InvalidArgument, match="unknown mutator 'rotat'; did you mean rotate"):
        get("rotat")


def test_a_name_is_registered_once():
    with pytest.raises(InvalidArgument, match="registered twice"):
        mutator("Rotate", "geometry", Param("deg", -1, 1))(lambda x, p, streams, bounds: x)
