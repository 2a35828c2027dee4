"""Depthwise kernels against sums written out, whatever the steps between taps and the size of a chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.tensor.backend import get_xp
from armour.tensor.kernels import depthwise, numpy_kernels
from tests.tensor import references
from tests.tensor.strict import StrictArray, register

PAIRS = {"kernel": (1, 4), "stride": (1, 4), "padding": (0, 3), "dilation": (1, 4), "more": (0, 6)}


@st.composite
def problems(draw: Any) -> tuple[tuple[int, ...], tuple[int, int], dict[str, Any]]:
    """(n, c, h, w), kernel and attributes for which there is at least one output pixel."""
    drawn = {k: tuple(draw(st.integers(*between)) for _ in range(2)) for k, between in PAIRS.items()}
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + m
        for d, k, p, m in zip(*(drawn[key] for key in ("dilation", "kernel", "padding", "more")), strict=True)
    )
    attrs = {key: drawn[key] for key in ("stride", "padding", "dilation")}
    return (draw(st.integers(0, 5)), draw(st.integers(2, 4)), *size), drawn["kernel"], attrs  # type: ignore[return-value]


@settings(max_examples=150, deadline=None)
@given(problems(), st.sampled_from([1, 2000, 200_000]), st.booleans())
def test_the_three_kernels_match_their_definitions(problem: Any, chunk: int, device: bool) -> None:
    register()
    shape, kernel, attrs = problem
    rng = np.random.default_rng(0)
    c = shape[1]
    x, w, b = rng.standard_normal(shape), rng.standard_normal((c, 1, *kernel)), rng.standard_normal(c)
    make = StrictArray if device else np.asarray
    xp = get_xp(make(x))
    want = references.conv2d(x, w, b, groups=c, **attrs)
    g = rng.standard_normal(want.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise, "HOST_CHUNK", chunk)
        out = depthwise.conv2d(xp, make(x), make(w), make(b), **attrs)
        dx = depthwise.conv2d_input_grad(xp, make(g), make(w), shape[2:], **attrs)
        dw = depthwise.conv2d_weight_grad(xp, make(x), make(g), kernel, **attrs)
    out, dx, dw = (getattr(a, "inner", a) for a in (out, dx, dw))
    np.testing.assert_allclose(out, want, atol=1e-12)
    assert dx.shape == x.shape and dw.shape == w.shape
    u, v = rng.standard_normal(x.shape), rng.standard_normal(w.shape)
    np.testing.assert_allclose(
        (dx * u).sum(), (g * references.conv2d(u, w, groups=c, **attrs)).sum(), atol=1e-9
    )
    np.testing.assert_allclose(
        (dw * v).sum(), (g * references.conv2d(x, v, groups=c, **attrs)).sum(), atol=1e-9
    )


def test_single_precision_is_kept_and_rows_use_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = np.ones((2, 3, 6, 6), np.float32), np.ones((3, 1, 3, 3), np.float32)
    attrs: dict[str, Any] = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1)}
    calls = []
    real = depthwise.conv2d
    monkeypatch.setattr(depthwise, "conv2d", lambda *args: calls.append(1) or real(*args))
    out = numpy_kernels.conv2d(np, x, w, None, groups=3, **attrs)
    assert out.dtype == np.float32 and calls == [1] and out[0, 0, 2, 2] == 9
    numpy_kernels.conv2d(np, x[:, :1], w[:1], None, groups=1, **attrs)
    assert calls == [1]
