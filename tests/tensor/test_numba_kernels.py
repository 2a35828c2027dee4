"""Numba's kernels against eager operations and float64: NaN, infinity, ties; needs the extra `fast`."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.errors import BackendUnavailable, InvalidArgument
from armour.tensor import Tensor, elementwise
from armour.tensor.kernels import numba_compile, numba_norm, numba_pool, pool_kernels
from armour.tensor.kernels import numba_kernels as kernels
from armour.tensor.losses import cross_entropy

installed = pytest.mark.skipif(find_spec("numba") is None, reason="extra fast: numba is not installed")
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -1.5, 1e-45, 3e38]


def drawn(seed: int, *shape: int, special: bool = False) -> np.ndarray:
    """Normal float32 numbers; with special, a third of them are NaN, infinite, zero, tiny or huge."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(shape, dtype=np.float32)
    if special:
        chosen = rng.random(shape) < 0.33
        x[chosen] = rng.choice(np.array(SPECIAL, np.float32), int(chosen.sum()))
    return x


def slopes(total: Tensor, *inputs: Tensor) -> list[np.ndarray]:
    """Gradients of a scalar."""
    total.backward()
    return [np.asarray(x.grad.data) for x in inputs if x.grad is not None]


def same(got: np.ndarray, want: np.ndarray) -> None:
    """Equal bit for bit but for the sign of zero and the kind of NaN."""
    assert got.dtype == want.dtype == np.float32
    np.testing.assert_array_equal(got, want)


sizes = st.integers(0, 300)
seeds = st.integers(0, 999)


@installed
@given(seeds, sizes, st.sampled_from([1, 3, 16]))
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_elementwise(seed: int, m: int, c: int) -> None:
    y, r, b = drawn(seed, m, c, special=True), drawn(seed + 1, m, c, special=True), drawn(seed + 2, c)
    zero = np.float32(0)

    def after(kernel: Any, x: np.ndarray, *others: np.ndarray) -> np.ndarray:
        x = x.copy()
        kernel(x, *others)
        return x

    flat = y.reshape(-1), r.reshape(-1)
    same(after(kernels.relu, flat[0]), np.maximum(flat[0], zero))
    same(after(kernels.bias_relu, y, b), np.maximum(y + b, zero))
    same(after(kernels.add_relu, *flat), np.maximum(flat[0] + flat[1], zero))
    rectified = np.maximum(flat[0], zero)
    same(after(kernels.relu_mask, flat[1], rectified), elementwise._relu_grad(np, flat[1], rectified))
    total = flat[1] + flat[1][::-1]
    got = after(kernels.add_relu_mask, flat[1], flat[1][::-1].copy(), rectified)
    same(got, elementwise._relu_grad(np, total, rectified))
    out = np.empty_like(y)
    scale, shift = b, drawn(seed + 3, c)
    for kernel, rectify in ((kernels.scale_shift, False), (kernels.scale_shift_relu, True)):
        kernel(y, scale, shift, out)
        # Multiplication and addition may be rounded once instead of twice.
        want = y.astype(float) * scale + shift
        want[np.abs(want) > 3.4e38] = np.sign(want[np.abs(want) > 3.4e38]) * np.inf
        np.testing.assert_allclose(out, np.maximum(want, 0) if rectify else want, rtol=1e-5, atol=1e-6)


@installed
@given(seeds, st.integers(0, 4), st.integers(1, 20), st.integers(1, 20))
def test_swap_last(seed: int, n: int, a: int, b: int) -> None:
    x, out = drawn(seed, n, a, b, special=True), np.empty((n, b, a), np.float32)
    kernels.swap_last(x, out)
    same(out, x.transpose(0, 2, 1))


@installed
@given(seeds, st.integers(0, 9), st.integers(1, 12), st.sampled_from([1.0, 30.0, 1000.0]))
def test_softmax_cross_entropy(seed: int, n: int, k: int, scale: float) -> None:
    logits = drawn(seed, n, k) * np.float32(scale)
    labels = np.random.default_rng(seed).integers(0, k, n)
    loss, slope = np.empty(n, np.float32), np.empty((n, k), np.float32)
    kernels.softmax_cross_entropy(logits, labels, loss, slope)
    x = Tensor(logits.astype(float), requires_grad=True)
    want = cross_entropy(x, labels)
    # Relative, so that small losses and slopes must be right too.
    np.testing.assert_allclose(loss, want.data, rtol=2e-5, atol=1e-37)
    np.testing.assert_allclose(slope, slopes(want.sum(), x)[0], rtol=2e-4, atol=1e-37)


@installed
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 2])
def test_cross_entropy_of_logits_that_are_not_finite(bad: float, place: int) -> None:
    logits = drawn(0, 3, 4)
    logits[1, place] = bad
    labels = np.array([1, 2, 3])
    loss, slope = np.empty(3, np.float32), np.empty((3, 4), np.float32)
    kernels.softmax_cross_entropy(logits, labels, loss, slope)
    x = Tensor(logits, requires_grad=True)
    want = cross_entropy(x, labels)
    assert np.array_equal(np.isfinite(loss), np.isfinite(want.data))
    assert np.array_equal(np.isnan(slope), np.isnan(slopes(want.sum(), x)[0]))


@st.composite
def pools(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, int], tuple[int, int]]:
    """An input with ties and special values, a window and a stride. Few kinds, since each is compiled."""
    c, window, stride = draw(
        st.sampled_from(
            [
                (3, (2, 2), (2, 2)),
                (6, (1, 2), (1, 2)),
                (12, (3, 3), (2, 2)),
                (16, (2, 2), (2, 2)),
                (5, (3, 2), (2, 1)),
                (4, (1, 3), (2, 4)),
                (2, (2, 2), (3, 3)),
            ]
        )
    )
    n, more = draw(st.integers(0, 3)), draw(st.tuples(st.integers(0, 6), st.integers(0, 6)))
    shape = (n, window[0] + more[0], window[1] + more[1], c)
    seed = draw(seeds)
    x = np.random.default_rng(seed).integers(-1, 3, shape).astype(np.float32)
    if draw(st.booleans()):
        x = drawn(seed, *shape, special=True)
    return x, window, stride


def chw(x: np.ndarray) -> np.ndarray:
    return x.transpose(0, 3, 1, 2)


@installed
@settings(max_examples=100)
@given(pools(), st.booleans())
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_max_pool(case: tuple[np.ndarray, tuple[int, int], tuple[int, int]], relu: bool) -> None:
    x, window, stride = case
    x = np.maximum(x, np.float32(0)) if relu else x
    y = pool_kernels.max_pool2d(np, chw(x), window, stride).transpose(0, 2, 3, 1)
    out = np.full(y.shape, 7, np.float32)
    numba_pool.max_pool(x, out, window, stride)()
    same(out, y)
    g = drawn(1, *y.shape)
    dx = np.full(x.shape, 7, np.float32)
    numba_pool.max_pool_grad(x, out, g, dx, window, stride, relu)()
    want = pool_kernels.max_unpool2d(np, chw(g), chw(x), chw(y), window, stride).transpose(0, 2, 3, 1)
    if relu:
        want = elementwise._relu_grad(np, want, x)
    np.testing.assert_allclose(dx, want, rtol=1e-6, atol=1e-6)


@installed
@given(pools())
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
def test_avg_pool(case: tuple[np.ndarray, tuple[int, int], tuple[int, int]]) -> None:
    x, window, stride = case
    x[np.abs(x) > 1e30] = np.inf
    y = pool_kernels.avg_pool2d(np, chw(x), window, stride).transpose(0, 2, 3, 1)
    out, dx = np.full(y.shape, 7, np.float32), np.full(x.shape, 7, np.float32)
    numba_pool.avg_pool(x, out, window, stride)()
    np.testing.assert_allclose(out, y, rtol=1e-5, atol=1e-6)
    g = drawn(1, *y.shape)
    numba_pool.avg_pool_grad(g, dx, window, stride)()
    want = pool_kernels.avg_unpool2d(np, chw(g), x.shape[1:3], window, stride).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(dx, want, rtol=1e-5, atol=1e-6)


@installed
def test_pools_that_do_not_fit_are_refused() -> None:
    x, y = np.zeros((2, 4, 4, 3), np.float32), np.zeros((2, 2, 2, 3), np.float32)
    with pytest.raises(InvalidArgument, match="its pooled y"):
        numba_pool.max_pool(x, y, (3, 3), (2, 2))
    with pytest.raises(InvalidArgument, match="of one shape"):
        numba_pool.max_pool_grad(x, y, x, x, (2, 2), (2, 2))
    with pytest.raises(TypeError):
        kernels.relu(x.astype(float).reshape(-1))


@installed
@settings(max_examples=30)
@given(seeds, st.integers(1, 5), st.sampled_from([1, 3, 6, 16]), st.integers(1, 9), st.booleans())
def test_batch_normalisation(seed: int, n: int, c: int, size: int, relu: bool) -> None:
    n = max(n, 2)
    x, g, w, b = (
        drawn(seed, n, size, size, c) * 3 + 50,
        drawn(seed + 1, n, size, size, c),
        drawn(2, c),
        drawn(3, c),
    )
    y, dx = np.empty_like(x), np.empty_like(x)
    mean, var, dw, db = np.empty((4, c), np.float32)
    lines = numba_norm.lines
    assert lines(x).base is not None or not x.size
    numba_norm.batch_statistics(lines(x), mean, var)
    np.testing.assert_allclose(mean, x.astype(float).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(var, x.astype(float).var((0, 1, 2)), rtol=1e-4)
    inverse = 1 / np.sqrt(var + np.float32(0.01))
    numba_norm.normalise(lines(x), mean, w * inverse, b, lines(y), relu)
    wide = [Tensor(v.astype(float), requires_grad=True) for v in (x, w, b)]
    centred = wide[0] - wide[0].mean(axis=(0, 1, 2), keepdims=True)
    normal = centred / ((centred * centred).mean(axis=(0, 1, 2), keepdims=True) + 0.01).sqrt()
    want = normal * wide[1] + wide[2]
    np.testing.assert_allclose(y, np.maximum(want.data, 0) if relu else want.data, rtol=1e-4, atol=1e-4)
    numba_norm.normalise_grad(lines(x), lines(y), lines(g), mean, inverse, w, lines(dx), dw, db, relu)
    masked = g * (y != 0) if relu else g
    for got, exact in zip((dx, dw, db), slopes((want * masked.astype(float)).sum(), *wide), strict=True):
        scale = 1 + np.abs(exact).max()
        np.testing.assert_allclose(got / scale, exact / scale, atol=3e-4)


@installed
def test_two_threads_run_kernels_at_the_same_time() -> None:
    x = np.maximum(drawn(0, 16, 32, 32, 16), np.float32(0))
    outs = [np.empty((16, 16, 16, 16), np.float32) for _ in range(2)]
    threads = [
        threading.Thread(target=numba_pool.max_pool(x, out, (2, 2), (2, 2))) for out in outs for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    same(outs[0], outs[1])


@installed
def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    asked = []
    real = numba.njit

    def njit(*arguments: Any, cache: bool = False, **options: Any) -> Any:
        asked.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(*arguments, **options)

    monkeypatch.setattr(numba, "njit", njit)
    x = np.array([-1.0, 2.0, np.nan], np.float32)
    numba_compile.Kernel("void(f4[::1])", kernels.relu.function)(x)
    assert asked == [True, False]
    same(x, np.array([0.0, 2.0, np.nan], np.float32))


def test_without_numba_the_reason_has_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    numba_compile._attempt.cache_clear()
    monkeypatch.setattr(numba_compile, "find_spec", lambda name: None)
    try:
        assert not numba_compile.available()
        assert 'pip install "armour-toolkit[fast]"' in (numba_compile.why_not() or "")
        with pytest.raises(BackendUnavailable, match="not installed"):
            numba_compile.version()
    finally:
        numba_compile._attempt.cache_clear()
