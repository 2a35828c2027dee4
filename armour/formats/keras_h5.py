"""Weights of Keras: .h5 files, and .keras archives that hold one. Needs h5py, the extra `keras`.

Only arrays are read: configurations, which can hold code (Lambda layers), are never looked at. Read as
hostile input: links to other files or places, virtual and external data, and filters that load plugins are
refused, and no array is made that the file has no bytes for. Layouts stay Keras's: see keras_layout.py.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from armour.archive import file_size, open_zip, read_member
from armour.errors import BackendUnavailable, CheckpointError

MEMBER = "model.weights.h5"
_FILTERS = {1, 2, 3}  # deflate, shuffle, Fletcher's checksum: built in, none loads a plugin
_MAX_DEPTH, _MAX_ITEMS, _MAX_AXES = 12, 50_000, 32
_MAX_RATIO, _SMALL = 32, 64 << 20  # how far the arrays may expand from the file
_ROOTS = ("model_weights", "layers")
_LEFT_OUT = ("optimizer_weights", "optimizer")
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
# What h5py raises for a damaged file.
_DAMAGE = (
    OSError,
    LookupError,
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)

Found = tuple[dict[str, np.ndarray], dict[str, str]]


def read_archive(path: Path, max_bytes: int) -> Found:
    """(arrays by name, what else there was) of a .keras file."""
    with open_zip(path, CheckpointError, max_bytes, max_bytes) as archive:
        raw = read_member(path, archive, MEMBER, CheckpointError, max_bytes)
    return _read(path, raw)


def read_file(path: Path) -> Found:
    """(arrays by name, what else there was) of an .h5 file."""
    file_size(path, CheckpointError)
    return _read(path, path.read_bytes())


def _read(path: Path, raw: bytes) -> Found:
    try:
        import h5py
    except ImportError as error:
        raise BackendUnavailable(
            f'{path}: Keras files are read with h5py; pip install "armour-toolkit[keras]"'
        ) from error
    try:
        with h5py.File(io.BytesIO(raw), "r") as file:
            return _arrays(h5py, file, len(raw))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: this Keras file cannot be read: {error}") from error
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:120]
        raise CheckpointError(
            f"{path}: this Keras file is damaged ({ascii(reason)[1:-1]}); get it again"
        ) from error


def _arrays(h5py: Any, file: Any, size: int) -> Found:
    found: dict[str, np.ndarray] = {}
    leftovers: dict[str, str] = {}
    total = 0
    for place, data in _datasets(h5py, file, [0]):
        parts = [part for part in place.split("/") if part]
        name = ".".join(part.removesuffix(":0") for part in parts)
        if parts[0] in _LEFT_OUT:
            leftovers[name] = "the state of an optimizer"
            continue
        if data.dtype.kind not in "fiub" or data.dtype.itemsize > 8:
            leftovers[name] = f"of type {ascii(str(data.dtype))[:40]}"
            continue
        _check(data, place)
        total += math.prod(data.shape) * data.dtype.itemsize
        if total > max(_SMALL, _MAX_RATIO * size):
            raise CheckpointError(f"its arrays expand to more than {total:,} bytes, which no real file's do")
        found[name] = np.asarray(data[()], data.dtype.newbyteorder("="))
    return _named(found), leftovers


def _datasets(
    h5py: Any, group: Any, count: list[int], path: str = "", depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """(path, dataset) of everything inside; links to other places are refused."""
    if depth > _MAX_DEPTH:
        raise CheckpointError(f"its groups are nested deeper than {_MAX_DEPTH}")
    for name in group:
        count[0] += 1
        if count[0] > _MAX_ITEMS:
            raise CheckpointError(f"it has more than {_MAX_ITEMS:,} entries")
        place = f"{path}/{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise CheckpointError(f"{ascii(place)[:80]} is a link to another place or file")
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _datasets(h5py, item, count, place, depth + 1)
        elif isinstance(item, h5py.Dataset):
            yield place, item


def _check(data: Any, place: str) -> None:
    """Nothing is read that is kept elsewhere, needs a plugin, or has no bytes in the file."""
    shown = ascii(place)[:80]
    if data.is_virtual or data.external:
        raise CheckpointError(f"{shown} has its data in another file")
    plan = data.id.get_create_plist()
    filters = {int(plan.get_filter(i)[0]) for i in range(plan.get_nfilters())}
    if not filters <= _FILTERS:
        raise CheckpointError(
            f"{shown} is packed by the filters {sorted(filters)}, of which some are not read"
        )
    if len(data.shape) > _MAX_AXES:
        raise CheckpointError(f"{shown} has {len(data.shape)} axes")
    needed, stored = math.prod(data.shape) * data.dtype.itemsize, data.id.get_storage_size()
    if (needed != stored) if not filters and data.chunks is None else (needed > 200 * stored + 4096):
        raise CheckpointError(f"{shown} of shape {data.shape} has {stored:,} bytes in the file"[:200])


def _named(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Names without what every one of them has in front, and `vars.N` as kernel, bias and so on."""
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        path, _, role = name.rpartition(".")
        groups.setdefault(path, {})[role] = array
    found = {}
    for path, inside in groups.items():
        layer = path.removesuffix(".vars")
        roles = _roles(inside) if path.endswith(".vars") else {role: role for role in inside}
        parts = layer.split(".")
        if parts[0] in _ROOTS and len(parts) > 1:
            parts = parts[1:]
        # Keras repeats a layer's name: conv2d/conv2d/kernel:0, conv2d/sequential/conv2d/kernel:0.
        if len(parts) > 1 and parts[0] == parts[-1]:
            parts = parts[:1]
        for role, array in inside.items():
            found[".".join([*(part for part in parts if part), roles[role]])] = array
    if len(found) != len(arrays):
        raise CheckpointError("two of its arrays have one name")
    return found


def _roles(inside: dict[str, np.ndarray]) -> dict[str, str]:
    """What the numbered variables of one layer are: Keras makes them in a fixed order."""
    ordered = [inside[str(i)] for i in range(len(inside)) if str(i) in inside]
    if len(ordered) == len(inside):
        shapes = [array.shape for array in ordered]
        if len(shapes[0]) >= 2 and (len(shapes) == 1 or shapes[1:] == [shapes[0][-1:]]):
            return dict(zip(("0", "1"), ("kernel", "bias"), strict=True))
        if len(shapes) == 4 and len(shapes[0]) == 1 and len(set(shapes)) == 1:
            return {str(i): role for i, role in enumerate(_NORM)}
    return {role: f"vars.{role}" for role in inside}
