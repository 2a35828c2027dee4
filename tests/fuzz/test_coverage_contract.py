"""What every coverage criterion must hold, over the registry."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.errors import InvalidArgument
from armour.fuzz.coverage import CRITERIA, CellCriterion, Criterion

NAMES = CRITERIA.names()
Layers = dict[str, np.ndarray]
# A convolution of two channels, a dense layer of five units and the logits of three classes.
WIDTHS = {"conv": (2, 3, 3), "dense": (5,), "logits": (3,)}


def layers(rng: np.random.Generator, n: int, spread: float = 1.0) -> Layers:
    """Made-up activations."""
    return {name: (rng.normal(size=(n, *w)) * spread).astype(np.float32) for name, w in WIDTHS.items()}


def rows(given: Layers, at: slice | np.ndarray) -> Layers:
    """Some samples of them."""
    return {name: values[at] for name, values in given.items()}


def fitted(name: str) -> Criterion:
    """The criterion calibrated on 60 clean samples, always the same."""
    return copy.deepcopy(_fitted(name))


@cache
def _fitted(name: str) -> Criterion:
    return CRITERIA.get(name).fit(layers(np.random.default_rng(77), 60))


def update(criterion: Criterion, given: Layers) -> np.ndarray:
    """Its gain; the original of a sample, where one is needed, is the half of it."""
    return criterion.update(given, {name: values / 2 for name, values in given.items()})


def state(criterion: Criterion) -> list[bytes]:
    """All that it stores."""
    return [array.tobytes() for _, array in sorted(criterion.arrays().items())]


def each(test: Callable[..., None]) -> Callable[..., None]:
    """For every criterion, with made-up samples."""
    inner = settings(max_examples=12, deadline=None)(
        given(seed=st.integers(0, 2**32), n=st.integers(0, 40))(test)
    )
    return pytest.mark.parametrize("name", NAMES)(inner)


@each
def test_splitting_a_batch_changes_nothing(name: str, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    given, cuts = layers(rng, n, 3.0), np.sort(rng.integers(0, n + 1, 2)).tolist()
    whole, split = fitted(name), fitted(name)
    gain = update(whole, given)
    parts = [update(split, rows(given, slice(a, b))) for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    assert gain.shape == (n,) and np.concatenate(parts).tolist() == gain.tolist()
    assert whole.value == split.value and state(whole) == state(split)


@each
def test_gain_is_what_the_value_grows_by(name: str, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    criterion, values = fitted(name), []
    for _ in range(3):
        before, gain = criterion.value, update(criterion, layers(rng, n, 3.0))
        values.append(criterion.value)
        cells = {"share": np.inf, "count": 1.0, "ratio": 1.0}[criterion.form]
        if isinstance(criterion, CellCriterion):
            cells = criterion.seen.size
        elif criterion.form == "share":
            cells = 10  # neurons
        assert (criterion.value - before) * cells == pytest.approx(gain.sum(), abs=1e-9)
        if criterion.monotone:
            assert (gain >= 0).all() and criterion.value >= before
        if criterion.form == "share":
            assert 0 <= criterion.value <= 1
    if criterion.monotone and criterion.form != "ratio":
        assert update(criterion, layers(np.random.default_rng(seed), n, 3.0)).sum() == 0  # nothing new


@each
def test_merging_is_as_if_one_had_seen_it_all(name: str, seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = layers(rng, n, 3.0), layers(rng, 20, 3.0)
    one, two, both = fitted(name), fitted(name), fitted(name)
    update(one, first), update(two, second)
    update(both, first), update(both, second)
    kept = state(two)
    if not one.mergeable:
        with pytest.raises(InvalidArgument, match="depends on the order of samples"):
            one.merge(two)
        return
    alone = one.value
    one.merge(two)
    assert state(two) == kept
    if name == "nn":  # another choice of points, each as far from the others and near to all that was seen
        assert max(alone, two.value) <= one.value <= alone + two.value
    else:
        assert one.value == both.value and state(one) == state(both)
    before = one.value
    if one.monotone:
        one.merge(two)  # once more: nothing new
        assert one.value == before


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_state_goes_on(name: str) -> None:
    rng = np.random.default_rng(5)
    one, two = fitted(name), fitted(name)
    update(one, layers(rng, 30, 3.0))
    two.restore({key: array.copy() for key, array in one.arrays().items()})
    assert two.value == one.value and state(one) == state(two)
    more = layers(rng, 30, 5.0)
    assert update(one, more).tolist() == update(two, more).tolist()
    for key, array in one.arrays().items():
        for wrong in (array.astype(np.complex128), np.zeros((2, 2, 2), array.dtype)):
            with pytest.raises(ValueError):
                fitted(name).restore({**one.arrays(), key: wrong})


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_finite_covers_nothing_and_spoils_nothing(name: str) -> None:
    given = layers(np.random.default_rng(6), 20, 3.0)
    clean, spoilt = fitted(name), fitted(name)
    update(clean, given)
    nan = {key: np.full((2, *values.shape[1:]), np.nan, np.float32) for key, values in given.items()}
    assert update(spoilt, nan).tolist() == [0, 0]
    mixed = {key: np.concatenate([values[:10], nan[key], values[10:]]) for key, values in given.items()}
    assert update(spoilt, mixed)[10:12].tolist() == [0, 0]
    assert spoilt.value == clean.value and np.isfinite(spoilt.value)
    one = rows(given, slice(0, 1))
    one["dense"] = one["dense"].copy()
    one["dense"][0, 2] = np.inf  # a single neuron
    update(spoilt, one)
    assert np.isfinite(spoilt.value)


@pytest.mark.parametrize("name", NAMES)
def test_one_neuron_and_equal_clean_data(name: str) -> None:
    rng = np.random.default_rng(7)
    kind = CRITERIA.get(name)
    clean = {"only": rng.normal(size=(20, 1)), "logits": rng.normal(size=(20, 2))}
    criterion = kind.fit(clean)
    assert update(criterion, {"only": np.zeros((3, 1)), "logits": np.eye(3, 2)}).shape == (3,)
    flat = {"only": np.ones((5, 1)), "logits": np.ones((5, 2))}  # low = high everywhere
    if name in ("nn", "lsa", "dsa"):
        with pytest.raises(InvalidArgument, match="expected"):
            kind.fit(flat)
        return
    criterion = kind.fit(flat)
    update(criterion, flat)
    assert np.isfinite(criterion.value)


@pytest.mark.parametrize("name", NAMES)
def test_other_layers_are_refused(name: str) -> None:
    criterion, given = fitted(name), layers(np.random.default_rng(8), 4)
    for wrong in (
        {"conv": given["conv"], "dense": given["dense"]},
        {**given, "dense": given["dense"][:, :4]},
        {"dense": given["dense"], "conv": given["conv"], "logits": given["logits"]},
    ):
        with pytest.raises(InvalidArgument, match="expected layers"):
            update(criterion, wrong)
    with pytest.raises(InvalidArgument, match="no layers"):
        update(criterion, {})
    other = CRITERIA.get("nc").fit({"dense": given["dense"]})
    if criterion.mergeable:
        with pytest.raises(InvalidArgument, match="expected another"):
            criterion.merge(other)


@pytest.mark.parametrize("name", [name for name in NAMES if CRITERIA.get(name).settings])
def test_other_settings_are_not_merged(name: str) -> None:
    clean = layers(np.random.default_rng(77), 60)
    one, two = (CRITERIA.get(name).fit(clean) for _ in range(2))
    setting = CRITERIA.get(name).settings[-1]
    value = getattr(two, setting)
    setattr(two, setting, (not value) if isinstance(value, bool) else np.asarray(value) + 1)
    with pytest.raises(InvalidArgument, match=f"of the same {setting}"):
        one.merge(two)


def test_the_gain_does_not_depend_on_the_batch_for_channels_either() -> None:
    """A channel is one neuron: the mean over space."""
    given = layers(np.random.default_rng(9), 30, 2.0)
    means = {name: values.reshape(*values.shape[:2], -1).mean(axis=2) for name, values in given.items()}
    for name in ("nc", "tknc", "tknp"):
        kind = CRITERIA.get(name)
        assert update(kind(), given).tolist() == update(kind(), means).tolist()
