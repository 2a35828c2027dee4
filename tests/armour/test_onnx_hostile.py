"""ONNX files that mean harm: every one ends in an error of one line, before memory or time is spent on it."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_models import arrays, conv_net, make, node, write

import armour
from armour.errors import ArmourError, CheckpointError, UnsupportedError
from armour.formats.onnx import wire
from armour.formats.onnx_import import run_model

LIMIT_S = 10.0  # of processor time, so that a busy machine changes nothing
LIMIT_KIB = 1 << 20


def refused(path: Path, kind: type[ArmourError] = CheckpointError, match: str = ".") -> str:
    """Loading ends in this error, in one line, within the limits on time and memory."""
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    with pytest.raises(kind, match=match) as caught:
        armour.load(path, bounds=(0, 1))
    assert time.process_time() - start < LIMIT_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < LIMIT_KIB
    text = str(caught.value)
    assert "\n" not in text and len(text) < 1500 and text.isprintable()
    return text


# -- the protobuf ----------------


def field(number: int, wire_type: int) -> bytes:
    return bytes([number << 3 | wire_type])


def varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def block(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


IR = field(1, 0) + b"\x08" + block(8, field(2, 0) + b"\x11")  # ir_version 8, opset 17

BYTES: dict[str, Callable[[], bytes]] = {
    "a length of 2 GiB": lambda: IR + varint(7 << 3 | 2) + varint(2**31 - 1) + b"abc",
    "a length of 2^63": lambda: IR + varint(7 << 3 | 2) + varint(2**63) + b"abc",
    "an endless number": lambda: IR + field(1, 0) + b"\xff" * 30,
    "a group": lambda: IR + field(7, 3) + b"\x00" * 10,
    "cut in the middle": lambda: conv_net().SerializeToString()[:-40],
    "nested too deep": lambda: IR + deep(300),
    "millions of empty nodes": lambda: IR + block(7, block(1, b"") * 2_000_000),
    "millions of empty attributes": lambda: IR + block(7, block(1, block(5, b"") * 2_000_000)),
    "packed zeros": lambda: IR + block(7, block(5, block(7, b"\x00" * (80 << 20)))),
    "no graph": lambda: IR,
}


def deep(levels: int) -> bytes:
    """A graph in an attribute in a node in a graph, and so on."""
    inner = b""
    for _ in range(levels):
        inner = block(1, block(5, block(6, inner)))
    return block(7, inner)


@pytest.mark.parametrize("name", BYTES)
def test_damaged_and_inflated_messages(tmp_path, name):
    path = tmp_path / "model.onnx"
    path.write_bytes(BYTES[name]())
    refused(path, match="ONNX model|not a model|expected")


def test_the_walk_follows_the_schema_to_the_byte():
    onnx = pytest.importorskip("onnx")
    raw = conv_net().SerializeToString()
    wire.check_wire(raw, onnx.ModelProto.DESCRIPTOR, "model")
    for end in range(1, len(raw), 97):
        proto = onnx.ModelProto()
        try:
            wire.check_wire(raw[:end], onnx.ModelProto.DESCRIPTOR, "model")
            whole = True
        except CheckpointError:
            whole = False
        if whole:  # whatever passes is a message
            proto.ParseFromString(raw[:end])


# -- the graph ----------------


def graph_file(tmp_path: Path, nodes: Any, weights: Any = None, inputs: Any = None, **options: Any) -> Path:
    proto = make(nodes, inputs or {"x": ("n", 4)}, {"out": ("n", 3)}, weights, **options)
    return write(proto, tmp_path / "model.onnx")


W = arrays(w=(4, 3))


def test_a_cycle(tmp_path):
    nodes = [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("MatMul", ["b", "w"], ["out"])]
    assert "cycle" in refused(graph_file(tmp_path, nodes, W))


def test_a_function_that_calls_itself(tmp_path):
    body = [node("Echo", ["v"], ["r"], domain="own")]
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    echo = helper.make_function("own", "Echo", ["v"], ["r"], body, imports)
    nodes = [node("Echo", ["x"], ["e"], domain="own"), node("MatMul", ["e", "w"], ["out"])]
    text = refused(graph_file(tmp_path, nodes, W, functions=[echo], domains=["own"]))
    assert "calls itself" in text


def test_functions_that_double_each_time(tmp_path):
    """Thirty functions, each of which calls the next one twice: a billion operators in a kilobyte."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    functions = []
    for i in range(30):
        op, domain = (f"F{i + 1}", "own") if i < 29 else ("Relu", "")
        body = [node(op, ["v"], ["m"], domain=domain), node(op, ["m"], ["r"], domain=domain)]
        functions.append(helper.make_function("own", f"F{i}", ["v"], ["r"], body, imports))
    nodes = [node("F0", ["x"], ["e"], domain="own"), node("MatMul", ["e", "w"], ["out"])]
    refused(
        graph_file(tmp_path, nodes, W, functions=functions, domains=["own"]), match="operators in one run"
    )


BOMBS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "expand": (
        [node("Expand", ["x", "s"], ["e"]), node("Relu", ["e"], ["r"])],
        {"s": np.array([1 << 20, 1 << 14, 4])},
    ),
    "tile": ([node("Tile", ["x", "s"], ["r"])], {"s": np.array([1 << 16, 1 << 12])}),
    "pad": ([node("Pad", ["x", "s"], ["r"])], {"s": np.array([0, 0, 0, 1 << 34])}),
    "range": (
        [node("Range", ["a", "b", "d"], ["k"]), node("Add", ["x", "k"], ["r"])],
        {"a": np.array(0), "b": np.array(1 << 40), "d": np.array(1)},
    ),
    "constant of shape": (
        [
            node("ConstantOfShape", ["s"], ["k"]),
            node("Exp", ["k"], ["z"]),
            node("ReduceMax", ["z"], ["t"], keepdims=0),
            node("Add", ["x", "t"], ["r"]),
        ],
        {"s": np.array([1 << 15, 1 << 15])},
    ),
    "one hot": (
        [node("Cast", ["x"], ["i"], to=TensorProto.INT64), node("OneHot", ["i", "s", "v"], ["r"])],
        {"s": np.array(1 << 33), "v": np.array([0, 1], np.float32)},
    ),
    "resize": (
        [node("Unsqueeze", ["x", "ax"], ["u"]), node("Resize", ["u", "", "", "s"], ["r"])],
        {"ax": np.array([1, 2]), "s": np.array([1, 1, 1 << 16, 1 << 16])},
    ),
    "eye": (
        [
            node("ConstantOfShape", ["s"], ["k"]),
            node("EyeLike", ["k"], ["z"]),
            node("ReduceMax", ["z"], ["t"], keepdims=0),
            node("Add", ["x", "t"], ["r"]),
        ],
        {"s": np.array([1 << 20, 1 << 20])},
    ),
    "an outer product": (
        [
            node("Tile", ["x", "s"], ["b"]),
            node("Unsqueeze", ["b", "ax"], ["c"]),
            node("Mul", ["b", "c"], ["r"]),
        ],
        {"s": np.array([1, 1 << 16]), "ax": np.array([2])},
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_of_a_few_bytes(tmp_path, name):
    nodes, weights = BOMBS[name]
    last = [
        node("ReduceMean", ["r"], ["m"], axes=[-1], keepdims=1),
        node("Concat", ["m", "m", "m"], ["out"], axis=-1),
    ]
    path = graph_file(tmp_path, [*nodes, *last], weights)
    refused(path, ArmourError)


def test_a_loop_without_an_end(tmp_path):
    body = helper.make_graph(
        [node("Relu", ["v"], ["w"]), node("Identity", ["c"], ["d"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, ()),
            helper.make_tensor_value_info("c", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("v", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("w", TensorProto.FLOAT, None),
        ],
    )
    nodes = [node("Loop", ["turns", "", "x"], ["e"], body=body), node("MatMul", ["e", "w"], ["out"])]
    refused(graph_file(tmp_path, nodes, {**W, "turns": np.array(1 << 60)}), ArmourError, "turns|operators")


def test_weights_that_are_not_what_they_say(tmp_path):
    proto = make([node("MatMul", ["x", "w"], ["out"])], {"x": ("n", 4)}, {"out": ("n", 3)}, W)
    weight = proto.graph.initializer[0]
    weight.dims[0] = 1 << 40
    assert "cannot be" in refused(write(proto, tmp_path / "huge.onnx"))
    weight.dims[0] = 5
    assert "needs 60 bytes, got 48" in refused(write(proto, tmp_path / "other.onnx"))
    weight.dims[0] = -4
    refused(write(proto, tmp_path / "negative.onnx"))
    weight.dims[0], weight.data_type = 4, TensorProto.COMPLEX64
    refused(write(proto, tmp_path / "complex.onnx"), UnsupportedError, "complex64")
    weight.data_type = 99
    refused(write(proto, tmp_path / "unknown.onnx"), UnsupportedError, "number 99")


# -- other files ----------------


def external(place: str, offset: int = 0, length: int = 48) -> Any:
    proto = make([node("MatMul", ["x", "w"], ["out"])], {"x": ("n", 4)}, {"out": ("n", 3)}, W)
    weight = proto.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", str(offset)), ("length", str(length))):
        weight.external_data.add(key=key, value=value)
    return proto


def test_weights_in_a_file_beside_the_model(tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "w.bin").write_bytes(b"\x00" * 16 + W["w"].tobytes())
    model = armour.load(write(external("parts/w.bin", 16), tmp_path / "model.onnx"), bounds=(0, 1))
    x = np.random.default_rng(0).random((3, 4), np.float32)
    np.testing.assert_allclose(model.logits(x), x @ W["w"], rtol=1e-5)


@pytest.mark.parametrize(
    "place",
    [
        "../w.bin",
        "parts/../../w.bin",
        "/etc/passwd",
        "C:\\w.bin",
        "..\\w.bin",
        "",
        "w\x00.bin",
        "missing.bin",
        "parts",
    ],
)
def test_paths_out_of_the_folder_are_never_opened(tmp_path, place):
    inside = tmp_path / "inside"
    (inside / "parts").mkdir(parents=True)
    (tmp_path / "w.bin").write_bytes(W["w"].tobytes())
    refused(write(external(place), inside / "model.onnx"))


def test_links_out_of_the_folder_are_never_opened(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "w.bin").write_bytes(W["w"].tobytes())
    os.symlink(tmp_path / "w.bin", inside / "w.bin")
    assert "link" in refused(write(external("w.bin"), inside / "model.onnx"))


@pytest.mark.parametrize(("offset", "length"), [(0, 49), (8, 48), (1 << 62, 48), (-1, 48), (0, 1 << 62)])
def test_places_outside_of_the_other_file(tmp_path, offset, length):
    (tmp_path / "w.bin").write_bytes(W["w"].tobytes())
    refused(write(external("w.bin", offset, length), tmp_path / "model.onnx"))


def test_bytes_alone_open_no_other_file(tmp_path):
    (tmp_path / "w.bin").write_bytes(W["w"].tobytes())
    with pytest.raises(CheckpointError, match="data in another file"):
        run_model(external("w.bin").SerializeToString(), [np.zeros((1, 4), np.float32)])


def test_texts_of_a_file_cannot_steer_a_terminal(tmp_path):
    proto = conv_net()
    proto.metadata_props.add(key="license", value="MIT\x1b[0m\nfree")
    proto.graph.node[0].name = "\x1b]0;title\x07"
    model = armour.load(write(proto, tmp_path / "model.onnx"), bounds=(0, 1))
    armour.save(model, tmp_path / "model.ckpt")
    for text in (*model.state_dict(), str(model.provenance), *(n.name for n in model.graph.nodes)):
        assert text.isprintable()
