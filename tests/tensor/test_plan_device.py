"""Plans on arrays that refuse what CuPy refuses: the op table, the zoo, training, nothing waited for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.tensor import Tensor, compile, cross_entropy, grad, no_grad, zoo
from armour.tensor.op import Case, Op
from armour.tensor.tiles import DEVICE_LARGEST, Tiled
from tests.tensor.strict import StrictArray, register, transfers
from tests.tensor.test_op_table import cases, differentiable
from tests.tensor.test_plan import STATED, close, images, input_gradient, network, single


@pytest.fixture(autouse=True)
def _registered() -> None:
    register()


def there(array: Any) -> Any:
    """A copy of an array on the pretended device."""
    return StrictArray(np.array(array))


def host(t: Any) -> np.ndarray:
    """The numbers of a tensor that must be on the device."""
    assert isinstance(t.data, StrictArray)
    return np.asarray(t.data.inner)


@pytest.mark.parametrize(("row", "case"), cases())
def test_every_row_and_its_gradients_as_a_plan(row: Op, case: Case) -> None:
    first, second = single(row, case), single(row, case, seed=1)
    wanted = [] if row.name in STATED else differentiable(row, first)
    if not first:
        pytest.skip("a row without inputs makes its output on the chosen backend, which is NumPy here")

    def run(*inputs: Tensor) -> Any:
        out = row(*inputs, **case.attrs)
        if not wanted:
            return (out,)
        leaves = [Tensor(t.data, requires_grad=i in wanted) for i, t in enumerate(inputs)]
        with_history = row(*leaves, **case.attrs)
        weight = np.full(with_history.shape, 0.7, np.float32)
        with_history.backward(Tensor(there(weight) if isinstance(inputs[0].data, StrictArray) else weight))
        return (out, *(leaves[i].grad for i in wanted if leaves[i].grad is not None))

    captured = compile(run)
    for inputs in (first, second):
        with np.errstate(all="ignore"):
            found = captured(*(Tensor(there(a)) for a in inputs))
        for ours, theirs in zip(found, run(*(Tensor(a) for a in inputs)), strict=True):
            close(host(ours), theirs.numpy())
    assert len(captured) == 1


@pytest.mark.parametrize("name", zoo.SMALL)
def test_every_network_forward_and_input_gradient(name: str) -> None:
    net, moved, y = network(name).astype("float64"), moved_network(name, "float64"), np.arange(3)
    forward, slopes = compile(moved), compile(input_gradient(moved))
    for seed in (1, 2):
        x = images(name, 3, seed).astype(np.float64)
        with no_grad():
            expected = [net(Tensor(x)), *input_gradient(net)(Tensor(x), Tensor(y))]
        found = [forward(there(x)), *slopes(there(x), there(y))]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(host(ours), theirs.numpy(), rtol=1e-9, atol=1e-12)


def moved_network(name: str, dtype: str = "float32") -> Any:
    net = network(name).astype(dtype)
    for tensor in (*net.parameters(), *(b for _, b in net.named_buffers())):
        tensor.data = there(tensor.data)
    return net


@pytest.mark.parametrize("name", ["lenet5", "resnet8"])
def test_a_training_step(name: str) -> None:
    x, y = images(name, 6), np.arange(6)

    def gradients(net: Any, replay: bool, put: Any) -> tuple[Any, ...]:
        def step(x: Tensor, y: Tensor) -> Any:
            net.zero_grad()
            loss = cross_entropy(net(x), y)
            loss.mean().backward()
            grads = {key: p.grad for key, p in net.named_parameters()}
            net.zero_grad()
            return loss, grads

        run = compile(step) if replay else step
        for _ in range(2):
            loss, grads = run(Tensor(put(x)), Tensor(put(y)))
            for key, p in net.named_parameters():
                p.data = p.data - grads[key].data * np.float32(0.05)
        return loss, grads, {key: b.data for key, b in net.named_buffers()}

    loss, grads, buffers = gradients(moved_network(name).train(), True, there)
    expected, slopes, statistics = gradients(network(name).train(), False, np.array)
    close(host(loss), expected.numpy(), 1e-4)
    for key in grads:
        close(host(grads[key]), slopes[key].numpy(), 2e-3)
    for key in buffers:
        close(buffers[key].inner, statistics[key], 1e-3)


@pytest.mark.parametrize("name", ["lenet5", "resnet8"])
def test_nothing_is_copied_to_the_host_or_waited_for_in_a_run(name: str) -> None:
    net, x, y = moved_network(name), there(images(name, 3)), there(np.arange(3))
    plan = compile(input_gradient(net)).plan(x, y)
    plan.run(x, y)
    with transfers() as found:
        plan.run(x, y)
    assert found == []
    with transfers() as found:
        Tensor(x).numpy()
    assert found == ["asnumpy"]


def test_weights_on_a_device_are_read_at_each_run() -> None:
    net, x = moved_network("lenet5"), images("lenet5", 2)
    captured = compile(net)
    for change in (lambda a: a, lambda a: a * np.float32(-0.5)):
        for p in net.parameters():
            p.data[...] = change(p.data)
        with no_grad():
            close(host(captured(there(x))), host(net(Tensor(there(x)))))
    for p in net.parameters():
        p.data = p.data * np.float32(1.5)
    with no_grad():
        close(host(captured(there(x))), host(net(Tensor(there(x)))))


def test_views_share_memory_there_too() -> None:
    x = there(np.ones((4, 6), np.float32))
    plan = compile(lambda t: (t.reshape(2, 12).T * 2.0).sum()).plan(x)
    assert len(plan._calls) == 2  # the product and the sum


def test_a_batch_is_one_tile_on_a_device() -> None:
    doubled = Tiled(lambda x: (x.reshape(x.shape[0], -1) * 2.0,))
    x = np.random.default_rng(0).random((1024, 3, 8, 8), dtype=np.float32)
    (out,) = doubled(there(x))
    assert len(doubled.tiles(1024, [there(x)])) == 1 and DEVICE_LARGEST >= 4096
    np.testing.assert_array_equal(out.inner, x.reshape(1024, -1) * 2)


def test_a_constant_inside_is_one_on_the_device() -> None:
    def run(x: Tensor) -> Tensor:
        return grad(lambda t: (t * t * 3.0).sum())(x)

    x = there(np.array([1.0, 2.0], np.float32))
    assert host(compile(run)(x)).tolist() == [6.0, 12.0]
