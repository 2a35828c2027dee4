"""SimBA's bases are orthonormal, its order is a permutation, and on linear models a pass is the optimum."""

from __future__ import annotations

import linear
import numpy as np
import pytest
from scipy.fft import idctn

from armour import attacks
from armour.attacks.simba import directions
from armour.errors import InvalidArgument
from armour.rng import per_item


@pytest.mark.parametrize("basis", ["pixel", "dct"])
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 5, 8), (1, 1, 13), (2, 1, 7)])
def test_the_basis_is_orthonormal(basis: str, shape: tuple[int, int, int]) -> None:
    size = int(np.prod(shape))
    made = directions(basis, shape, np.arange(size)).astype(np.float64)  # type: ignore[arg-type]
    np.testing.assert_allclose(made @ made.T, np.eye(size), atol=1e-6)
    if basis == "dct":
        whole = np.eye(size).reshape(size, *shape)
        expected = idctn(whole, axes=(2, 3), norm="ortho").reshape(size, size)
        np.testing.assert_allclose(made, expected, atol=1e-6)


def test_every_direction_comes_once_and_low_frequencies_first() -> None:
    streams = per_item(np.random.default_rng(0), 4)
    order = attacks.SimBA()._order((2, 8, 16), streams)
    assert (np.sort(order, axis=1) == np.arange(256)).all() and (order[0] != order[1]).any()
    order = attacks.SimBA(basis="dct")._order((2, 8, 16), streams)
    assert (np.sort(order, axis=1) == np.arange(256)).all()
    _, i, j = np.unravel_index(order, (2, 8, 16))
    level = np.maximum(i, j // 2)
    assert (np.diff(level, axis=1) >= 0).all() and (level[:, :4] == 0).all()
    assert attacks.SimBA(queries=10)._order((2, 8, 16), streams).shape == (4, 10)


def test_a_pass_over_the_pixels_is_the_optimum_of_a_linear_model() -> None:
    """Each value goes to the end that its slope points to, by at most two questions."""
    model = linear.two_classes()
    x = linear.inputs(model, 30, seed=4)
    y = model.predict(x)
    model.bias[y[0]] += 50
    x, y = x[y == y[0]], y[y == y[0]]
    adv = attacks.SimBA(norm="linf", queries=1 + 2 * 12).attack(model, x, y, 0.07).adv[0]
    drop = linear.margin(model, x, y) - linear.margin(model, adv, y)
    optimum = linear.largest_drop(linear.slope(model, y), x, 0.07, "linf", (0.0, 1.0))
    np.testing.assert_allclose(drop, optimum, rtol=1e-5)


def test_a_step_that_changes_nothing_is_not_asked_about() -> None:
    """Two features, one budget's length each: after both are at their ends there is nothing to ask."""
    model = linear.LinearModel(np.array([[1.0, -1.0], [1.0, -1.0]]), np.array([30.0, -30.0]))
    x = np.full((1, 2), 0.5, np.float32)
    result = attacks.SimBA(norm="linf", queries=1000).attack(model, x, [0], 0.1)
    np.testing.assert_allclose(result.adv[0], 0.4, atol=1e-6)
    # x itself, at most two for each value, and then in every pass the way back, which is worse.
    assert not result.success.any() and result.spent[0, 0] <= 1000


def test_steps_in_l2_have_the_stated_length() -> None:
    seen = []

    class Spy(linear.LinearModel):
        def _forward(self, x: np.ndarray) -> np.ndarray:
            seen.append(x.copy())
            return super()._forward(x)

    rng = np.random.default_rng(0)
    model = Spy(rng.normal(size=(3 * 6 * 6, 2)), np.array([500.0, -500.0]), input_shape=(3, 6, 6))
    x = np.full((1, 3, 6, 6), 0.5, np.float32)
    attacks.SimBA(norm="l2", basis="dct", queries=20, step_size=0.1).attack(model, x, [0], 1.0)
    # The clean answer, x as the start; then each question is one step from the best so far.
    best = x
    for asked in seen[2:-1]:
        assert np.linalg.norm(asked - best) == pytest.approx(0.1, rel=1e-4)
        if linear.margin(model, asked, np.array([0])) < linear.margin(model, best, np.array([0])):
            best = asked


def test_settings_are_checked() -> None:
    for settings in ({"basis": "wavelet"}, {"step_size": 0}, {"norm": "l1"}, {"queries": 0}):
        with pytest.raises(InvalidArgument):
            attacks.SimBA(**settings)
