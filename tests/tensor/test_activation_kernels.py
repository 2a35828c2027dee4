"""Activations and their gradients by Numba against the rows in float64, where a number is special too."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour.tensor import OPS
from armour.tensor.kernels import numba_activations as kernels
from armour.tensor.lower_activations import ACTIVATIONS
from armour.tensor.slopes import SLOPES
from tests.tensor.test_numba_kernels import drawn

installed = pytest.mark.skipif(find_spec("numba") is None, reason="extra fast: numba is not installed")
ATTRS: dict[str, dict[str, float]] = {
    **{name: {"low": -0.5, "high": 1.5} for name in ("clip", "hardtanh")},
    "elu": {"alpha": 0.7},
    "leaky_relu": {"slope": 0.1},
}
MADE = [name for name in ACTIVATIONS if hasattr(kernels, name)]


def bound(attrs: dict[str, float]) -> list[np.float32]:
    return [np.float32(v) for v in attrs.values()]


def near(got: np.ndarray, single: np.ndarray, double: np.ndarray) -> None:
    """As float64 where that is finite in float32, and NaN and infinite where the row itself is."""
    plain = np.isfinite(single) & (np.abs(double) < 1e37)
    np.testing.assert_allclose(got[plain], double[plain], rtol=2e-6, atol=1e-6)
    np.testing.assert_array_equal(got[~np.isfinite(single)], single[~np.isfinite(single)])


@installed
@pytest.mark.parametrize("name", MADE)
@given(st.integers(0, 999), st.integers(0, 300), st.sampled_from([1.0, 8.0, 60.0]))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_activations(name: str, seed: int, size: int, spread: float) -> None:
    x, attrs = drawn(seed, size, special=True) * np.float32(spread), ATTRS.get(name, {})
    out = x.copy()
    getattr(kernels, name)(out, *bound(attrs))
    row = OPS[name].forward
    near(out, row(np, x, **attrs), row(np, x.astype(np.float64), **attrs))


@installed
@pytest.mark.parametrize("name", sorted(SLOPES))
@given(st.integers(0, 999), st.integers(0, 300), st.sampled_from([1.0, 8.0, 60.0]))
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_gradients(name: str, seed: int, size: int, spread: float) -> None:
    x, attrs = drawn(seed, size, special=True) * np.float32(spread), ATTRS.get(name, {})
    g = drawn(seed + 1, size)
    out = g.copy()
    getattr(kernels, f"{name}_slope")(out, x, *bound(attrs))
    single = SLOPES[name](np, g, x, **attrs)
    near(out, single, SLOPES[name](np, g.astype(np.float64), x.astype(np.float64), **attrs))


@installed
def test_small_numbers_keep_their_digits() -> None:
    x = np.float32([1e-6, -1e-6, -1e-3, -20.0, -80.0])
    made: dict[str, Any] = {}
    for name in ("elu", "sigmoid", "softplus"):
        made[name] = x.copy()
        getattr(kernels, name)(made[name], *([np.float32(1)] if name == "elu" else []))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(made["elu"], np.where(wide > 0, wide, np.expm1(wide)), rtol=1e-6)
    np.testing.assert_allclose(made["sigmoid"], 1 / (1 + np.exp(-wide)), rtol=1e-6)
    np.testing.assert_allclose(made["softplus"], np.log1p(np.exp(wide)), rtol=1e-6)
