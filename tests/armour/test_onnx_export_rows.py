"""Every row of the op table as ONNX gives the engine's numbers elsewhere, or is listed with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.errors import ArmourError
from armour.formats.onnx.export_rules import REFUSED, ROW_RULES
from armour.formats.onnx_export import graph_to_onnx
from armour.tensor import OPS
from armour.tensor.ir import Graph, Input, Node
from armour.tensor.op import Case, Op
from tests.armour.onnx_files import close, outputs
from tests.tensor.test_op_table import STANDARD, samples

CASES = [
    pytest.param(row, case, id=f"{name}-{i}")
    for name, row in sorted(OPS.items())
    if name not in REFUSED
    for i, case in enumerate(row.cases or STANDARD)
]
# Of steps that lose digits, in float32.
TOLERANCE = {"erfinv": 1e-4, "cumprod": 2e-5}


def graph_of(row: Op, arrays: list[np.ndarray], attrs: dict[str, Any], free: bool = False) -> Graph:
    """The row as a graph of one node. free: the first axis of every input is the batch."""
    inputs = tuple(
        Input(name=f"x{i}", shape=(None, *a.shape[1:]) if free else a.shape, dtype=a.dtype.name)
        for i, a in enumerate(arrays)
    )
    node = Node(name="y", kind="op", type=row.name, inputs=tuple(v.name for v in inputs), attrs=attrs)
    return Graph(inputs=inputs, nodes=(node,), outputs=("y",))


def single(row: Op, case: Case, seed: int = 0) -> list[np.ndarray]:
    arrays = samples(row, case, seed)
    return [a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays]


def test_every_row_is_written_or_listed() -> None:
    assert not set(ROW_RULES) & set(REFUSED)
    assert sorted({*ROW_RULES, *REFUSED}) == sorted(OPS)
    assert all(reason and not reason.endswith(".") for reason in REFUSED.values())


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize(("row", "case"), CASES)
def test_the_same_numbers_elsewhere(row: Op, case: Case, opset: int) -> None:
    arrays = single(row, case)
    proto = graph_to_onnx(graph_of(row, arrays, case.attrs), {}, opset=opset)
    with np.errstate(all="ignore"):
        expected = row(*arrays, **case.attrs).numpy()
    (found,) = outputs(proto, arrays)
    close(found, expected, TOLERANCE.get(row.name, 1e-5), least=1.0)


# -- any size of the batch, where a row has one ----------------


def widened(row: Op, case: Case) -> list[np.ndarray] | None:
    """Other inputs with twice as many slices along the first axis; None if the row cannot take them."""
    arrays = single(row, case, seed=1)
    if not arrays or not all(a.ndim and len(a) == len(arrays[0]) and len(a) for a in arrays):
        return None
    wide = [np.concatenate([a, a]) for a in arrays]
    try:
        with np.errstate(all="ignore"):
            row(*wide, **case.attrs)
    except ArmourError:
        return None
    return wide


FREE = [parameter for parameter in CASES if widened(*parameter.values) is not None]
# Settings that name a length or a place of the batch axis, so that one size of the batch is meant.
BOUND = {"diag_embed", "getitem", "roll", "sliding_windows"}


@pytest.mark.parametrize(("row", "case"), FREE)
def test_any_batch(row: Op, case: Case) -> None:
    wide, one = widened(row, case), single(row, case)
    assert wide is not None
    try:
        proto = graph_to_onnx(graph_of(row, wide, case.attrs, free=True), {})
    except ArmourError as error:
        assert row.name in BOUND, error
        with pytest.raises(type(error)):  # said for the file, not for the numbers
            graph_to_onnx(graph_of(row, wide, case.attrs, free=True), {}, opset=21)
        return
    for arrays in (wide, one):
        with np.errstate(all="ignore"):
            expected = row(*arrays, **case.attrs).numpy()
        close(outputs(proto, arrays)[0], expected, TOLERANCE.get(row.name, 1e-5), least=1.0)


def test_most_rows_have_a_batch() -> None:
    assert len({p.values[0].name for p in FREE}) > 100
