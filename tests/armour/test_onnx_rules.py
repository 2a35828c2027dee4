"""Rules of ONNX operators on graphs made by hand: forms of old opsets, control flow, functions, scopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import AttributeProto, TensorProto, helper, numpy_helper

from armour.errors import CheckpointError, UnsupportedError
from armour.formats.onnx_import import run_model
from armour.tensor import Tensor, grad
from tests.onnx_graphs import differentiable, model, node

X = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)


def run(nodes: list[Any], opset: int = 17, x: np.ndarray = X, **weights: Any) -> np.ndarray:
    made = {name: np.asarray(value) for name, value in weights.items()}
    return run_model(model(nodes, "x", "y", opset, weights=made), [x])[0]


def graph(nodes: list[Any], inputs: str, outputs: str, **weights: np.ndarray) -> Any:
    """A subgraph."""
    values = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in s.split()]
        for s in (inputs, outputs)
    ]
    return helper.make_graph(
        nodes, "inner", values[0], values[1], [numpy_helper.from_array(a, n) for n, a in weights.items()]
    )


# -- forms of old opsets ----------------


def test_slice_by_attributes_and_by_inputs() -> None:
    old = run([node("Slice", "x", "y", starts=[1, -3], ends=[9, -1], axes=[1, 2])], 9)
    np.testing.assert_array_equal(old, X[:, 1:9, -3:-1])
    new = run([node("Slice", "x s e a t", "y")], 13, s=[3, 0], e=[-99, 3], a=[-1, 1], t=[-2, 1])
    np.testing.assert_array_equal(new, X[:, 0:3, 3::-2])
    np.testing.assert_array_equal(run([node("Slice", "x", "y", starts=[0], ends=[1])], 9), X[:1])


def test_clip_pad_squeeze_and_split_by_attributes() -> None:
    np.testing.assert_array_equal(run([node("Clip", "x", "y", min=-0.5, max=0.25)], 9), X.clip(-0.5, 0.25))
    np.testing.assert_array_equal(run([node("Clip", "x", "y", max=0.25)], 6), X.clip(None, 0.25))
    np.testing.assert_array_equal(
        run([node("Clip", "x _ high", "y")], 12, high=np.float32(0.1)), X.clip(None, np.float32(0.1))
    )
    padded = run([node("Pad", "x", "y", pads=[0, 1, 0, 0, 0, 2], value=7.0)], 9)
    np.testing.assert_array_equal(padded, np.pad(X, [(0, 0), (1, 0), (0, 2)], constant_values=7))
    cut = run([node("Pad", "x p", "y")], 13, p=[0, 0, -1, 0, 0, 2])
    np.testing.assert_array_equal(cut, np.pad(X[..., 1:], [(0, 0), (0, 0), (0, 2)]))
    nodes = [node("Unsqueeze", "x", "u", axes=[0, 4]), node("Squeeze", "u", "y", axes=[0])]
    np.testing.assert_array_equal(run(nodes, 11), X[..., None])
    nodes = [node("Unsqueeze", "x a", "u"), node("Squeeze", "u", "y")]
    np.testing.assert_array_equal(run(nodes, 13, a=[0, 4]), X)
    parts = run_model(model([node("Split", "x", "a b", axis=2, split=[1, 3])], "x", "a b", 11), [X])
    np.testing.assert_array_equal(parts[1], X[..., 1:])
    parts = run_model(model([node("Split", "x", "a b", axis=1, num_outputs=2)], "x", "a b", 18), [X])
    assert [p.shape[1] for p in parts] == [2, 1]


@pytest.mark.parametrize(("opset", "by_input"), [(9, False), (12, False), (13, True), (18, True)])
def test_sums_take_axes_as_their_opset_says(opset: int, by_input: bool) -> None:
    if by_input:
        got = run([node("ReduceSum", "x a", "y", keepdims=0)], opset, a=[-1, 0])
    else:
        got = run([node("ReduceSum", "x", "y", axes=[-1, 0], keepdims=0)], opset)
    np.testing.assert_allclose(got, X.sum(axis=(0, 2)), rtol=1e-6)


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
def test_means_take_axes_as_their_opset_says(opset: int) -> None:
    if opset >= 18:
        got = run([node("ReduceMean", "x a", "y")], opset, a=[1])
        same = run([node("ReduceMean", "x", "y", noop_with_empty_axes=1)], opset)
        np.testing.assert_array_equal(same, X)
    else:
        got = run([node("ReduceMean", "x", "y", axes=[1])], opset)
    np.testing.assert_allclose(got, X.mean(axis=1, keepdims=True), rtol=1e-6)


def test_softmax_of_all_axes_from_one_on_before_opset_13() -> None:
    def softmax(x: np.ndarray, axes: Any) -> np.ndarray:
        e = np.exp(x - x.max(axis=axes, keepdims=True))
        out: np.ndarray = e / e.sum(axis=axes, keepdims=True)
        return out

    np.testing.assert_allclose(run([node("Softmax", "x", "y")], 11), softmax(X, (1, 2)), rtol=1e-5)
    np.testing.assert_allclose(run([node("Softmax", "x", "y")], 13), softmax(X, -1), rtol=1e-5)
    np.testing.assert_allclose(
        run([node("LogSoftmax", "x", "y", axis=2)], 11), np.log(softmax(X, 2)), rtol=1e-4
    )
    first = run([node("Hardmax", "x", "y")], 11)
    assert (
        first.shape == X.shape
        and first.sum() == 2
        and (first.reshape(2, -1).argmax(1) == X.reshape(2, -1).argmax(1)).all()
    )


def test_broadcasting_from_the_left_before_opset_7() -> None:
    b = np.arange(3, dtype=np.float32)
    got = run([node("Add", "x b", "y", broadcast=1, axis=1)], 6, b=b)
    np.testing.assert_array_equal(got, X + b[:, None])


def test_upsample_and_resize_by_scales_repeat_their_elements() -> None:
    image = X[None]
    scales = np.float32([1, 1, 2, 3])
    want = image.repeat(2, 2).repeat(3, 3)
    np.testing.assert_array_equal(run([node("Upsample", "x", "y", scales=scales.tolist())], 7, image), want)
    np.testing.assert_array_equal(run([node("Upsample", "x s", "y")], 9, image, s=scales), want)
    np.testing.assert_array_equal(run([node("Resize", "x s", "y")], 10, image, s=scales), want)
    resize = node("Resize", "x _ s", "y", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    np.testing.assert_array_equal(run([resize], 13, image, s=scales), want)


def test_dropout_and_batch_norm_of_old_opsets_do_nothing_and_one_thing() -> None:
    np.testing.assert_array_equal(run([node("Dropout", "x", "y", ratio=0.9)], 7), X)
    rng = np.random.default_rng(1)
    scale, bias, mean = (rng.normal(size=3).astype(np.float32) for _ in range(3))
    var = rng.uniform(0.5, 2, 3).astype(np.float32)
    got = run([node("BatchNormalization", "x s b m v", "y", epsilon=1e-3)], 9, s=scale, b=bias, m=mean, v=var)
    want = (X - mean[:, None]) / np.sqrt(var + 1e-3)[:, None] * scale[:, None] + bias[:, None]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


# -- control flow and functions ----------------


@pytest.mark.parametrize("taken", [True, False])
def test_a_known_condition_takes_one_branch_which_sees_what_is_outside(taken: bool) -> None:
    nodes = [
        node("Mul", "x two", "doubled"),
        node(
            "If", "condition", "y",
            then_branch=graph([node("Add", "doubled inside", "t")], "", "t", inside=np.float32([10.0])),
            else_branch=graph([node("Sub", "doubled x", "e")], "", "e"),
        ),
    ]  # fmt: skip
    got = run(nodes, condition=np.array(taken), two=np.float32(2))
    np.testing.assert_allclose(got, X * 2 + 10 if taken else X, rtol=1e-6)


def test_scopes_nest_and_the_nearest_name_counts() -> None:
    deepest = graph([node("Add", "x offset", "d")], "", "d")
    middle = graph(
        [node("If", "condition", "m", then_branch=deepest, else_branch=deepest)], "", "m",
        offset=np.float32(5),
    )  # fmt: skip
    nodes = [
        node("If", "condition", "z", then_branch=middle, else_branch=middle),
        node("Add", "z offset", "y"),
    ]
    got = run(nodes, condition=np.array(True), offset=np.float32(1))
    np.testing.assert_allclose(got, X + 6, rtol=1e-6)


def test_a_loop_carries_values_collects_others_and_stops_by_its_condition() -> None:
    body = graph(
        [
            node("Add", "carried x", "next"),
            node("ReduceMax", "next", "peak", keepdims=0),
            node("Less", "i limit", "go"),
        ],
        "i going carried", "go next peak", limit=np.array(2, np.int64),
    )  # fmt: skip
    raw = model(
        [node("Loop", "count condition x", "last peaks", body=body)], "x", "last peaks",
        weights={"count": np.array(10, np.int64), "condition": np.array(True)},
    )  # fmt: skip
    last, peaks = run_model(raw, [X])
    np.testing.assert_allclose(last, 4 * X, rtol=1e-6)  # turns 0, 1, 2: the third says stop
    np.testing.assert_allclose(peaks, [(k * X).max() for k in (2, 3, 4)], rtol=1e-6)
    slope = grad(lambda t: differentiable(raw)(t).sum())(Tensor(X)).numpy()
    np.testing.assert_allclose(slope, np.full(X.shape, 4.0), rtol=1e-6)


def test_a_loop_without_end_is_refused() -> None:
    body = graph(
        [node("Identity", "going", "go"), node("Add", "carried x", "next")], "i going carried", "go next"
    )
    raw = model(
        [node("Loop", "_ condition x", "y", body=body)], "x", "y", weights={"condition": np.array(True)}
    )
    with pytest.raises(CheckpointError, match="10,000 turns"):
        run_model(raw, [X])


@pytest.mark.parametrize("backwards", [0, 1])
def test_a_scan_runs_over_an_axis_in_either_direction(backwards: int) -> None:
    body = graph([node("Add", "s row", "t"), node("Identity", "t", "out")], "s row", "t out")
    nodes = [
        node(
            "Scan", "start x", "total y", body=body, num_scan_inputs=1, scan_input_axes=[1],
            scan_input_directions=[backwards], scan_output_axes=[1],
        )
    ]  # fmt: skip
    got = run(nodes, start=np.zeros((2, 4), np.float32))
    way = X[:, ::-1] if backwards else X
    np.testing.assert_allclose(got, way.cumsum(axis=1), rtol=1e-5, atol=1e-6)


def function(
    name: str, inputs: str, outputs: str, nodes: list[Any], attributes: str = "", opset: int = 17
) -> Any:
    return helper.make_function(
        "local", name, inputs.split(), outputs.split(), nodes,
        [helper.make_opsetid("", opset), helper.make_opsetid("local", 1)], attributes.split(),
    )  # fmt: skip


def referring(made: Any, attribute: str, source: str) -> Any:
    """The node with an attribute that is an argument of its function."""
    made.attribute.add(name=attribute, ref_attr_name=source, type=AttributeProto.FLOAT)
    return made


def test_functions_of_the_file_take_attributes_and_call_each_other() -> None:
    leaky = referring(node("LeakyRelu", "a", "b"), "alpha", "slope")
    inner = function("Bend", "a", "b", [leaky], "slope")
    call = referring(node("Bend", "a", "c", "local"), "slope", "steep")
    outer = function("Twice", "a", "d", [call, node("Add", "c c", "d")], "steep")
    raw = model(
        [node("Twice", "x", "y", "local", steep=0.25)], "x", "y", functions=[inner, outer], domains=["local"]
    )
    np.testing.assert_allclose(run_model(raw, [X])[0], 2 * np.where(X > 0, X, X / 4), rtol=1e-6)


def test_a_function_sees_nothing_from_outside() -> None:
    peeking = function("Peek", "a", "b", [node("Add", "a secret", "b")])
    raw = model(
        [node("Peek", "x", "y", "local")], "x", "y", weights={"secret": np.float32(1)}, functions=[peeking],
        domains=["local"],
    )  # fmt: skip
    with pytest.raises(CheckpointError, match="takes 'secret', which nothing before it computes"):
        run_model(raw, [X])


def test_a_function_keeps_its_own_opset_inside_its_loops() -> None:
    """Axes of ReduceMean are an attribute at 17, in the function, and an input at 18, outside of it."""
    body = graph(
        [
            node("ReduceMean", "carried", "m", axes=[0]),
            node("Sub", "carried m", "next"),
            node("Identity", "go", "on"),
        ],
        "i go carried", "on next",
    )  # fmt: skip
    loop = node("Loop", "turns yes a", "b", body=body)
    constants = [
        node("Constant", "", "turns", value=numpy_helper.from_array(np.array(1, np.int64))),
        node("Constant", "", "yes", value=numpy_helper.from_array(np.array(True))),
    ]
    made = function("Centre", "a", "b", [*constants, loop], opset=17)
    raw = model([node("Centre", "x", "y", "local")], "x", "y", 18, functions=[made], domains=["local"])
    np.testing.assert_allclose(
        run_model(raw, [X])[0], X - X.mean(axis=0, keepdims=True), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_nothing_transposed_is_zeros_or_refused(axes: int) -> None:
    raw = model([node("ConvTranspose", "x w", "y")], "x w", "y")
    x, w = np.zeros((2, 3, *(4, 5, 0)[-axes:])), np.ones((3, 2, *(2, 3, 3)[-axes:]))
    inputs = [a.astype(np.float32) for a in (x, w)]
    try:
        (got,) = run_model(raw, inputs)
    except CheckpointError as error:
        assert "at least one element" in str(error)
    else:
        assert got.shape == (2, 2, *(5, 7, 2)[-axes:]) and not got.any()


# -- what is refused ----------------


@pytest.mark.parametrize(
    ("nodes", "weights"),
    [
        ([node("DFT", "x n", "y", axis=1)], {"n": np.array(1 << 40)}),
        ([node("HannWindow", "n", "w"), node("Mul", "x w", "y")], {"n": np.array(1 << 40)}),
        ([node("CenterCropPad", "x n", "y")], {"n": np.array([1 << 20, 1 << 20, 1 << 20])}),
        ([node("AffineGrid", "t n", "g"), node("Mul", "x g", "y")],
         {"t": np.zeros((1, 2, 3), np.float32), "n": np.array([1, 1, 1 << 20, 1 << 20])}),
        ([node("MaxUnpool", "x p", "y", kernel_shape=[1 << 30], strides=[1 << 30])],
         {"p": np.zeros((2, 3, 4), np.int64)}),
        ([node("Col2Im", "x n b", "y", strides=[1])], {"n": np.array([1 << 50]), "b": np.array([1])}),
        ([node("STFT", "x s _ n", "y")], {"s": np.array(0), "n": np.array(2)}),
        ([node("RoiAlign", "x r i", "y", output_height=1 << 20, output_width=1 << 20)],
         {"r": np.float32([[0, 0, 1, 1]]), "i": np.array([0])}),
        ([node("RoiAlign", "x r i", "y")], {"r": np.float32([[0, 0, 1, 1]]), "i": np.array([7])}),
        ([node("LSTM", "x w r", "y", hidden_size=2)],
         {"w": np.zeros((1, 8, 99), np.float32), "r": np.zeros((1, 8, 2), np.float32)}),
        ([node("Split", "x", "y", num_outputs=1 << 40)], {}),
        ([node("Attention", "x x x", "y", q_num_heads=3, kv_num_heads=3)], {}),
        ([node("QuantizeLinear", "x s", "q", axis=9), node("DequantizeLinear", "q s", "y", axis=9)],
         {"s": np.ones(4, np.float32)}),
        ([node("ReverseSequence", "x n", "y", time_axis=0, batch_axis=1)], {"n": np.array([1])}),
    ],
    ids=lambda value: value[0].op_type if isinstance(value, list) else "",
)  # fmt: skip
def test_numbers_of_the_file_are_checked_before_anything_is_made(nodes: list[Any], weights: Any) -> None:
    x = X[None] if nodes[0].op_type == "RoiAlign" else X
    with pytest.raises((CheckpointError, UnsupportedError), match=r"refused|get the file again|cannot run"):
        run_model(model(nodes, "x", "y", 23, weights=weights), [x])
