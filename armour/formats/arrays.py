"""Weights without a network: .safetensors and .npz files, put into an architecture that the caller names.

Such a file says neither what the network is nor what its inputs are, so all of that must be stated: a wrong
range is invisible in clean accuracy and makes every epsilon wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from armour.errors import ArmourError, CheckpointError
from armour.formats import safetensors
from armour.model import ModuleModel
from armour.tensor import nn, zoo

if TYPE_CHECKING:
    from armour.formats.kinds import Weights
    from armour.options import LoadOptions


def load(path: Path, what: str, weights: Weights, options: LoadOptions) -> ModuleModel:
    """The network `options.arch` (a name of the zoo, or a module, filled in place) with these weights.

    The number of classes is read from the weights. Raises CheckpointError if something is not stated, and for
    a damaged file, weights that are not finite, or names and shapes that do not fit the architecture.
    """
    arch, input_shape, bounds = options.arch, options.input_shape, options.bounds
    if arch is None:
        raise CheckpointError(f"{path}: this is {what} without a network; name it with arch=")
    normal: dict[str, Any] = {"mean": options.mean, "std": options.std}
    if options.preprocessing is not None:
        normal = {"preprocessing": options.preprocessing}
    told = {"input_shape": input_shape, "bounds": bounds, **normal}
    missing = [f"{name}=" for name, value in told.items() if value is None]
    if missing or input_shape is None or bounds is None:
        raise CheckpointError(
            f"{path}: a file of weights does not say its inputs; state {', '.join(missing)} "
            "(such as input_shape=(1, 28, 28), bounds=(0, 1), mean=0, std=1)"
        )
    arrays = weights.arrays
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
            name=arch if isinstance(arch, str) else type(arch).__name__.lower(),
            class_names=options.class_names or (),
            num_classes=options.num_classes,
            provenance={"weights": {"file": path.name, "sha256": _digest(arrays)}},
            device=options.device,
            **normal,
        )
    except ArmourError as error:
        raise CheckpointError(f"{path}: the weights do not fit {_named(arch)}: {error}") from error


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
