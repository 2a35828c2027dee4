"""`armour info MODEL`: what a model file says about itself, as text or JSON."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import click
import numpy as np

import armour
from armour.bounds import Bounds
from armour.cli.options import bounds_option, json_option, print_json
from armour.files import sha256_file
from armour.formats import safetensors
from armour.model import ModuleModel
from armour.tensor.ir import Graph
from armour.tensor.layers import LAYERS

_SHOWN = 20  # class names in the text
_TUPLE = re.compile(r"\((\d+(?:, \d+)+)\)")


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="MODEL")
@bounds_option
@json_option
def info(model: Path, bounds: Bounds | None, as_json: bool) -> None:
    """Show MODEL: its network, parameters, input shape and bounds, provenance and hashes.

    Nothing in the file is executed but its network, on two made-up inputs, to see the shapes of its layers.
    """
    loaded = armour.load(model, bounds=bounds)
    facts = describe(loaded, model) if isinstance(loaded, ModuleModel) else _outside(loaded, model)
    if as_json:
        print_json(facts)
    else:
        click.echo(render(facts))


def describe(model: ModuleModel, path: Path) -> dict[str, Any]:
    """Everything `info` says, as JSON values."""
    state = model.state_dict()
    trained = {name for name, _ in model.module.named_parameters()}
    training = model.provenance.get("training")
    facts = _outside(model, path) | {
        "mean": list(model.mean),
        "std": list(model.std),
        "parameters": sum(value.size for name, value in state.items() if name in trained),
        "buffers": sum(value.size for name, value in state.items() if name not in trained),
        "layers": layers(model),
        "provenance": model.provenance,
        "fingerprint": model.fingerprint,
        "weights_sha256": hashlib.sha256(safetensors.dump(state)).hexdigest(),
    }
    if isinstance(training, dict) and "epsilon_spent" in training:
        facts["epsilon_spent"] = training["epsilon_spent"]
    return facts


def layers(model: ModuleModel) -> list[dict[str, Any]]:
    """One entry per node of the graph: name, type, inputs, settings, output shape (layers) and parameters."""
    graph: Graph = model.graph
    low, high = model.bounds
    middle = np.full((1, *model.input_shape), (low + high) / 2, np.float32)
    outputs = {name: list(array.shape[1:]) for name, array in model.activations(middle).items()}
    sizes = {name: value.size for name, value in model.module.named_parameters()}
    seen: set[str] = set()
    rows = []
    for node in graph.nodes:
        own = 0
        if node.kind == "layer" and node.path not in seen:
            seen.add(node.path)  # a layer that runs twice has its weights once
            own = sum(size for name, size in sizes.items() if name.startswith(f"{node.path}."))
        rows.append(
            {
                "name": node.name,
                "type": node.type,
                "kind": node.kind,
                "inputs": [str(value) for value in node.inputs],
                "settings": {key: repr(value) for key, value in node.attrs.items()},
                "output": outputs.get(node.name),
                "parameters": own,
            }
        )
    return rows


def render(facts: dict[str, Any]) -> str:
    """The facts for people."""
    shape = " x ".join(map(str, facts["input_shape"] or ("unknown",)))
    low, high = facts["bounds"]
    names = facts["class_names"]
    shown = ", ".join(_plain(name) for name in names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    lines = [
        ("model", f"{_plain(facts['name'])} ({facts['path']}, {facts['bytes']:,} bytes)"),
        ("input", f"{shape}, values in ({low:g}, {high:g})"),
        ("classes", f"{facts['num_classes']}" + (f": {shown}" if names else "")),
    ]
    if "layers" in facts:
        mean, std = (", ".join(f"{v:g}" for v in facts[key]) for key in ("mean", "std"))
        lines.append(("normalised", f"mean {mean}; standard deviation {std}"))
        lines.append(("parameters", f"{facts['parameters']:,} (and {facts['buffers']:,} in buffers)"))
    lines += _provenance(facts)
    lines.append(("file", f"sha256 {facts['file_sha256']}"))
    if "layers" in facts:
        lines.append(("weights", f"sha256 {facts['weights_sha256']}"))
        lines.append(("network", f"sha256 {facts['fingerprint']} (graph, normalisation and weights)"))
    text = "\n".join(f"{key:<11} {value}" for key, value in lines)
    return text + ("\n\n" + _table(facts["layers"]) if "layers" in facts else "")


def _outside(model: armour.Model, path: Path) -> dict[str, Any]:
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "file_sha256": sha256_file(path),
        "name": model.name,
        "input_shape": None if model.input_shape is None else list(model.input_shape),
        "num_classes": model.num_classes,
        "class_names": list(model.class_names),
        "bounds": list(model.bounds),
        "provenance": model.provenance,
    }


def _provenance(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known of its making; a file may hold anything here, so all of it is shown as JSON text."""
    lines = []
    rest = dict(facts["provenance"])
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
