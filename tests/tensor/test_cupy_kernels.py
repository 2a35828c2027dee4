"""The device kernels: their CUDA C++ compiled for the host gives NumPy's numbers, alone and in plans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.tensor import OPS, Tensor, compile, cross_entropy, no_grad, use_kernels, zoo
from armour.tensor.autodiff import value_and_grad
from armour.tensor.chains import CHAIN, join_chains
from armour.tensor.kernels import cupy_source as source
from armour.tensor.passes import optimise
from armour.tensor.recording import record
from armour.tensor.stages import Stage
from tests.tensor.host_kernels import COMPILER, ElementwiseKernel, as_strict
from tests.tensor.pretend import cupy as cupy
from tests.tensor.pretend import kernels as kernels
from tests.tensor.strict import StrictArray, transfers
from tests.tensor.test_plan import close, images, input_gradient
from tests.tensor.test_plan_device import host, moved_network, network, there

compiles = pytest.mark.skipif(COMPILER is None, reason="compiles the device kernels for the host with g++")


def run(made: source.Source, *arguments: Any, size: int) -> None:
    ElementwiseKernel(made.inputs, made.outputs, made.body, made.name, no_return=True)(*arguments, size=size)


@compiles
@pytest.mark.parametrize("row", sorted(source.EXPRESSIONS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_expressions(row: str, dtype: str) -> None:
    a = np.array([-2, -0.0, 0.0, 0.5, 1, 3, np.nan, np.inf, -np.inf, 2, np.nan], dtype)
    b = np.array([3, 0.0, -1.0, 0.5, np.nan, 2, 1, 1, 2, np.inf, np.nan], dtype)
    inputs = (a, b) if "{1}" in source.EXPRESSIONS[row] else (a,)
    made = source.chain(((row, tuple(range(len(inputs)))),), (False,) * len(inputs))
    (out,) = as_strict(np.empty_like(a))
    run(made, *as_strict(*inputs), out, size=a.size)
    with np.errstate(all="ignore"):
        expected = OPS[row].forward(np, *inputs)
    np.testing.assert_allclose(out.inner, expected, rtol=1e-6 if dtype == "float32" else 1e-12)


@compiles
def test_the_loss_of_sure_answers_and_of_labels_that_are_no_class() -> None:
    z = np.array([[30.0, 0, 1], [0, 1, 2], [np.nan, 0, 0], [900, -900, 0], [1, 2, 3]])
    labels = np.array([0, 2, 1, 1, 7])
    loss, slope = as_strict(np.empty(5), np.empty((5, 3)))
    run(source.CROSS_ENTROPY, *as_strict(z), StrictArray(labels), 3, loss, slope, size=5)
    with np.errstate(all="ignore"):
        expected = OPS["cross_entropy"].forward(np, z[:4], labels[:4])
        gradient = OPS["cross_entropy_grad"].forward(np, np.ones(4), z[:4], labels[:4])
    np.testing.assert_allclose(loss.inner[:4], expected, rtol=1e-12)
    np.testing.assert_allclose(slope.inner.reshape(5, 3)[:4], gradient, rtol=1e-12)
    assert np.isnan(loss.inner[4]) and np.isnan(slope.inner[12:]).any()


@pytest.mark.parametrize("name", zoo.SMALL)
def test_networks(kernels: Any, name: str) -> None:
    net, moved, y = network(name).astype("float64"), moved_network(name, "float64"), np.arange(3)
    forward, slopes = compile(moved), compile(input_gradient(moved))
    for seed in (1, 2):
        x = images(name, 3, seed).astype(np.float64)
        with no_grad():
            expected = [net(Tensor(x)), *input_gradient(net)(Tensor(x), Tensor(y))]
        found = [forward(there(x)), *slopes(there(x), there(y))]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-9, atol=1e-12)
    plan = slopes.plan(there(x), there(y))
    assert plan.families == ("cupy", "numpy")
    calls = [call for stage in plan._calls for call in getattr(stage, "calls", ())]
    assert any(isinstance(getattr(call, "func", None), ElementwiseKernel) for call in calls)
    with transfers() as moves:
        plan.run(there(x), there(y))
    assert moves == []


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (2, 3)])
@pytest.mark.parametrize(("window", "dilation", "padding"), [
    ((3, 3), (1, 1), (1, 1)), ((2, 3), (2, 1), (0, 2)), ((1, 1), (1, 1), (0, 0)), ((5, 5), (1, 1), (2, 0)),
])  # fmt: skip
def test_convolutions(kernels: Any, stride: Any, window: Any, dilation: Any, padding: Any) -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((2, 3, 9, 8)), rng.standard_normal((4, 3, *window)), rng.standard_normal(4)
    attrs = {"stride": stride, "padding": padding, "dilation": dilation, "groups": 1}

    def step(w: Tensor, b: Tensor) -> Any:
        def loss(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
            out = OPS["conv2d"](x, w, b, **attrs)
            return (out.relu() * 0.3).sum() + (out * out).sum() * 0.01

        def run(x: Tensor) -> Any:
            value, slopes = value_and_grad(loss, argnums=(0, 1, 2))(x, w, b)
            return value, *slopes

        return run

    found = compile(step(Tensor(there(w)), Tensor(there(b))))(there(x))
    expected = step(Tensor(w), Tensor(b))(Tensor(x))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("window", "stride"), [((2, 2), (2, 2)), ((3, 2), (2, 1)), ((2, 3), (3, 3))])
def test_pooling_with_ties_and_nan(kernels: Any, window: Any, stride: Any) -> None:
    x = np.random.default_rng(0).integers(0, 3, (2, 3, 7, 8)).astype(np.float64)
    x[0, 1, 2, 2] = np.nan

    def run(x: Tensor) -> Any:
        return value_and_grad(
            lambda t: (OPS["max_pool2d"](t, kernel=window, stride=stride) * 0.7).sum(axis=(1, 2, 3)).sum()
        )(x)

    for ours, theirs in zip(compile(run)(there(x)), run(Tensor(x)), strict=True):
        np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-12)


# -- chains ----------------

UNARY = ("relu", "tanh", "exp", "negative", "abs", "sin", "sigmoid")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum")


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(UNARY + BINARY), st.integers(0, 11), st.integers(0, 11)), max_size=12),
    st.sampled_from([(2, 3), (2, 3, 4, 4), (1,), (5, 1)]),
)
def test_chains_change_no_number(steps: list[tuple[str, int, int]], shape: Any) -> None:
    def function(x: Tensor, y: Tensor) -> Tensor:
        values = [x * 0.5, y]
        for name, a, b in steps:
            inputs = [values[a % len(values)], values[b % len(values)]][: 2 if name in BINARY else 1]
            values.append(OPS["tanh"](OPS[name](*inputs)))
        return sum(values[1:], values[0])

    rng = np.random.default_rng(0)
    inputs = [Tensor(rng.standard_normal(shape)) for _ in range(2)]
    program = optimise(record(function, inputs).program)
    length = len(program.steps)
    join_chains(program)
    assert len(program.steps) == 1 or len(program.steps) < length
    known = {id(v): t.data for v, t in zip(program.inputs, inputs, strict=True)}
    for step in (*program.prepared, *program.steps):
        given = [known.get(id(v), v.source) for v in step.inputs]
        known[id(step.out)] = step.row.forward(np, *given, **step.attrs)
    expected = function(*inputs).numpy()
    np.testing.assert_allclose(known[id(program.outputs[0])], expected, rtol=1e-12, atol=1e-14)


def test_a_chain_is_one_kernel_with_one_text(kernels: Any) -> None:
    def function(x: Tensor) -> Tensor:
        return ((x * 2.0 + 1.0).tanh() - x).relu()

    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    captured = compile(function)
    close(host(captured(there(x))), function(Tensor(x)).numpy())
    plan = captured.plan(there(x))
    (stage,) = plan._calls
    assert isinstance(stage, Stage) and len(stage.calls) == 1
    assert [s.row for s in plan.program.steps] == [CHAIN]
    ops = plan.program.steps[0].attrs["ops"]
    assert source.chain(ops, (False, True, True)) == source.chain(ops, (False, True, True))


def test_the_kernels_can_be_left_out_and_serve_no_host_arrays(kernels: Any) -> None:
    net, x = moved_network("lenet5"), images("lenet5", 2)
    with use_kernels("numpy"):
        assert compile(net).plan(there(x)).families == ("numpy",)
    assert compile(network("lenet5")).plan(x).families == ("numpy",)


def test_training(kernels: Any) -> None:
    def step(net: Any) -> Any:
        def run(x: Tensor, y: Tensor) -> Any:
            net.zero_grad()
            cross_entropy(net(x), y).mean().backward()
            grads = {key: p.grad for key, p in net.named_parameters()}
            net.zero_grad()
            return grads

        return run

    x, y = images("resnet8", 4).astype(np.float64), np.arange(4)
    ours = compile(step(moved_network("resnet8", "float64").train()))(there(x), there(y))
    theirs = step(network("resnet8").astype("float64").train())(Tensor(x), Tensor(y))
    for key in theirs:
        np.testing.assert_allclose(host(ours[key]), theirs[key].numpy(), rtol=1e-7, atol=1e-10)
