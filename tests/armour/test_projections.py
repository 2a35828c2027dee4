"""Projections and furthest points: feasible, idempotent, and optimal by solvers that work in other ways."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from armour import hyperplanes as h
from armour import projections as p

PROJECT: dict[str, Callable[..., np.ndarray]] = {"l1": p.project_l1, "l2": p.project_l2}
FURTHEST: dict[str, Callable[..., np.ndarray]] = {"l1": p.furthest_l1, "l2": p.furthest_l2}
SHORTEST: dict[str, Callable[..., np.ndarray]] = {
    "l1": h.shortest_l1,
    "l2": h.shortest_l2,
    "linf": h.shortest_linf,
}
NORM = {"l1": lambda z: np.abs(z).sum(axis=-1), "l2": lambda z: np.sqrt((z**2).sum(axis=-1))}

Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def cases(draw: st.DrawFn, most: int = 12) -> Case:
    """(delta, low, high, epsilon): coordinates without room, ties, zeros, small and large budgets."""
    n, d = draw(st.integers(1, 4)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    scale = draw(st.sampled_from([1e-3, 1.0, 30.0]))
    delta = rng.normal(size=(n, d)) * scale
    if draw(st.booleans()):
        delta = np.round(delta / scale) * scale  # ties and zeros
    width = draw(st.sampled_from([0.05, 1.0, 50.0]))
    low, high = -rng.uniform(0, width, (n, d)), rng.uniform(0, width, (n, d))
    low[rng.random((n, d)) < 0.2] = 0
    high[rng.random((n, d)) < 0.2] = 0
    epsilon = rng.uniform(0, 1, n) * draw(st.sampled_from([1e-2, 1.0, 5.0]))
    return delta, low, high, epsilon


def feasible_points(case: Case, norm: str) -> np.ndarray:
    """(20, n, d) other points of the set, many of them at its edge."""
    delta, low, high, epsilon = case
    rng = np.random.default_rng(1)
    z = rng.uniform(low, high, (20, *delta.shape)) * rng.choice([0, 1, 1, 1], (20, *delta.shape))
    z[0] = np.clip(delta, low, high)
    length = NORM[norm](z)
    return z * np.minimum(1, epsilon / np.maximum(length, 1e-300))[..., None]


@pytest.mark.parametrize("norm", ["l1", "l2"])
@given(case=cases())
def test_projection_is_the_nearest_point(norm: str, case: Case) -> None:
    """In the set, and no point c of it lies ahead: only the nearest has <delta - z, c - z> <= 0 for all c."""
    delta, low, high, epsilon = case
    z = PROJECT[norm](delta, low, high, epsilon)
    assert (z >= low).all() and (z <= high).all()
    assert (NORM[norm](z) <= epsilon * (1 + 1e-9) + 1e-12).all()
    ahead = ((delta - z) * (feasible_points(case, norm) - z)).sum(axis=-1)
    assert (ahead <= 1e-8 * (1 + NORM["l2"](delta)) * (1 + epsilon)).all()


@pytest.mark.parametrize("norm", ["l1", "l2"])
@given(case=cases())
def test_projection_is_idempotent_and_keeps_what_is_inside(norm: str, case: Case) -> None:
    delta, low, high, epsilon = case
    z = PROJECT[norm](delta, low, high, epsilon)
    np.testing.assert_allclose(PROJECT[norm](z, low, high, epsilon), z, rtol=1e-9, atol=1e-12)
    for inner in feasible_points(case, norm) * 0.999:
        np.testing.assert_allclose(PROJECT[norm](inner, low, high, epsilon), inner, rtol=1e-12)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@given(case=cases())
def test_furthest_point_beats_every_other(norm: str, case: Case) -> None:
    gradient, low, high, epsilon = case
    z = FURTHEST[norm](gradient, low, high, epsilon)
    assert (z >= low).all() and (z <= high).all()
    assert (NORM[norm](z) <= epsilon * (1 + 1e-9) + 1e-12).all()
    assert (z[gradient == 0] == 0).all()
    best = (gradient * z).sum(axis=-1)
    others = (gradient * feasible_points(case, norm)).sum(axis=-1)
    assert (others <= best + 1e-9 * (1 + np.abs(best))).all()


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_projection_against_a_general_solver(norm: str, seed: int) -> None:
    """SLSQP on the problem as it is stated; for l1 with z = up - down, which makes it smooth."""
    rng = np.random.default_rng(seed)
    d = 4
    delta, low, high = rng.normal(size=d) * 2, -rng.uniform(0, 1, d), rng.uniform(0, 1, d)
    high[0] = 0
    epsilon = rng.uniform(0.2, 1.5)
    fold = np.concatenate([np.eye(d), -np.eye(d)], axis=1) if norm == "l1" else np.eye(d)
    room = (
        list(zip(np.zeros(2 * d), np.r_[high, -low], strict=True))
        if norm == "l1"
        else list(zip(low, high, strict=True))
    )
    left = (lambda v: epsilon - v.sum()) if norm == "l1" else (lambda v: epsilon**2 - v @ v)
    found = minimize(
        lambda v: ((fold @ v - delta) ** 2).sum(),
        np.full(fold.shape[1], 1e-3),
        jac=lambda v: 2 * fold.T @ (fold @ v - delta),
        bounds=room,
        constraints={"type": "ineq", "fun": left},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    z = PROJECT[norm](delta[None], low[None], high[None], np.array([epsilon]))[0]
    np.testing.assert_allclose(z, fold @ found.x, atol=2e-5)


@pytest.mark.parametrize("seed", range(12))
def test_furthest_l1_against_linear_programming(seed: int) -> None:
    rng = np.random.default_rng(seed)
    d = 9
    gradient, low, high = rng.normal(size=d), -rng.uniform(0, 1, d), rng.uniform(0, 1, d)
    epsilon = rng.uniform(0.1, 4)
    program = linprog(
        -np.r_[gradient, -gradient],
        np.ones((1, 2 * d)),
        [epsilon],
        bounds=list(zip([0] * 2 * d, np.r_[high, -low], strict=True)),
    )
    z = p.furthest_l1(gradient[None], low[None], high[None], np.array([epsilon]))[0]
    assert gradient @ z == pytest.approx(-program.fun, rel=1e-9)


@pytest.mark.parametrize("norm", SHORTEST)
@given(case=cases(), share=st.sampled_from([0.0, 0.3, 1.0, 2.0]))
def test_the_shortest_step_across_a_plane(norm: str, case: Case, share: float) -> None:
    """No shorter budget gains as much, by the furthest points; what cannot be gained ends in a corner."""
    gradient, low, high, _ = case
    most = (np.where(gradient > 0, high, low) * gradient).sum(axis=1)
    gain = share * most
    z = SHORTEST[norm](gradient, low, high, gain)
    assert (z >= low).all() and (z <= high).all() and (z[gradient == 0] == 0).all()
    scale = np.abs(gradient).max(initial=0) * max(np.abs(low).max(), np.abs(high).max())
    got = np.einsum("nd,nd->n", z, gradient)
    np.testing.assert_allclose(got, np.minimum(gain, most), rtol=1e-9, atol=1e-12 * scale)
    length = np.abs(z).max(axis=1) if norm == "linf" else NORM[norm](z)
    for shorter in (0.5, 0.99):
        if norm == "linf":
            room = (shorter * length)[:, None]
            other = np.where(gradient > 0, np.minimum(room, high), np.maximum(-room, low)) * (gradient != 0)
        else:
            other = FURTHEST[norm](gradient, low, high, shorter * length)
        assert (np.einsum("nd,nd->n", other, gradient) <= got + 1e-9 * scale).all()
        less = np.einsum("nd,nd->n", other, gradient) < got
        assert less[(got > 1e-6 * scale) & (share <= 1)].all()


def test_alternating_projections_are_not_the_projection() -> None:
    """Why the exact one matters: ball, then box, loses a third of the budget here."""
    delta, low, high, epsilon = (
        np.array([[2.0, 1.0]]),
        np.array([[0.0, 0.0]]),
        np.array([[0.25, 1.0]]),
        np.array([1.0]),
    )
    z = p.project_l1(delta, low, high, epsilon)
    np.testing.assert_allclose(z, [[0.25, 0.75]])
    ball_first = p.project_l1(delta, low - 9, high + 9, epsilon).clip(low, high)
    np.testing.assert_allclose(ball_first, [[0.25, 0.0]])


@given(case=cases(most=6), count=st.integers(0, 6))
def test_l0_projection_keeps_the_best_coordinates(case: Case, count: int) -> None:
    """No choice of `count` coordinates is nearer, over all choices."""
    from itertools import combinations

    delta, low, high, _ = case
    d = delta.shape[1]
    z = p.project_l0(delta, low, high, np.full(len(delta), float(count)))
    assert (np.count_nonzero(z, axis=1) <= count).all()
    inside = np.clip(delta, low, high)
    for row in range(len(delta)):
        best = min(
            ((delta[row] - np.where(np.isin(np.arange(d), keep), inside[row], 0)) ** 2).sum()
            for keep in combinations(range(d), min(count, d))
        )
        assert ((delta[row] - z[row]) ** 2).sum() == pytest.approx(best)


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e-20, 1.0, 1e20, 1e37])
def test_float32_gradients_of_any_size(scale: float) -> None:
    """Squares of small or large gradients leave the range of float32; the point must not change."""
    rng = np.random.default_rng(0)
    gradient = rng.normal(size=(3, 50)).astype(np.float32)
    low, high = -rng.random((3, 50), dtype=np.float32), rng.random((3, 50), dtype=np.float32)
    epsilon = np.array([0.5, 1.0, 2.0])
    for norm, shortest in SHORTEST.items():
        expected = shortest(gradient, low, high, np.array([0.5, 5.0, 1e3]))
        z = shortest(gradient * np.float32(scale), low, high, np.array([0.5, 5.0, 1e3]) * scale)
        np.testing.assert_allclose(z, expected, rtol=1e-3, atol=1e-6, err_msg=f"shortest {norm}")
    for norm, furthest in FURTHEST.items():
        expected = furthest(gradient, low, high, epsilon)
        z = furthest(gradient * np.float32(scale), low, high, epsilon)
        assert z.dtype == np.float32
        np.testing.assert_allclose(z, expected, rtol=1e-3, atol=1e-6, err_msg=norm)


@pytest.mark.parametrize(
    "function", [*PROJECT.values(), *FURTHEST.values(), *SHORTEST.values(), p.project_l0]
)
def test_no_rows_no_columns_and_no_budget(function: Callable[..., np.ndarray]) -> None:
    for shape in ((0, 5), (3, 0), (0, 0)):
        empty = np.zeros(shape)
        assert function(empty, empty, empty, np.ones(shape[0])).shape == shape
    delta = np.array([[1.0, -2.0]])
    np.testing.assert_allclose(function(delta, -np.ones((1, 2)), np.ones((1, 2)), np.zeros(1)), 0, atol=1e-12)
    np.testing.assert_allclose(function(delta * 0, -np.ones((1, 2)), np.ones((1, 2)), np.ones(1)), 0)


@pytest.mark.parametrize("function", [*PROJECT.values(), *FURTHEST.values(), *SHORTEST.values()])
def test_rows_do_not_know_each_other(function: Callable[..., np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    delta = rng.normal(size=(30, 40)).astype(np.float32)
    low, high = -rng.random((30, 40), dtype=np.float32), rng.random((30, 40), dtype=np.float32)
    epsilon = rng.uniform(0.01, 30, 30)
    together = function(delta, low, high, epsilon)
    for i in range(30):
        row = slice(i, i + 1)
        np.testing.assert_array_equal(function(delta[row], low[row], high[row], epsilon[row]), together[row])
