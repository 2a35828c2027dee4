"""Indexing and joining in the forms that users write."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, grad

X = np.arange(24.0).reshape((2, 3, 4))
INDICES: list[Any] = [
    0,
    -1,
    (1, 2, 3),
    ...,
    None,
    (..., 1),
    (slice(None), None, slice(2, 0, -1)),
    [1, 0, 1],
    np.array([[0, 1], [1, 1]]),
    (slice(None), [0, 2]),
    (np.array([0, 1]), slice(None), np.array([3, 3])),
    X[0, :, 0] > 3,
    X > 10,
    np.int64(1),
    slice(5, 9),
]


def indices() -> list[Any]:
    return [
        i if not (isinstance(i, np.ndarray) and i.dtype == bool and i.ndim == 1) else (0, i) for i in INDICES
    ]


@pytest.mark.parametrize("index", indices(), ids=str)
def test_getitem_and_its_gradient(index: Any) -> None:
    expected = X[index]
    x = Tensor(X, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), expected)
    seed = np.random.default_rng(0).standard_normal(expected.shape)
    y.backward(seed)
    counted = np.zeros(X.shape)
    np.add.at(counted, index, seed)
    np.testing.assert_allclose(x.grad.numpy(), counted)


def test_a_tensor_is_an_index() -> None:
    rows = Tensor(np.array([1, 1, 0]))
    np.testing.assert_array_equal(Tensor(X)[rows].numpy(), X[[1, 1, 0]])
    np.testing.assert_array_equal(Tensor(X)[:, rows].numpy(), X[:, [1, 1, 0]])
    np.testing.assert_array_equal(Tensor(X)[Tensor(X) > 10].numpy(), X[X > 10])


def test_concat_and_stack_of_tensors_and_arrays() -> None:
    a, b = X[0], X[1]
    np.testing.assert_array_equal(tensor.concat([Tensor(a), b], 1).numpy(), np.concatenate([a, b], 1))
    np.testing.assert_array_equal(tensor.stack([a, Tensor(b)], -1).numpy(), np.stack([a, b], -1))
    g, h = grad(lambda s, t: (tensor.concat([s, t, s], 0) * Tensor(np.arange(9.0)[:, None])).sum(), (0, 1))(
        a, b
    )
    np.testing.assert_array_equal(g.numpy(), np.broadcast_to([[6.0], [8.0], [10.0]], (3, 4)))
    np.testing.assert_array_equal(h.numpy(), np.broadcast_to([[3.0], [4.0], [5.0]], (3, 4)))
    with pytest.raises(InvalidArgument, match="at least one tensor to stack"):
        tensor.stack([])


def test_methods_of_shape() -> None:
    x = Tensor(X)
    assert x.T.shape == (4, 3, 2)
    assert x.reshape(4, -1).shape == x.reshape((4, -1)).shape == (4, 6)
    assert x.transpose(1, 0, 2).shape == (3, 2, 4)
    assert x.transpose().shape == (4, 3, 2)
    assert x.flatten(1).shape == tensor.flatten(x).shape == (2, 12)
    assert x[:, :1].squeeze(1).shape == (2, 4)
    assert x.expand_dims(1).shape == (2, 1, 3, 4)
    assert x.expand_dims(-1).shape == (2, 3, 4, 1)
    assert tensor.flatten(Tensor(np.zeros((0, 3, 4)))).shape == (0, 12)
    assert tensor.transpose(X).shape == (4, 3, 2)
