"""Shortest steps onto a hyperplane inside a box: as short as those of solvers that work in other ways."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, linprog

from armour import hyperplanes as h
from armour.tensor import use_kernels
from armour.tensor.families import why_not

SHORTEST = {"linf": h.shortest_linf, "l2": h.shortest_l2, "l1": h.shortest_l1}
NORMS = tuple(SHORTEST)
LENGTH = {
    "linf": lambda z: np.abs(z).max(axis=-1),
    "l2": lambda z: np.sqrt((z**2).sum(axis=-1)),
    "l1": lambda z: np.abs(z).sum(axis=-1),
}
both_kernels = pytest.mark.parametrize(
    "kernels",
    ["numpy", pytest.param("numba", marks=pytest.mark.skipif(bool(why_not("numba")), reason="extra fast"))],
)
Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def cases(draw: st.DrawFn, most: int = 10) -> Case:
    """(gradient, low, high, gain): zeros, ties, no room, gains within reach and out of it."""
    n, d = draw(st.integers(1, 4)), draw(st.integers(1, most))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    gradient = rng.normal(size=(n, d))
    if draw(st.booleans()):
        gradient = np.round(gradient)
    gradient *= draw(st.sampled_from([1e-12, 1.0, 1e6]))
    width = draw(st.sampled_from([0.05, 1.0, 255.0]))
    low, high = -rng.uniform(0, width, (n, d)), rng.uniform(0, width, (n, d))
    low[rng.random((n, d)) < 0.2] = 0
    high[rng.random((n, d)) < 0.2] = 0
    gain = rng.uniform(-0.2, 1.2, n) * reach(gradient, low, high)
    return gradient, low, high, gain


def reach(gradient: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """(n,) the largest inner product with the gradient in the box."""
    return np.maximum(gradient * low, gradient * high).sum(axis=1)


def shortest(norm: str, gradient: np.ndarray, gain: float, low: np.ndarray, high: np.ndarray) -> float:
    """The length of the shortest step for one row, by a linear program or by bracketing."""
    d = len(gradient)
    scale = np.abs(gradient).max()
    gradient, gain = gradient / scale, gain / scale
    if norm == "l2":
        # The nearest point of the plane is clip(t * gradient) for some t.
        far = 2 * (high - low).max() / np.abs(gradient[gradient != 0]).min()
        t = brentq(lambda t: gradient @ np.clip(t * gradient, low, high) - gain, -far, far, xtol=1e-14)
        return float(np.linalg.norm(np.clip(t * gradient, low, high)))
    if norm == "l1":  # step = up - down
        room = [(0, h) for h in high] + [(0, -v) for v in low]
        return float(linprog(np.ones(2 * d), A_eq=[np.r_[gradient, -gradient]], b_eq=[gain], bounds=room).fun)
    sides = np.r_[np.c_[np.eye(d), -np.ones(d)], np.c_[-np.eye(d), -np.ones(d)]]
    room = [*zip(low, high, strict=True), (0, None)]
    goal = linprog(
        np.r_[np.zeros(d), 1], sides, np.zeros(2 * d), A_eq=[np.r_[gradient, 0]], b_eq=[gain], bounds=room
    )
    return float(goal.fun)


@pytest.mark.parametrize("norm", NORMS)
@given(case=cases())
def test_no_way_across_the_plane_is_shorter(norm: str, case: Case) -> None:
    gradient, low, high, gain = case
    way = SHORTEST[norm](gradient, low, high, gain)
    assert (way >= low).all() and (way <= high).all()
    assert (way[gradient == 0] == 0).all() and (way[gain <= 0] == 0).all()
    most = reach(gradient, low, high)
    for i in np.flatnonzero(gain > 0):
        scale = np.abs(gradient[i]).sum() * (high - low).max() + 1e-300
        assert abs(gradient[i] @ way[i] - min(gain[i], most[i])) <= 1e-9 * scale
        if gain[i] < most[i] * (1 - 1e-9):
            best = shortest(norm, gradient[i], gain[i], low[i], high[i])
            assert LENGTH[norm](way[i]) <= best * (1 + 1e-6) + 1e-7 * (high - low).max()


@both_kernels
@pytest.mark.parametrize("norm", NORMS)
def test_large_rows_in_float32_are_on_the_plane_and_as_short_as_in_float64(norm: str, kernels: str) -> None:
    """784 coordinates, many at their bounds; l1 needs more of them than it looks at first for some rows."""
    with use_kernels(kernels):
        rng = np.random.default_rng(0)
        gradient = rng.normal(size=(40, 784)) ** 3
        x = np.clip(rng.normal(size=(40, 784)) * 0.7, 0, 1)
        gain = reach(gradient, -x, 1 - x) * np.repeat([1e-4, 0.01, 0.3, 0.99], 10)
        whole = SHORTEST[norm](gradient, -x, 1 - x, gain)
        np.testing.assert_allclose((gradient * whole).sum(axis=1), gain, rtol=1e-9)
        single = SHORTEST[norm](*(a.astype(np.float32) for a in (gradient, -x, 1 - x, gain)))
        assert single.dtype == np.float32
        np.testing.assert_allclose((gradient * single).sum(axis=1), gain, rtol=2e-5)
        np.testing.assert_allclose(LENGTH[norm](single.astype(np.float64)), LENGTH[norm](whole), rtol=2e-4)


@both_kernels
@pytest.mark.parametrize("norm", NORMS)
def test_a_row_does_not_depend_on_its_neighbours(norm: str, kernels: str) -> None:
    with use_kernels(kernels):
        rng = np.random.default_rng(1)
        gradient, x = (
            rng.normal(size=(30, 50)).astype(np.float32),
            rng.uniform(size=(30, 50)).astype(np.float32),
        )
        gain = np.abs(rng.normal(size=30)).astype(np.float32) * 4
        whole = SHORTEST[norm](gradient, -x, 1 - x, gain)
        for i in range(30):
            one = slice(i, i + 1)
            alone = SHORTEST[norm](gradient[one], -x[one], 1 - x[one], gain[one])
            np.testing.assert_array_equal(alone, whole[one])


@both_kernels
@pytest.mark.parametrize("norm", NORMS)
def test_no_slope_no_room_no_gain_no_rows(norm: str, kernels: str) -> None:
    with use_kernels(kernels):
        gradient = np.array([[0, 0], [1, -2], [1, -2], [1, 1]], np.float32)
        gain = np.array([1, 1, 0, np.inf], np.float32)
        low, high = np.full((4, 2), -1, np.float32), np.full((4, 2), 0.5, np.float32)
        low[1] = high[1] = 0
        way = SHORTEST[norm](gradient, low, high, gain)
        np.testing.assert_array_equal(way, [[0, 0], [0, 0], [0, 0], [0.5, 0.5]])
        assert SHORTEST[norm](gradient[:0], low[:0], high[:0], gain[:0]).shape == (0, 2)


@pytest.mark.skipif(bool(why_not("numba")), reason="extra fast: numba is not installed")
@pytest.mark.parametrize("norm", ["linf", "l2"])
@given(case=cases(most=70))
def test_compiled_ways_are_those_of_numpy(norm: str, case: Case) -> None:
    given = [a.astype(np.float32) for a in case]
    with use_kernels("numpy"):
        plain = SHORTEST[norm](*given)
    with use_kernels("numba"):
        compiled = SHORTEST[norm](*given)
    assert (compiled >= given[1]).all() and (compiled <= given[2]).all()
    width = float((given[2] - given[1]).max())
    scale = np.abs(given[0]).sum(axis=1).astype(np.float64) * width + 1e-30
    gains = [(given[0].astype(np.float64) * way).sum(axis=1) / scale for way in (compiled, plain)]
    np.testing.assert_allclose(gains[0], gains[1], atol=1e-6)
    # Near the corner a coordinate that gains next to nothing may go any way.
    sure = given[3] < 0.99 * reach(*given[:3])
    lengths = [LENGTH[norm](way[sure].astype(np.float64)) for way in (compiled, plain)]
    np.testing.assert_allclose(*lengths, rtol=1e-3, atol=1e-5 * width)
