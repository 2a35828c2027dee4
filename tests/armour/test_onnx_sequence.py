"""Lists of tensors in ONNX graphs, run and as part of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest

import armour
from armour.errors import CheckpointError, UnsupportedError
from armour.formats.onnx_import import run_model
from tests.onnx_graphs import model, node

LIST = node("SequenceConstruct", "x", "s")
X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)


def run(nodes: list[Any], **weights: Any) -> np.ndarray:
    made = {name: np.asarray(value) for name, value in weights.items()}
    return run_model(model(nodes, "x", "y", weights=made), [X])[0]


def test_lists_are_made_changed_measured_and_joined() -> None:
    nodes = [
        node("SequenceConstruct", "x two", "a"),
        node("SequenceInsert", "a three first", "b"),  # three, x, two
        node("SequenceInsert", "b x", "c"),  # three, x, two, x
        node("SequenceErase", "c first", "d"),  # x, two, x
        node("SequenceErase", "d", "e"),  # x, two
        node("ConcatFromSequence", "e", "y", axis=0),
    ]
    weights = {"two": X[:1] * 2, "three": X * 3, "first": np.array(0)}
    np.testing.assert_array_equal(run(nodes, **weights), np.concatenate([X, 2 * X[:1]]))
    counted = run([*nodes[:3], node("SequenceLength", "c", "y")], **weights)
    assert counted == 4 and counted.dtype == np.int64
    last = run([*nodes[:2], node("SequenceAt", "b end", "y")], **weights, end=np.array(-1))
    np.testing.assert_array_equal(last, 2 * X[:1])
    empty = run([node("SequenceEmpty", "", "s"), node("SequenceLength", "s", "n"), node("Add", "n n", "y")])
    assert empty == 0


@pytest.mark.parametrize(
    ("sizes", "attrs", "lengths"),
    [
        (None, {}, [1] * 4), (np.array(3), {}, [3, 1]), (np.array([1, 3]), {}, [1, 3]),
        (None, {"keepdims": 0}, None),
    ],
)  # fmt: skip
def test_parts_of_an_axis(sizes: Any, attrs: dict[str, int], lengths: list[int] | None) -> None:
    split = node("SplitToSequence", "x" if sizes is None else "x n", "s", axis=1, **attrs)
    weights = {} if sizes is None else {"n": sizes}
    whole = run(
        [split, node("ConcatFromSequence", "s", "y", axis=1, new_axis=int(lengths is None))], **weights
    )
    np.testing.assert_array_equal(whole, X)
    one = run([split, node("SequenceAt", "s k", "y")], **weights, k=np.array(1))
    start = 1 if lengths is None else lengths[0]
    np.testing.assert_array_equal(one, X[:, 1] if lengths is None else X[:, start : start + lengths[1]])


def test_a_network_may_split_into_a_list_and_join_again(tmp_path: Path) -> None:
    nodes = [
        onnx_models.node("SplitToSequence", ["x", "n"], ["parts"], axis=1),
        onnx_models.node("SequenceAt", ["parts", "zero"], ["a"]),
        onnx_models.node("SequenceAt", ["parts", "one"], ["b"]),
        onnx_models.node("SequenceConstruct", ["b", "a"], ["turned"]),
        onnx_models.node("ConcatFromSequence", ["turned"], ["joined"], axis=1),
        onnx_models.node("MatMul", ["joined", "w"], ["out"]),
    ]
    weights = {"n": np.array(2), "zero": np.array(0), "one": np.array(1)} | onnx_models.arrays(w=(4, 3))
    proto = onnx_models.make(nodes, {"x": ("n", 4)}, {"out": ("n", 3)}, weights)
    loaded = armour.load(onnx_models.write(proto, tmp_path / "m.onnx"), bounds=(-5, 5))
    np.testing.assert_allclose(loaded.logits(X), X[:, [2, 3, 0, 1]] @ weights["w"], rtol=1e-5, atol=1e-6)
    assert loaded.can_grad and "Linear" in {n.type for n in loaded.graph.nodes}


@pytest.mark.parametrize(
    ("nodes", "told"),
    [
        ([node("SequenceAt", "x zero", "y")], "takes no list"),
        ([LIST, node("SequenceAt", "s far", "y")], "takes place 9 of a list of 1"),
        ([LIST, node("Relu", "s", "y")], "cannot run as described"),
        ([LIST, node("SequenceConstruct", "s s", "y")], "puts no tensor into a list"),
        ([node("SequenceEmpty", "", "s"), node("SequenceErase", "s", "y")], "an empty list"),
        ([node("SplitToSequence", "x minus", "y")], "into parts of -1"),
        ([node("SequenceConstruct", "x", "y")], "an output of the model is a list"),
    ],
)  # fmt: skip
def test_what_is_no_list_or_not_in_it_is_told(nodes: list[Any], told: str) -> None:
    with pytest.raises((CheckpointError, UnsupportedError), match=told):
        run(nodes, zero=0, far=9, minus=-1)
