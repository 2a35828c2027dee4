"""Section ids and their map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.errors import InvalidArgument
from armour.fuzz.sections import Profile, SectionMap, distinct_layers, neurons, sections


def test_section_ids_by_hand() -> None:
    low, high = np.zeros(1, np.float32), np.full(1, 4.0, np.float32)
    values = np.array([-0.1, 0.0, 0.99, 1.0, 3.99, 4.0, 4.1, np.nan, np.inf, -np.inf], np.float32)[:, None]
    ids = sections(values, low, high, 4)
    assert ids.dtype == np.int16
    assert ids[:, 0].tolist() == [0, 1, 1, 2, 4, 4, 5, 5, 5, 0]


def test_a_dead_neuron_has_one_inner_section() -> None:
    low = high = np.full(1, 2.0, np.float32)
    values = np.array([[1.0], [2.0], [3.0]], np.float32)
    assert sections(values, low, high, 8)[:, 0].tolist() == [0, 1, 9]


def test_neurons_are_spatial_means() -> None:
    maps = np.random.default_rng(0).normal(size=(3, 4, 5, 6)).astype(np.float32)
    dense = np.arange(6, dtype=np.float32).reshape(3, 2)
    columns = neurons({"conv": maps, "dense": dense})
    assert columns.shape == (3, 6)
    np.testing.assert_allclose(columns[:, :4], maps.mean(axis=(2, 3)), atol=1e-6)
    np.testing.assert_array_equal(columns[:, 4:], dense)
    with pytest.raises(InvalidArgument, match="expected activations"):
        neurons({"odd": np.zeros(3)})


def test_non_finite_activations_show_in_the_neurons() -> None:
    maps = np.zeros((3, 2, 4, 4), np.float32)
    maps[1, 0, 2, 2] = np.nan
    maps[2, 1, 0, 0] = np.inf
    assert np.isfinite(neurons({"conv": maps})).all(axis=1).tolist() == [True, False, False]


def test_reshapes_are_not_counted_twice() -> None:
    maps = np.random.default_rng(1).normal(size=(2, 3, 2, 2)).astype(np.float32)
    layers = {"conv": maps, "flatten": maps.reshape(2, 12), "dropout": maps.reshape(2, 12), "relu": maps**2}
    assert distinct_layers(layers, maps[:, :1]) == ["conv", "relu"]
    # Neither is the input, normalised or not.
    layers = {"scaled": maps * 2 - 3, "flat": maps.reshape(2, 12), "square": maps**2}
    assert distinct_layers(layers, maps) == ["square"]


def test_profile_leaves_out_what_is_not_finite() -> None:
    values = np.array([[1.0, np.nan], [3.0, np.nan], [np.inf, np.nan]], np.float32)
    profile = Profile.fit(values)
    assert profile.low.tolist() == [1.0, 0.0] and profile.high.tolist() == [3.0, 0.0]
    with pytest.raises(InvalidArgument, match="n >= 1"):
        Profile.fit(values[:0])


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(0, 9), cut=st.integers(0, 9), k=st.integers(1, 6))
def test_map_does_not_depend_on_batches_and_never_falls(seed: int, n: int, cut: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    profile = Profile.fit(rng.normal(size=(4, 3)).astype(np.float32))
    values = rng.normal(size=(n, 3)).astype(np.float32) * 2
    whole, split = SectionMap(profile, k), SectionMap(profile, k)
    gain = whole.update(whole.ids(values))
    ids = split.ids(values)
    first, second = split.update(ids[:cut]), split.update(ids[cut:])
    assert np.concatenate([first, second]).tolist() == gain.tolist()
    np.testing.assert_array_equal(whole.counts, split.counts)
    # Every execution hits exactly one section of every neuron.
    assert (whole.counts.sum(axis=1) == n).all()
    assert gain.sum() == (whole.counts > 0).sum()
    before = whole.kmnc
    whole.update(whole.ids(values * 0.5))
    assert whole.kmnc >= before


def test_only_counted_rows_gain() -> None:
    profile = Profile(low=np.zeros(1, np.float32), high=np.ones(1, np.float32))
    table = SectionMap(profile, 2)
    ids = table.ids(np.array([[0.1], [0.1], [0.9]], np.float32))
    assert table.update(ids, np.array([False, True, False])).tolist() == [0, 1, 0]
    assert table.counts.tolist() == [[0, 1, 0, 0]]
    assert table.kmnc == 0.5 and table.boundary == 0.0


def test_signatures_tell_coarse_patterns_apart() -> None:
    rng = np.random.default_rng(3)
    profile = Profile.fit(rng.normal(size=(20, 40)).astype(np.float32))
    table = SectionMap(profile, 64)
    ids = table.ids(rng.normal(size=(500, 40)).astype(np.float32))
    coarse = (ids.astype(int) * 8) // 66
    assert len(set(table.signatures(ids).tolist())) == len(np.unique(coarse, axis=0))
    np.testing.assert_array_equal(table.signatures(ids)[:7], table.signatures(ids[:7]))
