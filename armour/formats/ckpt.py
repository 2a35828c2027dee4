"""armour's own checkpoint: a zip of manifest.json and weights.safetensors. No pickle anywhere.

The manifest alone rebuilds the network; it also says the input's shape, bounds and preprocessing, class
names, the data set, and how the weights came to be. Writing is atomic, and equal models give equal bytes.
Reading takes the file as hostile: names and sizes are checked before anything is unpacked, then the manifest,
the hash, every weight against the graph, and what the network would need before it first runs.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from armour.archive import GIB, open_zip, read_member
from armour.bounds import Bounds
from armour.errors import ArmourError, CheckpointError, InvalidArgument, UnsupportedError
from armour.files import atomic_write
from armour.formats import manifest, safetensors
from armour.model import Model, ModuleModel
from armour.outputs import Outputs
from armour.tensor.ir import Graph, GraphModule
from armour.tensor.limits import limited

if TYPE_CHECKING:
    from armour.options import LoadOptions

MEMBERS = ("manifest.json", "weights.safetensors")
MAX_MANIFEST = 8 << 20
MAX_WEIGHTS = 4 * GIB
MAX_MEMORY = 512 << 20  # bytes that two samples may take inside the network
MAX_SECONDS = 6.0  # that they may take on a slow core
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time a zip can state: files do not differ by when they were made


def write(model: Model, path: str | Path) -> None:
    """Write the model to `path`, atomically.

    Raises UnsupportedError for a black box and for what is no classifier, CheckpointError for weights that
    are not finite, and InvalidArgument for anything else that could not be read again.
    """
    if not isinstance(model, ModuleModel):
        raise UnsupportedError(f"{model.name} is a black box; only networks can be saved as a checkpoint")
    if model.output_shape is not None:
        raise UnsupportedError(
            f"{model.name} is no classifier (its answers have shape {model.output_shape}), and a checkpoint "
            "holds classifiers; write it as .onnx"
        )
    arrays = model.state_dict()
    _check_finite(str(path), arrays)
    graph = model.graph
    try:
        _check_fit(graph, GraphModule(graph), arrays)
        weights = safetensors.dump(arrays)
        tree = manifest.describe(model, graph, hashlib.sha256(weights).hexdigest())
        text = manifest.dump(tree, MAX_MANIFEST)
    except CheckpointError as error:
        raise InvalidArgument(f"{model.name} cannot be saved: {error}") from error
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, raw in zip(MEMBERS, (text, weights), strict=True):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED if name == MEMBERS[0] else zipfile.ZIP_STORED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, raw)
    with atomic_write(path) as stream:
        stream.write(packed.getvalue())


def load(path: Path, options: LoadOptions) -> ModuleModel:
    """As `read`; InvalidArgument for options that state what a checkpoint holds itself."""
    options.refuse(f"{path}: a checkpoint holds its network and its inputs", ("bounds", "device"))
    return read(path, options.bounds, options.device)


def read(
    path: str | Path, bounds: Bounds | Sequence[float] | None = None, device: str = "cpu"
) -> ModuleModel:
    """The model in a checkpoint; CheckpointError, in one line, for anything that is not one.

    bounds: range of the inputs; needed only if the manifest does not state one, and must agree with it
    otherwise.
    """
    path = Path(path)
    with open_zip(path, CheckpointError, max_total=MAX_MANIFEST + MAX_WEIGHTS) as archive:
        _check_members(path, archive)
        text = read_member(path, archive, MEMBERS[0], CheckpointError, MAX_MANIFEST)
        try:
            tree = manifest.parse(text, MAX_MANIFEST)
            graph = Graph.from_dict(tree["graph"])
            steps = manifest.preprocessing(tree)
            manifest.check_ends(graph, steps.network_shape(tree["input_shape"]), steps.dtype)
            module = GraphModule(graph)
        except ArmourError as error:
            raise CheckpointError(f"{path}: {error}") from error
        # What the network needs is known now, so that a larger member is refused before it is unpacked.
        room = sum(_bytes(t.data) for _, t in module.named_tensors()) + safetensors.MAX_HEADER + 8
        weights = read_member(path, archive, MEMBERS[1], CheckpointError, min(room, MAX_WEIGHTS))
    digest = hashlib.sha256(weights).hexdigest()
    if digest != tree["weights_sha256"]:
        raise CheckpointError(
            f"{path}: the weights have sha256 {digest[:12]}..., the manifest says "
            f"{tree['weights_sha256'][:12]!r}...; the file was changed after it was written, get it again"
        )
    arrays = safetensors.parse(weights, f"{path} ({MEMBERS[1]})")
    del weights
    _check_finite(str(path), arrays)
    limits = _bounds(path, tree["bounds"], bounds)
    try:
        _check_fit(graph, module, arrays)
        module.load_state_dict(arrays)
        with limited(MAX_MEMORY, MAX_SECONDS):
            return ModuleModel(
                module,
                graph=graph,
                preprocessing=steps,
                outputs=Outputs.noted(tree["provenance"].get("outputs")).kind,
                bounds=limits,
                input_shape=tree["input_shape"],
                num_classes=tree["num_classes"],
                class_names=tree["class_names"],
                name=tree["name"],
                provenance=tree["provenance"],
                device=device,
            )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except InvalidArgument as error:
        raise CheckpointError(f"{path}: the network cannot be used: {error}") from error


def _check_members(path: Path, archive: zipfile.ZipFile) -> None:
    names = sorted(archive.namelist())
    if names != sorted(MEMBERS):
        raise CheckpointError(
            f"{path}: expected a checkpoint with exactly {' and '.join(MEMBERS)}, got {ascii(names)[:120]}; "
            "it is damaged or not ours, get it again"
        )
    # armour never compresses weights; a file that does can expand to 200 times its size.
    if archive.getinfo(MEMBERS[1]).compress_type != zipfile.ZIP_STORED:
        raise CheckpointError(
            f"{path}: expected {MEMBERS[1]} uncompressed; the file was packed again, save the model anew"
        )


def _bytes(array: np.ndarray) -> int:
    return math.prod(array.shape) * array.dtype.itemsize


def _check_fit(graph: Graph, module: GraphModule, arrays: Mapping[str, np.ndarray]) -> None:
    """The arrays are exactly the weights that the graph asks for: no casts, nothing missing, nothing more."""
    own = {name: tensor.data for name, tensor in module.named_tensors()}
    for name in sorted(own.keys() ^ arrays.keys()):
        what = "has no values" if name in own else "belongs to no layer"
        raise CheckpointError(f"the weight {ascii(name)[:80]} {what}; graph and weights are of two networks")
    for name, array in arrays.items():
        if (array.shape, array.dtype) != (own[name].shape, own[name].dtype):
            raise CheckpointError(
                f"the weight {ascii(name)[:80]} is {array.shape} {array.dtype}, the graph says "
                f"{own[name].shape} {own[name].dtype}; graph and weights do not belong together"
            )


def _bounds(path: Path, stated: list[float] | None, given: Bounds | Sequence[float] | None) -> Bounds:
    wanted = None if given is None else Bounds.of(given)
    if stated is None:
        if wanted is None:
            raise CheckpointError(
                f"{path}: the manifest does not state the bounds of the inputs, and a wrong range makes "
                "every epsilon wrong; say them, as in bounds=(0, 1) or --bounds 0,1"
            )
        return wanted
    try:
        known = Bounds.of(stated)
    except InvalidArgument as error:
        raise CheckpointError(f"{path}: {error}") from error
    if wanted is not None and wanted != known:
        raise CheckpointError(
            f"{path}: the checkpoint says bounds {tuple(known)}, got {tuple(wanted)}; leave them out"
        )
    return known


def _check_finite(path: str, arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = int(array.size - np.isfinite(array).sum())
            raise CheckpointError(
                f"{path}: the weight {ascii(name)[:80]} has {bad:,} values that are NaN or infinite; "
                "train again or restore an older file"
            )
