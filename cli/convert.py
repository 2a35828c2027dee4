"""`armour convert SOURCE DESTINATION`: a model, or weights alone, from one format into another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import numpy as np

from armour.cli import matched
from armour.cli.model_options import load_model, model_options
from armour.cli.options import json_option, print_json, quiet_option
from armour.errors import InvalidArgument
from armour.files import sha256_file
from armour.formats import kinds, writers
from armour.formats.entries import prepare
from armour.formats.mindspore_ckpt import own_names
from armour.formats.writers import Format
from armour.model import ModuleModel


@click.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="SOURCE")
@click.argument("destination", type=click.Path(path_type=Path), metavar="DESTINATION")
@click.option(
    "--to",
    "to",
    type=click.Choice(list(writers.FORMATS)),
    default=None,
    help="Format of DESTINATION. Default: by its suffix, .ckpt, .onnx, .safetensors or .npz.",
)
@model_options
@json_option
@quiet_option
def convert(
    source: Path,
    destination: Path,
    to: str | None,
    model_options: dict[str, Any],
    as_json: bool,
    quiet: bool,
) -> None:
    """Write SOURCE, a model or a file of weights, as DESTINATION in another format.

    Weights alone become weights alone under the names that they have, without bookkeeping such as an
    optimiser's state; with --arch, or into a format that holds a network, the network is needed, and what is
    not in the file must be stated. DESTINATION is written whole or not at all.
    """
    format = writers.target(destination, to)
    if destination.exists() and source.exists() and destination.samefile(source):
        raise InvalidArgument(f"expected another file to write, got {destination} for both; name another")
    kind = kinds.detect(source)
    facts: dict[str, Any] = {"source": str(source), "kind": kind.name}
    if kind.weights is not None and format.arrays is not None and "arch" not in model_options:
        if model_options:
            flags = ", ".join(f"--{name.replace('_', '-')}" for name in model_options)
            raise InvalidArgument(
                f"weights alone are converted as they are; leave out {flags}, or add --arch"
            )
        facts |= _weights(source, kind, destination, format)
    else:
        facts |= _model(source, model_options, destination, format)
    facts |= {
        "destination": str(destination),
        "format": format.name,
        "bytes": destination.stat().st_size,
        "sha256": sha256_file(destination),
    }
    if as_json:
        print_json(facts)
    elif not quiet:
        click.echo(render(facts))


def _weights(source: Path, kind: kinds.Kind, destination: Path, format: Format) -> dict[str, Any]:
    """Arrays into arrays, under the names of the file."""
    read = kinds.read_weights(source, kind)
    entries = prepare(read.arrays, read.leftovers)
    arrays = {origin: entries.arrays[name] for name, origin in entries.origin.items()}
    if not arrays:
        raise InvalidArgument(f"{source}: there are no weights in it; check the path")
    writers.write_arrays(_named(arrays, format), destination, format)
    return _counted(arrays) | {"left_over": entries.leftovers, "lost": []}


def _model(source: Path, options: dict[str, Any], destination: Path, format: Format) -> dict[str, Any]:
    model = load_model(source, options)
    if format.arrays is not None and isinstance(model, ModuleModel):
        writers.write_arrays(_named(model.state_dict(), format), destination, format)
    else:
        writers.write_model(model, destination, format)
    facts = {key: model.provenance[key] for key in matched.KEYS if key in model.provenance}
    facts |= {"name": model.name, "lost": list(format.lost)}
    return facts | (_counted(model.state_dict()) if isinstance(model, ModuleModel) else {})


def _named(arrays: Mapping[str, np.ndarray], format: Format) -> Mapping[str, np.ndarray]:
    return own_names(arrays) if format.name == "mindspore" else arrays


def _counted(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {"arrays": len(arrays), "numbers": sum(array.size for array in arrays.values())}


def render(facts: dict[str, Any]) -> str:
    """What was done, for people."""
    what = f"{facts['arrays']:,} arrays, {facts['numbers']:,} numbers, " if "arrays" in facts else ""
    text = [
        f"{facts['source']} ({facts['kind']}) -> {facts['destination']} ({facts['format']}): "
        f"{what}{facts['bytes']:,} bytes"
    ]
    text += matched.lines(facts)
    if "matched" not in facts and facts.get("left_over"):
        text.append(f"left out    {matched.summary(facts['left_over'])}")
    if facts["lost"]:
        text.append(f"not kept    {', '.join(facts['lost'])}")
    text.append(f"sha256      {facts['sha256']}")
    return "\n".join(text)
