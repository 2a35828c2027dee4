"""Axes, repetition, constants, positions and diagonals against NumPy, and what undoes what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, grad, use_backend
from armour.tensor.gradcheck import check_grads

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4))


def same(ours: Tensor, theirs: Any) -> None:
    np.testing.assert_array_equal(ours.numpy(), theirs)
    assert ours.dtype == np.asarray(theirs).dtype


# -- axes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 2, -1, (0, 2), (-1, 1), (0, 1, 2)])
def test_expand_and_squeeze(axis: Any) -> None:
    wide = tensor.expand_dims(X, axis)
    same(wide, np.expand_dims(X, axis))
    same(tensor.squeeze(wide, axis), X)
    same(tensor.squeeze(wide), X)


@settings(max_examples=60, deadline=None)
@given(st.permutations([0, 1, 2]), st.permutations([0, 1, -1]), st.integers(1, 3))
def test_moveaxis_and_swapaxes(source: list[int], target: list[int], n: int) -> None:
    same(tensor.moveaxis(X, source[:n], target[:n]), np.moveaxis(X, source[:n], target[:n]))
    same(tensor.swapaxes(X, source[0], target[0]), np.swapaxes(X, source[0], target[0]))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 9), st.integers(1, 5), st.integers(0, 1))
def test_parts_put_together_are_the_whole(length: int, parts: int, axis: int) -> None:
    x = RNG.standard_normal((length, 3) if axis == 0 else (3, length))
    chunks = tensor.chunk(x, parts, axis)
    assert len(chunks) <= parts and len({c.shape[axis] for c in chunks[:-1]}) <= 1
    same(tensor.concat(chunks, axis), x)
    if length % parts == 0:
        for ours, theirs in zip(tensor.split(x, parts, axis), np.split(x, parts, axis), strict=True):
            same(ours, theirs)
    sizes = [length // 2, 0, length - length // 2]
    assert [t.shape[axis] for t in tensor.split(x, sizes, axis)] == sizes
    same(tensor.concat(tensor.split(x, sizes, axis), axis), x)
    if length:
        same(tensor.stack(tensor.unstack(x, axis), axis), x)


def test_strided_slice() -> None:
    x = np.arange(60).reshape((3, 4, 5))
    same(tensor.strided_slice(x, (0, 1), (3, 4), (2, 1)), x[0:3:2, 1:4])
    same(tensor.strided_slice(x, (None, -1), (None, None), (-1, -2)), x[::-1, -1::-2])
    same(tensor.strided_slice(x, (1,), (2,)), x[1:2])
    check_grads(
        lambda t: tensor.strided_slice(t, (0, 3), (2, 0), (1, -2)) ** 3, X.transpose(1, 2, 0), rng=RNG
    )


@pytest.mark.parametrize("mode", ["dcr", "crd"])
def test_depth_and_space(mode: str) -> None:
    x = RNG.standard_normal((2, 12, 3, 5))
    wide = tensor.depth_to_space(x, 2, mode)
    assert wide.shape == (2, 3, 6, 10)
    for n, c, i, j in np.ndindex(2, 3, 6, 10):
        block = i % 2 * 2 + j % 2
        channel = block * 3 + c if mode == "dcr" else c * 4 + block
        assert wide.numpy()[n, c, i, j] == x[n, channel, i // 2, j // 2]
    same(tensor.space_to_depth(wide, 2, mode), x)
    check_grads(lambda t: tensor.depth_to_space(t, 2, mode) ** 2, x[:1, :8, :1, :2], order=2, rng=RNG)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tensor.expand_dims(X, 4), "an axis from -4 to 3, got 4"),
        (lambda: tensor.expand_dims(X, (0, 0)), "each axis once"),
        (lambda: tensor.squeeze(X, 1), r"length 1 at axis 1, got shape \(2, 3, 4\)"),
        (lambda: tensor.moveaxis(X, (0, 1), 2), "as many targets as sources"),
        (lambda: tensor.split(X, 2, axis=1), "divides 3.*use chunk"),
        (lambda: tensor.split(X, (1, 1), axis=1), "add up to 3"),
        (lambda: tensor.strided_slice(X, (0,), (1, 2)), "one start, stop and step"),
        (lambda: tensor.depth_to_space(X, 2), r"x \(n, c, h, w\)"),
        (lambda: tensor.space_to_depth(np.zeros((1, 1, 3, 4)), 2), "multiples of block=2"),
        (lambda: tensor.depth_to_space(np.zeros((1, 4, 1, 1)), 2, "rgb"), "unknown mode"),
        (lambda: tensor.tile(X, -1), "at or above 0"),
        (lambda: tensor.roll(X, (1, 2), 0), "one shift for each axis"),
        (lambda: tensor.meshgrid(X), "one axis"),
        (lambda: tensor.gather(X, np.array([0.5])), "integers as indices, got float64"),
        (lambda: tensor.gather(X, np.array([5]), 1), "out of bounds"),
        (lambda: tensor.gather_nd(X, np.zeros((2, 4), int)), "k at most 3"),
        (lambda: tensor.scatter_nd(np.zeros((2, 1), int), np.zeros(3), (4,)), r"values of shape \(2,\)"),
        (
            lambda: tensor.scatter_nd_add(X, np.zeros((5, 1), int), X),
            r"scatter_nd_add expects values of shape \(5, 3, 4\)",
        ),
        (lambda: tensor.index_add(X, np.array([0]), np.zeros((2, 4)), 1), r"values of shape \(2, 1, 4\)"),
        (lambda: tensor.diag(X), "use diagonal or diag_embed"),
        (lambda: tensor.diagonal(np.zeros(3)), "matrices"),
        (lambda: tensor.tril(np.zeros(3)), "matrices"),
        (lambda: tensor.diag_embed(1.0), "at least one axis"),
        (lambda: tensor.add_n([]), "at least one tensor"),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()


# -- repetition and constants ---------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=5), st.integers(0, 3), st.integers(-7, 7))
def test_tile_repeat_and_roll(reps: list[int], repeats: int, shift: int) -> None:
    same(tensor.tile(X, reps), np.tile(X, reps))
    same(tensor.repeat(X, repeats, 1), np.repeat(X, repeats, axis=1))
    same(tensor.repeat(X, repeats), np.repeat(X, repeats))
    same(tensor.roll(X, shift, 1), np.roll(X, shift, axis=1))
    same(tensor.roll(X, (shift, 1), (0, -1)), np.roll(X, (shift, 1), axis=(0, -1)))
    if X.ndim and repeats:
        g = grad(lambda x: (tensor.tile(x, reps) ** 2).sum())(X).numpy()
        # Missing numbers count as 1.
        np.testing.assert_allclose(g, 2 * X * np.prod(reps), rtol=1e-14)


def test_meshgrid() -> None:
    x, y, z = np.arange(3.0), np.arange(4.0), np.arange(2.0)
    for indexing in ("ij", "xy"):
        for ours, theirs in zip(
            tensor.meshgrid(x, y, z, indexing=indexing), np.meshgrid(x, y, z, indexing=indexing), strict=True
        ):
            same(ours, theirs)
    same(tensor.meshgrid(x, indexing="xy")[0], x)


def test_constants() -> None:
    for dtype in ("float32", "float64", "int64", "bool"):
        x = X.astype(dtype)
        same(tensor.zeros_like(x), np.zeros_like(x))
        same(tensor.ones_like(x), np.ones_like(x))
    same(tensor.full_like(X, 2, "float32"), np.full(X.shape, 2, np.float32))
    same(tensor.arange(5), np.arange(5, dtype=np.int64))
    same(tensor.arange(2, 11, 3), np.arange(2, 11, 3, dtype=np.int64))
    same(tensor.arange(0.5, 2, 0.5), np.arange(0.5, 2, 0.5, dtype=np.float32))
    same(tensor.arange(3, dtype="float64"), np.arange(3, dtype=np.float64))
    same(tensor.linspace(-1, 1, 7, "float64"), np.linspace(-1, 1, 7))
    same(tensor.eye(3), np.eye(3, dtype=np.float32))
    same(tensor.eye(2, 4, "int64"), np.eye(2, 4, dtype=np.int64))
    use_backend("numpy")
    assert tensor.ones_like(Tensor(X, requires_grad=True)).requires_grad is False


# -- positions ------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_gather_and_scatter_follow_numpy_and_each_other(data: Any) -> None:
    axis = data.draw(st.integers(-3, 2))
    shape = data.draw(st.sampled_from([(), (1,), (4,), (2, 3), (0,)]))
    seed = data.draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    index = rng.integers(-X.shape[axis], X.shape[axis], shape)
    taken = tensor.gather(X, index, axis)
    same(taken, np.take(X, index, axis=axis))
    values = rng.standard_normal(taken.shape)
    added = tensor.index_add(X, index, values, axis).numpy()
    # <gather(x), v> = <x, scatter(v)>, and adding is to x.
    np.testing.assert_allclose((taken.numpy() * values).sum(), (X * (added - X)).sum(), atol=1e-12)
    expected = X.copy()
    np.add.at(expected, (*(slice(None),) * (axis % 3), index), values)
    np.testing.assert_allclose(added, expected, rtol=1e-14)


def test_positions_of_several_axes() -> None:
    places = np.array([[0, 2], [1, -1], [0, 2]])
    same(tensor.gather_nd(X, places), X[places[:, 0], places[:, 1]])
    same(tensor.gather_nd(X, places[None, :, :1]), X[places[None, :, 0]])
    values = RNG.standard_normal((3, 4))
    expected = np.zeros(X.shape)
    np.add.at(expected, (places[:, 0], places[:, 1]), values)
    same(tensor.scatter_nd(places, values, X.shape), expected)
    np.testing.assert_allclose(tensor.scatter_nd_add(X, places, values).numpy(), X + expected, rtol=1e-14)
    written = X.copy()
    written[places[:2, 0], places[:2, 1]] = values[:2]
    same(tensor.scatter_update(X, places[:2], values[:2]), written)
    for function in (tensor.scatter_nd_add, tensor.scatter_update):
        check_grads(lambda x, v: function(x, places[:2], v) ** 2, X, values[:2], order=2, rng=RNG)  # noqa: B023
    kept = X.copy()
    tensor.scatter_update(X, places[:2], values[:2])
    np.testing.assert_array_equal(X, kept)  # nothing is written in place


def test_adding_along_an_axis_undoes_taking_along_it() -> None:
    index = np.array([[[3, 0, 3]], [[1, 1, 2]]])
    values = RNG.standard_normal((2, 1, 3))
    expected = X[:, :1].copy()
    for i, j, k in np.ndindex(2, 1, 3):
        expected[i, j, index[i, j, k]] += values[i, j, k]
    np.testing.assert_allclose(tensor.scatter_add_along_axis(X[:, :1], index, values, 2).numpy(), expected)
    check_grads(
        lambda x, v: tensor.scatter_add_along_axis(x, index, v, -1) ** 2, X[:, :1], values, order=2, rng=RNG
    )


def test_sums_of_segments() -> None:
    names = np.array([2, 0])
    same(tensor.segment_sum(X, names, 4), np.stack([X[1], 0 * X[0], X[0], 0 * X[0]]))
    same(tensor.segment_sum(X, np.array([1, 1]), 2), np.stack([0 * X[0], X[0] + X[1]]))
    check_grads(lambda x: tensor.segment_sum(x, names, 4) ** 2, X, order=2, rng=RNG)
    with pytest.raises(InvalidArgument, match="one segment for each slice"):
        tensor.segment_sum(X, np.array([1]), 2)


def test_positions_may_be_computed() -> None:
    # An index that is a tensor is an input of the row, so a recorded computation follows it.
    x = Tensor(X[0], requires_grad=True)
    best = tensor.argmax(x, axis=1)
    tensor.gather(x, best, 1).sum().backward()
    same(tensor.gather(x, best, 1), X[0][:, X[0].argmax(axis=1)])
    assert x.grad.numpy().sum() == 9.0


# -- diagonals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [-4, -1, 0, 1, 2, 5])
def test_triangles_and_diagonals(k: int) -> None:
    same(tensor.tril(X, k), np.tril(X, k))
    same(tensor.triu(X, k), np.triu(X, k))
    same(tensor.diagonal(X, k), np.diagonal(X, k, -2, -1))
    np.testing.assert_allclose(tensor.trace(X, k).numpy(), np.trace(X, k, -2, -1), rtol=1e-14)
    same(tensor.diag(X[0], k), np.diag(X[0], k))
    same(tensor.diag(X[0, 0], k), np.diag(X[0, 0], k))
    batch = tensor.diag_embed(X, k).numpy()
    for i, j in np.ndindex(2, 3):
        np.testing.assert_array_equal(batch[i, j], np.diag(X[i, j], k))
    check_grads(lambda x: tensor.diag_embed(x, k) ** 2, X[0], order=2, rng=RNG)
    check_grads(lambda x: tensor.diagonal(x, k) ** 2, X, order=2, rng=RNG)
