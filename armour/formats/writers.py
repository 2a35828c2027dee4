"""What models are written as: one row per format, with what a file of it does not hold."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from armour.checks import one_of
from armour.errors import CheckpointError, InvalidArgument, UnsupportedError
from armour.files import atomic_write, check_writable
from armour.formats.kinds import MAX_NAME
from armour.model import Model, ModuleModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format. model: writes a network; arrays: the bytes of weights alone; lost: what a file lacks."""

    name: str
    suffixes: tuple[str, ...]
    model: Callable[[Model, Path], None] | None = None
    arrays: Callable[[Mapping[str, np.ndarray]], bytes] | None = None
    lost: tuple[str, ...] = ()


def target(path: Path, format: str | None = None) -> Format:
    """The format that `path` is to be written in, by its name or else by its suffix.

    Raises UnsupportedError for a suffix that is not written, InvalidArgument for an unknown name and for a
    place that cannot be written.
    """
    if format is not None:
        found = FORMATS[one_of("format", format, FORMATS)]
    else:
        by_suffix = {suffix: row for row in FORMATS.values() for suffix in row.suffixes}
        if path.suffix not in by_suffix:
            known = ", ".join(sorted(suffix for suffix in by_suffix if suffix))
            raise UnsupportedError(
                f"cannot write {path}: {path.suffix} files are not written; use one of the suffixes {known}"
            )
        found = by_suffix[path.suffix]
    check_writable(path)
    return found


def write_model(model: Model, path: Path, format: Format) -> None:
    """Write a model, atomically; UnsupportedError for a black box, CheckpointError for unusable weights."""
    if format.model is not None:
        format.model(model, path)
        return
    if not isinstance(model, ModuleModel):
        raise UnsupportedError(f"{model.name} is a black box; only networks have weights to be written")
    write_arrays(model.state_dict(), path, format)


def write_arrays(arrays: Mapping[str, np.ndarray], path: Path, format: Format) -> None:
    """Write weights alone, atomically; CheckpointError for names and types that could not be read again."""
    if format.arrays is None:
        raise InvalidArgument(f"expected a format for weights alone, got {format.name}")
    for name, array in arrays.items():
        parts = name.replace("\\", "/").split("/")
        if not name or len(name) > MAX_NAME or not name.isprintable() or parts[0] == "" or ".." in parts:
            raise CheckpointError(f"{path}: an array has the name {ascii(name)[:60]}; rename it")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CheckpointError(f"{path}: the weight {name[:80]!r} holds NaN or infinity; train again")
    raw = format.arrays(arrays)
    with atomic_write(path) as stream:
        stream.write(raw)


def _checkpoint(model: Model, path: Path) -> None:
    from armour.formats import ckpt

    ckpt.write(model, path)


def _onnx(model: Model, path: Path) -> None:
    from armour.formats.onnx_export import export_onnx

    export_onnx(model, path)


def _safetensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    from armour.formats import safetensors

    return safetensors.dump(arrays)


def _npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    from armour import npz

    out = io.BytesIO()
    npz.write_arrays(out, arrays)
    return out.getvalue()


def _mindspore(arrays: Mapping[str, np.ndarray]) -> bytes:
    from armour.formats import mindspore_ckpt

    return mindspore_ckpt.dump(arrays)


_NETWORK = ("the network", "input shape, bounds and preprocessing", "class names", "provenance")
FORMATS: dict[str, Format] = {
    row.name: row
    for row in (
        Format(name="armour", suffixes=(".ckpt", ""), model=_checkpoint),
        Format(name="onnx", suffixes=(".onnx",), model=_onnx, lost=("names of layers",)),
        Format(name="safetensors", suffixes=(".safetensors",), arrays=_safetensors, lost=_NETWORK),
        Format(name="npz", suffixes=(".npz",), arrays=_npz, lost=_NETWORK),
        Format(name="mindspore", suffixes=(), arrays=_mindspore, lost=_NETWORK),
    )
}
"""Formats by name, as `armour convert --to` takes them."""
