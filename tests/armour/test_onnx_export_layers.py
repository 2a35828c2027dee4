"""Every leaf layer as ONNX gives the engine's numbers elsewhere, for any batch, in two opsets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.formats.onnx.export_rules import LAYER_RULES
from armour.formats.onnx_export import graph_to_onnx
from armour.tensor import Tensor, ir, nn, no_grad
from tests.armour.onnx_files import close, outputs
from tests.tensor.layer_examples import EXAMPLES, IMAGE, SEQUENCE, SIGNAL, Example

MORE = [
    Example(nn.Conv1d(4, 3, 3, 1, ((2, 1),)), (SIGNAL,)),
    Example(nn.ConvTranspose2d(4, 2, 3, 2, 1, 1), (IMAGE,)),
    Example(nn.MaxPool2d(3, 2, 0, ceil_mode=True), (IMAGE,)),
    Example(nn.MaxPool2d(2, 3, 1, ceil_mode=True), (IMAGE,)),
    Example(nn.AvgPool2d(3, 2, 1), (IMAGE,)),
    Example(nn.AvgPool2d(3, 2, 1, count_include_pad=False), (IMAGE,)),
    Example(nn.AvgPool2d(3, 2, 1, ceil_mode=True), (IMAGE,)),
    Example(nn.AvgPool2d(2, 3, 1, ceil_mode=True), (IMAGE,)),
    Example(nn.LPPool2d(3.0, 2), ((2, 4, 4),), settings={"positive": True}),
    Example(nn.AdaptiveAvgPool2d(1), (IMAGE,)),
    Example(nn.AdaptiveAvgPool2d((3, 5)), (IMAGE,)),
    Example(nn.AdaptiveMaxPool2d((3, 2)), (IMAGE,)),
    Example(nn.BatchNorm1d(4), (SIGNAL,)),
    Example(nn.LayerNorm(5), (IMAGE,)),
    Example(nn.GroupNorm(4, 4), (SIGNAL,)),
    Example(nn.LocalResponseNorm(4, 0.5, 0.6, 2.0), (IMAGE,)),
    Example(nn.LocalResponseNorm(3, 0.5, 0.6, 2.0), (SIGNAL,)),
    Example(nn.PReLU(4), (SIGNAL,)),
    Example(nn.PReLU(3), ((3,),)),
    Example(nn.Threshold(0.2, 0.0), (IMAGE,)),
    Example(nn.GLU(-1), ((3, 4),)),
    Example(nn.Linear(4, 3), ((4,),)),
    Example(nn.Linear(4, 3, bias=False), ((2, 4),)),
    Example(nn.Flatten(1), (IMAGE,)),
    Example(nn.Flatten(3), (IMAGE,)),
    Example(nn.Add(), ((3, 4), (3, 4), (3, 4))),
    Example(nn.RNN(4, 3, bias=False, bidirectional=True, batch_first=True), (SEQUENCE,)),
    Example(nn.GRU(4, 2, 2, batch_first=False), (SEQUENCE,)),
    Example(nn.LSTM(4, 5, 2, bidirectional=True), (SEQUENCE,)),
    Example(nn.MultiheadAttention(4, 2), (SEQUENCE,)),
    Example(nn.MultiheadAttention(4, 2, batch_first=True), (SEQUENCE, (5, 4))),
    Example(nn.PositionalEncoding(batch_first=True), ((6, 3),)),
    Example(nn.Upsample(None, 1.5, "nearest"), (IMAGE,)),
    Example(nn.Upsample(None, (2.0, 3.0), "bilinear"), (IMAGE,)),
    Example(nn.Upsample((3, 9), None, "bicubic"), (IMAGE,)),
    Example(nn.Upsample((4, 4), None, "nearest-exact"), (IMAGE,)),
    Example(nn.Upsample((4, 4), None, "area"), (IMAGE,)),
    Example(nn.Upsample((1, 1), None, "bilinear"), (IMAGE,)),
    Example(nn.Unfold(2, 1, 0, (2, 1)), (IMAGE,)),
    Example(nn.Fold((5, 4), (2, 3), (2, 1), (1, 0), (1, 1)), ((12, 10),)),
]
ALL = [(f"{name}-{i}", e) for name, several in EXAMPLES.items() for i, e in enumerate(several)]
ALL += [(f"{type(e.layer).__name__}-more{i}", e) for i, e in enumerate(MORE)]


class Net(nn.Module):
    """One layer, called once."""

    def __init__(self, layer: nn.Layer) -> None:
        self.part = layer

    def forward(self, *inputs: Any) -> Any:
        return self.part(*inputs)


def ready(e: Example) -> nn.Module:
    """The layer in evaluation mode, with numbers in all weights and statistics that are 0 or 1 otherwise."""
    rng = np.random.default_rng(3)
    for p in e.layer.parameters():
        p.data = (p.data * 0.5 + rng.uniform(0.05, 0.5, p.shape)).astype(np.float32)
    for _, b in e.layer.named_buffers():
        b.data = rng.uniform(0.5, 1.5, b.shape).astype(b.dtype)
    return Net(e.layer).eval()


def traced(net: nn.Module, e: Example) -> ir.Graph:
    with np.errstate(all="ignore"):
        return ir.trace(net, list(e.shapes), dtype="int64" if e.integers else "float32")


def draw(e: Example, n: int) -> list[np.ndarray]:
    rng = np.random.default_rng(n)
    if e.integers:
        return [rng.integers(0, e.integers, (n, *s)) for s in e.shapes]
    arrays = [rng.standard_normal((n, *s)).astype(np.float32) for s in e.shapes]
    return [np.abs(a) for a in arrays] if e.settings.get("positive") else arrays


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("e", [pytest.param(e, id=name) for name, e in ALL])
def test_the_same_numbers_elsewhere(e: Example, opset: int) -> None:
    net = ready(e)
    graph = traced(net, e)
    proto = graph_to_onnx(graph, net.state_dict(), opset=opset)
    assert [v.type.tensor_type.shape.dim[0].dim_param for v in proto.graph.input] == ["n"] * len(e.shapes)
    for n in (1, 4):
        inputs = draw(e, n)
        with no_grad():
            expected = net(*map(Tensor, inputs)).numpy()
        (found,) = outputs(proto, inputs)
        close(found, expected)


@pytest.mark.parametrize("e", [pytest.param(e, id=name) for name, e in ALL])
def test_a_fixed_batch(e: Example) -> None:
    net = ready(e)
    graph = traced(net, e)
    proto = graph_to_onnx(graph, net.state_dict(), batch=3)
    assert all(v.type.tensor_type.shape.dim[0].dim_value == 3 for v in proto.graph.input)
    inputs = draw(e, 3)
    with no_grad():
        close(outputs(proto, inputs)[0], net(*map(Tensor, inputs)).numpy())


def test_every_layer_has_a_rule_and_every_rule_a_layer() -> None:
    assert sorted(LAYER_RULES) == nn.LAYERS.names()


NATURAL = {
    **{f"Conv{k}d": "Conv" for k in (1, 2, 3)},
    **{f"ConvTranspose{k}d": "ConvTranspose" for k in (1, 2, 3)},
    **{f"MaxPool{k}d": "MaxPool" for k in (1, 2, 3)},
    **{f"BatchNorm{k}d": "BatchNormalization" for k in (1, 2, 3)},
    **{f"InstanceNorm{k}d": "InstanceNormalization" for k in (1, 2, 3)},
    **{name: name for name in ("LSTM", "GRU", "RNN", "Softmax", "LogSoftmax", "Sigmoid", "Tanh", "Softplus")},
    **{name: name for name in ("Dropout", "Identity", "Softsign")},
    **{"ReLU": "Relu", "LeakyReLU": "LeakyRelu", "ELU": "Elu", "SELU": "Selu", "CELU": "Celu"},
    **{"PReLU": "PRelu", "ReLU6": "Clip", "Hardtanh": "Clip", "Hardsigmoid": "HardSigmoid"},
    **{"Hardswish": "HardSwish", "LayerNorm": "LayerNormalization", "Embedding": "Gather"},
    **{"PixelShuffle": "DepthToSpace", "ZeroPad2d": "Pad", "ReflectionPad2d": "Pad"},
    "ReplicationPad2d": "Pad",
}


@pytest.mark.parametrize("name", sorted(NATURAL))
def test_the_natural_operator(name: str) -> None:
    e = EXAMPLES[name][0]
    net = ready(e)
    graph = traced(net, e)
    kinds = [node.op_type for node in graph_to_onnx(graph, net.state_dict()).graph.node]
    assert NATURAL[name] in kinds
    rest = {"Transpose", "Squeeze", "Unsqueeze", "Reshape"}
    assert set(kinds) - rest == {NATURAL[name]}
