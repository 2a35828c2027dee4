"""Random tensors follow their distributions, repeat by seed, and are drawn again when a row runs again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import OPS, Tensor, backend, grad, random
from armour.tensor.core import observers
from tests.tensor.strict import StrictArray, register, strict

N = 20_000
CONTINUOUS: dict[str, tuple[Callable[..., Tensor], Any]] = {
    "uniform": (lambda **k: random.uniform((N,), -1.0, 3.0, **k), scipy.stats.uniform(-1.0, 4.0)),
    "normal": (lambda **k: random.normal((N,), 2.0, 0.5, **k), scipy.stats.norm(2.0, 0.5)),
    "truncated_normal": (
        lambda **k: random.truncated_normal((N,), 1.0, 2.0, 1.5, **k),
        scipy.stats.truncnorm(-1.5, 1.5, 1.0, 2.0),
    ),
    "exponential": (lambda **k: random.exponential((N,), 3.0, **k), scipy.stats.expon(scale=3.0)),
    "laplace": (lambda **k: random.laplace((N,), 1.0, 2.0, **k), scipy.stats.laplace(1.0, 2.0)),
    "gamma": (lambda **k: random.gamma((N,), 2.5, 2.0, **k), scipy.stats.gamma(2.5, scale=2.0)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_continuous_distributions(name: str, dtype: str) -> None:
    function, expected = CONTINUOUS[name]
    values = function(rng=3, dtype=dtype)
    assert values.dtype == dtype and values.shape == (N,)
    assert scipy.stats.kstest(values.numpy().astype(float), expected.cdf).pvalue > 0.01
    np.testing.assert_array_equal(values.numpy(), function(rng=3, dtype=dtype).numpy())
    assert not np.array_equal(values.numpy(), function(rng=4, dtype=dtype).numpy())


def fits(found: Any, probabilities: Any) -> None:
    """Counts of 0, 1, ... fit the probabilities by a chi-square test."""
    counts = np.bincount(np.ravel(found), minlength=len(probabilities))
    assert len(counts) == len(probabilities) and not counts[np.equal(probabilities, 0)].any()
    kept = np.greater(probabilities, 0)
    expected = np.asarray(probabilities)[kept] * counts.sum()
    assert scipy.stats.chisquare(counts[kept], expected).pvalue > 0.01


P = np.array([0.1, 0.0, 0.5, 0.4])


def test_whole_numbers_and_choices() -> None:
    fits(random.integers((N,), 2, 6, rng=0).numpy() - 2, [0.25] * 4)
    counts = random.poisson((N,), 0.7, rng=0).numpy()
    fits(np.minimum(counts, 4), [*scipy.stats.poisson(0.7).pmf(range(4)), scipy.stats.poisson(0.7).sf(3)])
    fits(random.bernoulli(0.3, (N,), rng=0).numpy().astype(int), [0.7, 0.3])
    with np.errstate(divide="ignore"):
        logits = np.log(P) + 5.0
    found = random.categorical(np.stack([logits, logits[::-1]]), N, rng=0).numpy()
    assert found.shape == (2, N) and found.dtype == np.int64
    fits(found[0], P)
    fits(found[1], P[::-1])
    fits(random.multinomial(P * 3.0, N, replacement=True, rng=0).numpy(), P)


def test_multinomial_without_replacement_takes_each_once_by_its_probability() -> None:
    found = random.multinomial(np.tile(P, (N, 1)), 2, rng=1).numpy()
    assert found.shape == (N, 2) and (found[:, 0] != found[:, 1]).all()
    fits(found[:, 0], P)
    # Given the first, the second is drawn from the rest.
    second = sum(P[i] * np.where(np.arange(4) == i, 0, P) / (1 - P[i]) for i in range(4))
    fits(found[:, 1], second)


def test_permutation_and_shuffle() -> None:
    order = random.permutation(50, rng=2).numpy()
    assert sorted(order) == list(range(50)) and order.tolist() != list(range(50))
    x = np.arange(150.0).reshape((3, 50))
    np.testing.assert_array_equal(random.shuffle(x, 1, rng=2).numpy(), x[:, order])


def test_probabilities_of_a_tensor_broadcast_and_shapes_may_be_empty() -> None:
    p = np.array([[0.0], [1.0]], np.float32)
    np.testing.assert_array_equal(random.bernoulli(p, (2, 3), rng=0).numpy(), [[False] * 3, [True] * 3])
    assert random.bernoulli(p, rng=0).shape == (2, 1)
    assert random.normal((0, 3), rng=0).shape == (0, 3)
    assert random.uniform((), rng=0).shape == ()


def test_gradients_reach_the_parameters() -> None:
    noise = random.normal((5,), rng=7, dtype="float64").numpy()
    mean, std = np.arange(5.0), np.full(5, 0.5)
    dm, ds = grad(lambda m, s: (random.normal((5,), m, s, rng=7, dtype="float64")).sum(), argnums=(0, 1))(
        mean, std
    )
    np.testing.assert_array_equal(dm.numpy(), np.ones(5))
    np.testing.assert_allclose(ds.numpy(), noise, rtol=1e-15)


def recorded(function: Callable[[], Any]) -> list[tuple[Any, Any, Any, Any]]:
    """(row, inputs, attributes, output) of every row that ran."""
    steps: list[tuple[Any, Any, Any, Any]] = []

    def observe(*step: Any) -> None:
        steps.append(step)

    observers().append(observe)
    try:
        function()
    finally:
        observers().remove(observe)
    return steps


def test_a_recorded_row_draws_again() -> None:
    steps = recorded(lambda: random.normal((4,), rng=np.random.default_rng(0)))
    row, inputs, attrs, out = steps[0]
    assert row is OPS["draw"] and inputs == ()
    again = row(*inputs, **attrs).numpy()
    assert again.shape == (4,) and not np.array_equal(again, out.numpy())
    stream = np.random.default_rng(0)
    stream.standard_normal(4, dtype=np.float32)
    np.testing.assert_array_equal(again, stream.standard_normal(4, dtype=np.float32))


def test_dropout_draws_its_mask_by_a_row_and_the_numbers_are_those_of_the_generator() -> None:
    x = np.ones((6, 5), np.float32)
    steps = recorded(lambda: tensor.dropout(x, 0.4, rng=np.random.default_rng(9)))
    assert [s[0].name for s in steps] == ["keep_mask", "dropout"]
    mask = np.random.default_rng(9).random((6, 5), dtype=np.float32) >= 0.4
    np.testing.assert_array_equal(steps[0][3].numpy(), mask)
    np.testing.assert_array_equal(steps[1][3].numpy() != 0, mask)
    (source,) = steps[0][1]
    assert source.shape == (6, 5)  # a replay on another batch draws that batch's mask
    other = steps[0][0](np.ones((3, 5), np.float32), **steps[0][2])
    assert other.shape == (3, 5) and other.dtype == bool


def test_masks_go_to_where_the_input_is() -> None:
    register()
    mask = random.keep_mask(Tensor(StrictArray(np.ones((3, 4), np.float32))), 0.5, rng=0)
    assert isinstance(mask.data, StrictArray)
    np.testing.assert_array_equal(mask.numpy(), random.keep_mask(np.ones((3, 4)), 0.5, rng=0).numpy())


def test_draws_go_to_the_chosen_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    register()
    plain = random.normal((3, 2), 1.0, rng=0).numpy()
    monkeypatch.setattr(backend, "default_namespace", lambda: strict)
    moved = random.normal((3, 2), 1.0, rng=0)
    assert isinstance(moved.data, StrictArray)
    np.testing.assert_array_equal(moved.numpy(), plain)


def test_global_randomness_is_neither_used_nor_changed() -> None:
    before = np.random.get_state()[1].tolist()  # noqa: NPY002 - this is what must not change
    for function, _ in CONTINUOUS.values():
        function(rng=0)
    random.multinomial(P, 2, rng=0)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: random.normal((3,), rng=None), "numpy.random.Generator"),
        (lambda: random.normal((-1,), rng=0), "whole number at or above 0"),
        (lambda: random.integers((3,), 4, 4, rng=0), "low below high"),
        (lambda: random.gamma((3,), 0.0, rng=0), "above 0"),
        (lambda: random.poisson((3,), -1.0, rng=0), "at or above 0"),
        (lambda: random.categorical(np.array([1, 2]), rng=0), r"k classes, got \(2,\) int64"),
        (lambda: random.multinomial(P, 5, rng=0), "at most 4 samples without replacement"),
        (lambda: random.shuffle(1.0, rng=0), "at least one axis"),
        (lambda: OPS["keep_mask"](np.ones(3), p=0.5, rng=5), "numpy.random.Generator as rng, got int"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()
