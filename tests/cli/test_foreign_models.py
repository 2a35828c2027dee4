"""A network that somebody else wrote, in their units and layout, by the commands: as armour's own twin."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest
import small_models
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

import armour
from armour.cli.main import main

X, Y = small_models.digits(1797)
TWIN = small_models.centroids(X, Y)
STATED = ("--bounds", "0,1", "--scale", "255", "--mean", "127.5", "--std", "127.5", "--layout", "nhwc")
needs_runtime = pytest.mark.skipif(not find_spec("onnxruntime"), reason="needs the extra onnxruntime")


def write(path: Path) -> None:
    """The twin for images (n, h, w, c) in -1..1, ending in a softmax."""
    state = TWIN.state_dict()
    arrays = {
        "hidden": state["1.weight"].T / 2,
        "shift": state["1.bias"] + state["1.weight"].sum(axis=1) / 2,
        "scores": state["3.weight"].T,
        "offset": state["3.bias"],
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["moved"], perm=[0, 3, 1, 2]),
        helper.make_node("Flatten", ["moved"], ["flat"]),
        helper.make_node("Gemm", ["flat", "hidden", "shift"], ["sum"]),
        helper.make_node("Relu", ["sum"], ["units"]),
        helper.make_node("Gemm", ["units", "scores", "offset"], ["z"]),
        helper.make_node("Softmax", ["z"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "theirs",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 8, 8, 1])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))


@pytest.fixture(autouse=True, scope="module")
def _in_a_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("foreign"))
    write(Path("theirs.onnx"))
    armour.save(TWIN, "ours.ckpt")
    yield
    os.chdir(before)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_same_model_inside() -> None:
    from armour.cli.model_options import from_words, load_model

    model = load_model(Path("theirs.onnx"), from_words(list(STATED)))
    assert model.input_shape == (1, 8, 8) and model.can_grad and model.num_classes == 10
    np.testing.assert_array_equal(model.predict(X), TWIN.predict(X))
    ours, theirs = (m.loss_gradient(X[:50], Y[:50])[1] for m in (TWIN, model))
    np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())


def test_an_attack_in_the_users_units() -> None:
    attack = ("--attack", "pgd", "--epsilon", 0.05, "--epsilon", 0.1, "--data", "digits", "-n", 150, "--json")
    found = [
        json.loads(run("attack", *model, *attack).stdout)
        for model in (("ours.ckpt",), ("theirs.onnx", *STATED))
    ]
    assert found[0]["clean_accuracy"] == found[1]["clean_accuracy"] > 0.8
    robust = [[row["robust_accuracy"] for row in one["results"]] for one in found]
    np.testing.assert_allclose(robust[0], robust[1], atol=0.02)
    assert robust[0][1] < robust[0][0] < found[0]["clean_accuracy"]
    assert found[0]["gradients"] == found[1]["gradients"] > 0


@needs_runtime
def test_a_black_box_is_attacked_by_what_needs_no_gradient_only() -> None:
    result = run(
        "attack", "theirs.onnx", *STATED, "--runtime", "onnxruntime", "--data", "digits", "--epsilon", "0.1"
    )
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "gradient" in result.stderr


@needs_runtime
def test_fuzzing_by_either_runtime() -> None:
    seeds = ("--data", "digits", "-n", 60, "--executions", 512, "--no-baseline", "--json")
    results = {
        "armour": run("fuzz", "theirs.onnx", *STATED, *seeds, "--corpus", "white"),
        "onnxruntime": run(
            "fuzz", "theirs.onnx", *STATED, "--runtime", "onnxruntime", *seeds, "--corpus", "black"
        ),
    }
    for result in results.values():
        assert result.exit_code == 0, result.output
    found = {name: json.loads(result.stdout) for name, result in results.items()}
    assert all(one["failures"] > 0 for one in found.values())
    for corpus in ("white", "black"):
        replayed = json.loads(run("corpus", "replay", corpus, "--json").stdout)
        assert replayed["failures"] == replayed["still_fail"] > 0 and not replayed["model_changed"]
    page = Path("black/report.html").read_text(encoding="utf-8")
    assert "channels last (NHWC)" in page and "probabilities" in page


def test_what_is_left_out_is_asked_for() -> None:
    result = run("attack", "theirs.onnx", "--data", "digits", "--epsilon", "0.1")
    assert result.exit_code == 2 and "--bounds" in result.stderr and result.stderr.count("\n") == 1
    wrong = run("attack", "theirs.onnx", "--bounds", "0,1", "--data", "digits", "--epsilon", "0.1")
    assert wrong.exit_code == 2 and wrong.stderr.count("\n") == 1
