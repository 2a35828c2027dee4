"""`armour info MODEL`: what a model file says about itself, as text or JSON."""

from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import click

from armour.cli import matched, weights
from armour.cli.model_facts import describe
from armour.cli.model_options import load_model, model_options
from armour.cli.options import json_option, print_json
from armour.cli.remote import MODEL, remote_options
from armour.errors import RangeNotStated
from armour.preprocessing import Preprocessing
from armour.tensor.layers import LAYERS

_SHOWN = 20  # class names in the text
_KNOWN = (
    "operators",
    "outputs",
    "preprocessing",
    "input",
    "output",
    "licence",
    "license",
    *matched.KEYS,
)  # of provenance, shown elsewhere
_TUPLE = re.compile(r"\((\d+(?:, \d+)+)\)")


@click.command()
@click.argument("model", type=MODEL, metavar="MODEL|URL")
@model_options
@remote_options
@json_option
def info(model: Path | str, model_options: dict[str, Any], remote: dict[str, Any], as_json: bool) -> None:
    """Show MODEL: its network, parameters, input shape and bounds, provenance and hashes.

    MODEL is a file, or the URL of a served model (Open Inference Protocol v2). Nothing in a file is executed
    but its network, on two made-up inputs, to see the shapes of its layers; a black box is asked 256. Of a
    file of weights, about which nothing is stated, the arrays are listed, and what network they could be.
    """
    if isinstance(model, Path) and not model_options and not remote:
        listed = weights.describe(model)
        if listed is not None:
            print_json(listed) if as_json else click.echo(weights.render(listed))
            return
    stated = True
    try:
        loaded = load_model(model, model_options, remote=remote)
    except RangeNotStated:  # to look at a network is no reason to know its range
        stated = False
        loaded = load_model(model, {**model_options, "bounds": (0.0, 1.0)}, remote=remote)
    facts = describe(loaded, model) | {"bounds_stated": stated}
    if as_json:
        print_json(facts)
    else:
        click.echo(render(facts))


def render(facts: dict[str, Any]) -> str:
    """The facts for people."""
    shape = " x ".join(map(str, facts["input_shape"] or ("unknown",)))
    size = "" if facts["bytes"] is None else f", {facts['bytes']:,} bytes"
    names = facts["class_names"]
    shown = ", ".join(_plain(name) for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    lines = [
        ("model", f"{_plain(facts['name'])} ({facts['path']}{size})"),
        ("kind", f"{facts['kind']}, {'with' if facts['can_grad'] else 'without'} gradients"),
        ("input", f"{shape}, {_range(facts)}"),
        ("network's", _taken(facts["takes"])),
        ("classes", f"{facts['num_classes'] or 'none known'}" + (f": {shown}" if names else "")),
    ]
    lines.append(("outputs", _plain(facts["outputs"] or "not asked yet")))
    if "layers" in facts:
        mean, std = (", ".join(f"{v:g}" for v in facts[key]) for key in ("mean", "std"))
        lines.append(("normalised", f"mean {mean}; standard deviation {std}"))
    if facts["preprocessing"]["text"] != "none" and not ("layers" in facts and _normalises(facts)):
        lines.append(("prepared", facts["preprocessing"]["text"]))
    if "layers" in facts:
        lines.append(("parameters", f"{facts['parameters']:,} (and {facts['buffers']:,} in buffers)"))
        lines.append(("operators", _counted(facts["operators"])))
    own = facts["provenance"].get("operators")
    if isinstance(own, dict) and all(isinstance(n, int) for n in own.values()):
        lines.append(("in the file", _plain(_counted(own))))
    ends = [_end(facts["provenance"].get(key), key) for key in ("input", "output")]
    if all(ends):
        lines.append(("file's ends", _plain("; ".join(ends))))
    lines += _provenance(facts)
    lines.append(("licence", _plain(facts["licence"] or "not stated")))
    lines.append(("export", "; ".join(_export(*item) for item in facts["exportable"].items())))
    if facts["file_sha256"]:
        lines.append(("file", f"sha256 {facts['file_sha256']}"))
    if "layers" in facts:
        lines.append(("weights", f"sha256 {facts['weights_sha256']}"))
        lines.append(("network", f"sha256 {facts['fingerprint']} (graph, normalisation and weights)"))
    elif facts["fingerprint"]:
        lines.append(("answers", f"sha256 {facts['fingerprint']} (what the model is known by)"))
    text = "\n".join([f"{key:<11} {value}" for key, value in lines] + matched.lines(facts["provenance"]))
    return text + ("\n\n" + _table(facts["layers"]) if "layers" in facts else "")


def _end(told: Any, key: str) -> str:
    """The input or output of the graph in the file, as an import recorded it."""
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        return ""
    shape = ", ".join(map(str, told["shape"])) if isinstance(told.get("shape"), list) else ""
    rest = f" ({shape}) {told.get('dtype', '')}" if shape else f", {told.get('ending', '')}"
    return f"{key} {told['name']}{rest}"


def _range(facts: dict[str, Any]) -> str:
    low, high = facts["bounds"]
    if not facts.get("bounds_stated", True):
        return "values in a range that the file does not say; other commands need it, as in --bounds 0,1"
    return f"values in ({low:g}, {high:g})"


def _normalises(facts: dict[str, Any]) -> bool:
    """True if the inputs are normalised and nothing else is done to them."""
    plain = Preprocessing().to_dict() | {"mean": facts["mean"], "std": facts["std"]}
    return {key: v for key, v in facts["preprocessing"].items() if key != "text"} == plain


def _taken(takes: dict[str, Any]) -> str:
    """The network's own input, behind the preprocessing."""
    shape = takes["shape"]
    sides = "an unknown shape" if shape is None else " x ".join("n" if d is None else str(d) for d in shape)
    return f"{sides} {takes['dtype']}" + (f", named {_plain(takes['name'])}" if takes["name"] else "")


def _counted(operators: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in operators.items())


def _export(kind: str, reason: str | None) -> str:
    return f".{kind}" if reason is None else f".{kind} not: {reason}"


def _provenance(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known of its making; a file may hold anything here, so all of it is shown as JSON text."""
    lines = []
    rest = {key: value for key, value in facts["provenance"].items() if key not in _KNOWN}
    training, data = rest.pop("training", None), rest.pop("data", None)
    if isinstance(data, dict) and isinstance(data.get("name"), str):
        lines.append(("data", _plain(data["name"])))
    if isinstance(training, dict):
        accuracy, n = training.get("test_accuracy"), training.get("test_samples")
        if isinstance(accuracy, float) and math.isfinite(accuracy) and isinstance(n, int):
            lines.append(("accuracy", f"{accuracy:.2%} on {n:,} test samples{_interval(training)}"))
        if isinstance(training.get("command"), str):
            lines.append(("trained by", _plain(training["command"])))
    return lines + [(_plain(key), _plain(value)) for key, value in rest.items()]


def _interval(training: dict[str, Any]) -> str:
    pair = training.get("test_interval")
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(v, float) for v in pair):
        return ", as recorded when it was trained"
    return f" (95 % interval {pair[0]:.2%} to {pair[1]:.2%}), as recorded when it was trained"


def _plain(value: Any) -> str:
    """Text without control characters, cut to 200."""
    text = value if isinstance(value, str) and value.isprintable() else json.dumps(value)
    return text if len(text) <= 200 else text[:197] + "..."


def _times(sizes: re.Match[str]) -> str:
    return sizes[1].replace(", ", "x")


def _unusual(row: dict[str, Any], key: str) -> bool:
    """False for a setting of a layer that has its default value, such as groups=1 or dilation=(1, 1)."""
    if row["kind"] != "layer":
        return True
    parameter = inspect.signature(LAYERS.get(row["type"])).parameters.get(key)
    if parameter is None or parameter.default is parameter.empty:
        return True
    default = parameter.default
    return row["settings"][key] not in (repr(default), repr((default,)), repr((default, default)))


def _table(rows: list[dict[str, Any]]) -> str:
    cells = [("layer", "type", "output", "parameters", "settings and inputs")]
    before = None
    for row in rows:
        output = "x".join(map(str, row["output"])) if row["output"] else ""
        size = f"{row['parameters']:,}" if row["parameters"] else ""
        unusual = {key: value for key, value in row["settings"].items() if _unusual(row, key)}
        notes = ", ".join(f"{key}={_TUPLE.sub(_times, value)}" for key, value in unusual.items())
        if before is not None and row["inputs"] != [before]:
            notes += ("; " if notes else "") + "from " + ", ".join(row["inputs"])
        cells.append(
            (row["name"], row["type"], output, size, notes if len(notes) <= 90 else notes[:87] + "...")
        )
        before = row["name"]
    widths = [max(len(row[i]) for row in cells) for i in range(4)]
    return "\n".join(
        f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}  {e}".rstrip()
        for a, b, c, d, e in cells
    )
