"""Networks made of functions, numbers, several inputs and outputs, other dtypes and any index, as ONNX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import armour.tensor as at
from armour.errors import InvalidArgument, UnsupportedError
from armour.formats.onnx_export import graph_to_onnx
from armour.preprocessing import Preprocessing
from armour.tensor import Tensor, ir, nn, no_grad
from armour.tensor.batching import BatchSize
from armour.tensor.ir import Constant, Graph, Input, Node, Weight
from tests.armour.onnx_files import Elsewhere, close


class Function(nn.Module):
    """A function of tensors as a network."""

    def __init__(self, function: Callable[..., Any], **members: Any) -> None:
        self.function = function
        for name, member in members.items():
            setattr(self, name, member)

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


def same(
    net: nn.Module, *shapes: tuple[int, ...], dtype: str = "float32", scale: float = 1.0, **options: Any
) -> None:
    """The network and its file agree on batches of 1 and 4."""
    net.eval()
    with np.errstate(all="ignore"):
        graph = ir.trace(net, list(shapes), dtype=dtype)
    there = Elsewhere(graph_to_onnx(graph, net.state_dict()))
    for n in (1, 4):
        rng = np.random.default_rng(n)
        if np.dtype(dtype).kind in "iu":
            inputs = [rng.integers(0, 5, (n, *s)).astype(dtype) for s in shapes]
        else:
            inputs = [rng.standard_normal((n, *s)).astype(dtype) for s in shapes]
        with no_grad(), np.errstate(all="ignore"):
            expected = net(*map(Tensor, inputs))
        for ours, theirs in zip(
            there(*inputs), expected if isinstance(expected, tuple) else (expected,), strict=True
        ):
            close(ours, theirs.numpy(), 2e-5)


def filled(*shape: int) -> np.ndarray:
    """Weights for functions that take them."""
    return np.linspace(-0.5, 0.7, int(np.prod(shape)), dtype=np.float32).reshape(shape)


FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "numbers": (lambda x: 2 - x * 3 + x / 4 - 1 / (x * x + 1), (3, 4)),
    "powers": (lambda x: (x * x + 1) ** 0.5 + 2.0**x, (3,)),
    "remainders": (lambda x: x % 0.7 + x // 0.3, (5,)),
    "comparisons": (lambda x: at.where((x > 0.1) & (x < 1.5), x, -x), (3, 4)),
    "masks": (lambda x: x * at.greater(x, 0.2), (6,)),
    "counts": (lambda x: at.count_nonzero(x > 0, axis=1), (6,)),
    "cast": (lambda x: (x * 3).astype("int32") + 1, (4,)),
    "integers": (lambda x: (x * 3).astype("int64") // 2 - (x * 5).astype("int64") % 3, (4,)),
    "bytes": (lambda x: (at.abs(x) * 100).astype("uint8") + (at.abs(x) * 90).astype("uint8"), (40,)),
    "topk": (lambda x: at.topk(x, 3)[0] + at.topk(x, 3, largest=False)[0], (7,)),
    "topk indices": (lambda x: at.topk(x, 3)[1], (7,)),
    "sort": (lambda x: at.sort(x, 1, descending=True), (4, 3)),
    "median": (lambda x: at.median(x, axis=1), (5,)),
    "quantile": (lambda x: at.quantile(x, 0.3, keepdims=True), (5,)),
    "cummax": (lambda x: at.cummax(x, 1)[0] + at.cummin(x, 1)[0], (9,)),
    "cumsum": (lambda x: at.cumsum(x, 2) * at.cumprod(x, 2), (2, 5)),
    "softmax": (lambda x: at.softmax(x, 1) + at.log_softmax(x, 2), (3, 4)),
    "moments": (lambda x: at.std(x, axis=1, ddof=1) + at.var(x, axis=(1, 2), keepdims=True)[:, 0], (3, 4)),
    "norms": (lambda x: at.vector_norm(x, axis=1) + at.logsumexp(x, axis=1), (5,)),
    "normalize": (lambda x: at.normalize(x, axis=1), (5,)),
    "einsum": (lambda x: at.einsum("nij,nkj->nik", x, x), (3, 4)),
    "matmul": (lambda x: at.matmul(x, at.swapaxes(x, 1, 2)), (3, 4)),
    "outer": (lambda x: at.outer(x, x), (3,)),
    "stack": (lambda x: at.stack([x, x * 2], axis=2), (3,)),
    "split": (lambda x: at.concat(at.split(x, 2, axis=1)[::-1], axis=1), (4, 2)),
    "pads": (lambda x: at.pad(x, ((0, 0), (1, 2)), 0.5), (3,)),
    "edges": (lambda x: at.pad_edges(x, ((0, 0), (0, 0), (1, 2), (2, 1)), "reflect"), (1, 4, 4)),
    "flips": (lambda x: at.flip(x, (1, 2)) + at.roll(x, 1, 2), (3, 4)),
    "repeat": (lambda x: at.repeat(x, 2, 1)[:, ::-1] - at.tile(x, (1, 2)), (3,)),
    "triangles": (lambda x: at.tril(x) + at.triu(x, 1) * 2 + at.diag_embed(at.diagonal(x)), (3, 3)),
    "trace": (at.trace, (3, 3)),
    "embedding of argmax": (lambda x: at.one_hot(x.argmax(axis=1), 5) - x, (5,)),
    "cross entropy": (lambda x: at.cross_entropy(x, x.argmax(axis=1)), (5,)),
    "margin": (lambda x: at.margin(x, x.argmin(axis=1)), (5,)),
    "dlr": (lambda x: at.dlr(x, x.argmin(axis=1)), (5,)),
    "convolution": (lambda x: at.conv1d(x, filled(2, 3, 2), padding=1), (3, 6)),
    "volumes": (lambda x: at.conv3d(x, filled(2, 1, 2, 2, 2), stride=(1, 2, 1)), (1, 3, 4, 5)),
    "transposed": (lambda x: at.conv_transpose2d(x, filled(2, 1, 3, 2), None, 2, 1, 1), (2, 3, 4)),
    "transposed volumes": (
        lambda x: at.conv_transpose3d(x, filled(2, 1, 2, 2, 2), None, 2, 1), (2, 3, 3, 3),
    ),
    "pooling": (lambda x: at.max_pool2d(x, 3, 2, 1) + at.avg_pool2d(x, 3, 2, 1, False, False), (2, 5, 6)),
    "pooling lines": (
        lambda x: at.max_pool1d(x, 2, ceil_mode=True) + at.avg_pool1d(x, 2, ceil_mode=True), (2, 5),
    ),
    "adaptive": (lambda x: at.adaptive_max_pool2d(x, 3) + at.adaptive_avg_pool2d(x, (3, 3)), (2, 5, 6)),
    "resize": (lambda x: at.interpolate(x, (7, 5), mode="bilinear") + at.interpolate(x, (7, 5)), (2, 4, 4)),
    "bicubic": (lambda x: at.interpolate(x, scale_factor=1.7, mode="bicubic", align_corners=True), (1, 4, 5)),
    "columns": (lambda x: at.col2im(at.im2col(x, 3, padding=1), (4, 5), 3, padding=1), (2, 4, 5)),
    "grid": (
        lambda x: at.grid_sample(x, at.transpose(at.tanh(x[:, :2]), (0, 2, 3, 1)), padding_mode="reflection"),
        (3, 4, 5),
    ),
    "grid outside": (
        lambda x: at.grid_sample(x, at.transpose(x[:, :2], (0, 2, 3, 1)), mode="nearest"), (3, 4, 5),
    ),
    "attention": (lambda x: at.scaled_dot_product_attention(x, x, x, is_causal=True), (4, 3)),
    "layer norm": (lambda x: at.layer_norm(x, axes=(1, 2)) + at.rms_norm(x, eps=1e-3), (3, 4)),
    "group norm": (lambda x: at.group_norm(x, 2) + at.instance_norm(x), (4, 3, 2)),
    "response norm": (lambda x: at.local_response_norm(x, 3, 0.5), (4, 3, 2)),
    "batch norm": (
        lambda x: at.batch_norm(x, None, None, np.ones(3, np.float32), np.full(3, 2, np.float32)), (3, 2, 2),
    ),
    "activations": (
        lambda x: at.gelu(x) + at.silu(x) + at.mish(x) + at.selu(x) + at.celu(x, 0.5) + at.softsign(x)
        + at.logsigmoid(x) + at.hardswish(x) + at.hardsigmoid(x) + at.relu6(x) + at.threshold(x, 0.3, -1.0)
        + at.leaky_relu(x, 0.2) + at.elu(x) + at.softplus(x) + at.gelu_tanh(x), (9,),
    ),
    "glu": (lambda x: at.glu(x, 1), (6,)),
    "likes": (lambda x: at.zeros_like(x) + at.ones_like(x, "int64") + at.full_like(x, 0.5), (3,)),
    "finite": (lambda x: at.isfinite(at.log(x)) ^ at.isnan(at.log(x)), (9,)),
    "angles": (lambda x: at.atan2(x, x[:, ::-1]) + at.atan(x), (9,)),
    "reshapes": (lambda x: at.reshape(x, (-1, 2, 6)).sum(axis=1).expand_dims(1).squeeze(1), (3, 4)),
    "merged batch": (lambda x: at.reshape(x, (-1, 4)).mean(axis=1).reshape((-1, 3)), (3, 4)),
    "over the batch": (lambda x: x - x.mean(axis=0) + x.var(axis=0), (3,)),
    "einstein over the batch": (lambda x: x * at.einsum("ni->i", x), (3,)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    function, shape = FUNCTIONS[name]
    same(Function(function), shape)


def test_two_inputs_three_outputs_and_shared_parts() -> None:
    dense = nn.Linear(4, 4, rng=1)
    scale = nn.Parameter(np.array([0.5, 2.0, 1.0, -1.0], np.float32))

    def function(x: Tensor, y: Tensor) -> Any:
        z = dense(x) * scale
        return dense(z), z + y.sum(axis=1), z

    same(Function(function, dense=dense, scale=scale), (4,), (3, 4))


def test_whole_numbers_in() -> None:
    table = nn.Embedding(5, 3, rng=1)
    same(Function(lambda x: at.relu(table(x)).mean(axis=1), table=table), (4,), dtype="int64")
    same(Function(lambda x: x * 2 + x % 3 - x // 2), (4,), dtype="int32")


def images_in() -> nn.Module:
    conv, dense = nn.Conv2d(2, 4, 3, rng=1), nn.Linear(16, 3, rng=2)
    return nn.Sequential(conv, nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), dense)


def lines_in() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(32, 8, rng=1), nn.LayerNorm(8), nn.Tanh(), nn.Softmax(1))


@pytest.mark.parametrize("make", [images_in, lines_in])
def test_double_precision(make: Callable[[], nn.Module]) -> None:
    same(make().astype("float64"), (2, 4, 4), dtype="float64")
    same(make().astype("float64"), (2, 4, 4), dtype="float32")  # the engine's result is float64 then


def test_outputs_that_no_node_makes() -> None:
    graph = Graph(
        inputs=(Input(name="x", shape=(None, 3)),),
        weights=(Weight(name="w", shape=(3,)),),
        constants=(Constant(name="c", value=np.array([1, 2])),),
        nodes=(Node(name="y", kind="op", type="add", inputs=("x", "w")),),
        outputs=("y", "y", "x", "w", "c"),
    )
    w = np.array([1, 2, 3], np.float32)
    x = np.ones((2, 3), np.float32)
    found = Elsewhere(graph_to_onnx(graph, {"w": w}))(x)
    for ours, theirs in zip(found, (x + w, x + w, x, w, np.array([1, 2])), strict=True):
        close(ours, theirs)


def test_weights_that_do_not_fit_are_refused() -> None:
    graph = Graph(
        inputs=(Input(name="x", shape=(None, 3)),),
        weights=(Weight(name="w", shape=(3,)),),
        nodes=(Node(name="y", kind="op", type="add", inputs=("x", "w")),),
        outputs=("y",),
    )
    with pytest.raises(InvalidArgument, match="'w' of shape"):
        graph_to_onnx(graph, {})
    with pytest.raises(InvalidArgument, match="'w' of shape"):
        graph_to_onnx(graph, {"w": np.zeros(4, np.float32)})


def test_lengths_that_are_no_multiple_of_the_batch_need_a_fixed_one() -> None:
    graph = Graph(
        inputs=(Input(name="x", shape=(None, 3)),),
        nodes=(Node(name="y", kind="op", type="getitem", inputs=("x",), attrs={"index": slice(0, 3)}),),
        outputs=("y",),
    )
    with pytest.raises(UnsupportedError, match="batch of 7"):
        graph_to_onnx(graph, {})
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    close(Elsewhere(graph_to_onnx(graph, {}, batch=4))(x)[0], x[:3])


def test_all_refused_rows_are_counted_at_once() -> None:
    x = Graph(
        inputs=(Input(name="x", shape=(None, 2, 2)),),
        nodes=(
            Node(name="a", kind="op", type="inv", inputs=("x",)),
            Node(name="b", kind="op", type="inv", inputs=("a",)),
            Node(name="c", kind="op", type="cholesky", inputs=("b",)),
            Node(name="d", kind="op", type="relu_grad", inputs=("c", "b")),
        ),
        outputs=("d",),
    )
    with pytest.raises(UnsupportedError) as caught:
        graph_to_onnx(x, {})
    text = str(caught.value)
    assert "op inv (ONNX has no operator for linear systems), 2 nodes" in text
    assert "op cholesky (ONNX has no operator for linear systems), 1 node;" in text
    assert "op relu_grad (a step of backward passes alone), 1 node" in text


def test_a_network_that_takes_one_sample_at_a_time() -> None:
    def graph(name: str, shape: tuple[int | None, ...]) -> Graph:
        node = Node(name=name, kind="op", type="multiply", inputs=("x", 2.0))
        return Graph(inputs=(Input(name="x", shape=shape),), nodes=(node,), outputs=(name,))

    proto = graph_to_onnx(graph("y", (1, 3)), {}, front=graph("front", (None, 3)))
    dims = [
        [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (*proto.graph.input, *proto.graph.output)
    ]
    assert dims == [[1, 3], [1, 3]]
    x = np.ones((1, 3), np.float32)
    close(Elsewhere(proto)(x)[0], x * 4)
    with pytest.raises(InvalidArgument, match="batches of 1 alone"):
        graph_to_onnx(graph("y", (1, 3)), {}, batch=2)


# -- preprocessing ----------------


@pytest.mark.parametrize("steps", [
    Preprocessing(scale=255.0, mean=(104.0, 117.0, 123.0), channels="bgr", layout="NHWC"),
    Preprocessing(resize=(9, 5), mean=(0.5,), std=(0.25,)),
    Preprocessing(scale=255.0, dtype="uint8"),
    Preprocessing(scale=255.0, dtype="int32", layout="NHWC"),
    Preprocessing(dtype="float64"),
])  # fmt: skip
def test_preprocessing(steps: Preprocessing) -> None:
    from armour.formats.onnx_export import _Front

    net = _Front(steps)
    graph = ir.trace(net, (3, 6, 7))
    there = Elsewhere(graph_to_onnx(graph, {}))
    for n in (1, 3):
        x = np.random.default_rng(n).random((n, 3, 6, 7), dtype=np.float32)
        close(there(x)[0], steps.apply(Tensor(x)).numpy())


# -- any index ----------------

NUMBERS = st.integers(-3, 2)
SLICES = st.builds(
    slice, *(st.one_of(st.none(), st.integers(-4, 4)),) * 2, st.sampled_from([None, 1, 2, -1, -2])
)
ARRAYS = st.sampled_from(
    [np.array([0, 2]), np.array([-1, 1]), np.array([[0, 1], [2, 2]]), np.array([True, False, True])]
)
PARTS = st.one_of(NUMBERS, SLICES, st.none(), ARRAYS, st.just(...))


@example([slice(None), np.array([0, 2]), ..., 0])  # dots for no axis part the arrays
@example([slice(-4, None, -1)])
@given(st.lists(PARTS, min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_index(parts: list[Any]) -> None:
    index = tuple(parts)
    x = np.random.default_rng(0).standard_normal((3, 3, 3)).astype(np.float32)
    if sum(part is ... for part in parts) > 1:
        return
    try:
        expected = x[index]
    except IndexError:
        return
    node = Node(name="y", kind="op", type="getitem", inputs=("x",), attrs={"index": index})
    graph = Graph(inputs=(Input(name="x", shape=(3, 3, 3)),), nodes=(node,), outputs=("y",))
    found = Elsewhere(graph_to_onnx(graph, {}))(x)[0]
    np.testing.assert_array_equal(found, expected)


# -- settings that grow with the batch ----------------

GROWING: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
    "reshape": ("reshape", {"shape": (2, BatchSize(1), 3)}, (6,)),
    "broadcast_to": ("broadcast_to", {"shape": (2, BatchSize(1), 6)}, (6,)),
    "getitem": ("getitem", {"index": (slice(BatchSize(1, -1), BatchSize(1)), slice(0, 2))}, (6,)),
    "tile": ("tile", {"reps": (1, BatchSize(2, 1))}, (6,)),
    "gather_grad": ("gather_grad", {"axis": 0, "shape": (BatchSize(1, 2), 6)}, (6,)),
}


@pytest.mark.parametrize("name", GROWING)
def test_settings_that_grow_with_the_batch(name: str) -> None:
    row, attrs, shape = GROWING[name]
    places = ((Input(name="i", shape=(None,), dtype="int64"),), ("i",)) if row == "gather_grad" else ((), ())
    graph = Graph(
        inputs=(Input(name="x", shape=(None, *shape)), *places[0]),
        nodes=(Node(name="y", kind="op", type=row, inputs=("x", *places[1]), attrs=attrs),),
        outputs=("y",),
    )
    module = ir.GraphModule(graph)
    module.load_state_dict({})
    for n in (1, 4):
        x = np.random.default_rng(n).standard_normal((n, *shape)).astype(np.float32)
        inputs = [x, np.arange(n) + 1] if places[0] else [x]
        expected = module(*map(Tensor, inputs)).numpy()
        close(Elsewhere(graph_to_onnx(graph, {}))(*inputs)[0], expected)
        close(Elsewhere(graph_to_onnx(graph, {}, batch=n))(*inputs)[0], expected)


def test_other_settings_that_grow_need_a_fixed_batch() -> None:
    widths = ((0, 0), (0, BatchSize(1)))
    graph = Graph(
        inputs=(Input(name="x", shape=(None, 3)),),
        nodes=(Node(name="y", kind="op", type="pad", inputs=("x",), attrs={"widths": widths}),),
        outputs=("y",),
    )
    with pytest.raises(UnsupportedError, match="its settings grow with the batch; state batch="):
        graph_to_onnx(graph, {})
    x = np.ones((2, 3), np.float32)
    close(Elsewhere(graph_to_onnx(graph, {}, batch=2))(x)[0], np.pad(x, ((0, 0), (0, 2))))
