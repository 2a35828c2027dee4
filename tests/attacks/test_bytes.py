"""Edits of bytes keep their limits, and a greedy search needs the fewest that there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import attacks, criteria
from armour.attacks import edits as domain
from armour.attacks.bytes import _spread
from armour.attacks.edits import Edits
from armour.errors import InvalidArgument
from armour.model import CallableModel
from armour.rng import per_item

SIZE, PAD, TOP = 12, 9, 7  # values 0..7, a sequence ends before the 9s


def lookup(
    size: int = SIZE, seed: int = 0, need: float = 3.0
) -> tuple[CallableModel, np.ndarray, list[np.ndarray]]:
    """Class 1 if the weights of the values, looked up by place and value, sum to more than `need`."""
    weights = np.random.default_rng(seed).normal(size=(size, PAD + 1))
    weights[:, PAD] = 0
    seen: list[np.ndarray] = []

    def scores(x: np.ndarray) -> np.ndarray:
        seen.append(x.copy())
        total = weights[np.arange(size), x.astype(int)].sum(axis=1)
        return np.stack([np.full(len(x), need), total], axis=1)

    return (
        CallableModel(scores, bounds=(0, PAD), input_shape=(size,), num_classes=2, outputs="logits"),
        weights,
        seen,
    )


def sequences(rng: np.random.Generator, n: int, least: int = 0) -> np.ndarray:
    x = rng.integers(0, TOP + 1, (n, SIZE)).astype(np.float32)
    for row, end in zip(x, rng.integers(least, SIZE + 1, n), strict=True):
        row[end:] = PAD
    return x


def ends(x: np.ndarray) -> np.ndarray:
    return np.array([max((i + 1 for i in range(len(row)) if row[i] != PAD), default=0) for row in x])


def made_by(before: np.ndarray, after: np.ndarray, edits: Edits, allowed: np.ndarray) -> bool:
    """Whether `after` comes from `before` within the limits, by going through all ways to align them."""
    end = ends(before[None])[0]
    offsets = set(range(end + 1)) if edits.offsets is None else set(edits.offsets)
    low, high = edits.values
    # States: values read of the original, replaced, inserted and appended so far.
    states = {(0, 0, 0, 0)}
    for value in after:
        following = set()
        written = low <= value <= high and value == int(value)
        for i, r, k, a in states:
            if i < SIZE and before[i] == value:
                following.add((i + 1, r, k, a))
            if i < end and allowed[i] and written and r < edits.replace and not a:
                following.add((i + 1, r + 1, k, a))
            if written and k < edits.insert and i in offsets and i <= end and not a:
                following.add((i, r, k + 1, a))
            if written and a < edits.append and i == end + a:
                following.add((i + 1, r, k, a + 1))
        states = following
    return any(state[0] >= end for state in states)  # nothing but padding was pushed out


LIMITS = st.fixed_dictionaries(
    {
        "replace": st.integers(0, 4),
        "insert": st.integers(0, 3),
        "append": st.integers(0, 3),
        "offsets": st.none() | st.lists(st.integers(0, SIZE), min_size=1, max_size=4).map(tuple),
        "mask": st.none() | st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).filter(any),
        "values": st.tuples(st.integers(0, 3), st.integers(3, TOP)),
    }
).filter(lambda limits: limits["replace"] + limits["insert"] + limits["append"] > 0)


@settings(max_examples=40, deadline=None)
@given(limits=LIMITS, search=st.sampled_from(["greedy", "random", "genetic"]), seed=st.integers(0, 999))
def test_every_question_is_within_the_limits(limits: dict[str, Any], search: Any, seed: int) -> None:
    model, _, seen = lookup(need=6.0)
    x = sequences(np.random.default_rng(seed), 4)
    edits = Edits(padding=PAD, **limits)
    attack = attacks.Bytes(edits=edits, search_by=search, population=5, queries=22)
    result = attack.attack(model, x, model.predict(x), rng=seed)
    allowed = np.ones(SIZE, bool) if edits.mask is None else edits.mask.allowed
    assert result.spent.max() <= 22
    for asked in {row.tobytes() for batch in seen for row in batch}:
        after = np.frombuffer(asked, np.float32)
        assert any(made_by(before, after, edits, allowed) for before in x), (x, after)
    for before, after in zip(x, result.adv[0], strict=True):
        assert made_by(before, after, edits, allowed)


def test_edits_one_by_one() -> None:
    x = np.array([[1, 2, 3, 9, 9, 9]], np.float32)
    edits = Edits(replace=1, insert=2, append=1, padding=9, values=(0, 8))
    made = domain.of(edits, x).written(
        np.array([0]),
        np.array([[[1, -1, -1, -1], [-1, 0, 3, -1], [-1, -1, -1, 0], [0, 1, 1, 0], [-1, -1, -1, -1]]]),
        np.array([[[5, 0, 0, 0], [0, 6, 7, 0], [0, 0, 0, 8], [4, 6, 7, 8], [0, 0, 0, 0]]], np.float32),
    )
    expected = [
        [1, 5, 3, 9, 9, 9],
        [6, 1, 2, 3, 7, 9],
        [1, 2, 3, 8, 9, 9],
        [4, 6, 7, 2, 3, 8],
        [1, 2, 3, 9, 9, 9],
    ]
    np.testing.assert_array_equal(made, expected)


def test_a_full_sequence_can_only_be_replaced_in_and_an_empty_one_only_be_appended_to() -> None:
    x = np.array([[1, 2, 3], [9, 9, 9]], np.float32)
    both = domain.of(Edits(replace=1, insert=1, append=1, padding=9, values=(0, 1)), x)
    assert both.choices.tolist() == [[6, 0, 0], [0, 2, 2]]
    model = CallableModel(
        lambda x: np.stack([x[:, 0] * 0, x[:, 0] - 5], axis=1),
        bounds=(0, 9), input_shape=(3,), num_classes=2, outputs="logits",
    )  # fmt: skip
    result = attacks.Bytes(edits=Edits(append=1, values=(0, 9), padding=9)).attack(model, x, [0, 1])
    assert not result.success[0, 0] and result.success[0, 1] and result.spent[0, 0] == 1
    np.testing.assert_array_equal(result.adv[0, 0], x[0])


@pytest.mark.parametrize("seed", range(3))
def test_greedy_needs_as_few_replacements_as_there_are(seed: int) -> None:
    """The weights add up, so that the fewest are the largest gains, one a place."""
    model, weights, _ = lookup(seed=seed, need=9.0)
    x = sequences(np.random.default_rng(seed + 10), 12, least=8)
    x = x[model.predict(x) == 0]
    end, place = ends(x), np.arange(SIZE)
    own = weights[place, x.astype(int)]
    gain = np.where(place < end[:, None], weights[:, : TOP + 1].max(axis=1) - own, 0)
    reached = own.sum(axis=1)[:, None] + np.cumsum(-np.sort(-gain, axis=1), axis=1)
    fewest = np.where((reached > 9.0).any(axis=1), 1 + (reached > 9.0).argmax(axis=1), SIZE + 1)
    options = SIZE * (TOP + 1)
    for limit in (1, 2, 3, 5):
        attack = attacks.Bytes(
            edits=Edits(replace=limit, values=(0, TOP), padding=PAD),
            population=options,
            queries=limit * options + 1,
        )
        result = attack.attack(model, x, np.zeros(len(x), int))
        np.testing.assert_array_equal(result.success[0], fewest <= limit)
        np.testing.assert_array_equal(result.distance[0][result.success[0]], fewest[result.success[0]])
    assert len(set(fewest)) > 2


@pytest.mark.parametrize("search", ["greedy", "random", "genetic"])
def test_searches_find_what_a_random_try_does_not(search: Any) -> None:
    """1,000 questions about 64 places of 256 values, of which 16 may change, and 1,000 random edits."""
    size, rng = 64, np.random.default_rng(3)
    weights = rng.normal(size=(size, 256))

    def scores(x: np.ndarray) -> np.ndarray:
        total = weights[np.arange(size), x.astype(int)].sum(axis=1)
        return np.stack([np.full(len(x), 25.0), total], axis=1)

    model = CallableModel(scores, bounds=(0, 255), input_shape=(size,), num_classes=2, outputs="logits")
    x = rng.integers(0, 256, (12, size)).astype(np.float32)
    assert (model.predict(x) == 0).all()
    attack = attacks.Bytes(edits=Edits(replace=16), search_by=search, queries=1000)
    result = attack.attack(model, x, np.zeros(12, int), rng=1)
    best = np.full(12, -np.inf)
    for _ in range(1000):
        tried = x.copy()
        for row in tried:
            row[rng.choice(size, 16, replace=False)] = rng.integers(0, 256, 16)
        best = np.maximum(best, model.logits(tried)[:, 1])
    found = model.logits(result.adv[0])[:, 1]
    assert (found > best).all() and result.success.mean() > 0.8
    assert (result.distance <= 16).all() and (result.adv == np.rint(result.adv)).all()
    left = ~result.success[0]
    assert (result.spent[0][left] == 1000).all() and (result.spent[0][~left] < 1000).all()


def test_targeted_and_neighbours_do_not_matter() -> None:
    model, _, _ = lookup(need=2.0)
    x = sequences(np.random.default_rng(1), 10, least=6)
    target = 1 - model.predict(x)
    for search in ("greedy", "random", "genetic"):
        attack = attacks.Bytes(
            edits=Edits(replace=3, append=2, padding=PAD, values=(0, TOP)),
            search_by=search,
            queries=80,
            population=8,
        )  # type: ignore[arg-type]
        whole = attack.attack(model, x, criteria.Targeted(target), rng=4)
        assert whole.success.mean() > 0.5
        model.batch_size = 3
        parts = attack.attack(model, x[4:7], criteria.Targeted(target[4:7]), rng=4)
        model.batch_size = 256
        np.testing.assert_array_equal(parts.adv[0], whole.adv[0][4:7])
        np.testing.assert_array_equal(parts.spent[0], whole.spent[0][4:7])


def test_spread_numbers_come_once_each() -> None:
    streams = per_item(np.random.default_rng(0), 6)
    made = _spread(np.array([1, 2, 12, 30, 97, 2048]), 30, streams)
    for row, total in zip(made, (1, 2, 12, 30, 97, 2048), strict=True):
        assert len(set(row.tolist())) == min(total, 30) and row.min() >= 0 and row.max() < total


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({}, "something to do"),
        ({"replace": -1}, "replace=-1"),
        ({"append": 3}, "padding="),
        ({"insert": 3, "padding": 256, "offsets": ()}, "at least one offset"),
        ({"replace": 1, "values": (5, 2)}, "least and largest"),
        ({"replace": 1, "values": (0, 2.5)}, "whole numbers"),
        ({"replace": 1, "mask": [False, False]}, "all False"),
    ],
)
def test_bad_limits(limits: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Edits(**limits)


def test_bad_settings() -> None:
    model, _, _ = lookup()
    x = sequences(np.random.default_rng(0), 2)
    with pytest.raises(InvalidArgument, match="inside the model's bounds"):
        attacks.Bytes().attack(model, x, [0, 0])
    for settings_ in ({"search_by": "hill"}, {"population": 1}, {"queries": 0}, {"loss": "margins"}):
        with pytest.raises(InvalidArgument):
            attacks.Bytes(**settings_)
