"""What is stated about a model is kept with the corpus: --resume and replay need not be told again."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path

import pytest
import small_models
from click.testing import CliRunner, Result

from armour import npz
from armour.cli.main import main
from armour.tensor import nn

STATED = ("--arch", "mlp", "--bounds", "0,1", "--input-shape", "1,8,8", "--mean", "0", "--std", "1")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights()


def weights() -> None:
    """w.npz: an mlp of the zoo that knows digits by the nearest mean."""
    from armour.tensor import zoo

    x, y = small_models.digits(1797)
    near = small_models.centroids(x, y).state_dict()
    net = zoo.build("mlp", (1, 8, 8), 10, 0)
    state = net.state_dict()
    linear = [name for name in state if name.endswith("weight")]
    assert isinstance(net, nn.Module) and len(linear) >= 2
    shapes = {name: state[name].shape for name in state}
    filled = {name: value * 0 for name, value in state.items()}
    for i, name in enumerate(linear):
        rows, columns = shapes[name]
        source = near["3.weight"] if i == len(linear) - 1 else near["1.weight"]
        r, c = min(rows, source.shape[0]), min(columns, source.shape[1])
        filled[name][:r, :c] = source[:r, :c]
    last = linear[-1].replace("weight", "bias")
    filled[last] = near["3.bias"].astype(filled[last].dtype)
    with Path("w.npz").open("wb") as stream:
        npz.write_arrays(stream, filled)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_resume_and_replay_know_the_model() -> None:
    fuzz = ("fuzz", "w.npz", "--data", "digits", "-n", 60, "--no-baseline", "--json")
    first = run(*fuzz, *STATED, "--executions", 512)
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert shlex.split(found["command"])[-len(STATED) :] == list(STATED)
    manifest = json.loads(Path("w-fuzz/manifest.json").read_text())
    assert manifest["source"]["model_options"] == list(STATED)

    more = run("fuzz", "w.npz", "--resume", "--executions", 1024, "--json", "--no-baseline")
    assert more.exit_code == 0, more.output
    assert json.loads(more.stdout)["executions"] >= 1024

    again = run("corpus", "replay", "w-fuzz", "--json")
    assert again.exit_code == 0, again.output
    cases = json.loads(again.stdout)
    assert cases["failures"] == cases["rebuilt"] == cases["still_fail"] > 0 and not cases["model_changed"]
    other = run("corpus", "replay", "w-fuzz", "--json", "--model", "w.npz", *STATED)
    assert json.loads(other.stdout)["still_fail"] == cases["still_fail"]


def test_another_model_is_not_taken_for_the_corpus() -> None:
    assert run("fuzz", "w.npz", "--data", "digits", "-n", 40, *STATED, "--executions", 256).exit_code == 0
    result = run("fuzz", "w.npz", "--resume", "--mean", "0.1", "--executions", 512)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1 and "model" in result.stderr


@pytest.mark.parametrize("words", [["--bounds", "1,0"], "all", [3], ["--no-such"]], ids=str)
def test_a_manifest_with_hostile_options(words: object) -> None:
    assert run("fuzz", "w.npz", "--data", "digits", "-n", 40, *STATED, "--executions", 256).exit_code == 0
    path = Path("w-fuzz/manifest.json")
    manifest = json.loads(path.read_text())
    manifest["source"]["model_options"] = words
    path.write_text(json.dumps(manifest))
    for command in (("fuzz", "w.npz", "--resume", "--executions", 512), ("corpus", "replay", "w-fuzz")):
        result = run(*command)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
        assert os.path.exists("w-fuzz")
