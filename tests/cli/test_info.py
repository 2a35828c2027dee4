"""`armour info`: what the network takes, its operators, licence and exports; black boxes and addresses."""

from __future__ import annotations

import json
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx_models
import pytest
import small_models
from click.testing import CliRunner

import armour
from armour.cli.main import main
from armour.model import ModuleModel
from armour.preprocessing import Preprocessing
from armour.serving import Server
from armour.tensor import nn

STEPS = Preprocessing(scale=255, mean=(1, 2, 3), std=2, layout="NHWC", channels="bgr", resize=(6, 5))


def facts(*arguments: object) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["info", *map(str, arguments), "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def shown(*arguments: object) -> dict[str, str]:
    result = CliRunner().invoke(main, ["info", *map(str, arguments)])
    assert result.exit_code == 0 and result.stderr == "", result.output
    head = result.stdout.split("\n\n")[0].splitlines()
    return {line[:11].strip(): line[12:] for line in head}


def test_a_network_with_preprocessing(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(90, 8), nn.ReLU(), nn.Linear(8, 2), nn.Softmax())
    model = ModuleModel(
        module,
        preprocessing=STEPS,
        input_shape=(3, 9, 9),
        provenance={"model": {"License": "BSD-2-Clause"}},
        name="m",
    )
    path = tmp_path / "m.ckpt"
    armour.save(model, path)
    found, lines = facts(path), shown(path)
    assert found["kind"] == "network" and found["can_grad"] and found["input_shape"] == [3, 9, 9]
    assert found["takes"] == {"name": "input", "shape": [None, 6, 5, 3], "dtype": "float32"}
    assert Preprocessing.from_dict({k: v for k, v in found["preprocessing"].items() if k != "text"}) == STEPS
    assert found["operators"] == {"Linear": 2, "Flatten": 1, "ReLU": 1, "Softmax": 1}
    assert found["operators"] == dict(Counter(row["type"] for row in found["layers"]))
    assert found["licence"] == "BSD-2-Clause" and found["outputs"].startswith("probabilities")
    assert found["exportable"] == {"ckpt": None, "onnx": None}
    assert lines["network's"] == "n x 6 x 5 x 3 float32, named input"
    assert lines["prepared"] == str(STEPS) and "channels last" in lines["prepared"]
    assert lines["operators"] == "Linear 2, Flatten 1, ReLU 1, Softmax 1"
    assert (lines["licence"], lines["export"]) == ("BSD-2-Clause", ".ckpt; .onnx")
    assert lines["kind"] == "network, with gradients"


def test_a_network_that_is_only_normalised_says_so_once(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    armour.save(ModuleModel(module, mean=0.5, std=0.25, input_shape=(3, 2, 2)), tmp_path / "m.ckpt")
    lines = shown(tmp_path / "m.ckpt")
    assert lines["normalised"] == "mean 0.5; standard deviation 0.25" and "prepared" not in lines


def test_what_is_not_stated_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    armour.save(small_models.centroids(*small_models.digits(50)), path)
    assert facts(path)["licence"] is None and shown(path)["licence"] == "not stated"
    assert "prepared" not in shown(path)


def test_an_operator_without_a_rule_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from armour.formats.onnx import export_rules

    path = tmp_path / "m.ckpt"
    armour.save(small_models.centroids(*small_models.digits(50)), path)
    monkeypatch.delitem(export_rules.LAYER_RULES, "ReLU")
    assert facts(path)["exportable"] == {"ckpt": None, "onnx": "no rule for ReLU (1)"}
    assert shown(path)["export"] == ".ckpt; .onnx not: no rule for ReLU (1)"


def test_a_served_model() -> None:
    model = small_models.centroids(*small_models.digits(50))
    with Server(model, port=0) as server:
        address = f"{server.url}"
        found, lines = facts(address), shown(address)
    assert found["kind"] == "black box" and not found["can_grad"] and found["bytes"] is None
    assert found["input_shape"] == [1, 8, 8] and found["bounds"] == [0, 1] and found["num_classes"] == 10
    assert len(found["fingerprint"]) == 64 and found["file_sha256"] is None
    assert found["exportable"]["onnx"] == "a black box has no network to write"
    assert lines["kind"] == "black box, without gradients" and "layer" not in lines
    assert found["fingerprint"] in lines["answers"]


@pytest.mark.skipif(not find_spec("onnxruntime"), reason="needs the extra onnxruntime")
def test_an_onnx_file_as_a_black_box(tmp_path: Path) -> None:
    model = small_models.centroids(*small_models.digits(50))
    path = tmp_path / "m.onnx"
    armour.export_onnx(model, path)
    flags = ("--runtime", "onnxruntime", "--bounds", "0,1", "--class-names", ",".join("abcdefghij"))
    found, lines = facts(path, *flags), shown(path, *flags)
    assert found["kind"] == "black box" and found["takes"]["shape"] == [None, 1, 8, 8]
    assert found["takes"]["dtype"] == "float32" and found["takes"]["name"]
    assert found["class_names"] == list("abcdefghij") and found["num_classes"] == 10
    assert found["provenance"]["runtime"].startswith("onnxruntime ")
    assert found["provenance"]["operators"] == {"Gemm": 2, "Flatten": 1, "Relu": 1}
    assert lines["in the file"] == "Gemm 2, Flatten 1, Relu 1"
    assert lines["file"] == f"sha256 {found['file_sha256']}"
    other = armour.load(path, runtime="onnxruntime", bounds=(0, 1))
    x = np.random.default_rng(0).random((9, 1, 8, 8), dtype=np.float32)
    np.testing.assert_allclose(other.logits(x), model.logits(x), atol=1e-4)
    result = CliRunner().invoke(main, ["info", str(path), "--runtime", "onnxruntime"])
    assert result.exit_code == 2 and "--bounds" in result.stderr and result.stderr.count("\n") == 1


def test_a_network_may_be_looked_at_without_knowing_its_range(tmp_path: Path) -> None:
    path = onnx_models.write(onnx_models.conv_net(), tmp_path / "net.onnx")
    found, lines = facts(path), shown(path)
    assert not found["bounds_stated"] and found["num_classes"] == 5
    assert "--bounds 0,1" in lines["input"] and "Conv 1" in lines["in the file"]
    assert facts(path, "--bounds", "0,255")["bounds_stated"]
    with pytest.raises(armour.errors.RangeNotStated, match="range of its inputs"):
        armour.load(path)
