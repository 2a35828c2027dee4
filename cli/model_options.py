"""What a user states about a model that is no checkpoint of ours: flags of every command that reads one.

`@model_options` gives a command one parameter `model_options`: the flags that were stated, by their names.
They can be written down as words of a command line, for a corpus or a report, and read from there again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from armour.cli.options import BOUNDS
from armour.cli.remote import read_model
from armour.contract import Model
from armour.errors import InvalidArgument

F = TypeVar("F", bound=Callable[..., Any])

MAX_NAMES = 1 << 20  # bytes of a file of class names
MAX_WORDS = 64
_STEPS = ("mean", "std", "scale", "layout", "channels", "resize", "input_dtype")
_ALONE = {"mean", "std"}  # these are known to every reader; the rest are a Preprocessing


class NumbersType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """Numbers with commas between; gives a tuple of floats, or of whole numbers above 0."""

    def __init__(self, example: str, *, whole: bool = False, length: int | None = None) -> None:
        self.name, self.example, self.whole, self.length = "numbers", example, whole, length

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The numbers; a usage error if they are none."""
        if isinstance(value, tuple):
            return value
        try:
            found = tuple(
                (int if self.whole else float)(part) for part in str(value).strip("()[] ").split(",")
            )
        except ValueError:
            found = ()
        fits = found and all(math.isfinite(v) and (not self.whole or v > 0) for v in found)
        if not fits or (self.length is not None and len(found) != self.length):
            kind = "whole numbers above 0" if self.whole else "numbers"
            self.fail(f"expected {kind} such as {self.example}, got {value!r}", param, ctx)
        return found


class NamesType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """Names of the classes: a,b,c, or a JSON list, or a file with one a line; gives a tuple of text."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The names; a usage error if a file or a list cannot be read."""
        if isinstance(value, tuple):
            return value
        text = str(value)
        try:
            if text.lstrip().startswith("["):
                found = json.loads(text)
            elif "," not in text and Path(text).is_file():
                found = self._read(Path(text))
            else:
                found = [name.strip() for name in text.split(",")]
        except (OSError, ValueError, RecursionError) as error:
            self.fail(f"class names cannot be read from {text[:80]!r}: {error}", param, ctx)
        if not isinstance(found, list) or not all(isinstance(n, str) and n for n in found):
            self.fail(f"expected names such as cat,dog or a file of them, got {text[:80]!r}", param, ctx)
        return tuple(found)

    def _read(self, path: Path) -> list[str]:
        if path.stat().st_size > MAX_NAMES:
            raise ValueError(f"more than {MAX_NAMES:,} bytes")
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


class FixType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """NAME=NUMBER or NAME=N,N,...: the value of an input that is not attacked; gives (name, numbers)."""

    name = "fix"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The pair; a usage error if it is none."""
        if isinstance(value, tuple):
            return value
        name, sign, numbers = str(value).rpartition("=")
        try:
            found = tuple(float(part) for part in numbers.split(","))
        except ValueError:
            found = ()
        if not sign or not name or not found or not all(math.isfinite(v) for v in found):
            self.fail(f"expected NAME=NUMBER such as rate=16000, got {value!r}", param, ctx)
        return name, found


_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--arch",), {"metavar": "NAME", "help": "Network of a file of weights: lenet5, resnet18, ..."}),
    (
        ("--bounds",),
        {
            "type": BOUNDS,
            "metavar": "LOW,HIGH",
            "help": "Range of the inputs as you give them, if the file does not state it.",
        },
    ),
    (
        ("--input-shape",),
        {
            "type": NumbersType("3,224,224", whole=True),
            "metavar": "C,H,W",
            "help": "Shape of one input as you give it.",
        },
    ),
    (
        ("--scale",),
        {
            "type": float,
            "metavar": "N",
            "help": "What inputs are multiplied by first: 255 for a network of 0..255.",
        },
    ),
    (
        ("--mean",),
        {"type": NumbersType("0.485,0.456,0.406"), "metavar": "N,...", "help": "Subtracted after that."},
    ),
    (("--std",), {"type": NumbersType("0.229,0.224,0.225"), "metavar": "N,...", "help": "Divided by then."}),
    (
        ("--layout",),
        {
            "type": click.Choice(["nchw", "nhwc"], case_sensitive=False),
            "help": "Axes of the network's input; yours are always (n, c, h, w).",
        },
    ),
    (
        ("--channels",),
        {
            "type": click.Choice(["rgb", "bgr"], case_sensitive=False),
            "help": "Order of the network's channels.",
        },
    ),
    (
        ("--resize",),
        {
            "type": NumbersType("224,224", whole=True, length=2),
            "metavar": "H,W",
            "help": "Size that the network takes, if yours is another.",
        },
    ),
    (
        ("--input-dtype",),
        {
            "metavar": "TYPE",
            "help": "What the network takes: float32, uint8, ...; rounded if whole.",
        },
    ),
    (("--input", "input"), {"metavar": "NAME", "help": "ONNX: the input that is attacked."}),
    (("--output-value",), {"metavar": "NAME", "help": "ONNX: the value that is the answer."}),
    (
        ("--fix",),
        {
            "type": FixType(),
            "multiple": True,
            "metavar": "NAME=N",
            "help": "ONNX: the value of another input. May be given several times.",
        },
    ),
    (
        ("--reduce",),
        {
            "type": click.Choice(["last", "mean", "max"]),
            "help": "ONNX: how the scores of a sequence's steps become one.",
        },
    ),
    (
        ("--runtime",),
        {
            "type": click.Choice(["armour", "onnxruntime"]),
            "help": "What runs an ONNX file; onnxruntime: as a black box.",
        },
    ),
    (("--num-classes",), {"type": click.IntRange(min=1), "metavar": "N", "help": "Number of classes."}),
    (
        ("--class-names",),
        {"type": NamesType(), "metavar": "FILE|A,B,...", "help": "Their names, in order."},
    ),
)


def _name(flags: tuple[str, ...]) -> str:
    return flags[-1].lstrip("-").replace("-", "_")


NAMES = tuple(_name(flags) for flags, _ in _OPTIONS)


def model_options(function: F) -> F:
    """--arch, --bounds, --layout, ...: gives the command `model_options`, the stated ones by name."""

    @wraps(function)
    def command(*args: Any, **values: Any) -> Any:
        return function(*args, model_options=_stated({name: values.pop(name) for name in NAMES}), **values)

    shown: Any = command
    for flags, settings in reversed(_OPTIONS):
        shown = click.option(*flags, default=None, **settings)(shown)
    result: F = shown
    return result


def keywords(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as arguments of armour.load and armour.wrap; InvalidArgument if they contradict."""
    found: dict[str, Any] = {
        "output" if name == "output_value" else name: value
        for name, value in options.items()
        if name not in ("fix", *_STEPS)
    }
    steps = {"dtype" if n == "input_dtype" else n: options[n] for n in _STEPS if n in options}
    if set(steps) <= _ALONE:
        found |= steps
    else:
        from armour.preprocessing import Preprocessing

        found["preprocessing"] = Preprocessing(**steps)
    if "fix" in options:
        pairs = options["fix"]
        found["fixed"] = {name: numbers[0] if len(numbers) == 1 else list(numbers) for name, numbers in pairs}
        if len(found["fixed"]) < len(pairs):
            raise InvalidArgument("expected --fix once for each input; leave the others out")
    return found


def words(options: Mapping[str, Any]) -> list[str]:
    """The options as a command line states them."""
    written: list[str] = []
    for flags, _ in _OPTIONS:
        name = _name(flags)
        if name == "fix":
            for input_name, numbers in options.get(name, ()):
                written += [flags[0], f"{input_name}={_text(numbers)}"]
        elif name in options:
            written += [flags[0], _text(options[name])]
    return written


def from_words(given: Any) -> dict[str, Any]:
    """The options that `words` wrote, from a file that may hold anything; InvalidArgument for the rest."""
    if not isinstance(given, list) or len(given) > MAX_WORDS or not all(isinstance(w, str) for w in given):
        raise InvalidArgument("expected the recorded options of the model as a list of words; start anew")
    command = click.Command("options", params=[click.Option(f, **s) for f, s in _OPTIONS], callback=None)
    try:
        context = command.make_context("options", list(given), resilient_parsing=False)
    except (click.ClickException, click.exceptions.Exit) as error:
        reason = error.format_message() if isinstance(error, click.ClickException) else "asks for help"
        raise InvalidArgument(f"the recorded options of the model cannot be read: {reason}") from error
    return _stated(context.params)


def _stated(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in NAMES if values.get(name) not in (None, ())}


def _text(value: Any) -> str:
    if isinstance(value, (str, int)):
        return str(value)
    parts: list[Any] = [value] if isinstance(value, float) else list(value)
    if any(isinstance(part, str) for part in parts):
        plain = all("," not in name and name == name.strip() for name in parts)
        return ",".join(parts) if plain and len(parts) > 1 else json.dumps(parts)
    return ",".join(repr(part).removesuffix(".0") for part in parts)


def load_model(
    model: Path | str,
    options: Mapping[str, Any],
    *,
    remote: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Model:
    """The model in a file or at a URL, with what is stated about it (remote: about its server).

    Raises InvalidArgument for what contradicts it or belongs to another kind of model, and what loading
    raises.
    """
    stated = keywords(options)
    if isinstance(model, str):
        files_only = ("arch", "fix", "reduce", "runtime")
        alone = [f"--{name}" for name in files_only if name in options]
        if alone:
            raise InvalidArgument(f"{', '.join(alone)} is for a model in a file, got {model}; leave it out")
        if set(stated) & _ALONE:
            from armour.preprocessing import joined

            pair = {name: stated.pop(name, None) for name in sorted(_ALONE)}
            stated["preprocessing"] = joined(None, pair["mean"], pair["std"])
    return read_model(model, dict(remote or {}), device=device, **stated)
