"""Random small graphs give PyTorch's values, gradients and Hessian-vector products in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import tensor
from armour.tensor import Tensor


def _logaddexp(a: Any, b: Any) -> Any:
    return tensor.logaddexp(a, b) if isinstance(a, Tensor) else torch.logaddexp(a, b)


# Smooth steps that keep values within a few units, as (ours, PyTorch's).
UNARY: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = [
    ("tanh", tensor.tanh, torch.tanh),
    ("sigmoid", tensor.sigmoid, torch.sigmoid),
    ("sin", tensor.sin, torch.sin),
    ("softplus", tensor.softplus, F.softplus),
    ("gelu", tensor.gelu, F.gelu),
    ("silu", tensor.silu, F.silu),
    ("erf", tensor.erf, torch.erf),
    ("scaled", lambda a: a * 0.5 - 0.1, lambda a: a * 0.5 - 0.1),
    ("inverse", lambda a: 1.0 / (a * a + 1.0), lambda a: 1.0 / (a * a + 1.0)),
    ("root", lambda a: (a * a + 1.0).sqrt(), lambda a: (a * a + 1.0).sqrt()),
    ("softmax", lambda a: tensor.softmax(a, -1), lambda a: torch.softmax(a, -1)),
    ("log_softmax", lambda a: tensor.log_softmax(a, 0), lambda a: torch.log_softmax(a, 0)),
    ("centred", lambda a: a - a.mean(axis=1, keepdims=True), lambda a: a - a.mean(1, keepdim=True)),
    ("row sums", lambda a: a + a.sum(axis=0) * 0.2, lambda a: a + a.sum(0) * 0.2),
    (
        "variance",
        lambda a: a * a.var(axis=1, keepdims=True),
        lambda a: a * a.var(1, keepdim=True, correction=0),
    ),
    ("flip", lambda a: tensor.flip(a, 1), lambda a: a.flip(1)),
    ("twice", lambda a: tensor.concat([a, a], 0)[1:4], lambda a: torch.cat([a, a], 0)[1:4]),
    ("gather", lambda a: a[np.array([2, 0, 2])], lambda a: a[torch.tensor([2, 0, 2])]),
    ("turned", lambda a: a.reshape((4, 3)).T, lambda a: a.reshape(4, 3).T),
    ("cumsum", lambda a: tensor.cumsum(a, 1) * 0.3, lambda a: a.cumsum(1) * 0.3),
    ("pad", lambda a: tensor.pad(a, ((0, 0), (1, 0)))[:, :4], lambda a: F.pad(a, (1, 0))[:, :4]),
    ("sorted", lambda a: tensor.sort(a, 1), lambda a: a.sort(1).values),
    ("products", lambda a: tensor.cumprod(tensor.tanh(a), 1), lambda a: torch.tanh(a).cumprod(1)),
    ("peaks", lambda a: tensor.cummax(a, 0)[0], lambda a: a.cummax(0).values),
    ("unit", lambda a: tensor.normalize(a, 2.0, 1), lambda a: F.normalize(a, dim=1)),
    ("angle", tensor.atan, torch.atan),
    ("asinh", tensor.asinh, torch.asinh),
    ("decay", lambda a: tensor.erfc(a) * 0.5, lambda a: torch.erfc(a) * 0.5),
    ("rolled", lambda a: tensor.roll(a, 1, 1) * 0.7, lambda a: a.roll(1, 1) * 0.7),
    ("lower", tensor.tril, torch.tril),
    ("inverse root", lambda a: tensor.rsqrt(a * a + 1.0), lambda a: torch.rsqrt(a * a + 1.0)),
    (
        "solved",
        lambda a: tensor.solve(a @ a.T * 0.1 + tensor.eye(3, dtype="float64"), a),
        lambda a: torch.linalg.solve(a @ a.T * 0.1 + torch.eye(3, dtype=a.dtype), a),
    ),
    ("lse", lambda a: a - tensor.logsumexp(a, 1, True), lambda a: a - torch.logsumexp(a, 1, True)),
]
BINARY: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("add", lambda a, b: a + b),
    ("subtract", lambda a, b: a - b),
    ("multiply", lambda a, b: a * b * 0.5),
    ("divide", lambda a, b: a / (b * b + 1.0)),
    ("either", _logaddexp),
    ("row", lambda a, b: a + b[:1]),
    ("column", lambda a, b: a * b[:, :1]),
    ("product", lambda a, b: (a @ b.T) @ b * 0.1),
]

step = st.one_of(
    st.tuples(st.just(1), st.integers(0, len(UNARY) - 1), st.integers(0, 99), st.just(0)),
    st.tuples(st.just(2), st.integers(0, len(BINARY) - 1), st.integers(0, 99), st.integers(0, 99)),
)


def build(program: Any, leaves: list[Any], which: int) -> Any:
    """The scalar that the program computes; each step works on any value made so far."""
    values = list(leaves)
    for arity, row, i, j in program:
        a, b = values[i % len(values)], values[j % len(values)]
        values.append(UNARY[row][which](a) if arity == 1 else BINARY[row][1](a, b))
    last = values[-1]
    return (last * last + last).sum()


@settings(max_examples=150, deadline=None)
@given(st.lists(step, min_size=1, max_size=10), st.integers(0, 2**32 - 1))
def test_random_graphs(program: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((3, 4)) for _ in range(2)]
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    y, z = build(program, ours, 1), build(program, theirs, 2)
    scale = max(1.0, abs(z.item()))
    assert abs(y.item() - z.item()) <= 1e-10 * scale
    y.backward()
    expected = torch.autograd.grad(z, theirs, allow_unused=True)
    for s, t in zip(ours, expected, strict=True):
        mine = np.zeros((3, 4)) if s.grad is None else s.grad.numpy()
        other = np.zeros((3, 4)) if t is None else t.numpy()
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-10 * max(1.0, np.abs(other).max()))


@settings(max_examples=60, deadline=None)
@given(st.lists(step, min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_hessian_vector_products_of_random_graphs(program: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, other, v = (rng.standard_normal((3, 4)) for _ in range(3))
    found = tensor.hvp(lambda t: build(program, [t, Tensor(other)], 1), x, v).numpy()
    _, expected = torch.autograd.functional.hvp(
        lambda t: build(program, [t, torch.from_numpy(other)], 2), torch.from_numpy(x), torch.from_numpy(v)
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-8, atol=1e-8 * max(1.0, np.abs(found).max()))


def test_hessian_vector_product_of_a_convolutional_network() -> None:
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((2, 2, 8, 8)), rng.standard_normal((2, 2, 8, 8))
    w1, w2, w3 = (
        rng.standard_normal((6, 2, 3, 3)),
        rng.standard_normal((5, 6, 3, 3)),
        rng.standard_normal((5, 4)),
    )
    labels = np.array([1, 3])

    def ours(t: Any) -> Tensor:
        h = tensor.tanh(tensor.conv2d(t, w1, padding=1, stride=2))
        h = tensor.max_pool2d(tensor.silu(tensor.conv2d(h, w2, padding=1)), 2)
        return tensor.cross_entropy(tensor.global_avg_pool2d(h) @ Tensor(w3), labels).sum()

    def theirs(t: Any) -> Any:
        a, b, c = (torch.from_numpy(w) for w in (w1, w2, w3))
        h = torch.tanh(F.conv2d(t, a, padding=1, stride=2))
        h = F.max_pool2d(F.silu(F.conv2d(h, b, padding=1)), 2)
        return F.cross_entropy(h.mean((2, 3)) @ c, torch.from_numpy(labels), reduction="sum")

    _, expected = torch.autograd.functional.hvp(theirs, torch.from_numpy(x), torch.from_numpy(v))
    np.testing.assert_allclose(tensor.hvp(ours, x, v).numpy(), expected.numpy(), rtol=1e-8, atol=1e-10)
