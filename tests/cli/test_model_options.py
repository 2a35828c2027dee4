"""What is stated about a model on the command line: read, written down, read again, refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from armour.bounds import Bounds
from armour.cli.main import main
from armour.cli.model_options import NAMES, from_words, keywords, load_model, model_options, words
from armour.errors import InvalidArgument
from armour.options import LoadOptions
from armour.preprocessing import Preprocessing

ALL = [
    *("--arch", "lenet5", "--bounds", "-1,1", "--input-shape", "3,224,224", "--scale", "127.5"),
    *("--mean", "0.485,0.456,0.406", "--std", "0.5", "--layout", "NHWC", "--channels", "bgr"),
    *("--resize", "224,192", "--input-dtype", "uint8", "--input", "x:0", "--output-value", "probs"),
    *("--fix", "rate=16000", "--fix", "state=0,-1e-05,2.5", "--reduce", "max"),
    *("--runtime", "onnxruntime", "--num-classes", "3", "--class-names", "ant,bee,cat"),
]


def read(*given: str) -> dict[str, Any]:
    """The options as a command gets them."""
    found: list[dict[str, Any]] = []

    @click.command()
    @model_options
    def command(model_options: dict[str, Any]) -> None:
        found.append(model_options)

    result = CliRunner().invoke(command, list(given), standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return found[0]


def test_nothing_is_stated_by_default() -> None:
    assert read() == {} and words({}) == [] and keywords({}) == {} and from_words([]) == {}


def test_every_option_becomes_an_argument_of_load() -> None:
    options = read(*ALL)
    assert set(options) == set(NAMES)
    stated = LoadOptions(**keywords(options))
    assert stated.bounds == Bounds(-1, 1) and stated.input_shape == (3, 224, 224) and stated.arch == "lenet5"
    assert stated.steps == Preprocessing(
        scale=127.5,
        mean=(0.485, 0.456, 0.406),
        std=(0.5,),
        layout="NHWC",
        channels="bgr",
        resize=(224, 192),
        dtype="uint8",
    )
    assert (stated.input, stated.output, stated.runtime) == ("x:0", "probs", "onnxruntime")
    assert stated.fixed is not None and stated.fixed["rate"] == 16000
    assert stated.fixed["state"].tolist() == [0, -1e-5, 2.5]
    assert stated.reduce == "max"
    assert (stated.num_classes, stated.class_names) == (3, ("ant", "bee", "cat"))


def test_mean_and_std_alone_stay_so() -> None:
    assert keywords(read("--mean", "0.5")) == {"mean": (0.5,)}
    assert keywords(read("--mean", "0.5", "--std", "1,2")) == {"mean": (0.5,), "std": (1.0, 2.0)}


@pytest.mark.parametrize(
    "given",
    [
        ALL,
        ["--class-names", '["a, b", "c"]'],
        ["--class-names", '["model.py"]', "--scale", "1e-07"],
        ["--bounds", "0,255"],
        ["--fix", "a=b=3", "--input", "--odd"],
    ],
    ids=lambda given: given[0],
)
def test_words_are_read_as_what_was_written(given: list[str]) -> None:
    options = read(*given)
    assert from_words(words(options)) == options == from_words(json.loads(json.dumps(words(options))))


def test_names_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_text("ant\n\n bee \ncat, a\n", encoding="utf-8")
    options = read("--class-names", str(path))
    assert options["class_names"] == ("ant", "bee", "cat, a")
    path.unlink()
    assert from_words(words(options)) == options, "the names are recorded, not the file"
    path.write_bytes(b"a" * (1 << 20) + b"\n")
    with pytest.raises(click.UsageError, match="1,048,576 bytes"):
        read("--class-names", str(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(click.UsageError, match="cannot be read"):
        read("--class-names", str(path))


BAD = [
    ("--bounds", "1,0"),
    ("--bounds", "a"),
    ("--input-shape", "3,x"),
    ("--input-shape", "0,2"),
    ("--input-shape", "3.5"),
    ("--input-shape", ""),
    ("--scale", "big"),
    ("--scale", "0"),
    ("--scale", "nan"),
    ("--mean", "nan"),
    ("--mean", "1,,2"),
    ("--std", "0"),
    ("--std", "inf"),
    ("--layout", "hwc"),
    ("--channels", "gray"),
    ("--resize", "224"),
    ("--resize", "0,4"),
    ("--resize", "9999999,9999999"),
    ("--input-dtype", "object"),
    ("--input", ""),
    ("--fix", "name"),
    ("--fix", "=3"),
    ("--fix", "a=b"),
    ("--fix", "a=inf"),
    ("--runtime", "torch"),
    ("--reduce", "min"),
    ("--num-classes", "0"),
    ("--num-classes", "many"),
    ("--class-names", "[1]"),
    ("--class-names", "[" * 100_000),
    ("--class-names", "a,,b"),
    ("--class-names", "\x1b[31m,b"),
]


@pytest.mark.parametrize(("flag", "value"), BAD, ids=lambda v: v[:20])
@pytest.mark.parametrize("command", ["info", "attack", "fuzz", "serve"])
def test_a_bad_value_is_one_line(tmp_path: Path, command: str, flag: str, value: str) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(b"PK\5\6" + bytes(18))
    result = run(command, path, flag, value, *(["--epsilon", "0.1"] if command == "attack" else []))
    one_line(result)
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_input_fixed_twice(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"\x08\x08")
    result = run("info", path, "--fix", "a=1", "--fix", "a=2")
    one_line(result)
    assert "once" in result.stderr


def test_what_is_for_files_is_refused_for_addresses() -> None:
    for given in (["--arch", "mlp"], ["--runtime", "onnxruntime"], ["--fix", "a=1"]):
        with pytest.raises(InvalidArgument, match=f"{given[0]} is for a model in a file"):
            load_model("http://127.0.0.1:9/v2/models/m", read(*given))


@pytest.mark.parametrize(
    "given",
    [
        None,
        "words",
        {"bounds": [0, 1]},
        [1],
        ["--bounds"],
        ["--bounds", "1,0"],
        ["--no-such", "1"],
        ["extra"],
        ["--help"],
        ["--scale", "1"] * 100,
    ],
    ids=str,
)
def test_recorded_words_may_be_hostile(given: Any) -> None:
    with pytest.raises(InvalidArgument) as error:
        from_words(given)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def run(command: str, *arguments: object) -> Result:
    return CliRunner().invoke(main, [command, *map(str, arguments)])


def one_line(result: Result) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    assert result.stdout == ""
