"""Bad input through the whole command line: exit code 2, one line that says why, and nothing left behind."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import report_samples
import small_models
import sources
from click.testing import CliRunner

import armour
from armour.cli.main import main

Tree = dict[str, bytes | None]
# The commands that read a model or data, as far as their options; files are written into the working folder.
MODEL_COMMANDS: dict[str, tuple[str, ...]] = {
    "info": (),
    "info --json": ("--json",),
    "convert": ("out.onnx",),
    "attack": ("--epsilon", "0.1", "--attack", "fgsm", "-o", "advs.npz"),
    "fuzz": ("--executions", "100", "--corpus", "corpus"),
}
DATA_COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("--arch", "mlp", "--epochs", "1", "-o", "out.ckpt"),
    "attack": ("--epsilon", "0.1", "--attack", "fgsm", "-o", "advs.npz"),
    "fuzz": ("--executions", "100", "--corpus", "corpus"),
}


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint that records the data set digits."""
    path = tmp_path_factory.mktemp("valid") / "m.ckpt"
    net = small_models.centroids(*small_models.digits())
    net.provenance["data"] = {"name": "digits"}
    armour.save(net, path)
    return path.read_bytes()


@pytest.fixture
def folder(tmp_path: Path, valid: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a good model in it."""
    (tmp_path / "good.ckpt").write_bytes(valid)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tree(folder: Path) -> Tree:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
        if not p.is_symlink()
    }


def check(code: int, out: str, err: str) -> str:
    assert code == 2, (code, out, err)
    assert err.startswith("error: ") and err.endswith("\n") and err.count("\n") == 1, err
    assert "Traceback" not in err and "internal" not in err and err[:-1].isprintable()
    assert out == ""
    return err


def refused(folder: Path, *arguments: object) -> str:
    """Run in this process; gives the one line."""
    before = tree(folder)
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    line = check(result.exit_code, result.stdout, result.stderr)
    assert tree(folder) == before, "something was left behind"
    return line


def refused_outside(folder: Path, *arguments: object, largest: int | None = None) -> str:
    """Run in a process of its own, in which files may grow to `largest` bytes; gives the one line."""

    def limit() -> None:
        import resource

        if largest is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    before = tree(folder)
    done = subprocess.run(
        [sys.executable, "-m", "armour", *map(str, arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(sources.ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=limit if largest is not None else None,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    line = check(done.returncode, done.stdout, done.stderr)
    assert tree(folder) == before, "something was left behind"
    return line


# -- models ------------------------------------------------------------------------------------------------

MODELS = (
    *(
        "empty",
        "half",
        "text",
        "bomb",
        "lying about sizes",
        "tampered",
        "pickle",
        "torch",
        "NaN weight",
    ),
    *("next version", "no bounds", "no mean", "weight renamed", "extra member", "name with an escape"),
    *("member with a line feed", "padded to a terabyte", "provenance of text"),
)


@pytest.mark.parametrize("command", MODEL_COMMANDS)
@pytest.mark.parametrize("name", MODELS)
def test_models(folder: Path, valid: bytes, command: str, name: str) -> None:
    make, message = hostile.CASES[name]
    (folder / "bad.ckpt").write_bytes(make(valid))
    line = refused(folder, command.split(maxsplit=1)[0], "bad.ckpt", *MODEL_COMMANDS[command])
    assert line.startswith("error: bad.ckpt: ")
    if message.isalnum():
        assert message in line


@pytest.mark.parametrize("command", MODEL_COMMANDS)
def test_models_that_are_not_there(folder: Path, command: str) -> None:
    (folder / "sub").mkdir()
    for name, message in (
        ("absent.ckpt", "no such file"),
        ("sub", "folder"),
        ("good.ckpt/m", "no such file"),
    ):
        line = refused(folder, command.split(maxsplit=1)[0], name, *MODEL_COMMANDS[command])
        assert name in line and message in line


@pytest.mark.parametrize("name", ["half", "bomb", "tampered", "pickle", "NaN weight", "next version"])
def test_models_in_a_process_of_its_own(folder: Path, valid: bytes, name: str) -> None:
    (folder / "bad.ckpt").write_bytes(hostile.CASES[name][0](valid))
    command = {"half": "info", "bomb": "fuzz", "tampered": "attack"}.get(name, "info")
    assert "bad.ckpt" in refused_outside(folder, command, "bad.ckpt", *MODEL_COMMANDS[command])


# -- data --------------------------------------------------------------------------------------------------


def saved(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def images(n: int = 40, shape: tuple[int, ...] = (1, 8, 8)) -> np.ndarray:
    return np.random.default_rng(0).uniform(0, 1, (n, *shape)).astype(np.float32)


LABELS = np.arange(40) % 10
DATA: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty file": (lambda: b"", "empty"),
    "text": (lambda: b"hello\nworld\n", ""),
    "half": (lambda: saved(x=images(), y=LABELS)[:2000], "truncated or damaged"),
    "no samples": (lambda: saved(x=images(0), y=LABELS[:0]), ""),
    "no labels": (lambda: saved(x=images()), "x and y"),
    "fewer labels": (lambda: saved(x=images(), y=LABELS[:30]), ""),
    "numbers alone": (lambda: saved(x=np.zeros(40, np.float32), y=LABELS), ""),
    "complex samples": (lambda: saved(x=images().astype(np.complex64), y=LABELS), "save plain numbers"),
    "text samples": (lambda: saved(x=np.full((40, 8, 8), "a"), y=LABELS), ""),
    "objects": (lambda: saved(x=np.array([{}] * 40, dtype=object), y=LABELS), "pickle"),
    "NaN samples": (lambda: saved(x=np.full((40, 1, 8, 8), np.nan, np.float32), y=LABELS), "NaN"),
    "samples out of bounds": (lambda: saved(x=7 * images(), y=LABELS), "scale them"),
    "labels below 0": (lambda: saved(x=images(), y=LABELS - 1), "labels"),
    "labels far out": (lambda: saved(x=images(), y=LABELS + 10**9), "labels"),
    "labels of fractions": (lambda: saved(x=images(), y=LABELS + 0.5), "labels"),
    "labels of text": (lambda: saved(x=images(), y=np.full(40, "a")), "labels"),
    "labels in a matrix": (lambda: saved(x=images(), y=LABELS.reshape(20, 2)), "labels"),
    "a pickle": (lambda: b"\x80\x04\x95" + bytes(20), "pickle"),
    "one array": (lambda: b"\x93NUMPY\x01\x00" + bytes(20), "without labels"),
}


@pytest.mark.parametrize("command", DATA_COMMANDS)
@pytest.mark.parametrize("name", DATA)
def test_data(folder: Path, command: str, name: str) -> None:
    make, message = DATA[name]
    (folder / "bad.npz").write_bytes(make())
    first = ("bad.npz",) if command == "train" else ("good.ckpt", "--data", "bad.npz")
    line = refused(folder, command, *first, *DATA_COMMANDS[command])
    assert "bad.npz" in line and message in line


@pytest.mark.parametrize("command", ["attack", "fuzz"])
@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (images(40, (1, 9, 9)), LABELS, "shape"),
        (images(40, (3, 8, 8)), LABELS, "shape"),
        (images(40, (64,)), LABELS, "shape"),
        (images(), LABELS + 1, "0..9"),
    ],
    ids=["size", "channels", "vectors", "labels of an eleventh class"],
)
def test_data_that_does_not_fit_the_model(
    folder: Path, command: str, x: np.ndarray, y: np.ndarray, message: str
) -> None:
    (folder / "other.npz").write_bytes(saved(x=x, y=y))
    line = refused(folder, command, "good.ckpt", "--data", "other.npz", *DATA_COMMANDS[command])
    assert "other.npz" in line and message in line


@pytest.mark.parametrize("command", DATA_COMMANDS)
@pytest.mark.parametrize(
    ("name", "message"),
    [("digitz", "did you mean digits?"), ("absent.npz", "no such file"), ("no/where", "no such file")],
)
def test_data_that_is_not_there(folder: Path, command: str, name: str, message: str) -> None:
    first = (name,) if command == "train" else ("good.ckpt", "--data", name)
    line = refused(folder, command, *first, *DATA_COMMANDS[command])
    assert name in line and message in line


@pytest.mark.parametrize("y", [np.zeros(40, np.int64), np.full(40, 3)], ids=["one class", "one late class"])
def test_data_with_one_class(folder: Path, y: np.ndarray) -> None:
    (folder / "one.npz").write_bytes(saved(x=images(), y=y))
    before = tree(folder)
    result = CliRunner().invoke(main, ["train", "one.npz", *DATA_COMMANDS["train"]])
    if y[0] == 0:
        check(result.exit_code, result.stdout, result.stderr)
        assert "2 classes" in result.stderr and tree(folder) == before
    else:
        assert result.exit_code in (0, 2)


def test_bounds_that_the_file_does_not_state_are_an_option(folder: Path, valid: bytes) -> None:
    (folder / "m.ckpt").write_bytes(hostile.without("bounds")(valid))
    for command in ("info", "attack"):
        assert "--bounds 0,1" in refused(folder, command, "m.ckpt", *MODEL_COMMANDS[command])
        arguments = [command, "m.ckpt", *MODEL_COMMANDS[command], "--bounds", "0,1"]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.stderr
        assert refused(folder, command, "good.ckpt", *arguments[2:-1], "0,2").endswith("leave them out\n")


# -- options -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("attack", "good.ckpt", "--epsilon", "8"), "did you mean 8/255?"),
        (("attack", "good.ckpt", "--epsilon", "2/1"), "span"),
        (("attack", "good.ckpt", "--epsilon", "-0.1"), "epsilon"),
        (("attack", "good.ckpt", "--epsilon", "nan"), "epsilon"),
        (("attack", "good.ckpt", "--epsilon", "1/0"), "epsilon"),
        (("attack", "good.ckpt", "--epsilon", "much"), "much"),
        (("attack", "good.ckpt"), "--epsilon 8/255"),
        (("attack", "good.ckpt", "--attack", "pdg", "--epsilon", "0.1"), "did you mean pgd"),
        (("attack", "good.ckpt", "--attack", "fgms", "--epsilon", "0.1"), "did you mean fgsm"),
        (("attack", "good.ckpt", "--attack", "x" * 50, "--epsilon", "0.1"), "pgd"),
        (("attack", "good.ckpt", "--norm", "l3", "--epsilon", "0.1"), "l3"),
        (("attack", "good.ckpt", "--attack", "fgsm", "--steps", "3", "--epsilon", "0.1"), "--steps"),
        (("attack", "good.ckpt", "--steps", "0", "--epsilon", "0.1"), "steps"),
        (("attack", "good.ckpt", "-n", "0", "--epsilon", "0.1"), "0"),
        (("attack",), "MODEL"),
        (("train", "digits"), "--output"),
        (("train", "digits", "--arch", "lenet", "-o", "m.ckpt"), "did you mean lenet5"),
        (("train", "digits", "--epochs", "0", "-o", "m.ckpt"), "0"),
        (("train", "digits", "--lr", "0", "-o", "m.ckpt"), "0"),
        (("train", "digits", "--lr", "nan", "-o", "m.ckpt"), "nan"),
        (("train", "digits", "--seed", "-1", "-o", "m.ckpt"), "-1"),
        (("train", "digits", "-o", "m.onnx"), ".ckpt"),
        (("fuzz", "good.ckpt", "--executions", "0"), "0"),
        (("fuzz", "good.ckpt", "--seconds", "soon"), "soon"),
        (("fuzz", "good.ckpt", "--validity", "V9"), "V9"),
        (("report", "good.ckpt"), "good.ckpt"),
        (("report", "absent.json"), "absent.json"),
        (("report", "good.ckpt", "-o", "r.exe"), ".html"),
        (("corpus", "stats", "absent"), "absent"),
        (("inf",), "did you mean info"),
    ],
    ids=lambda v: " ".join(v)[:40] if isinstance(v, tuple) else "",
)
def test_options(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(folder, *arguments)


# -- places ------------------------------------------------------------------------------------------------


@pytest.fixture
def writers(folder: Path) -> dict[str, tuple[str, ...]]:
    """Commands without the place they write to; the report's source is there."""
    report_samples.report().save(folder / "r.json")
    return {
        "train": ("train", "digits", "--arch", "mlp", "--epochs", "1", "-o"),
        "attack": ("attack", "good.ckpt", "--epsilon", "0.1", "--attack", "fgsm", "-n", "100", "-o"),
        "fuzz": ("fuzz", "good.ckpt", "--executions", "300", "--no-baseline", "--quiet", "--corpus"),
        "report": ("report", "r.json", "-o"),
    }


NAMES = {"train": "m.ckpt", "attack": "a.npz", "fuzz": "corpus", "report": "r.html"}


@pytest.mark.parametrize("command", NAMES)
def test_a_place_below_a_file(folder: Path, writers: dict[str, tuple[str, ...]], command: str) -> None:
    target = Path("good.ckpt") / NAMES[command]  # root may write anywhere else
    assert "good.ckpt" in refused(folder, *writers[command], target)


@pytest.mark.parametrize("command", ["train", "attack", "report"])
def test_a_folder_that_is_not_there(folder: Path, writers: dict[str, tuple[str, ...]], command: str) -> None:
    assert "absent" in refused(folder, *writers[command], Path("absent") / NAMES[command])


@pytest.mark.parametrize("command", ["train", "attack", "report"])
def test_a_folder_in_place_of_a_file(folder: Path, writers: dict[str, tuple[str, ...]], command: str) -> None:
    (folder / NAMES[command]).mkdir()
    assert "folder" in refused(folder, *writers[command], NAMES[command])


def test_a_file_in_place_of_a_folder(folder: Path, writers: dict[str, tuple[str, ...]]) -> None:
    assert "good.ckpt" in refused(folder, *writers["fuzz"], "good.ckpt")


@pytest.mark.parametrize("command", ["train", "attack", "report"])
def test_a_disk_that_is_full(
    folder: Path, writers: dict[str, tuple[str, ...]], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / NAMES[command]).write_bytes(b"what was there before")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    line = refused(folder, *writers[command], NAMES[command])
    assert NAMES[command] in line and "No space left" in line


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE")
@pytest.mark.parametrize("command", ["train", "attack", "report"])
def test_a_file_that_may_not_grow(folder: Path, writers: dict[str, tuple[str, ...]], command: str) -> None:
    line = refused_outside(folder, *writers[command], NAMES[command], largest=4096)
    assert NAMES[command] in line


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE")
def test_a_corpus_that_may_not_grow_can_be_resumed(folder: Path, writers: dict[str, tuple[str, ...]]) -> None:
    """A corpus is many files: what was whole stays, what was not is gone, and the run can go on."""
    import resource

    done = subprocess.run(
        [sys.executable, "-m", "armour", *writers["fuzz"], "corpus"],
        env=os.environ | {"PYTHONPATH": str(sources.ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
        check=False,
    )
    check(done.returncode, done.stdout, done.stderr)
    assert not [p for p in folder.rglob("*") if p.name.endswith(".tmp")]
    result = CliRunner().invoke(main, [*writers["fuzz"], "corpus", "--resume"])
    assert result.exit_code == 0, result.stderr
