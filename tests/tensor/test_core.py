"""The tape: what is recorded, what backward leaves behind, and the errors a user can cause."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, no_grad


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).standard_normal(shape), requires_grad=True)


def test_a_chain_of_100_000_operations_does_not_overflow_the_stack() -> None:
    x = Tensor([1.0], requires_grad=True)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert y.item() == 100_001.0
    assert x.grad is not None
    assert x.grad.item() == 1.0
    del y


def test_a_chain_that_is_never_differentiated_can_be_dropped() -> None:
    y = Tensor([1.0], requires_grad=True)
    for _ in range(100_000):
        y = y * 1.0
    del y


def test_memory_is_freed_without_the_cycle_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x = leaf(4)
        middle = x * x
        alive = weakref.ref(middle)
        loss = (middle * middle.exp()).sum()
        del middle
        assert alive() is not None  # the tape holds it
        loss.backward()
        assert alive() is None  # released while the pass ran, though loss is still there
        again = (x * x).sum()
        alive = weakref.ref(again)
        del again
        assert alive() is None  # never differentiated, no cycle
    finally:
        gc.enable()


def test_no_grad_records_nothing_and_keeps_nothing_alive() -> None:
    x = leaf(3)
    with no_grad():
        middle = x * x
        alive = weakref.ref(middle)
        y = middle + 1.0
        del middle
    assert alive() is None
    assert not y.requires_grad
    assert (x * x).requires_grad


def test_a_second_backward_is_refused_unless_the_graph_is_retained() -> None:
    x = leaf(3)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(InvalidArgument, match=r"history was released.*retain_graph=True"):
        y.backward()
    x.zero_grad()
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    np.testing.assert_allclose(x.grad.numpy(), 4 * x.numpy())


def test_gradients_accumulate_until_zeroed() -> None:
    x = leaf(3)
    for k in (1, 2, 3):
        (x * 2.0).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), np.full(3, 2.0 * k))
    x.zero_grad()
    assert x.grad is None


def test_a_tensor_used_many_times_gets_the_sum() -> None:
    x = leaf(3)
    y = x * x + x * 3.0 + x
    (y * x).sum().backward()
    v = x.numpy()
    np.testing.assert_allclose(x.grad.numpy(), 3 * v**2 + 8 * v)


def test_create_graph_makes_gradients_differentiable() -> None:
    x = leaf(3)
    (x * x * x).sum().backward(create_graph=True)
    first, x.grad = x.grad, None
    assert first is not None
    first.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * x.numpy())


def test_gradients_are_only_left_on_leaves_that_asked() -> None:
    x, constant = leaf(3), Tensor(np.ones(3))
    middle = x * constant
    middle.sum().backward()
    assert middle.grad is None
    assert constant.grad is None


def test_the_gradient_is_summed_over_broadcast_axes() -> None:
    a, b, c = leaf(3, 1), leaf(4, seed=1), leaf(seed=2)
    (a * b + c).sum().backward()
    assert a.grad.shape == (3, 1)
    assert c.grad.shape == ()
    np.testing.assert_allclose(a.grad.numpy(), np.full((3, 1), b.numpy().sum()))
    np.testing.assert_allclose(b.grad.numpy(), np.full(4, a.numpy().sum()))
    assert c.grad.item() == 12.0


def test_numpy_on_the_left_asks_the_tensor() -> None:
    x = Tensor(np.arange(3.0), requires_grad=True)
    for result, expected in (
        (np.ones(3) * x, [0, 1, 2]),
        (np.ones(3) - x, [1, 0, -1]),
        (np.float64(2) * x, [0, 2, 4]),
        (np.eye(3) @ x, [0, 1, 2]),
        (2.0**x, [1, 2, 4]),
        (1.0 / (x + 1.0), [1, 0.5, 1 / 3]),
    ):
        assert isinstance(result, Tensor)
        assert result.requires_grad
        np.testing.assert_allclose(result.numpy(), expected)


@pytest.mark.parametrize(
    "other", [2, 2.0, np.float64(2.0), np.int64(2), True, np.array([1, 2]), np.array([True, False])]
)
def test_float32_survives_numbers_and_integer_arrays(other: Any) -> None:
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    for y in (
        x + other,
        x * other,
        other - x,
        x / 2,
        other * x,
        tensor.maximum(x, other),
        tensor.where(x > 0, x, other),
    ):
        assert y.dtype == np.float32
    (x * other).sum().backward()
    assert x.grad.dtype == np.float32


def test_a_gradient_has_the_dtype_of_its_tensor() -> None:
    single, double = Tensor(np.ones(3, np.float32), requires_grad=True), leaf(3)
    y = (single * double).sum()
    assert y.dtype == np.float64
    y.backward()
    assert single.grad.dtype == np.float32
    assert double.grad.dtype == np.float64


def test_integers_stay_integers_and_become_float32_in_functions() -> None:
    i = Tensor(np.arange(3))
    assert (i + 1).dtype == np.int64
    assert i.sum().dtype == np.int64
    assert {t.dtype for t in (i * 0.5, i / 2, i.exp(), i.mean(), tensor.sigmoid(i))} == {np.dtype(np.float32)}


def test_python_data_becomes_float32_and_arrays_keep_their_dtype_and_memory() -> None:
    assert Tensor([1.0, 2.0]).dtype == np.float32
    assert Tensor([1, 2]).dtype == np.int64
    assert Tensor(2.5).dtype == np.float32
    array = np.zeros(3)
    assert Tensor(array).data is array
    assert Tensor(array).numpy() is array


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tensor(["a"]), "expected numbers, got dtype"),
        (lambda: Tensor([1, 2], requires_grad=True), "expected floating-point data.*got dtype int64"),
        (lambda: Tensor([1.0]).backward(), "requires_grad=True; nothing was recorded"),
        (lambda: leaf(2).backward(), r"single element, got shape \(2,\); pass gradient="),
        (lambda: leaf(2).backward(np.ones(3)), r"gradient of shape \(2,\), got \(3,\)"),
        (lambda: leaf(2, 3) @ leaf(2, 3), r"op matmul cannot take inputs \(2, 3\) float64, \(2, 3\) float64"),
        (lambda: leaf(2, 3) + leaf(4), r"op add cannot take inputs"),
        (lambda: leaf(2, 3).reshape(5), r"op reshape cannot take inputs \(2, 3\) float64, shape=\(5,\)"),
        (lambda: leaf(3)[5], "op getitem cannot take inputs"),
        (lambda: leaf(2, 3).squeeze(0), r"expected length 1 at axis 0, got shape \(2, 3\)"),
        (lambda: leaf(0).max(), "op max cannot take inputs"),
        (
            lambda: tensor.conv2d(leaf(1, 3, 4, 4), leaf(2, 2, 3, 3)),
            "conv2d expects 2 \\* groups input channels",
        ),
        (lambda: tensor.conv2d(leaf(1, 1, 2, 2), leaf(2, 1, 3, 3)), "is larger than the padded input"),
        (lambda: tensor.conv2d(leaf(1, 1, 4), leaf(2, 1, 3, 3)), r"expects input \(n, c, h, w\)"),
        (lambda: tensor.conv2d(leaf(1, 1, 4, 4), leaf(2, 1, 3, 3), stride=0), "at or above 1, got stride=0"),
        (lambda: tensor.max_pool2d(leaf(1, 1, 4, 4), 5), "at least as large as the window"),
        (lambda: tensor.max_pool2d(leaf(1, 1, 4, 4), 2, padding=2), "at most half the window"),
        (lambda: tensor.concat([]), "at least one tensor"),
        (lambda: tensor.einsum("ij,jk", leaf(2, 2), leaf(2, 2)), "explicit output"),
        (lambda: tensor.einsum("ii->i", leaf(2, 2)), "no repeated letter"),
    ],
)
def test_errors_say_what_was_expected_and_what_came(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make()


def test_iteration_length_and_truth() -> None:
    x = leaf(3, 2)
    assert len(x) == 3
    assert [row.shape for row in x] == [(2,), (2,), (2,)]
    assert bool(Tensor(1.0))
    assert float(Tensor(2.5)) == 2.5
    assert int(Tensor(2)) == 2
    assert len({x, x}) == 1
    with pytest.raises(TypeError, match="no length"):
        len(Tensor(1.0))


def test_detach_and_repr() -> None:
    x = leaf(2)
    assert x.detach().data is x.data
    assert not x.detach().requires_grad
    assert "requires_grad=True" in repr(x)
    assert "float64" in repr(x)


def test_results_in_channels_last_memory_are_ordinary_tensors() -> None:
    x, w = leaf(2, 4, 5, 5), leaf(6, 4, 3, 3, seed=1)
    y = tensor.conv2d(x, w)
    assert y.shape == (2, 6, 3, 3)
    np.testing.assert_array_equal(y.reshape(-1).numpy(), np.ascontiguousarray(y.numpy()).reshape(-1))


def test_importing_the_engine_loads_no_scipy_and_no_cupy() -> None:
    code = "import sys, armour.tensor; assert not {'scipy', 'cupy', 'torch', 'numba'} & set(sys.modules)"
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_observers_are_told_of_each_operation() -> None:
    from armour.tensor import core

    seen: list[str] = []

    def observe(row: Any, inputs: Any, attrs: Any, out: Any) -> None:
        seen.append(f"{row.name} {sorted(attrs)} {out.shape}")

    core.observers().append(observe)
    try:
        (leaf(2, 3) * 2.0).sum(axis=1)
    finally:
        core.observers().remove(observe)
    assert seen == ["multiply [] (2, 3)", "sum ['axis', 'keepdims'] (2,)"]
