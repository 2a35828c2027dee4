"""Windows of every geometry as ONNX: drawn kernels, strides, paddings and sizes give the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from armour.errors import InvalidArgument
from armour.formats.onnx_export import graph_to_onnx
from armour.tensor import Tensor, no_grad
from armour.tensor.ir import Graph, GraphModule, Input, Node
from armour.tensor.nn import LAYERS
from tests.armour.onnx_files import Elsewhere, close

SIDES = st.tuples(st.integers(1, 9), st.integers(1, 8))


def pair(low: int, high: int) -> Any:
    """One number for each of two axes."""
    return st.tuples(st.integers(low, high), st.integers(low, high))


def compare(kind: str, attrs: dict[str, Any], shape: tuple[int, ...], opset: int = 17) -> None:
    """A layer of any configuration that it takes, on a batch of 2 of a file for any batch."""
    try:
        graph = Graph(
            inputs=(Input(name="x", shape=(None, *shape)),),
            nodes=(Node(name="y", kind="layer", type=kind, inputs=("x",), attrs=attrs, path="part"),),
            outputs=("y",),
        )
        layer = LAYERS.get(kind).from_config(attrs)
        x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
        with no_grad():
            expected = layer.eval()(Tensor(x)).numpy()
    except InvalidArgument:
        assume(False)
    assume(expected.size > 0)
    state = {f"part.{name}": tensor.data for name, tensor in layer.named_tensors()}
    assert GraphModule(graph).graph is graph
    close(Elsewhere(graph_to_onnx(graph, state, opset=opset))(x)[0], expected)


@given(SIDES, pair(1, 4), pair(1, 3), pair(0, 2), pair(1, 2), st.booleans())
@settings(max_examples=60, deadline=None)
def test_convolutions(
    size: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, grouped: bool
) -> None:
    attrs = {"in_channels": 4, "out_channels": 2, "kernel_size": kernel, "stride": stride, "padding": padding}
    compare("Conv2d", attrs | {"dilation": dilation, "groups": 2 if grouped else 1}, (4, *size))


@given(SIDES, pair(1, 4), pair(1, 3), pair(0, 2), pair(0, 2), pair(1, 2))
@settings(max_examples=60, deadline=None)
def test_transposed_convolutions(
    size: Any, kernel: Any, stride: Any, padding: Any, more: Any, dilation: Any
) -> None:
    attrs = {"in_channels": 2, "out_channels": 3, "kernel_size": kernel, "stride": stride, "padding": padding}
    compare("ConvTranspose2d", attrs | {"output_padding": more, "dilation": dilation}, (2, *size))


@given(SIDES, pair(1, 4), pair(1, 4), pair(0, 2), st.booleans(), st.sampled_from([17, 22]))
@settings(max_examples=120, deadline=None)
def test_largest_values(size: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, opset: int) -> None:
    attrs = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil}
    compare("MaxPool2d", attrs, (2, *size), opset)


@given(SIDES, pair(1, 4), pair(1, 4), pair(0, 2), st.booleans(), st.booleans(), st.sampled_from([17, 22]))
@settings(max_examples=120, deadline=None)
def test_means(
    size: Any, kernel: Any, stride: Any, padding: Any, ceil: bool, counted: bool, opset: int
) -> None:
    attrs = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil}
    compare("AvgPool2d", attrs | {"count_include_pad": counted}, (2, *size), opset)


@given(st.sampled_from(["AdaptiveAvgPool2d", "AdaptiveMaxPool2d"]), SIDES, SIDES)
@settings(max_examples=60, deadline=None)
def test_adaptive(kind: str, size: Any, out: Any) -> None:
    compare(kind, {"output_size": out}, (2, *size))


MODES = st.sampled_from(["nearest", "nearest-exact", "bilinear", "bicubic", "area"])
FACTORS = st.sampled_from([0.3, 0.5, 0.7, 1.0, 1.1, 1.5, 2.0, 2.3, 3.0])


@given(MODES, SIDES, SIDES, st.booleans())
@settings(max_examples=120, deadline=None)
def test_resizing_to_a_size(mode: str, size: Any, out: Any, corners: bool) -> None:
    compare("Upsample", {"size": out, "mode": mode, "align_corners": corners}, (2, *size))


@given(MODES, SIDES, st.tuples(FACTORS, FACTORS), st.booleans())
@settings(max_examples=120, deadline=None)
def test_resizing_by_a_factor(mode: str, size: Any, factors: Any, corners: bool) -> None:
    compare("Upsample", {"scale_factor": factors, "mode": mode, "align_corners": corners}, (2, *size))


@given(SIDES, pair(1, 3), pair(1, 2), pair(0, 2), pair(1, 3))
@settings(max_examples=60, deadline=None)
def test_columns(size: Any, kernel: Any, dilation: Any, padding: Any, stride: Any) -> None:
    attrs = {"kernel_size": kernel, "dilation": dilation, "padding": padding, "stride": stride}
    compare("Unfold", attrs, (2, *size))
    rest = zip(size, kernel, dilation, padding, stride, strict=True)
    steps = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in rest]
    columns = (2 * kernel[0] * kernel[1], steps[0] * steps[1])
    compare("Fold", attrs | {"output_size": size}, columns)
