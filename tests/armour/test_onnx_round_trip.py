"""What the exporter writes, armour's own reader runs to the same numbers: every layer and every row."""

from __future__ import annotations

import numpy as np
import pytest

from armour.formats.onnx_export import graph_to_onnx
from armour.formats.onnx_import import run_model
from armour.tensor import Tensor, no_grad
from armour.tensor.op import Case, Op
from tests.armour.onnx_files import close
from tests.armour.test_onnx_export_layers import ALL, draw, ready, traced
from tests.armour.test_onnx_export_rows import CASES, TOLERANCE, graph_of, single
from tests.tensor.layer_examples import Example


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("e", [pytest.param(e, id=name) for name, e in ALL])
def test_layers(e: Example, opset: int) -> None:
    net = ready(e)
    proto = graph_to_onnx(traced(net, e), net.state_dict(), opset=opset).SerializeToString()
    for n in (1, 4):
        inputs = draw(e, n)
        with no_grad():
            expected = net(*map(Tensor, inputs)).numpy()
        close(run_model(proto, inputs)[0], expected)


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize(("row", "case"), CASES)
def test_rows(row: Op, case: Case, opset: int) -> None:
    arrays = single(row, case)
    proto = graph_to_onnx(graph_of(row, arrays, case.attrs), {}, opset=opset).SerializeToString()
    with np.errstate(all="ignore"):
        expected = row(*arrays, **case.attrs).numpy()
    close(run_model(proto, arrays)[0], expected, TOLERANCE.get(row.name, 1e-5), least=1.0)
