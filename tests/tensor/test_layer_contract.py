"""Every leaf layer can be rebuilt from its configuration, traced, stored, read and differentiated."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from armour.tensor import Tensor, compile, grad, ir, module_sample_grads, nn, no_grad
from armour.tensor.gradcheck import check_grads
from tests.tensor.layer_examples import EXAMPLES, Example
from tests.tensor.strict import StrictArray, register

ALL = [pytest.param(e, id=f"{name}-{i}") for name, several in EXAMPLES.items() for i, e in enumerate(several)]


def draw(example: Example, n: int, dtype: str = "float32") -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    if example.integers:
        return [rng.integers(0, example.integers, (n, *s)) for s in example.shapes]
    return [rng.standard_normal((n, *s)).astype(dtype) for s in example.shapes]


@pytest.fixture(autouse=True)
def weights() -> None:
    """Numbers in all parameters that are 0 or 1 otherwise."""
    for several in EXAMPLES.values():
        for i, e in enumerate(several):
            rng = np.random.default_rng(i)
            for p in e.layer.parameters():
                p.data = (p.data * 0.5 + rng.uniform(0.05, 0.5, p.shape)).astype(np.float32)
            e.layer.astype("float32").train(False)


def test_every_layer_has_an_example() -> None:
    assert sorted(EXAMPLES) == nn.LAYERS.names()


@pytest.mark.parametrize("e", ALL)
def test_rebuilt_from_its_configuration(e: Example) -> None:
    config = json.loads(json.dumps(e.layer.config()))
    again = type(e.layer).from_config(config)
    assert again.config() == e.layer.config()
    assert {n: t.shape for n, t in again.named_tensors()} == {n: t.shape for n, t in e.layer.named_tensors()}
    assert repr(again) == repr(e.layer)


@pytest.mark.parametrize("e", ALL)
def test_traced_stored_and_read(e: Example) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.part = e.layer

        def forward(self, *inputs: Any) -> Any:
            return self.part(*inputs)

    net = Net().eval()
    graph = ir.trace(net, list(e.shapes), dtype="int64" if e.integers else "float32")
    again = ir.GraphModule(ir.Graph.loads(graph.dumps()))
    again.load_state_dict(net.state_dict())
    again.eval()
    assert [node.type for node in graph.nodes] == [type(e.layer).__name__]
    for n in (1, 4):
        inputs = draw(e, n)
        with no_grad():
            ours, theirs = again(*map(Tensor, inputs)), e.layer(*map(Tensor, inputs))
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert set(again.state_dict()) == set(net.state_dict())


@pytest.mark.parametrize("e", ALL)
def test_samples_do_not_see_each_other_in_evaluation(e: Example) -> None:
    inputs = draw(e, 4)
    whole = e.layer(*map(Tensor, inputs)).numpy()
    single = [e.layer(*(Tensor(a[i : i + 1]) for a in inputs)).numpy() for i in range(4)]
    np.testing.assert_allclose(whole, np.concatenate(single), rtol=2e-4, atol=1e-5)
    assert e.layer(*(Tensor(a[:0]) for a in inputs)).shape == (0, *whole.shape[1:])


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("e", ALL)
def test_derivatives_to_second_order(e: Example, training: bool) -> None:
    layer = e.layer.astype("float64").train(training)
    if not e.smooth or (training and isinstance(getattr(layer, "rng", None), np.random.Generator)):
        return
    named = list(layer.named_parameters())
    owners = dict(layer.named_modules())

    def function(*values: Tensor) -> Tensor:
        for (name, _), value in zip(named, values, strict=False):
            owner, _, last = name.rpartition(".")
            if owner in owners:
                setattr(owners[owner], last, value)
        return layer(*(values[len(named) :] or map(Tensor, draw(e, 2))))

    inputs = [] if e.integers else draw(e, 2, "float64")
    point = [p.data for _, p in named]
    if not point and not inputs:
        return
    try:
        check_grads(function, *point, *inputs, order=2, rng=np.random.default_rng(1), rtol=1e-5)
    finally:
        for name, p in named:
            owner, _, last = name.rpartition(".")
            if owner in owners:
                setattr(owners[owner], last, p)


@pytest.mark.parametrize("e", ALL)
def test_arrays_that_refuse_conversion_to_numpy(e: Example) -> None:
    register()
    results = []
    inputs = draw(e, 2)
    state = e.layer.state_dict()
    for make in (np.array, StrictArray):
        for name, tensor in e.layer.named_tensors():
            tensor.data = make(state[name])
        leaves = [Tensor(make(a), requires_grad=not e.integers) for a in inputs]
        out = e.layer(*leaves)
        if out.requires_grad:
            e.layer.zero_grad()
            out.backward(Tensor(make(np.ones(out.shape, np.float32))))
        found = [out, *(t.grad for t in leaves), *(p.grad for p in e.layer.parameters())]
        assert all(type(t.data) is type(leaves[0].data) for t in found if t is not None)
        results.append([t.numpy() for t in found if t is not None])
    for name, tensor in e.layer.named_tensors():
        tensor.data = state[name]
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("e", ALL)
def test_gradients_of_each_sample(e: Example) -> None:
    named = [name for name, _ in e.layer.named_parameters()]
    if not named or e.integers or len(e.shapes) > 1:
        return
    layer = e.layer.astype("float64")
    (x,) = draw(e, 3, "float64")

    def loss(out: Tensor, labels: Tensor) -> Tensor:
        return (out * out).reshape((out.shape[0], -1)).sum(axis=1) * labels

    found = module_sample_grads(layer, loss, x, np.array([1.0, 2.0, -1.0]))
    for i, factor in enumerate((1.0, 2.0, -1.0)):
        layer.zero_grad()
        (loss(layer(Tensor(x[i : i + 1])), Tensor(np.array([factor]))).sum()).backward()
        for name, p in layer.named_parameters():
            want = np.zeros(p.shape) if p.grad is None else p.grad.numpy()
            np.testing.assert_allclose(np.asarray(found[name])[i], want, rtol=1e-9, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("e", ALL)
def test_plans_give_the_same_numbers(e: Example) -> None:
    def loss(*inputs: Tensor) -> Tensor:
        out = e.layer(*inputs)
        return (out * out).sum()

    forward, slope = compile(e.layer), compile(grad(loss))
    for n in (2, 2, 3):  # captured, replayed, captured again for another size
        inputs = draw(e, n)
        want = e.layer(*map(Tensor, inputs)).numpy()
        np.testing.assert_allclose(forward(*inputs).numpy(), want, rtol=1e-4, atol=1e-5)
        if not e.integers:
            theirs = grad(loss)(*map(Tensor, inputs)).numpy()
            np.testing.assert_allclose(slope(*inputs).numpy(), theirs, rtol=2e-4, atol=2e-4)
