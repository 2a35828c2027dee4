"""Model files: `load` tells the format by content, never by name; `save` writes armour's own checkpoint."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from armour.archive import file_size, open_zip
from armour.bounds import Bounds
from armour.errors import CheckpointError, InvalidArgument, UnsupportedError
from armour.files import check_writable
from armour.model import Model

if TYPE_CHECKING:
    from armour.tensor import nn

_MAX_BYTES = 4 << 30
_HEAD = 16

# What a file is by its first bytes, when it is none of ours: (first bytes, what it is, what to do).
_FOREIGN = (
    (b"\x89HDF", "a Keras or HDF5 file", "export the network as ONNX"),
    (b"\x93NUMPY", "a single NumPy array", "a checkpoint needs the network too"),
    (b"\xd8\x5e\x3a\x7f", "an encrypted MindSpore checkpoint", "decrypt it with MindSpore first"),
    (b"\xd9\x5e\x3a\x7f", "an encrypted MindSpore checkpoint", "decrypt it with MindSpore first"),
    (b"\xda\x5e\x3a\x7f", "an encrypted MindSpore checkpoint", "decrypt it with MindSpore first"),
)


def load(
    path: str | os.PathLike[str],
    *,
    arch: str | nn.Module | None = None,
    bounds: Bounds | Sequence[float] | None = None,
    input_shape: Sequence[int] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    device: str = "cpu",
) -> Model:
    """The model in a file.

    bounds: range of the inputs, needed if the file does not state it. device: "cpu" or "cuda". For weights
    without a network (.safetensors, .npz) `arch` names it (or is a module), and input_shape, bounds, mean and
    std must be stated too; a checkpoint holds all of them. Raises CheckpointError, in one line, for a file
    that is missing, damaged, hostile or of another kind; nothing in the file is ever executed.
    """
    from armour.formats import arrays, ckpt

    path = Path(path)
    try:
        if arch is not None and not _is_checkpoint(path):
            return arrays.read(
                path, arch, input_shape=input_shape, bounds=bounds, mean=mean, std=std, device=device
            )
        stated = {"arch": arch, "input_shape": input_shape, "mean": mean, "std": std}
        told = [f"{name}=" for name, value in stated.items() if value is not None]
        _check_kind(path)
        if told:
            raise InvalidArgument(
                f"{path}: a checkpoint holds its network and its inputs; leave out {', '.join(told)}"
            )
        return ckpt.read(path, bounds, device)
    except OSError as error:
        raise CheckpointError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a network as a checkpoint, atomically: the file is whole or not there.

    Raises UnsupportedError for a black box or another suffix, CheckpointError for weights that are not
    finite, InvalidArgument for what could not be read again, and OSError if the place cannot be written.
    """
    from armour.formats import ckpt

    path = check_target(path)
    ckpt.write(model, path)


def check_target(path: str | os.PathLike[str]) -> Path:
    """The path, if `save` could write there now; ask before hours of training.

    Raises UnsupportedError for a suffix that is not written, InvalidArgument for a place that cannot be.
    """
    path = Path(path)
    if path.suffix not in (".ckpt", ""):
        raise UnsupportedError(
            f"cannot write {path}: {path.suffix} files are not written; use the suffix .ckpt"
        )
    return check_writable(path)


def _is_checkpoint(path: Path) -> bool:
    file_size(path, CheckpointError)
    with path.open("rb") as stream:
        if stream.read(2) != b"PK":
            return False
    with open_zip(path, CheckpointError, max_total=_MAX_BYTES) as archive:
        return "manifest.json" in archive.namelist()


def _check_kind(path: Path) -> None:
    size = file_size(path, CheckpointError)
    if size > _MAX_BYTES:
        raise CheckpointError(f"{path}: expected at most {_MAX_BYTES:,} bytes, got {size:,}; check the path")
    with path.open("rb") as stream:
        head = stream.read(_HEAD)
    if head[:2] != b"PK":
        raise CheckpointError(f"{path}: {_describe(head, size)}")
    with open_zip(path, CheckpointError, max_total=_MAX_BYTES) as archive:
        foreign = _foreign_zip(archive)
    if foreign is not None:
        raise CheckpointError(f"{path}: {foreign}")


def _describe(head: bytes, size: int) -> str:
    if size == 0:
        return "the file is empty; write or download it again"
    for first, what, advice in _FOREIGN:
        if head.startswith(first):
            return f"this is {what}, not an armour checkpoint; {advice}"
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return (
            "this is a pickle, which can run code when it is read; it is never opened. "
            "Save the weights without pickle"
        )
    if head[8:9] == b"{":
        return "this is a safetensors file, which holds weights without a network; name it with arch="
    return (
        "expected an armour checkpoint (a zip of manifest.json and weights.safetensors), got other content; "
        "check the path"
    )


def _foreign_zip(archive: zipfile.ZipFile) -> str | None:
    names = archive.namelist()
    if "manifest.json" in names:
        return None
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return (
            "this is a PyTorch file, which holds a pickle; it is never unpickled. Export the network as ONNX"
        )
    if names and all(name.endswith(".npy") for name in names):
        return "this is an .npz of arrays without a network; name it with arch="
    if "model.weights.h5" in names:
        return "this is a Keras file, not an armour checkpoint; export the network as ONNX"
    return None
