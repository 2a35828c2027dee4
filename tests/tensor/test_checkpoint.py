"""checkpoint: the gradients of the plain call, in less memory, with the same random masks."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor import (
    Tensor,
    checkpoint,
    cross_entropy,
    grad,
    hessian,
    hvp,
    jvp,
    module_sample_grads,
    nn,
    zoo,
)

RNG = np.random.default_rng(0)
W, V = RNG.standard_normal((2, 4, 4))


def plain(fn: Callable[..., Any], *args: Any) -> Any:
    """What checkpoint must be like."""
    return fn(*args)


def block(x: Tensor) -> Tensor:
    return tensor.tanh(Tensor(W) @ tensor.sin(x * x))


def deep(wrap: Callable[..., Any], x: Tensor) -> Tensor:
    """Three blocks, with uses of x before, beside and inside them."""
    y = wrap(block, x * 0.5)
    z = wrap(lambda t: block(t) * x + y, tensor.exp(y))  # closes over x and y
    return (wrap(block, z) * z).sum()


def test_gradients_of_every_order_are_those_of_the_plain_call() -> None:
    x, v = RNG.standard_normal((2, 4))
    with_, without = (lambda t, w=w: deep(w, t) for w in (checkpoint, plain))
    np.testing.assert_array_equal(with_(Tensor(x)).numpy(), without(Tensor(x)).numpy())
    for transform in (
        lambda f: grad(f)(x),
        lambda f: hvp(f, x, v),
        lambda f: hessian(f)(x),
        lambda f: jvp(f, x, v)[1],
        lambda f: grad(lambda t: hvp(f, t, v).sum())(x),
    ):
        np.testing.assert_allclose(transform(with_).numpy(), transform(without).numpy(), rtol=1e-10)


def test_a_gradient_inside_a_checkpoint_is_differentiated_too() -> None:
    x = RNG.standard_normal(4)

    def penalty(t: Tensor) -> Tensor:
        g = grad(lambda u: (block(u) * u).sum())(t)
        return (g * g).sum()

    expected = grad(penalty)(x).numpy()
    np.testing.assert_allclose(grad(lambda t: checkpoint(penalty, t))(x).numpy(), expected, rtol=1e-11)


def test_checkpoints_inside_checkpoints() -> None:
    x = RNG.standard_normal(4)

    def outer(t: Tensor) -> Tensor:
        return checkpoint(block, checkpoint(block, t) + t) * t

    expected = grad(lambda t: (block(block(t) + t) * t).sum())(x).numpy()
    np.testing.assert_allclose(grad(lambda t: checkpoint(outer, t).sum())(x).numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(
        hessian(lambda t: checkpoint(outer, t).sum())(x).numpy(),
        hessian(lambda t: (block(block(t) + t) * t).sum())(x).numpy(),
        rtol=1e-10,
    )


def test_one_source_that_another_was_made_of_is_not_counted_twice() -> None:
    # The function uses x and 3 x: with the history of 3 x left on, x would get its gradient twice.
    x = Tensor(np.array([2.0]), requires_grad=True)
    y = x * 3.0
    checkpoint(lambda a, b: a * b, x, y).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [12.0])  # type: ignore[union-attr]


def trained(wrap: Callable[..., Any], mode: bool) -> tuple[nn.Module, np.ndarray, Any]:
    net = zoo.build("resnet8", (1, 8, 8), 3, rng=5).astype("float64").train(mode)
    drop = nn.Dropout(0.4, rng=7).train(mode)
    x, y = np.random.default_rng(1).random((4, 1, 8, 8)), np.array([0, 2, 1, 1])
    total: Any = Tensor(0.0)
    for _ in range(2):
        out = wrap(lambda t: net(drop(t)), Tensor(x))
        total = total + cross_entropy(out, y).sum()
    total.backward()
    return net, total.numpy(), drop.rng.random(3)


@pytest.mark.parametrize("mode", [True, False])
def test_a_network_with_batch_norm_and_dropout(mode: bool) -> None:
    # Same loss, parameter gradients, running statistics, and random stream afterwards.
    ours, loss, stream = trained(checkpoint, mode)
    theirs, expected, their_stream = trained(plain, mode)
    np.testing.assert_array_equal(loss, expected)
    np.testing.assert_array_equal(stream, their_stream)
    for (name, a), (_, b) in zip(ours.named_tensors(), theirs.named_tensors(), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=name)
        if a.requires_grad:
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-12, atol=1e-15)  # type: ignore[union-attr]


def test_generators_among_the_arguments_are_wound_back() -> None:
    x = Tensor(np.ones(50), requires_grad=True)
    stream = np.random.default_rng(3)
    out = checkpoint(lambda t, rng: tensor.dropout(t, 0.5, rng=rng), x, stream)
    kept = out.numpy() != 0
    after = stream.bit_generator.state
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy() != 0, kept)  # type: ignore[union-attr]
    assert stream.bit_generator.state == after and 5 < kept.sum() < 45


def test_layers_that_share_one_stream_get_their_own_masks_again() -> None:
    stream = np.random.default_rng(4)
    net = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5)).train()
    net[0].rng = net[1].rng = stream
    x = Tensor(np.ones(60), requires_grad=True)
    out = checkpoint(net, x)
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), out.numpy())  # type: ignore[union-attr]
    assert set(out.numpy()) == {0.0, 4.0}


def test_streams_of_operations_are_wound_back_wherever_they_are_held() -> None:
    stream = np.random.default_rng(3)

    def noisy(t: Tensor) -> Tensor:
        return tensor.dropout(t, 0.5, rng=stream) * tensor.random.normal((50,), rng=stream, dtype="float64")

    x = Tensor(np.ones(50), requires_grad=True)
    out = checkpoint(noisy, x)
    after = stream.bit_generator.state
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), out.numpy())  # type: ignore[union-attr]
    assert stream.bit_generator.state == after and 5 < (out.numpy() != 0).sum() < 45


def test_hidden_randomness_is_refused_instead_of_giving_a_wrong_gradient() -> None:
    stream = np.random.default_rng(3)
    out = checkpoint(lambda t: t * stream.random(50), Tensor(np.ones(50), requires_grad=True))
    with pytest.raises(UnsupportedError, match=r"second run.*other values"):
        out.sum().backward()


def peak(wrap: Callable[..., Any], blocks: int) -> int:
    """Bytes at the highest point of a forward and backward pass over 256 KB arrays."""

    def block(t: Tensor) -> Tensor:
        for _ in range(6):
            t = tensor.sin(t)
        return t

    x = Tensor(np.full(1 << 16, 0.5, np.float32), requires_grad=True)
    gc.collect()
    tracemalloc.start()
    try:
        out = x
        for _ in range(blocks):
            out = wrap(block, out)
        out.sum().backward()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_is_that_of_one_block() -> None:
    array = 1 << 18
    assert peak(plain, 12) > 70 * array  # 12 blocks of 6 activations
    assert peak(checkpoint, 12) < 30 * array  # 12 outputs, and one block at a time


def test_nothing_is_recorded_where_nothing_is_asked_for() -> None:
    with tensor.no_grad():
        assert checkpoint(block, Tensor(np.ones(4), requires_grad=True)).node is None
    assert not checkpoint(block, Tensor(np.ones(4))).requires_grad
    x = Tensor(np.ones(4), requires_grad=True)
    assert checkpoint(lambda t: t, x) is x


def test_history_is_released_and_can_be_retained() -> None:
    x = Tensor(np.array([0.3, 0.4, 0.5, 0.6]), requires_grad=True)
    out = checkpoint(block, x).sum()
    out.backward(retain_graph=True)
    once = x.grad.numpy().copy()  # type: ignore[union-attr]
    out.backward()
    np.testing.assert_allclose(x.grad.numpy(), 2 * once, rtol=1e-14)  # type: ignore[union-attr]
    with pytest.raises(InvalidArgument, match="retain_graph=True"):
        out.backward()
    assert x.node is None


class Saving(nn.Module):
    """A layer, then a checkpointed one."""

    def __init__(self) -> None:
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3) -> (n, 2)."""
        return checkpoint(lambda t: tensor.tanh(self.second(t)), tensor.tanh(self.first(x)))


def test_per_sample_gradients_through_a_checkpoint() -> None:
    net = Saving().astype("float64")
    x, y = RNG.standard_normal((3, 3)), np.array([0, 1, 1])
    grads = module_sample_grads(net, cross_entropy, x, y)
    for i in range(3):
        net.zero_grad()
        hidden = tensor.tanh(net.second(tensor.tanh(net.first(Tensor(x[i : i + 1])))))
        cross_entropy(hidden, y[i : i + 1]).sum().backward()
        for name, p in net.named_parameters():
            np.testing.assert_allclose(grads[name].numpy()[i], p.grad.numpy(), rtol=1e-12)  # type: ignore[union-attr]


def test_only_one_tensor_may_come_out() -> None:
    with pytest.raises(InvalidArgument, match="returns one Tensor to checkpoint, got tuple"):
        checkpoint(lambda t: (t, t), Tensor([1.0], requires_grad=True))
