"""Weights without a network: .safetensors and .npz files, put into an architecture that the caller names.

Such a file says neither what the network is nor what its inputs are, so all of that must be stated: a wrong
range is invisible in clean accuracy and makes every epsilon wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from armour import npz
from armour.archive import GIB, file_size
from armour.bounds import Bounds
from armour.errors import ArmourError, CheckpointError
from armour.formats import safetensors
from armour.model import ModuleModel
from armour.tensor import nn, zoo

_MAX_BYTES = 4 * GIB


def read(
    path: Path,
    arch: str | nn.Module,
    *,
    input_shape: Sequence[int] | None,
    bounds: Bounds | Sequence[float] | None,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    device: str = "cpu",
) -> ModuleModel:
    """The network `arch` (a name of the zoo, or a module, which is filled in place) with the file's weights.

    The number of classes is read from the weights. Raises CheckpointError if something is not stated, and for
    a damaged file, weights that are not finite, or names and shapes that do not fit the architecture.
    """
    told = {"input_shape": input_shape, "bounds": bounds, "mean": mean, "std": std}
    missing = [f"{name}=" for name, value in told.items() if value is None]
    if missing or input_shape is None or bounds is None or mean is None or std is None:
        raise CheckpointError(
            f"{path}: a file of weights does not say its inputs; state {', '.join(missing)} "
            "(such as input_shape=(1, 28, 28), bounds=(0, 1), mean=0, std=1)"
        )
    arrays = read_arrays(path)
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CheckpointError(f"{path}: weight {name[:80]!r} holds NaN or infinity; train again")
    try:
        module = arch if isinstance(arch, nn.Module) else _build(arch, input_shape, arrays)
        module.load_state_dict(arrays)
        return ModuleModel(
            module,
            input_shape=input_shape,
            bounds=bounds,
            mean=mean,
            std=std,
            name=arch if isinstance(arch, str) else type(arch).__name__.lower(),
            provenance={"weights": {"file": path.name, "sha256": _digest(arrays)}},
            device=device,
        )
    except ArmourError as error:
        raise CheckpointError(f"{path}: the weights do not fit {_named(arch)}: {error}") from error


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a .safetensors or .npz file, told apart by content; CheckpointError for anything else."""
    size = file_size(path, CheckpointError)
    if size > _MAX_BYTES:
        raise CheckpointError(f"{path}: expected at most {_MAX_BYTES:,} bytes, got {size:,}")
    with path.open("rb") as stream:
        head = stream.read(9)
        if head[:2] == b"PK":
            return npz.read_arrays(path, CheckpointError, max_bytes=_MAX_BYTES)
        if head[8:] != b"{":
            raise CheckpointError(
                f"{path}: expected weights as .safetensors or .npz, got another kind of file"
            )
        return safetensors.parse(head + stream.read(), str(path))


def _build(arch: str, input_shape: Sequence[int], arrays: dict[str, np.ndarray]) -> nn.Module:
    """The network with as many classes as the weights are for, without initial weights."""
    with nn.skip_init():
        two, three = (zoo.build(arch, input_shape, classes).state_dict() for classes in (2, 3))
        return zoo.build(arch, input_shape, _classes(two, three, arrays))


def _classes(two: dict[str, Any], three: dict[str, Any], arrays: dict[str, np.ndarray]) -> int:
    """The length of the one axis that changes with the number of classes; 2 if the arrays do not fit."""
    for name, value in two.items():
        if value.shape == three[name].shape or name not in arrays:
            continue
        found = arrays[name].shape
        changed = [i for i, (a, b) in enumerate(zip(value.shape, three[name].shape, strict=True)) if a != b]
        same = len(found) == value.ndim and all(
            n == m or i in changed for i, (n, m) in enumerate(zip(found, value.shape, strict=True))
        )
        if same and found[changed[0]] >= 2:
            return int(found[changed[0]])
    return 2


def _digest(arrays: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(safetensors.dump(arrays)).hexdigest()


def _named(arch: str | nn.Module) -> str:
    return arch if isinstance(arch, str) else type(arch).__name__
