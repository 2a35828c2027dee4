"""Models whose attributes, inputs and weights were changed at random end in a result or in one line."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto

from armour.errors import ArmourError
from armour.formats.onnx_import import MAX_MEMORY, MAX_SECONDS, run_model
from armour.tensor.limits import limited
from tests.armour.test_onnx_rules_graph import BUILDS
from tests.onnx_models import make

WHOLE = (0, 1, -1, 2, 3, 7, 100, -100, 1 << 20, 1 << 31, -(1 << 31), 1 << 40, (1 << 63) - 1, -(1 << 63))
REAL = (0.0, -1.0, 0.5, 1e-30, 1e30, float("nan"), float("inf"), -float("inf"))
TEXT = (b"", b"zeros", b"\xff", b"cubic", b"reverse", b"bidirectional", b"nonsense")
CHANGES = 60


def change(proto: Any, draw: random.Random) -> None:
    node = draw.choice(list(proto.graph.node))
    kind = draw.randrange(5)
    if kind == 0 and node.input:
        node.input[draw.randrange(len(node.input))] = draw.choice(["", *node.input])
    elif kind == 1:
        proto.opset_import[0].version = draw.randint(1, 28)
    elif kind == 2 and proto.graph.initializer:
        _change_weight(draw.choice(list(proto.graph.initializer)), draw)
    elif node.attribute:
        attribute = draw.choice(list(node.attribute))
        if draw.random() < 0.1:
            node.attribute.remove(attribute)
        else:
            _change_attribute(attribute, draw)


def _change_weight(tensor: Any, draw: random.Random) -> None:
    array = np.array(onnx.numpy_helper.to_array(tensor))
    if draw.random() < 0.4:
        array = array.reshape(-1) if draw.random() < 0.5 else array[None]
    elif array.size:
        flat = array.reshape(-1)
        values = np.array(WHOLE if array.dtype.kind in "iu" else REAL)
        with np.errstate(all="ignore"):
            flat[draw.randrange(flat.size)] = draw.choice(list(values)).astype(array.dtype)
        array = flat.reshape(array.shape)
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def _change_attribute(attribute: Any, draw: random.Random) -> None:
    if attribute.type == AttributeProto.INT:
        attribute.i = draw.choice(WHOLE)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = draw.choice(REAL)
    elif attribute.type == AttributeProto.STRING:
        attribute.s = draw.choice(TEXT)
    elif attribute.type == AttributeProto.INTS and attribute.ints:
        attribute.ints[draw.randrange(len(attribute.ints))] = draw.choice(WHOLE)
    else:
        attribute.type = AttributeProto.INT


@pytest.mark.parametrize("name", list(BUILDS))
def test_changed_models_run_or_are_refused_in_one_line(name: str) -> None:
    nodes, weights, shape, opset = BUILDS[name]()
    proto = make(nodes, {"x": ("n", *shape)}, {"out": ("n", 3)}, weights, opset=opset or 17)
    x = np.random.default_rng(0).uniform(0, 1, (2, *shape)).astype(np.float32)
    refused = 0
    for seed in range(CHANGES):
        changed = onnx.ModelProto()
        changed.CopyFrom(proto)
        draw = random.Random(seed)
        for _ in range(draw.randint(1, 3)):
            change(changed, draw)
        try:
            with limited(MAX_MEMORY, MAX_SECONDS):
                out = run_model(changed.SerializeToString(), [x])
            assert all(isinstance(a, np.ndarray) for a in out)
        except ArmourError as error:
            assert "\n" not in str(error) and len(str(error)) < 1_000
            refused += 1
    assert 0 < refused < CHANGES
