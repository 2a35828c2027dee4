"""`armour info` of a file of weights about which nothing is stated: what is in it, and what it could be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from armour.cli.matched import summary
from armour.errors import CheckpointError
from armour.files import sha256_file
from armour.formats import kinds
from armour.formats.entries import prepare, shape_text
from armour.formats.recognise import FAMILIES, recognise

_SHOWN = 200  # rows of the text


def describe(path: Path) -> dict[str, Any] | None:
    """Arrays, entries that are no weights, and the network that they are recognised as; None if the file
    holds a network itself. CheckpointError as for `armour.load`."""
    kind = kinds.detect(path)
    if kind.weights is None:
        return None
    read = kinds.read_weights(path, kind)
    entries = prepare(read.arrays, read.leftovers)
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "file_sha256": sha256_file(path),
        "kind": kind.name,
        "arrays": {origin: shape_text(entries.arrays[name]) for name, origin in entries.origin.items()},
        "numbers": sum(array.size for array in entries.arrays.values()),
        "left_over": entries.leftovers,
        "network": _network(kind, entries),
    }


def render(facts: dict[str, Any]) -> str:
    """The facts for people."""
    arrays = facts["arrays"]
    lines = [
        ("weights", f"{facts['path']}, {facts['kind']}, {facts['bytes']:,} bytes"),
        ("arrays", f"{len(arrays):,} with {facts['numbers']:,} numbers"),
        ("network", facts["network"]),
    ]
    if facts["left_over"]:
        lines.append(("left over", summary(facts["left_over"])))
    lines.append(("file", f"sha256 {facts['file_sha256']}"))
    text = [f"{key:<11} {value}" for key, value in lines]
    width = max((len(name) for name in arrays), default=0)
    text += ["", *(f"{name:<{width}}  {shape}" for name, shape in list(arrays.items())[:_SHOWN])]
    if len(arrays) > _SHOWN:
        text.append(f"and {len(arrays) - _SHOWN:,} more")
    return "\n".join(text).rstrip()


def _network(kind: kinds.Kind, entries: Any) -> str:
    if kind.layout:
        return (
            f"not looked for, {kind.layout}; state --layout nhwc, --bounds, --mean, --std to have it loaded"
        )
    try:
        found = recognise(entries, None)
    except CheckpointError as error:
        return str(error)
    if found is None:
        return f"none that is recognised ({', '.join(FAMILIES.names())}); name it with --arch"
    shape = ",".join(map(str, found.input_shape))
    return f"{found.name} for inputs of {shape}; state --bounds, --mean and --std to have it loaded"
