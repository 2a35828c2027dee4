"""`armour info` of weights alone: arrays, what is left over, what it could be and what must be stated."""

from __future__ import annotations

import json
from pathlib import Path

import mindspore_made
import numpy as np
import pytest
import torch_made
from click.testing import CliRunner, Result

from armour.cli.main import main
from armour.formats import safetensors
from armour.tensor import zoo


def info(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["info", *map(str, arguments)])


def test_everything_in_the_file_is_listed(tmp_path: Path) -> None:
    raw, weights = mindspore_made.lenet()
    (tmp_path / "m.ckpt").write_bytes(raw)
    done = info(tmp_path / "m.ckpt", "--json")
    facts = json.loads(done.stdout)
    assert done.exit_code == 0 and facts["kind"] == "mindspore" and facts["bytes"] == len(raw)
    shapes = {name: f"{'x'.join(map(str, array.shape))} float32" for name, array in weights.items()}
    assert facts["arrays"] == shapes and facts["numbers"] == sum(a.size for a in weights.values())
    assert facts["left_over"]["moments.fc1.bias"] == "bookkeeping, 120 float32"
    assert "LeNet-5" in facts["network"] and "state input_shape=" in facts["network"]
    text = info(tmp_path / "m.ckpt").stdout
    assert f"8 with {facts['numbers']:,} numbers" in text and "fc1.weight    120x400 float32" in text
    assert "learning_rate (bookkeeping, scalar float64)" in text and "and 7 more" in text


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        (zoo.build("mlp", (1, 28, 28), 10).state_dict(), "mlp for inputs of 1,28,28; state --bounds"),
        ({"what": np.ones((2, 2, 2), np.float32)}, "none that is recognised (alexnet, lenet5, mlp"),
        ({}, "none that is recognised"),
    ],
    ids=["mlp", "unknown", "empty"],
)
def test_what_it_could_be(tmp_path: Path, arrays: dict[str, np.ndarray], says: str) -> None:
    (tmp_path / "m").write_bytes(safetensors.dump(arrays))
    done = info(tmp_path / "m")
    assert done.exit_code == 0 and says in done.stdout


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    tree = {"a\x1b[2J": torch_made.Tensor(np.ones(2, np.float32))}
    (tmp_path / "m").write_bytes(torch_made.zipped(tree))
    done = info(tmp_path / "m")
    assert done.exit_code == 2 and "not printable" in done.stderr and "\x1b" not in done.stderr


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    arrays = {f"w{i}": np.ones(1, np.float32) for i in range(300)}
    (tmp_path / "m").write_bytes(safetensors.dump(arrays))
    text = info(tmp_path / "m").stdout
    assert text.count("1 float32") == 200 and text.endswith("and 100 more\n")
    assert len(json.loads(info(tmp_path / "m", "--json").stdout)["arrays"]) == 300
