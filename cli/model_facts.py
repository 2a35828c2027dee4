"""What `armour info` says about a model, as JSON values: network, units, provenance, hashes, licence."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from armour.contract import Model
from armour.errors import ArmourError
from armour.files import sha256_file
from armour.formats import safetensors
from armour.model import ModuleModel
from armour.tensor.ir import Graph

_LICENCE = ("licence", "license")


def describe(model: Model, place: Path | str) -> dict[str, Any]:
    """Everything `info` says about a model that was read from a file or is asked at a URL."""
    facts = _outside(model, place)
    if isinstance(model, ModuleModel):
        facts |= _inside(model)
    else:
        facts["fingerprint"] = _fingerprint(model)
    training = model.provenance.get("training")
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


def exportable(model: Model) -> dict[str, str | None]:
    """Format -> why the model cannot be written so, or None if nothing that is known speaks against it."""
    if not isinstance(model, ModuleModel):
        reason = "a black box has no network to write"
        return {"ckpt": reason, "onnx": reason}
    from armour.formats.onnx import export_graph  # noqa: F401  (it files the rules)
    from armour.formats.onnx.export_rules import LAYER_RULES, ROW_RULES

    missing = Counter(
        node.type
        for node in model.graph.nodes
        if node.type not in (LAYER_RULES if node.kind == "layer" else ROW_RULES)
    )
    listed = ", ".join(f"{kind} ({n})" for kind, n in sorted(missing.items()))
    return {"ckpt": None, "onnx": f"no rule for {listed}" if missing else None}


def _outside(model: Model, place: Path | str) -> dict[str, Any]:
    """What is known of any model."""
    steps = model.preprocessing
    return {
        "path": str(place),
        "bytes": place.stat().st_size if isinstance(place, Path) else None,
        "file_sha256": sha256_file(place) if isinstance(place, Path) else None,
        "kind": "network" if isinstance(model, ModuleModel) else "black box",
        "name": model.name,
        "input_shape": None if model.input_shape is None else list(model.input_shape),
        "num_classes": model.num_classes,
        "class_names": list(model.class_names),
        "bounds": list(model.bounds),
        "can_grad": model.can_grad,
        "outputs": model.provenance.get("outputs"),
        "preprocessing": steps.to_dict() | {"text": str(steps)},
        "takes": _takes(model),
        "licence": _licence(model.provenance),
        "exportable": exportable(model),
        "provenance": model.provenance,
    }


def _inside(model: ModuleModel) -> dict[str, Any]:
    """What is known of a network of the engine."""
    state = model.state_dict()
    trained = {name for name, _ in model.module.named_parameters()}
    rows = layers(model)
    return {
        "mean": list(model.mean),
        "std": list(model.std),
        "parameters": sum(value.size for name, value in state.items() if name in trained),
        "buffers": sum(value.size for name, value in state.items() if name not in trained),
        "operators": dict(Counter(row["type"] for row in rows).most_common()),
        "layers": rows,
        "fingerprint": model.fingerprint,
        "weights_sha256": hashlib.sha256(safetensors.dump(state)).hexdigest(),
    }


def _takes(model: Model) -> dict[str, Any]:
    """The input that the network itself takes, behind the preprocessing; None for what is not known."""
    steps = model.preprocessing
    shape = None if model.input_shape is None else [None, *steps.network_shape(model.input_shape)]
    if isinstance(model, ModuleModel):
        first = model.graph.inputs[0]
        return {"name": first.name, "shape": list(first.shape), "dtype": first.dtype}
    network = model.provenance.get("network")
    known = network if isinstance(network, dict) else {}
    return {"name": known.get("input"), "shape": shape, "dtype": steps.dtype}


def _licence(provenance: dict[str, Any]) -> str | None:
    """As the file or its metadata state it, at the first or second level; None if they do not."""
    for level in (provenance, *(v for v in provenance.values() if isinstance(v, dict))):
        for key, value in level.items():
            if str(key).lower() in _LICENCE and isinstance(value, str) and value:
                return value
    return None


def _fingerprint(model: Model) -> str | None:
    try:
        return model.fingerprint
    except ArmourError:
        return None  # a black box whose input shape nobody has stated cannot be asked
