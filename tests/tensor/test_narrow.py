"""The input gradient for few channels against the NumPy kernel in float64; needs the extra `fast`."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour.errors import InvalidArgument
from armour.tensor.kernels import narrow, numpy_kernels, onednn_library

installed = pytest.mark.skipif(
    find_spec("numba") is None or not onednn_library.available(), reason="extra fast: not installed"
)


def expected(g: np.ndarray, w: np.ndarray, padding: Any, dilation: tuple[int, int]) -> np.ndarray:
    """In float64, (n, c, h, w): what falls on the margins is cut off."""
    (top, bottom), (left, right) = padding
    h, wide = g.shape[1], g.shape[2]
    size = (h + top + bottom, wide + left + right)
    full = numpy_kernels.conv2d_input_grad(
        np, g.astype(float).transpose(0, 3, 1, 2), w.astype(float), size, (1, 1), (0, 0), dilation, 1
    )
    return full[:, :, top : top + h, left : left + wide]


@installed
@given(
    st.integers(0, 5),
    st.integers(1, 3),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(0, 8), st.integers(0, 8)),
    st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 3)]),
)
def test_against_the_reference(
    n: int,
    c: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    before: tuple[int, int],
    dilation: tuple[int, int],
) -> None:
    rng = np.random.default_rng(n + 7 * c)
    span = [dilation[i] * (kernel[i] - 1) for i in (0, 1)]
    first = [min(before[i], span[i]) for i in (0, 1)]
    padding = ((first[0], span[0] - first[0]), (first[1], span[1] - first[1]))
    g = rng.standard_normal((n, *size, 5), dtype=np.float32)
    w = rng.standard_normal((5, c, *kernel), dtype=np.float32)
    out = np.full((n, c, *size), np.nan, np.float32)
    made = narrow.NarrowInputGrad(g, w.shape, out, padding, dilation)
    for scale in (1, 2):
        made.load(w * np.float32(scale))
        made.run()
        np.testing.assert_allclose(out, scale * expected(g, w, padding, dilation), rtol=1e-4, atol=1e-4)


@installed
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    g, w = (
        rng.standard_normal((7, 6, 6, 16), dtype=np.float32),
        rng.standard_normal((16, 3, 3, 3), dtype=np.float32),
    )
    found = []
    for chunk in (1, 4 * 27 * 36 * 3, 1 << 30):
        monkeypatch.setattr(narrow, "CHUNK", chunk)
        out = np.empty((7, 3, 6, 6), np.float32)
        made = narrow.NarrowInputGrad(g, w.shape, out, ((1, 1), (1, 1)))
        made.load(w)
        made.run()
        found.append(out)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[0], expected(g, w, ((1, 1), (1, 1)), (1, 1)), rtol=1e-4, atol=1e-4)


@installed
def test_what_it_suits_and_what_it_refuses() -> None:
    same = ((1, 1), (1, 1))
    assert narrow.suits((16, 3, 3, 3), (32, 32), (1, 1), same)
    assert not narrow.suits((16, 3, 3, 3), (32, 32), (2, 2), same)
    assert not narrow.suits((16, 3, 3, 3), (32, 32), (1, 1), ((0, 0), (0, 0)))
    assert not narrow.suits((16, 16, 3, 3), (32, 32), (1, 1), same)
    g, out = np.zeros((2, 8, 8, 16), np.float32), np.zeros((2, 3, 8, 8), np.float32)
    with pytest.raises(InvalidArgument, match="keeps the size"):
        narrow.NarrowInputGrad(g, (16, 3, 3, 3), out, ((1, 0), (1, 1)))
    with pytest.raises(InvalidArgument, match="keeps the size"):
        narrow.NarrowInputGrad(g, (16, 2, 3, 3), out, same)


def test_it_suits_nothing_where_a_library_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onednn_library, "available", lambda: False)
    assert not narrow.suits((16, 3, 3, 3), (32, 32), (1, 1), ((1, 1), (1, 1)))
