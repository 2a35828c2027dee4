"""armour's own checkpoint: a zip of manifest.json (the network as data) and weights.safetensors. No pickle anywhere.

The manifest alone rebuilds the network; it also says the input's shape and bounds, mean and std, class names, the data set,
and how the weights came to be. Writing is atomic, and equal models give equal bytes. Reading takes the file as hostile:
names, sizes and ratios are checked before anything is unpacked, then the hash, then every weight against the graph.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from armour.archive import open_zip, read_member
from armour.bounds import Bounds
from armour.errors import ArmourError, CheckpointError, UnsupportedError
from armour.files import atomic_write
from armour.formats import safetensors
from armour.model import Model, ModuleModel
from armour.tensor.ir import Graph, GraphModule, parse_json

FORMAT = "armour-ckpt/1"
MEMBERS = ("manifest.json", "weights.safetensors")
_MAX_MANIFEST = 16 << 20
_MAX_WEIGHTS = 4 << 30
_EPOCH = (
    1980,
    1,
    1,
    0,
    0,
    0,
)  # the first time a zip can state: files do not differ by when they were written


def write(model: Model, path: str | Path) -> None:
    """Write the model to `path`; UnsupportedError for a black box, CheckpointError for weights that are not finite."""
    if not isinstance(model, ModuleModel):
        raise UnsupportedError(f"{model.name} is a black box; only networks can be saved as a checkpoint")
    arrays = model.state_dict()
    _check_finite(str(path), arrays)
    weights = safetensors.dump(arrays)
    manifest = {
        "format": FORMAT,
        "graph": model.graph.to_dict(),
        "input_shape": None if model.input_shape is None else list(model.input_shape),
        "num_classes": model.num_classes,
        "class_names": list(model.class_names),
        "bounds": list(model.bounds),
        "mean": list(model.mean),
        "std": list(model.std),
        "name": model.name,
        "provenance": model.provenance,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps(manifest, allow_nan=False, indent=1, sort_keys=True).encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, raw in zip(MEMBERS, (text, weights), strict=True):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED if name == MEMBERS[0] else zipfile.ZIP_STORED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, raw)
    with atomic_write(path) as stream:
        stream.write(packed.getvalue())


def read(
    path: str | Path, bounds: Bounds | Sequence[float] | None = None, device: str = "cpu"
) -> ModuleModel:
    """The model in a checkpoint; CheckpointError, in one line, for anything that is not one.

    bounds: range of the inputs; needed only if the manifest does not state one, and must agree with it otherwise.
    """
    path = Path(path)
    with open_zip(path, CheckpointError, max_total=_MAX_MANIFEST + _MAX_WEIGHTS) as archive:
        names = sorted(archive.namelist())
        if names != sorted(MEMBERS):
            raise CheckpointError(
                f"{path}: expected a checkpoint with exactly {' and '.join(MEMBERS)}, got {', '.join(names)[:120]}"
            )
        manifest = _manifest(path, read_member(path, archive, MEMBERS[0], CheckpointError, _MAX_MANIFEST))
        weights = read_member(path, archive, MEMBERS[1], CheckpointError, _MAX_WEIGHTS)
    digest = hashlib.sha256(weights).hexdigest()
    if digest != manifest["weights_sha256"]:
        raise CheckpointError(
            f"{path}: the weights have sha256 {digest[:12]}..., the manifest says "
            f"{manifest['weights_sha256'][:12]}...; the file was changed after it was written, get it again"
        )
    arrays = safetensors.parse(weights, f"{path} ({MEMBERS[1]})")
    _check_finite(str(path), arrays)
    try:
        graph = Graph.from_dict(manifest["graph"])
        module = GraphModule(graph)
        module.load_state_dict(arrays)
        return ModuleModel(
            module,
            graph=graph,
            mean=manifest["mean"],
            std=manifest["std"],
            bounds=_bounds(path, manifest["bounds"], bounds),
            input_shape=manifest["input_shape"],
            num_classes=manifest["num_classes"],
            class_names=manifest["class_names"],
            name=manifest["name"],
            provenance=manifest["provenance"],
            device=device,
        )
    except CheckpointError as error:
        raise error if str(error).startswith(str(path)) else CheckpointError(f"{path}: {error}") from error
    except ArmourError as error:
        raise CheckpointError(f"{path}: the manifest does not describe a usable model ({error})") from error


def _manifest(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        tree = parse_json(raw, _MAX_MANIFEST)
    except ArmourError as error:
        raise CheckpointError(f"{path}: manifest.json cannot be read ({error})") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("format"), str):
        raise CheckpointError(f"{path}: manifest.json does not state its format; expected {FORMAT!r}")
    if tree["format"] != FORMAT:
        raise CheckpointError(
            f"{path}: expected format {FORMAT!r}, got {tree['format'][:40]!r}; "
            "it was written by another version of armour, use that one"
        )
    kinds: dict[str, Any] = {
        "graph": dict,
        "input_shape": (list, type(None)),
        "num_classes": (int, type(None)),
        "class_names": list,
        "bounds": (list, type(None)),
        "mean": list,
        "std": list,
        "name": str,
        "provenance": dict,
        "weights_sha256": str,
    }
    for key, kind in kinds.items():
        if key in ("bounds", "mean", "std") and tree.get(key) is None:
            if key == "bounds":
                tree[key] = None
                continue
            raise CheckpointError(
                f"{path}: the manifest does not state {key}; a wrong normalisation makes every epsilon wrong, "
                "so save the model again with it"
            )
        if key not in tree or not isinstance(tree[key], kind):
            raise CheckpointError(
                f"{path}: the manifest's {key!r} is missing or of the wrong kind; the file is damaged"
            )
    for key in ("mean", "std", "bounds"):
        if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in tree[key] or ()):
            raise CheckpointError(
                f"{path}: the manifest's {key!r} is not a list of numbers; the file is damaged"
            )
    return tree


def _bounds(path: Path, stated: list[float] | None, given: Bounds | Sequence[float] | None) -> Bounds:
    if stated is None and given is None:
        raise CheckpointError(
            f"{path}: the manifest does not state the bounds of the inputs; say them, as in bounds=(0, 1) or --bounds 0,1"
        )
    if stated is None:
        return Bounds.of(given)  # type: ignore[arg-type]
    if given is not None and Bounds.of(given) != Bounds.of(stated):
        raise CheckpointError(
            f"{path}: the checkpoint says bounds {tuple(stated)}, got {tuple(Bounds.of(given))}; leave them out"
        )
    return Bounds.of(stated)


def _check_finite(path: str, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(array.size - np.isfinite(array).sum())
            raise CheckpointError(
                f"{path}: weight {name!r} has {bad} values that are NaN or infinite; train again or restore an older file"
            )
