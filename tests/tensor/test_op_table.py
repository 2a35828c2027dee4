"""One walk over the op table: values, first and second derivatives, dtypes, empty and broadcast shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import armour.tensor
import armour.tensor.fused
from armour.tensor import OPS, Tensor
from armour.tensor.gradcheck import check_grads
from armour.tensor.op import Case, Op
from tests.tensor import references_nn
from tests.tensor.references import REFERENCES
from tests.tensor.strict import StrictArray, register

assert armour.tensor.fused is not None  # importing the package fills the table

STANDARD = tuple(Case((shape,)) for shape in ((3, 4), (5,), (), (0,), (0, 3), (2, 0, 3)))
# Rows with a bend: samples keep away from these values, and from each other.
BENDS: dict[str, tuple[float, ...]] = {
    **dict.fromkeys(("abs", "relu", "leaky_relu", "elu", "sign"), (0.0,)),
    **dict.fromkeys(("ceil", "floor", "trunc"), (-1.0, 0.0, 1.0)),
    "round": (-1.5, -0.5, 0.5, 1.5),
    "clip": (-0.5, 0.7),
}
BENDS |= references_nn.BENDS
# Rows that draw random numbers; tests/tensor/test_random.py holds them to their distributions.
RANDOM = {"draw", "keep_mask"}
# Rows of which no example can be empty, or none of interest is.
NEVER_EMPTY = {
    *("batch_norm_train", "dropout", "max_pick2d", "max_unpool2d", "one_hot"),
    *("take_along_axis", "take_along_axis_grad", *RANDOM),
}
NEVER_EMPTY |= references_nn.NEVER_EMPTY


def cases() -> list[Any]:
    return [
        pytest.param(row, case, id=f"{name}-{i}")
        for name, row in sorted(OPS.items())
        if name not in RANDOM
        for i, case in enumerate(row.cases or STANDARD)
    ]


def samples(row: Op, case: Case, seed: int = 0) -> list[np.ndarray]:
    """Inputs of a case: its data, or distinct float64 values of the row's domain, away from bends."""
    rng = np.random.default_rng(seed)
    shapes = [s for s in case.shapes if isinstance(s, tuple)]
    total = sum(int(np.prod(s, dtype=int)) for s in shapes)
    unit = rng.permutation((np.arange(total) + 0.5) / max(total, 1))
    inputs = []
    for i, given in enumerate(case.shapes):
        if not isinstance(given, tuple):
            inputs.append(np.asarray(given))
            continue
        low, high = row.domain[i] if isinstance(row.domain[0], tuple) else row.domain
        size = int(np.prod(given, dtype=int))
        values, unit = low + (high - low) * unit[:size], unit[size:]
        for bend in BENDS.get(row.name, ()):
            near = np.abs(values - bend) < 0.012
            values[near] = bend + np.where(values[near] < bend, -0.014, 0.014)
        inputs.append(values.reshape(given))
    return inputs


def differentiable(row: Op, inputs: list[np.ndarray]) -> list[int]:
    def has_rule(i: int) -> bool:
        return not isinstance(row.vjp, tuple) or row.vjp[i] is not None

    return [i for i, a in enumerate(inputs) if row.vjp is not None and a.dtype.kind == "f" and has_rule(i)]


def test_every_row_has_a_reference_and_every_reference_a_row() -> None:
    assert sorted(set(OPS) - RANDOM) == sorted(REFERENCES)


def test_rows_without_an_empty_example_are_listed() -> None:
    def empty(row: Op) -> bool:
        return any(
            0 in np.shape(s) or (isinstance(s, tuple) and 0 in s)
            for c in row.cases or STANDARD
            for s in c.shapes
        )

    assert {name for name, row in OPS.items() if not empty(row)} == NEVER_EMPTY


@pytest.mark.parametrize(("row", "case"), cases())
def test_value(row: Op, case: Case) -> None:
    inputs = samples(row, case)
    kept = [a.copy() for a in inputs]
    out = row(*inputs, **case.attrs)
    expected = np.asarray(REFERENCES[row.name](*inputs, **case.attrs))
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-13)
    assert out.dtype.kind == expected.dtype.kind
    for before, after in zip(kept, inputs, strict=True):
        np.testing.assert_array_equal(before, after)  # rows do not write to their inputs


@pytest.mark.parametrize(("row", "case"), cases())
def test_float32_is_kept(row: Op, case: Case) -> None:
    inputs = samples(row, case)
    single = [a.astype(np.float32) if a.dtype == np.float64 else a for a in inputs]
    out = row(*single, **case.attrs)
    double = row(*inputs, **case.attrs)
    if double.dtype == np.float64 and row.name not in ("cast", "one_hot"):
        assert out.dtype == np.float32
        np.testing.assert_allclose(out.numpy(), double.numpy(), rtol=2e-5, atol=2e-5)
    wanted = differentiable(row, inputs)
    tensors = [Tensor(a, requires_grad=i in wanted) for i, a in enumerate(single)]
    out = row(*tensors, **case.attrs)
    if wanted:
        out.backward(np.ones(out.shape, out.dtype))
        assert {tensors[i].grad.dtype for i in wanted} == {np.dtype(np.float32)}  # type: ignore[union-attr]
        assert all(tensors[i].grad.shape == tensors[i].shape for i in wanted)  # type: ignore[union-attr]
    else:
        assert not out.requires_grad


@pytest.mark.parametrize(("row", "case"), cases())
def test_first_and_second_derivatives(row: Op, case: Case) -> None:
    inputs = samples(row, case)
    wanted = differentiable(row, inputs)
    if not wanted:
        assert row.vjp is None
        return

    def function(*floats: Tensor) -> Tensor:
        args: list[Any] = list(inputs)
        for i, t in zip(wanted, floats, strict=True):
            args[i] = t
        return row(*args, **case.attrs)

    rng = np.random.default_rng(1)
    for _ in range(2):
        check_grads(function, *(inputs[i] for i in wanted), order=2, rng=rng)


@pytest.mark.parametrize(("row", "case"), cases())
def test_runs_on_arrays_that_refuse_conversion_to_numpy(row: Op, case: Case) -> None:
    register()
    inputs = samples(row, case)
    wanted = differentiable(row, inputs)
    results = []
    for make in (np.asarray, StrictArray):
        tensors = [Tensor(make(a), requires_grad=i in wanted) for i, a in enumerate(inputs)]
        out = row(*tensors, **case.attrs)
        if wanted:
            out.backward(Tensor(make(np.ones(out.shape))), create_graph=True)
        grads = [tensors[i].grad for i in wanted]
        assert all(type(t.data) is type(tensors[0].data) for t in [out, *grads] if t is not None)
        results.append([t.numpy() for t in [out, *grads] if t is not None])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(("row", "case"), cases())
def test_the_order_in_memory_changes_nothing(row: Op, case: Case) -> None:
    inputs = samples(row, case)
    wanted = differentiable(row, inputs)
    seed = np.random.default_rng(2).standard_normal(row(*inputs, **case.attrs).shape)
    results = []
    for order in (np.ascontiguousarray, np.asfortranarray, _channels_last, _strided):
        tensors = [Tensor(order(a) if a.ndim else a, requires_grad=i in wanted) for i, a in enumerate(inputs)]
        out = row(*tensors, **case.attrs)
        if wanted:
            out.backward(order(seed) if seed.ndim else seed)
        results.append([out.numpy(), *(tensors[i].grad.numpy() for i in wanted)])  # type: ignore[union-attr]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)


def _channels_last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) if a.ndim > 2 else a


def _strided(a: np.ndarray) -> np.ndarray:
    # Every other element of a larger array, backwards: neither contiguous nor aligned to anything.
    larger = np.full((*a.shape[:-1], 2 * a.shape[-1] + 1), 7, a.dtype)
    view = larger[..., ::-1][..., 1::2]
    view[...] = a
    return view
