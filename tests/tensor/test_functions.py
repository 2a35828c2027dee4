"""Functions of one and two numbers at their ends, and lengths and spreads where they vanish."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import OPS, Tensor, grad, ir, nn
from armour.tensor.gradcheck import check_grads
from tests.tensor.strict import StrictArray, register

RNG = np.random.default_rng(0)
LATTICE = np.array([-np.inf, -2.5, -1.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5, 2.5, np.inf, np.nan])
ONE = [
    "ceil",
    "trunc",
    "floor",
    "isnan",
    "isinf",
    "isfinite",
    "logical_not",
    "square",
    "exp2",
    "atan",
    "asinh",
]
TWO = ["mod", "floor_divide", "logical_and", "logical_or", "logical_xor", "atan2", "logaddexp"]


@pytest.mark.parametrize("name", [*ONE, "rint"])
def test_functions_of_one_number_at_the_ends(name: str) -> None:
    row = OPS["round" if name == "rint" else name]
    np.testing.assert_array_equal(row(LATTICE).numpy(), getattr(np, name)(LATTICE))


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions_of_two_numbers_at_the_ends(name: str, dtype: Any) -> None:
    a, b = (v.ravel().astype(dtype) for v in np.meshgrid(LATTICE, LATTICE))
    peer = getattr(np, name)
    with np.errstate(invalid="ignore", divide="ignore"):
        ours = OPS[name](a, b)
        np.testing.assert_array_equal(ours.numpy(), peer(a, b))
    assert ours.dtype == peer(a[:0], b[:0]).dtype


def test_whole_numbers_stay_whole() -> None:
    x = np.array([-7, -1, 0, 5])
    for name in ("ceil", "trunc", "round"):
        assert OPS[name](x).dtype == np.int64
    np.testing.assert_array_equal(tensor.mod(x, 3).numpy(), [v % 3 for v in x.tolist()])
    np.testing.assert_array_equal(tensor.floor_divide(x, 3).numpy(), [v // 3 for v in x.tolist()])
    assert tensor.mod(x.astype(np.float32), x + 9).dtype == np.float32
    for name in ("rsqrt", "log2", "sinh", "erfc", "reciprocal"):
        assert OPS[name](np.array([1, 2])).dtype == np.float32
    assert tensor.count_nonzero(np.array([[0.0, 2.0], [np.nan, 1.0]]), axis=0).numpy().tolist() == [1, 2]


def test_the_gradient_of_atan2_is_zero_at_the_origin_and_exact_on_the_axes() -> None:
    y, x = np.array([0.0, 2.0, 0.0, -1.0]), np.array([0.0, 0.0, -2.0, 1.0])
    dy, dx = grad(lambda a, b: tensor.atan2(a, b).sum(), argnums=(0, 1))(y, x)
    np.testing.assert_allclose(dy.numpy(), [0.0, 0.0, -0.5, 0.5])
    np.testing.assert_allclose(dx.numpy(), [0.0, -0.5, 0.0, 0.5])


@pytest.mark.parametrize("gap", [-200.0, -40.0, -15.0, 0.0, 15.0, 200.0])
def test_small_slopes_of_softplus_and_logaddexp_keep_their_digits(gap: float) -> None:
    for dtype, rtol in ((np.float64, 1e-13), (np.float32, 1e-5)):
        x = np.array([gap], dtype)
        expected = np.exp(-np.logaddexp(0.0, -gap))
        np.testing.assert_allclose(
            grad(lambda t: tensor.softplus(t).sum())(x).numpy(), expected, rtol=rtol, atol=1e-44
        )
        zero = np.zeros(1, dtype)
        slope = grad(lambda t: tensor.logaddexp(t, zero).sum())(x).numpy()  # noqa: B023
        np.testing.assert_allclose(slope, expected, rtol=rtol, atol=1e-44)


def test_erfc_and_erfinv_to_the_last_digits() -> None:
    x = np.concatenate([np.linspace(-6.0, 26.5, 5001), [-np.inf, np.inf, np.nan, 0.0, 1e300]])
    np.testing.assert_allclose(tensor.erfc(x).numpy(), scipy.special.erfc(x), rtol=1e-13)
    tails = 10.0 ** np.linspace(-16, 0, 801)
    p = np.concatenate([tails[:-1] - 1.0, 1.0 - tails, tails[1:-1] * 1e-200, LATTICE])
    np.testing.assert_allclose(tensor.erfinv(p).numpy(), scipy.special.erfinv(p), rtol=1e-14)
    single = np.linspace(-1.0, 1.0, 4001, dtype=np.float32)
    found = tensor.erfinv(single)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.numpy(), scipy.special.erfinv(single.astype(float)), rtol=5e-7)
    few = np.linspace(0.5, 9.0, 1001, dtype=np.float32)
    np.testing.assert_allclose(tensor.erfc(few).numpy(), scipy.special.erfc(few.astype(float)), rtol=1e-5)


def test_operators_beyond_arithmetic() -> None:
    x, y = np.array([-3.5, 0.0, 4.0]), np.array([2.0, 3.0, -3.0])
    a, b = Tensor(x), Tensor(y)
    np.testing.assert_array_equal((a % b).numpy(), x % y)
    np.testing.assert_array_equal((7 % b).numpy(), 7 % y)
    np.testing.assert_array_equal((a // b).numpy(), x // y)
    np.testing.assert_array_equal((7.0 // b).numpy(), 7.0 // y)
    low, high = a > -1, a < 3
    np.testing.assert_array_equal((low & high).numpy(), [False, True, False])
    np.testing.assert_array_equal((low | high).numpy(), [True, True, True])
    np.testing.assert_array_equal((low ^ high).numpy(), [True, False, True])
    np.testing.assert_array_equal((~low).numpy(), [True, False, False])
    np.testing.assert_array_equal((np.array([True, True, False]) & low).numpy(), [False, True, False])
    assert (True | low).numpy().all()
    for wrong in (lambda: a & b, lambda: low & 1, lambda: ~a):
        with pytest.raises(InvalidArgument, match="expected booleans for &"):
            wrong()


def test_methods_are_the_functions() -> None:
    x = RNG.standard_normal((3, 4))
    t = Tensor(x)
    np.testing.assert_allclose(t.prod((0, 1), keepdims=True).numpy(), x.prod(keepdims=True))
    np.testing.assert_array_equal(t.argmin(1).numpy(), x.argmin(1))
    np.testing.assert_array_equal((t > 1).any(0).numpy(), (x > 1).any(0))
    np.testing.assert_array_equal((t > 1).all().numpy(), (x > 1).all())
    np.testing.assert_allclose(t.cumsum(1).numpy(), x.cumsum(1))
    np.testing.assert_allclose(t.cumprod(-1).numpy(), x.cumprod(-1))


# -- lengths and spreads --------------------------------------------------------------------------------

X = RNG.standard_normal((3, 4, 5))


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, math.inf, -math.inf])
@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
def test_vector_norms(p: float, axis: Any) -> None:
    size = np.abs(X)
    if p == 0:
        expected = np.sum(size != 0, axis=axis, keepdims=True).astype(float)
    elif math.isinf(p):
        expected = (np.max if p > 0 else np.min)(size, axis=axis, keepdims=True)
    else:
        expected = np.sum(size**p, axis=axis, keepdims=True) ** (1 / p)
    np.testing.assert_allclose(tensor.vector_norm(X, p, axis, keepdims=True).numpy(), expected, rtol=1e-13)
    flat = tensor.vector_norm(X, p, axis)
    np.testing.assert_allclose(flat.numpy(), np.squeeze(expected, axis), rtol=1e-13)
    assert tensor.vector_norm(X.astype(np.float32), p, axis).dtype == np.float32
    if p:
        apart = X + np.sign(X) * 0.5  # near 0 central differences are poor for p < 2
        check_grads(lambda x: tensor.vector_norm(x, p, axis), apart, order=2, rng=np.random.default_rng(1))


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, math.inf])
def test_norms_of_zero_have_gradient_zero(p: float) -> None:
    x = np.array([[0.0, 0.0, 0.0], [0.0, 3.0, -4.0]])
    g = grad(lambda t: tensor.vector_norm(t, p, 1).sum())(x).numpy()
    assert np.isfinite(g).all() and g[1, 2] != 0.0
    assert not g[0].any() and g[1, 0] == 0.0
    curvature = tensor.hvp(lambda t: tensor.vector_norm(t, 2, 1).sum(), x, np.ones(x.shape)).numpy()
    assert np.isfinite(curvature).all() and not curvature[0].any()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_norms_neither_overflow_nor_underflow(scale: float) -> None:
    x = np.array([3.0, -4.0, 0.0], np.float32) * np.float32(scale)
    value, slope = tensor.value_and_grad(tensor.vector_norm)(x)
    assert value.item() == pytest.approx(5 * scale, rel=1e-6)
    np.testing.assert_allclose(slope.numpy(), [0.6, -0.8, 0.0], rtol=1e-6)
    assert tensor.vector_norm(np.array([1.0, np.inf])).item() == math.inf
    assert math.isnan(tensor.vector_norm(np.array([1.0, np.nan])).item())
    assert tensor.vector_norm(np.zeros((2, 0)), axis=1).numpy().tolist() == [0.0, 0.0]


def test_std_and_cosine_similarity_where_they_vanish() -> None:
    x = np.array([[1.0, 1.0, 1.0], [0.0, 3.0, 6.0]])
    value, slope = tensor.value_and_grad(lambda t: tensor.std(t, axis=1).sum())(x)
    assert value.item() == pytest.approx(np.std(x, axis=1).sum())
    assert not slope.numpy()[0].any() and slope.numpy()[1].any()
    np.testing.assert_allclose(tensor.std(X, (0, 1), ddof=1).numpy(), np.std(X, axis=(0, 1), ddof=1))
    check_grads(lambda t: tensor.std(t, axis=1), X, order=2, rng=np.random.default_rng(1))
    a, b = np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 2.0], [2.0, 2.0]])
    np.testing.assert_allclose(tensor.cosine_similarity(a, b).numpy(), [0.0, math.sqrt(0.5)])


@pytest.mark.parametrize("p", [-1.0, math.nan])
def test_norms_that_are_none_are_refused(p: float) -> None:
    with pytest.raises(InvalidArgument, match="p at or above 0"):
        tensor.vector_norm(X, p)


def test_xlogy_and_normalize_where_they_vanish() -> None:
    x, y = np.array([0.0, 0.0, 2.0, 0.0]), np.array([0.0, -1.0, 3.0, np.inf])
    value, (dx, dy) = tensor.value_and_grad(lambda a, b: tensor.xlogy(a, b).sum(), argnums=(0, 1))(x, y)
    assert value.item() == 2 * math.log(3.0) and np.isfinite(dx.numpy()[2])
    np.testing.assert_allclose(dy.numpy(), [0.0, 0.0, 2 / 3, 0.0])
    rows = np.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(tensor.normalize(rows).numpy(), [[0.6, 0.8], [0.0, 0.0]])
    check_grads(lambda a: tensor.normalize(a, 2.0, (0, 2)), X, order=2, rng=np.random.default_rng(1))
    check_grads(tensor.xlogy, X, np.abs(X) + 0.2, order=2, rng=np.random.default_rng(1))


def test_lerp_and_sums_of_many() -> None:
    a, b, w = X[0], X[1], RNG.uniform(size=(4, 1))
    np.testing.assert_allclose(tensor.lerp(a, b, w).numpy(), a * (1 - w) + b * w, rtol=1e-12)
    check_grads(tensor.lerp, a, b, w, order=2, rng=np.random.default_rng(1))
    np.testing.assert_allclose(tensor.add_n([a, b, X[2]]).numpy(), X.sum(axis=0), rtol=1e-14)
    leaf = Tensor(a, requires_grad=True)
    tensor.add_n([leaf, leaf, leaf]).sum().backward()
    assert (leaf.grad.numpy() == 3.0).all()


# -- on other arrays, and in stored networks ------------------------------------------------------------

Z = RNG.standard_normal((3, 4, 4)) + 2.0 * np.eye(4)
LABELS = np.array([1, 0, 3])
COMPOSED: dict[str, Callable[[Tensor], Any]] = {
    "chunk": lambda x: tensor.chunk(x, 3, 1)[1],
    "cosine_distance": lambda x: tensor.cosine_distance(x, tensor.flip(x, 1)),
    "cummax": lambda x: tensor.cummax(x, 1)[0],
    "cumprod": lambda x: tensor.cumprod(x, 2),
    "diag_embed": lambda x: tensor.diag_embed(x, 1),
    "diagonal": tensor.diagonal,
    "expand_dims": lambda x: tensor.squeeze(tensor.expand_dims(x, 1), 1),
    "gather": lambda x: tensor.gather(x, tensor.argmax(x[0, 0], 0), 1),
    "huber": lambda x: tensor.huber(x, tensor.zeros_like(x)),
    "index_add": lambda x: tensor.index_add(x, tensor.argmax(x[0, :2], 0), x, 1),
    "lerp": lambda x: tensor.lerp(x, tensor.ones_like(x), 0.3),
    "median": lambda x: tensor.median(x, 1),
    "outer": lambda x: tensor.outer(x, x),
    "repeat": lambda x: tensor.repeat(x, 2, 1),
    "roll": lambda x: tensor.roll(x, 1, 2),
    "sigmoid_cross_entropy": lambda x: tensor.sigmoid_cross_entropy(x, tensor.sigmoid(x)),
    "slogdet": lambda x: tensor.slogdet(x)[1],
    "solve": lambda x: tensor.solve(x, x[:, :, :1]),
    "solve_triangular": lambda x: tensor.solve_triangular(x, x),
    "sort": lambda x: tensor.sort(x, 1),
    "std": lambda x: tensor.std(x, axis=(1, 2)),
    "scatter_add_along_axis": lambda x: tensor.scatter_add_along_axis(x, tensor.argsort(x, 1), x, 1),
    "scatter_nd_add": lambda x: tensor.scatter_nd_add(
        x, tensor.argsort(x[:1, :2, 0]).reshape((2, 1))[:1], x[:1]
    ),
    "stop_gradient": lambda x: x * tensor.stop_gradient(x),
    "swapaxes": lambda x: tensor.swapaxes(x, 1, 2),
    "tile": lambda x: tensor.tile(x, (1, 2, 1)),
    "topk": lambda x: tensor.topk(x, 2, 1)[0],
    "trace": tensor.trace,
    "unstack": lambda x: tensor.unstack(x, 2)[1],
    "vector_norm": lambda x: tensor.vector_norm(x, 2.0, axis=2),
}


@pytest.mark.parametrize("name", COMPOSED)
def test_functions_of_several_rows_run_on_arrays_that_refuse_numpy(name: str) -> None:
    register()
    results = []
    for make in (np.asarray, StrictArray):
        leaf = Tensor(make(Z), requires_grad=True)
        (COMPOSED[name](leaf) ** 2).sum().backward()
        assert leaf.grad is not None and type(leaf.grad.data) is type(leaf.data)
        results.append(leaf.grad.numpy())
    np.testing.assert_array_equal(*results)


class Function(nn.Module):
    """A network of one function; a layer before it makes it depend on weights."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        self.function = function
        self.gain = nn.Parameter(np.full((4, 1), 1.5, np.float32))

    def forward(self, x: Tensor) -> Any:
        return self.function(x * self.gain)


@pytest.mark.parametrize("name", COMPOSED)
def test_functions_of_several_rows_can_be_stored(name: str) -> None:
    module = Function(COMPOSED[name])
    again = ir.GraphModule(ir.Graph.loads(ir.trace(module, (4, 4)).dumps()))
    again.load_state_dict(module.state_dict())
    x = Tensor(np.concatenate([Z, Z[::-1] * 0.5, Z + 0.1]).astype(np.float32))
    np.testing.assert_allclose(again(x).numpy(), module(x).numpy(), rtol=1e-6, atol=1e-6)


FUNCTIONS: dict[str, Callable[..., Any]] = {"any": np.any, "all": np.all}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("axis", [None, 0, (0, 1)])
def test_any_and_all(name: str, axis: Any) -> None:
    x = RNG.integers(0, 2, (2, 3, 4)) * np.nan_to_num(RNG.standard_normal((2, 3, 4)))
    found = getattr(tensor, name)(x, axis, keepdims=True)
    np.testing.assert_array_equal(found.numpy(), FUNCTIONS[name](x, axis=axis, keepdims=True))
    assert getattr(tensor, name)(np.zeros((0, 2)), 0).numpy().tolist() == [name == "all"] * 2
