"""oneDNN's convolutions and products against the NumPy kernels in float64; needs the extra `fast`."""

from __future__ import annotations

import ctypes
import gc
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour.errors import BackendUnavailable, InvalidArgument
from armour.tensor.kernels import numpy_kernels as reference
from armour.tensor.kernels import onednn, onednn_library
from armour.tensor.kernels.onednn_linear import Linear, LinearInputGrad, LinearWeightGrad
from armour.tensor.kernels.onednn_primitive import aligned

installed = pytest.mark.skipif(not onednn.available(), reason=f"extra fast: {onednn.why_not()}")
TIGHT = 2e-6  # of the largest element, times the root of the number of terms


def near(got: np.ndarray, want: np.ndarray, terms: int) -> None:
    """Equal but for float32 rounding of sums of that many terms."""
    assert got.dtype == np.float32 and got.shape == want.shape
    scale = max(1.0, float(np.abs(want).max(initial=0.0)))
    assert float(np.abs(got - want).max(initial=0.0)) <= TIGHT * scale * terms**0.5


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    """A convolution: sizes, window, and a seed for its numbers."""
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3]))
    margin = st.tuples(st.integers(0, 2), st.integers(0, 2))
    case = {
        "n": draw(st.integers(0, 5)),
        "c": groups * draw(st.sampled_from([1, 2, 3, 6, 8, 16, 20])),
        "o": groups * draw(st.sampled_from([1, 2, 5, 6, 16, 24])),
        "kernel": kernel,
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": (draw(margin), draw(margin)),
        "dilation": draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 2)])),
        "groups": groups,
        "seed": draw(st.integers(0, 99)),
    }
    # At least one window, and up to seven pixels more.
    case["size"] = tuple(
        max(1, case["dilation"][i] * (kernel[i] - 1) + 1 - sum(case["padding"][i])) + draw(st.integers(0, 7))
        for i in (0, 1)
    )
    return case


class Problem:
    """Arrays of one convolution in NHWC, and its results in float64."""

    def __init__(self, case: dict[str, Any]) -> None:
        rng = np.random.default_rng(case["seed"])
        kernel, self.stride, self.padding, self.dilation = (
            case[k] for k in ("kernel", "stride", "padding", "dilation")
        )
        self.groups, n, c, o = case["groups"], case["n"], case["c"], case["o"]
        (top, bottom), (left, right) = self.padding

        def draw(*shape: int) -> np.ndarray:
            return rng.standard_normal(shape, dtype=np.float32)

        self.x, self.w, self.b = draw(n, *case["size"], c), draw(o, c // self.groups, *kernel), draw(o)
        wide = np.pad(self.x.astype(float), ((0, 0), (top, bottom), (left, right), (0, 0))).transpose(
            0, 3, 1, 2
        )
        rest = (self.stride, (0, 0), self.dilation, self.groups)
        y = reference.conv2d(np, wide, self.w.astype(float), self.b.astype(float), *rest)
        self.y = y.transpose(0, 2, 3, 1)
        self.g, self.residual = draw(*self.y.shape), draw(*self.y.shape)
        g = self.g.astype(float).transpose(0, 3, 1, 2)
        dx = reference.conv2d_input_grad(np, g, self.w.astype(float), wide.shape[2:], *rest)
        h, w = wide.shape[2] - bottom, wide.shape[3] - right
        self.dx = dx[:, :, top:h, left:w].transpose(0, 2, 3, 1)
        self.dw = reference.conv2d_weight_grad(np, wide, g, kernel, *rest)
        self.window = (self.stride, self.padding, self.dilation, self.groups)
        self.terms = int(np.prod(self.w.shape[1:]))


@installed
@given(convolutions())
def test_forward(case: dict[str, Any]) -> None:
    p = Problem(case)
    out = aligned(p.y.shape)
    conv = onednn.ConvForward(p.x, p.w.shape, out, *p.window, bias=True)
    conv.load(p.w, p.b)
    conv.run()
    near(out, p.y, p.terms)


@installed
@given(convolutions(), st.booleans(), st.booleans(), st.sampled_from(["no", "array", "in place"]))
def test_forward_and_what_follows(case: dict[str, Any], bias: bool, relu: bool, add: str) -> None:
    p = Problem(case)
    want = p.y if bias else p.y - p.b
    want = want if add == "no" else want + p.residual
    out = p.residual.copy()
    conv = onednn.ConvForward(
        p.x,
        p.w.shape,
        out,
        *p.window,
        bias=bias,
        relu=relu,
        add={"no": False, "array": p.residual}.get(add, True),
    )
    conv.load(p.w, p.b if bias else None)
    conv.run()
    near(out, np.maximum(want, 0) if relu else want, p.terms)


@installed
@given(convolutions(), st.sampled_from(["no", "array", "in place"]))
def test_input_gradient(case: dict[str, Any], add: str) -> None:
    p = Problem(case)
    out, want = p.x.copy(), p.dx if add == "no" else p.dx + p.x
    grad = onednn.ConvInputGrad(
        p.g, p.w.shape, out, *p.window, add={"no": False, "array": p.x}.get(add, True)
    )
    grad.load(p.w)
    grad.run()
    near(out, want, p.w.shape[0] * p.w.shape[2] * p.w.shape[3])


@installed
@pytest.mark.parametrize(
    ("way", "changes"),
    [
        ("lines", {"c": 1, "o": 6, "kernel": (5, 3), "padding": ((2, 1), (1, 2)), "size": (9, 12)}),
        ("open", {"c": 6, "o": 16, "kernel": (5, 5), "size": (14, 14)}),
        ("turned", {"c": 3, "o": 16, "padding": ((1, 1), (0, 2)), "size": (8, 8)}),
        ("turned", {"c": 1, "o": 16, "dilation": (2, 2), "size": (8, 8)}),
        ("backward", {"c": 16, "o": 16, "stride": (2, 2), "size": (9, 9)}),
        ("backward", {"c": 16, "o": 16, "padding": ((3, 3), (0, 0)), "size": (9, 9)}),
    ],
)
@pytest.mark.parametrize("add", [False, True])
def test_each_way_to_the_input_gradient(way: str, changes: dict[str, Any], add: bool) -> None:
    usual = {"kernel": (3, 3), "stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
    p = Problem({"n": 3, "groups": 1, "seed": 0, **usual, **changes})
    out = p.x.copy()
    gradient = onednn.ConvInputGrad(p.g, p.w.shape, out, *p.window, add=p.x if add else False)
    assert gradient.way == way
    gradient.load(p.w)
    gradient.run()
    near(out, p.dx + p.x if add else p.dx, p.w.shape[0] * p.w.shape[2] * p.w.shape[3])


@installed
@given(convolutions(), st.booleans())
def test_weight_gradient(case: dict[str, Any], bias: bool) -> None:
    p = Problem(case)
    out, b = np.full_like(p.w, np.nan), np.full_like(p.b, np.nan)
    onednn.ConvWeightGrad(p.x, p.g, out, *p.window, bias=b if bias else None).run()
    terms = max(1, p.g.size // p.g.shape[3])
    near(out, p.dw, terms)
    if bias:
        near(b, p.g.astype(float).sum((0, 1, 2)), terms)


@installed
def test_weight_gradient_in_parts(rng: np.random.Generator) -> None:
    x, g = (
        rng.standard_normal((6, 7, 7, 16), dtype=np.float32),
        rng.standard_normal((6, 5, 5, 32), dtype=np.float32),
    )
    whole, parts = np.empty((2, 32, 16, 3, 3), np.float32)
    onednn.ConvWeightGrad(x, g, whole).run()
    here, there = x[:2].copy(), g[:2].copy()
    grad = onednn.ConvWeightGrad(here, there, parts)
    total = np.zeros_like(grad.packed)
    for i in (0, 2, 4):
        here[...], there[...] = x[i : i + 2], g[i : i + 2]
        grad.compute()
        total += grad.packed
    grad.packed[...] = total
    grad.unpack()
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-4)


@installed
@given(
    st.integers(0, 70),
    st.sampled_from([1, 7, 84, 300]),
    st.sampled_from([1, 10, 120]),
    st.booleans(),
    st.booleans(),
)
def test_linear(m: int, k: int, o: int, follow: bool, add: bool) -> None:
    rng = np.random.default_rng(m + k + o)
    x, w, b, g, r = (rng.standard_normal(s, dtype=np.float32) for s in ((m, k), (o, k), (o,), (m, o), (m, o)))
    out, dx, dw, db = np.empty((m, o), np.float32), np.empty_like(x), np.empty_like(w), np.empty_like(b)
    layer = Linear(x, w.shape, out, bias=follow, relu=follow, add=r if add else False)
    layer.load(w, b if follow else None)
    layer.run()
    y = x.astype(float) @ w.T + (b if follow else 0) + (r if add else 0)
    near(out, np.maximum(y, 0) if follow else y, k)
    back = LinearInputGrad(g, w.shape, dx)
    back.load(w)
    back.run()
    near(dx, g.astype(float) @ w, o)
    LinearWeightGrad(x, g, dw, bias=db).run()
    near(dw, g.astype(float).T @ x, max(1, m))
    near(db, g.astype(float).sum(0), max(1, m))


@installed
def test_nan_and_infinity_pass_through_but_a_fused_relu_gives_zero_for_nan(rng: np.random.Generator) -> None:
    x = rng.random((1, 4, 4, 16), dtype=np.float32)
    x[0, 1, 2, 3], x[0, 3, 3, 0] = np.nan, np.inf
    w, out = np.ones((16, 16, 1, 1), np.float32), np.empty((1, 4, 4, 16), np.float32)
    for relu in (False, True):
        conv = onednn.ConvForward(x, w.shape, out, relu=relu)
        conv.load(w)
        conv.run()
        assert np.isinf(out).sum() == 16 and np.isinf(out[0, 3, 3]).all()
        assert np.isnan(out).sum() == (0 if relu else 16)


@installed
def test_new_weights_count_after_load_and_new_arrays_after_rebind(rng: np.random.Generator) -> None:
    x, other = rng.standard_normal((2, 2, 6, 6, 3), dtype=np.float32)
    w = rng.standard_normal((5, 3, 3, 3), dtype=np.float32)
    out, second = np.zeros((2, 2, 4, 4, 5), np.float32)
    conv = onednn.ConvForward(x, w.shape, out)
    conv.load(w)
    conv.run()
    first = out.copy()
    w *= 2
    conv.run()
    np.testing.assert_array_equal(out, first)  # the weights were copied
    conv.load(w)
    conv.run()
    np.testing.assert_allclose(out, 2 * first, rtol=1e-6)
    conv.rebind(x=other, out=second)
    other[...] = x
    conv.run()
    np.testing.assert_array_equal(second, out)


@installed
def test_the_callable_alone_keeps_everything_alive(rng: np.random.Generator) -> None:
    def make() -> tuple[Any, np.ndarray]:
        x, out = rng.standard_normal((2, 8, 8, 16), dtype=np.float32), aligned((2, 8, 8, 16))
        conv = onednn.ConvForward(x, (16, 16, 1, 1), out)
        conv.load(np.eye(16, dtype=np.float32).reshape(16, 16, 1, 1))
        return conv.run, out

    made = [make() for _ in range(20)]
    gc.collect()
    scribble = [np.full((2, 8, 8, 16), np.nan, np.float32) for _ in range(50)]
    for run, out in made:
        run()
        assert np.isfinite(out).all()
    assert len(scribble) == 50


@installed
def test_two_threads_give_the_same_bits_as_one(rng: np.random.Generator) -> None:
    jobs = []
    for c, o in ((16, 16), (6, 16), (3, 24), (32, 32)):
        x, w = (
            rng.standard_normal((8, 16, 16, c), dtype=np.float32),
            rng.standard_normal((o, c, 3, 3), dtype=np.float32),
        )
        out, dw = aligned((8, 14, 14, o)), np.empty_like(w)
        conv = onednn.ConvForward(x, w.shape, out)
        conv.load(w)
        conv.run()
        grad = onednn.ConvWeightGrad(x, out.copy(), dw)
        grad.run()
        jobs.append((conv.run, grad.run, out, dw, out.copy(), dw.copy()))
    differ = []

    def work(mine: list[Any]) -> None:
        for _ in range(50):
            for forward, back, out, dw, y, want in mine:
                out[...] = dw[...] = np.nan
                with onednn.one_thread():
                    forward()
                    back()
                if not (np.array_equal(out, y) and np.array_equal(dw, want)):
                    differ.append(out.shape)

    threads = [threading.Thread(target=work, args=(jobs[i::2],)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not differ


@installed
def test_one_thread_puts_back_what_it_found() -> None:
    before = onednn.limit_threads(3)
    try:
        with onednn.one_thread():
            assert onednn.limit_threads(1) in (0, 1)
        assert onednn.limit_threads(3) in (0, 3)
    finally:
        onednn.limit_threads(before)


@installed
def test_arrays_that_do_not_fit_are_refused() -> None:
    x, out = np.zeros((2, 6, 6, 3), np.float32), np.zeros((2, 4, 4, 5), np.float32)
    with pytest.raises(InvalidArgument, match="C-contiguous float32"):
        onednn.ConvForward(x.astype(float), (5, 3, 3, 3), out)
    with pytest.raises(InvalidArgument, match="C-contiguous float32"):
        onednn.ConvForward(x.transpose(0, 2, 1, 3), (5, 3, 3, 3), out)
    with pytest.raises(InvalidArgument, match="of one convolution"):
        onednn.ConvForward(x, (5, 3, 2, 3), out)
    with pytest.raises(InvalidArgument, match="expected add"):
        onednn.ConvForward(x, (5, 3, 3, 3), out, add=x)
    conv = onednn.ConvForward(x, (5, 3, 3, 3), out)
    with pytest.raises(InvalidArgument, match="no bias, got one"):
        conv.load(np.zeros((5, 3, 3, 3), np.float32), np.zeros(5, np.float32))
    with pytest.raises(InvalidArgument, match="weights of shape"):
        conv.load(np.zeros((5, 3, 3, 2), np.float32))
    with pytest.raises(InvalidArgument, match="expected x of shape"):
        conv.rebind(x=out)
    with pytest.raises(InvalidArgument, match="of one layer"):
        Linear(np.zeros((2, 3), np.float32), (4, 2), np.zeros((2, 4), np.float32))


def test_aligned_arrays_start_on_a_cache_line() -> None:
    for shape in ((3,), (2, 5, 7), (0, 4), ()):
        array = aligned(shape)
        assert array.shape == shape and array.dtype == np.float32 and array.flags.c_contiguous
        assert array.size == 0 or array.ctypes.data % 64 == 0


@pytest.fixture
def fresh() -> Any:
    """The library is looked for again, before and after."""
    onednn_library._attempt.cache_clear()
    yield
    onednn_library._attempt.cache_clear()


def test_a_named_file_that_is_no_library(
    fresh: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "fake.so").write_bytes(b"no library")
    monkeypatch.setenv("ARMOUR_ONEDNN", str(tmp_path / "fake.so"))
    assert not onednn.available()
    assert "ARMOUR_ONEDNN" in (onednn.why_not() or "")
    with pytest.raises(BackendUnavailable, match="oneDNN cannot be used"):
        onednn_library.library()


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ((2, 7, 0, 2), "expected oneDNN 3, got 2.7.0"),
        ((3, 13, 2, 512), "SYCL"),
        ((3, 2, 0, 8), r"runtime \(8\)"),
    ],
)
def test_other_builds_are_refused(
    fresh: None, monkeypatch: pytest.MonkeyPatch, version: tuple[int, ...], reason: str
) -> None:
    import re

    class Fake:
        """A library of every function, whose version says something else."""

        def __getattr__(self, name: str) -> Any:
            found = onednn_library._Version(*version[:3], None, version[3], 0)
            function = SimpleNamespace(contents=found)

            class Function:
                """Takes any signature."""

                def __call__(self, *_: Any) -> Any:
                    return function

            self.__dict__[name] = Function()
            return self.__dict__[name]

    monkeypatch.setenv("ARMOUR_ONEDNN", "fake.so")
    monkeypatch.setattr(ctypes, "CDLL", lambda path: Fake())
    assert re.search(reason, onednn.why_not() or "")


def test_without_a_library_the_reason_has_the_pip_line(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> None:
        raise OSError(f"{path}: cannot open shared object file")

    monkeypatch.delenv("ARMOUR_ONEDNN", raising=False)
    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert 'pip install "armour-toolkit[fast]"' in (onednn.why_not() or "") or "NumPy" in (
        onednn.why_not() or ""
    )
