"""`armour info`: what it says is what the model is; a hostile name cannot steer the terminal."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import small_models
import sources
from click.testing import CliRunner, Result

import armour
from armour.cli.main import main
from armour.model import ModuleModel
from armour.tensor import zoo

PROVENANCE: dict[str, Any] = {
    "data": {"name": "digits", "digest": "ab" * 32},
    "training": {
        "command": "armour train digits --arch resnet8",
        "config": {"epochs": 3},
        "test_accuracy": 0.975,
        "test_samples": 400,
        "test_interval": [0.9549, 0.9862],
    },
    "note": "first\nsecond",
}


def info(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["info", *map(str, arguments)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model = ModuleModel(
        zoo.build("resnet8", (3, 16, 16), 4, rng=0),
        bounds=(0, 1),
        input_shape=(3, 16, 16),
        num_classes=4,
        class_names=["ant", "bee", "cat", "dog"],
        mean=[0.5, 0.4, 0.3],
        std=[0.2, 0.2, 0.1],
        name="resnet8-test",
        provenance=PROVENANCE,
    )
    target = tmp_path / "m.ckpt"
    armour.save(model, target)
    return target


def test_json_is_one_object_that_agrees_with_the_model_and_the_file(path: Path) -> None:
    result = info(path, "--json")
    assert result.exit_code == 0 and result.stderr == "" and result.stdout.count("\n") == 1
    facts = json.loads(result.stdout)
    model = armour.load(path)
    assert isinstance(model, ModuleModel)
    raw = path.read_bytes()
    manifest, weights = hostile.members(raw)
    assert facts["file_sha256"] == hashlib.sha256(raw).hexdigest() and facts["bytes"] == len(raw)
    assert facts["weights_sha256"] == hashlib.sha256(weights).hexdigest() == manifest["weights_sha256"]
    assert facts["fingerprint"] == model.fingerprint
    for key in ("input_shape", "num_classes", "class_names", "bounds", "mean", "std", "name", "provenance"):
        assert facts[key] == manifest[key], key
    sizes = {name: p.size for name, p in model.module.named_parameters()}
    buffers = {name: b.size for name, b in model.module.named_buffers()}
    assert facts["parameters"] == sum(sizes.values()) == sum(row["parameters"] for row in facts["layers"])
    assert facts["buffers"] == sum(buffers.values()) > 0
    outputs = model.activations(np.zeros((1, 3, 16, 16), np.float32))
    for row in facts["layers"]:
        if row["kind"] == "layer":
            assert row["output"] == list(outputs[row["name"]].shape[1:])
    assert facts["layers"][-1]["output"] == [4]


def test_text_has_the_same_facts(path: Path) -> None:
    result = info(path)
    assert result.exit_code == 0 and result.stderr == "", result.stderr
    lines = {line.split("  ")[0].rstrip(): line for line in result.stdout.splitlines()}
    facts = json.loads(info(path, "--json").stdout)
    assert "resnet8-test" in lines["model"]
    assert "3 x 16 x 16, values in (0, 1)" in lines["input"]
    assert "4: ant, bee, cat, dog" in lines["classes"]
    assert "mean 0.5, 0.4, 0.3; standard deviation 0.2, 0.2, 0.1" in lines["normalised"]
    assert f"{facts['parameters']:,}" in lines["parameters"]
    assert "digits" in lines["data"]
    assert "97.50% on 400 test samples (95 % interval 95.49% to 98.62%)" in lines["accuracy"]
    assert "armour train digits --arch resnet8" in lines["trained by"]
    assert "first\\nsecond" in lines["note"]
    for key, line in (("file_sha256", "file"), ("weights_sha256", "weights"), ("fingerprint", "network")):
        assert facts[key] in lines[line]
    table = result.stdout.split("\n\n")[1].splitlines()
    assert table[0].split()[:4] == ["layer", "type", "output", "parameters"]
    assert len(table) == 1 + len(facts["layers"])
    for row, line in zip(facts["layers"], table[1:], strict=True):
        assert line.split()[:2] == [row["name"], row["type"]]
        assert row["parameters"] == 0 or f" {row['parameters']:,} " in line


@pytest.mark.parametrize("arch", zoo.SMALL)
def test_every_network_is_shown(tmp_path: Path, arch: str) -> None:
    model = ModuleModel(zoo.build(arch, (1, 28, 28), 10), input_shape=(1, 28, 28), num_classes=10)
    armour.save(model, tmp_path / "m.ckpt")
    assert info(tmp_path / "m.ckpt").exit_code == 0
    facts = json.loads(info(tmp_path / "m.ckpt", "--json").stdout)
    assert facts["parameters"] == sum(row["parameters"] for row in facts["layers"]) > 0


@pytest.mark.parametrize(
    "training",
    [
        {"test_accuracy": "high"},
        {"test_accuracy": 0.5, "test_samples": "many"},
        {"test_accuracy": 0.5, "test_samples": 2, "test_interval": "wide"},
        {"test_accuracy": 0.5, "test_samples": 2, "test_interval": [0, 1]},
        {"test_accuracy": 10**400, "test_samples": 1},
        {"command": ["rm"]},
        {"epsilon_spent": 3.5},
        {},
    ],
    ids=str,
)
def test_provenance_may_hold_anything(tmp_path: Path, training: dict[str, Any]) -> None:
    model = small_models.centroids(*small_models.digits(50))
    model.provenance |= {"training": training, "x": [None, {"y": [1e300]}], "": ""}
    armour.save(model, tmp_path / "m.ckpt")
    assert info(tmp_path / "m.ckpt").exit_code == 0
    facts = json.loads(info(tmp_path / "m.ckpt", "--json").stdout)
    assert facts.get("epsilon_spent") == training.get("epsilon_spent")


def test_bounds_may_be_stated_if_the_file_does_not(path: Path) -> None:
    path.write_bytes(hostile.without("bounds")(path.read_bytes()))
    result = info(path)
    assert result.exit_code == 2 and "--bounds" in result.stderr and result.stderr.count("\n") == 1
    assert json.loads(info(path, "--bounds", "0,255", "--json").stdout)["bounds"] == [0, 255]
    for text in ("1,0", "0", "a,b", "0,nan", "0,1,2", ""):
        result = info(path, "--bounds", text)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1, text


def test_it_runs_where_nothing_is_loaded_yet(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "armour", "info", str(path), "--json"],
        cwd=sources.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["name"] == "resnet8-test" and done.stderr == ""
