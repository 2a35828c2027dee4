"""`armour train`: checkpoint, report and provenance agree; a run that was killed ends as if it were not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sources
from click.testing import CliRunner, Result

import armour
from armour import data, training
from armour.cli import train as module
from armour.cli.main import main
from armour.model import ModuleModel
from armour.stats import wilson

FAST = ("digits", "--arch", "mlp", "--epochs", "3")


def train(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["train", *map(str, arguments)])


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "armour", "train", *map(str, arguments)]


def trained(path: Path, *more: object) -> dict[str, Any]:
    result = train(*FAST, "-o", path, "--json", *more)
    assert result.exit_code == 0, result.output
    assert result.stderr == "" and result.stdout.count("\n") == 1
    shown: dict[str, Any] = json.loads(result.stdout)
    return shown


def test_json_checkpoint_and_model_agree(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    shown = trained(path)
    model = armour.load(path)
    assert isinstance(model, ModuleModel)
    fitting, test = data.load_split("digits")
    right = int((model.predict(test.x) == test.y).sum())
    assert shown["test_accuracy"] == right / len(test) > 0.85 and shown["test_samples"] == len(test)
    np.testing.assert_allclose(shown["test_interval"], wilson(right, len(test)))
    assert shown["fingerprint"] == model.fingerprint and shown["output"] == str(path)
    assert (model.name, model.num_classes, model.input_shape) == ("mlp-digits", 10, (1, 8, 8))
    assert model.class_names == test.class_names and tuple(model.bounds) == tuple(test.bounds)
    assert list(tmp_path.iterdir()) == [path], "the state is gone with the end of the run"
    assert model.mean != (0.0,) and model.std != (1.0,)
    assert len(fitting) == shown["samples"] + shown["validation_samples"]


def test_provenance_is_complete_and_its_command_gives_the_same_network(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    shown = trained(path, "--seed", 5, "--lr", 0.003, "--batch-size", 32)
    model = armour.load(path)
    record = model.provenance["training"]
    assert {**record, "output": str(path), "fingerprint": model.fingerprint} == shown
    train_set, test_set = data.load_split("digits")
    assert model.provenance["data"] == {
        "name": "digits",
        "digest": train_set.digest,
        "test_digest": test_set.digest,
    }
    config = training.recipe("mlp", epochs=3, lr=0.003, batch_size=32)
    assert record["config"] == asdict(config) and record["seed"] == 5 and record["arch"] == "mlp"
    assert record["armour"] == armour.__version__ and record["numpy"] == np.__version__
    assert 1 <= record["best_epoch"] <= record["epochs"] <= 3 and 0 < record["validation_accuracy"] <= 1
    words = record["command"].split()
    assert words[:2] == ["armour", "train"]
    again = tmp_path / "again.ckpt"
    assert train(*words[2:], "-o", again).exit_code == 0
    assert again.read_bytes() == path.read_bytes()


def test_the_test_samples_never_influence_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(tmp_path / "a.ckpt")
    known = data.load_split

    def worse(*arguments: Any, **options: Any) -> Any:
        samples, test = known(*arguments, **options)
        turned = data.Dataset(test.x[:, :, ::-1], 9 - test.y, test.bounds, test.name, test.class_names)
        return samples, turned

    monkeypatch.setattr(module.data, "load_split", worse)
    trained(tmp_path / "b.ckpt")
    a, b = (armour.load(tmp_path / name) for name in ("a.ckpt", "b.ckpt"))
    assert a.fingerprint == b.fingerprint
    records = [model.provenance["training"] for model in (a, b)]
    assert records[0]["best_epoch"] == records[1]["best_epoch"]
    assert records[0]["test_accuracy"] > records[1]["test_accuracy"]


def test_text_says_how_good_it_is_and_what_comes_next(tmp_path: Path) -> None:
    path = tmp_path / "a model.ckpt"
    result = train(*FAST, "-o", path)
    assert result.exit_code == 0 and result.stderr == ""
    first, second = result.stdout.splitlines()
    assert first.startswith("mlp on digits: test accuracy ") and "n=359, 95 % interval" in first
    assert second == f"wrote {path}; next: armour fuzz '{path}'"
    assert train(*FAST, "-o", path, "--quiet").output == ""


def test_data_from_a_file(tmp_path: Path) -> None:
    x, y = data.load("digits")
    np.savez(tmp_path / "d.npz", x=x[:300], y=y[:300])
    result = train(tmp_path / "d.npz", "--arch", "mlp", "--epochs", 2, "-o", tmp_path / "m.ckpt", "--json")
    assert result.exit_code == 0, result.stderr
    assert armour.load(tmp_path / "m.ckpt").name == "mlp-d"


# -- interruption ------------------------------------------------------------------------------------------

# Trains like the command, slow enough to be interrupted between the epochs.
SLOW = """
import sys, time
from armour import training_state
from armour.cli.main import main
write = training_state.write
def slowly(*arguments):
    write(*arguments)
    time.sleep(0.5)
training_state.write = slowly
main(sys.argv[1:])
"""


def interrupted(path: Path, number: int, epochs: int = 1) -> subprocess.CompletedProcess[str]:
    """Run `train` and send it a signal when so many epochs are in its state file."""
    state = path.with_name(path.name + ".train")
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, "train", *FAST, "-o", str(path)],
        cwd=sources.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen: set[int] = set()
    end = time.monotonic() + 60
    while len(seen) < epochs and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
        if state.exists():
            seen.add(state.stat().st_ino)  # each write is a new file
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def test_killed_and_resumed_gives_the_same_file(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.ckpt", tmp_path / "m.ckpt"
    assert train(*FAST, "-o", whole).exit_code == 0
    done = interrupted(path, signal.SIGKILL)
    assert done.returncode == -signal.SIGKILL and not path.exists()
    assert [p.name for p in tmp_path.iterdir() if p.name != "whole.ckpt"] == ["m.ckpt.train"]
    result = train(*FAST, "-o", path, "--resume", "--json")
    assert result.exit_code == 0, result.stderr
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.ckpt", "whole.ckpt"]


@pytest.mark.skipif(os.name == "nt", reason="SIGINT is sent differently on Windows")
def test_ctrl_c_keeps_the_state_and_says_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    done = interrupted(path, signal.SIGINT)
    assert done.returncode == 130, done.stderr
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: training was interrupted")
    assert [p.name for p in tmp_path.iterdir()] == ["m.ckpt.train"]
    again = done.stderr.split("go on with: armour ")[1].split()
    result = CliRunner().invoke(main, [*again, "--json"])
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["epochs"] <= 3 and path.exists()


def test_an_interruption_before_the_first_epoch_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training._Run, "epoch", stop)
    result = train(*FAST, "-o", tmp_path / "m.ckpt")
    assert result.exit_code == 130 and "nothing was kept" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (("--seed", 1), "seed"),
        (("--lr", 0.1), "configuration"),
        (("--epochs", 4), "configuration"),
        (("--arch", "lenet5"), "network"),
    ],
    ids=str,
)
def test_resuming_with_other_options_is_refused(
    tmp_path: Path, options: tuple[Any, ...], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, state = tmp_path / "m.ckpt", tmp_path / "m.ckpt.train"
    judged = training._Run.judged
    calls: list[int] = []

    def stop(self: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return judged(self)

    with monkeypatch.context() as patch:
        patch.setattr(training._Run, "judged", stop)
        assert train(*FAST, "-o", path).exit_code == 130
    raw = state.read_bytes()
    result = train(*FAST, "-o", path, "--resume", *options)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert re.search(f"another {what}", result.stderr), result.stderr
    assert state.read_bytes() == raw and not path.exists()
    assert train(*FAST, "-o", path, "--resume").exit_code == 0


def test_resume_with_nothing_to_resume(tmp_path: Path) -> None:
    path = tmp_path / "m.ckpt"
    assert train(*FAST, "-o", path, "--resume").exit_code == 0, "a run that never began is begun"
    raw = path.read_bytes()
    result = train(*FAST, "-o", path, "--resume")
    assert result.exit_code == 2 and "nothing to resume" in result.stderr
    assert path.read_bytes() == raw
