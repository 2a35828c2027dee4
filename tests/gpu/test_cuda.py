"""On a machine with a CUDA device: the op table, plans, kernels and attacks on CuPy give NumPy's numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attack_contract import CASES, NEEDED

from armour import attacks
from armour.model import ModuleModel
from armour.tensor import Tensor, compile, cross_entropy, no_grad, use_kernels, zoo
from armour.tensor.backend import asnumpy, to_device, why_no_cuda
from armour.tensor.op import Case, Op
from armour.tensor.stages import Stage
from tests.tensor.test_op_table import cases, differentiable, samples
from tests.tensor.test_plan import STATED, close, images, input_gradient, network, single

REASON = why_no_cuda()
pytestmark = pytest.mark.skipif(REASON is not None, reason=f"needs a CUDA device: {REASON}")


def there(array: Any) -> Any:
    """A copy on the device."""
    return to_device(np.array(array), "cuda")


def moved(name: str, dtype: str = "float32") -> Any:
    net = network(name).astype(dtype)
    for tensor in (*net.parameters(), *(b for _, b in net.named_buffers())):
        tensor.data = there(tensor.data)
    return net


@pytest.mark.parametrize(("row", "case"), cases())
def test_every_row(row: Op, case: Case) -> None:
    inputs = samples(row, case)
    wanted = differentiable(row, inputs)
    results = []
    for put in (np.array, there):
        tensors = [Tensor(put(a), requires_grad=i in wanted) for i, a in enumerate(inputs)]
        out = row(*tensors, **case.attrs)
        if wanted:
            out.backward(Tensor(put(np.ones(out.shape))), create_graph=True)
        results.append([t.numpy() for t in [out, *(tensors[i].grad for i in wanted)] if t is not None])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("row", "case"), cases())
def test_every_row_as_a_plan(row: Op, case: Case) -> None:
    first, second = single(row, case), single(row, case, seed=1)
    if not first or row.name in STATED:
        pytest.skip("it has no inputs, or says which dtype it makes")
    captured = compile(lambda *inputs: row(*inputs, **case.attrs))
    for inputs in (first, second, first, second):
        found = captured(*(Tensor(there(a)) for a in inputs))
        close(found.numpy(), row(*inputs, **case.attrs).numpy(), 2e-5)


@pytest.mark.parametrize("families", [("cupy",), ("numpy",)])
@pytest.mark.parametrize("name", zoo.SMALL)
def test_networks(name: str, families: tuple[str, ...]) -> None:
    net, copy, y = network(name).astype("float64"), moved(name, "float64"), np.arange(3)
    with use_kernels(*families):
        forward, slopes = compile(copy), compile(input_gradient(copy))
        for seed in (1, 2, 3, 4):
            x = images(name, 3, seed).astype(np.float64)
            with no_grad():
                expected = [net(Tensor(x)), *input_gradient(net)(Tensor(x), Tensor(y))]
            found = [forward(there(x)), *slopes(there(x), there(y))]
            for ours, theirs in zip(found, expected, strict=True):
                np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-9, atol=1e-12)
        plan = slopes.plan(there(x), there(y))
        assert plan.plain == [] and all(isinstance(c, Stage) and c.captured for c in plan._calls)


@pytest.mark.parametrize("name", ["lenet5", "resnet8"])
def test_a_training_step(name: str) -> None:
    def step(net: Any) -> Any:
        def run(x: Tensor, y: Tensor) -> Any:
            net.zero_grad()
            cross_entropy(net(x), y).mean().backward()
            grads = {key: p.grad for key, p in net.named_parameters()}
            net.zero_grad()
            return grads

        return run

    x, y = images(name, 4).astype(np.float64), np.arange(4)
    captured = compile(step(moved(name, "float64").train()))
    theirs = step(network(name).astype("float64").train())(Tensor(x), Tensor(y))
    for _ in range(4):
        ours = captured(there(x), there(y))
        for key in theirs:
            np.testing.assert_allclose(ours[key].numpy(), theirs[key].numpy(), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_attacks(name: str, norm: str) -> None:
    shape = (1, 28, 28)
    x = np.random.default_rng(0).random((8, *shape), dtype=np.float32)
    results = []
    for device in ("cpu", "cuda"):
        net = zoo.build("lenet5", shape, 10, rng=3)
        target = ModuleModel(net, input_shape=shape, num_classes=10, mean=0.1, std=0.3, device=device)
        y = results[0][0] if results else target.predict(x)
        attack = attacks.get(name)(norm=norm, **NEEDED.get(name, {}))
        own = isinstance(attack, attacks.OwnLimitsAttack)
        found = attack.attack(target, x, y, None if own else [0.05 if norm == "linf" else 1.0], rng=0)
        results.append((y, found))
        assert target.compiled
    (_, host), (_, device_found) = results
    assert np.isclose(host.adv, device_found.adv, atol=1e-4).mean() > 0.98
    assert np.mean(host.success == device_found.success) > 0.9


def test_weights_that_change_are_seen_by_graphs() -> None:
    net, x = moved("resnet8"), there(images("resnet8", 2))
    captured = compile(net)
    for number in range(8):
        for p in net.parameters():
            if number % 2:
                p.data *= np.float32(0.97)
            else:
                p.data = p.data * np.float32(1.02)
        with no_grad():
            close(asnumpy(captured(x).data), net(Tensor(x)).numpy(), 1e-4)
