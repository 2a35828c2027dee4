"""Weights without a network: put into an architecture that the caller names, or that is recognised.

Such a file says neither what the network is nor what its inputs are. The network is recognised from names and
shapes where that is possible without guessing; the range of the inputs and their normalisation must always be
stated: a wrong range is invisible in clean accuracy and makes every epsilon wrong.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from armour.errors import ArmourError, CheckpointError
from armour.formats import keras_layout, matching, safetensors
from armour.formats.entries import Entries, prepare
from armour.formats.matching import Row
from armour.formats.recognise import FAMILIES, Found, recognise
from armour.model import ModuleModel
from armour.tensor import nn, zoo

if TYPE_CHECKING:
    from armour.formats.kinds import Kind, Weights
    from armour.options import LoadOptions

log = logging.getLogger(__name__)
_MAX_LISTED = 2_000  # entries of provenance


def load(path: Path, kind: Kind, weights: Weights, options: LoadOptions) -> ModuleModel:
    """A network with these weights: `options.arch` (a name of the zoo, or a module, filled in place), or the
    one that they are recognised to be of.

    The number of classes is read from the weights. provenance["matched"] lists each weight with its array and
    how they met, provenance["assumed"] what is not in the file, provenance["left_over"] the entries that are
    no weights. Raises CheckpointError if something is not stated, for weights that are not finite, and for
    names and shapes that fit no network.
    """
    try:
        entries = prepare(weights.arrays, weights.leftovers)
        matching.check_numbers(entries)
        turns: list[str] = []
        if kind.layout:
            entries, options, turns = keras_layout.turned(entries, options)
        if options.arch is None:
            found = _recognised(kind, entries, options)
            name, module, rows = found.name, found.module, _put(found, entries)
            assumed, shape = [*turns, *found.assumed], tuple(options.input_shape or found.input_shape)
            if turns:
                assumed += keras_layout.set_epsilon(module)
            log.warning("%s is taken for %s; assumed: %s", path, name, "; ".join(assumed) or "nothing")
        else:
            _require(options, ("input_shape",))
            shape, assumed = tuple(options.input_shape or ()), turns
            name, module, rows = _named(options.arch, _taken(options) or shape, entries)
            if turns and isinstance(options.arch, str):
                assumed = assumed + keras_layout.set_epsilon(module)
        _require(options, ("bounds", "mean", "std"))
        return ModuleModel(
            module,
            input_shape=shape,
            bounds=options.bounds,
            name=name,
            class_names=options.class_names or (),
            num_classes=options.num_classes,
            output_shape=options.output_shape,
            provenance=_provenance(path, kind, entries, rows, assumed),
            device=options.device,
            preprocessing=options.steps,
        )
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except ArmourError as error:
        raise CheckpointError(f"{path}: the weights cannot be used: {error}") from error


def _require(options: LoadOptions, names: tuple[str, ...]) -> None:
    steps = ("mean", "std") if options.preprocessing is not None else ()
    missing = [f"{name}=" for name in names if name not in steps and getattr(options, name) is None]
    if missing:
        raise CheckpointError(
            f"a file of weights does not say its inputs; state {', '.join(missing)} "
            "(such as input_shape=(1, 28, 28), bounds=(0, 1), mean=0, std=1)"
        )


def _taken(options: LoadOptions) -> tuple[int, ...] | None:
    """The shape that the network takes, if one is stated; users' samples may have another."""
    if options.input_shape is None:
        return None
    steps = options.preprocessing
    shape = tuple(options.input_shape)
    return shape if steps is None else steps.network_shape(shape)


def _recognised(kind: Kind, entries: Entries, options: LoadOptions) -> Found:
    found = recognise(entries, _taken(options))
    if found is None:
        known = ", ".join(FAMILIES.names())
        raise CheckpointError(
            f"this is {kind.what} without a network, whose {len(entries.arrays)} weights are of none that is "
            f"recognised ({known}); name it with arch=, or export the network as ONNX"
        )
    return found


def _put(found: Found, entries: Entries) -> list[Row]:
    """The arrays into the recognised network; nothing may be left over on either side."""
    found.module.load_state_dict({own: entries.arrays[name] for own, name in found.names.items()})
    spare = entries.arrays.keys() - set(found.names.values())
    if spare:
        raise CheckpointError(
            f"the weights look like {found.name}, but {min(spare)[:80]!r} belongs nowhere in it; "
            "give the network itself as arch=, or export it as ONNX"
        )
    return [matching.row(own, name, entries, "name and shape") for own, name in found.names.items()]


def _named(arch: str | nn.Module, shape: Sequence[int], entries: Entries) -> tuple[str, nn.Module, list[Row]]:
    name = arch if isinstance(arch, str) else type(arch).__name__.lower()
    try:
        module = arch if isinstance(arch, nn.Module) else _build(arch, shape, entries.arrays)
        return name, module, matching.fill(module, entries)
    except ArmourError as error:
        raise CheckpointError(f"the weights do not fit {name}: {error}") from error


def _build(arch: str, input_shape: Sequence[int], arrays: Mapping[str, np.ndarray]) -> nn.Module:
    """The network with as many classes as the weights are for, without initial weights."""
    with nn.skip_init():
        two, three = (zoo.build(arch, input_shape, classes).state_dict() for classes in (2, 3))
        return zoo.build(arch, input_shape, _classes(two, three, arrays))


def _classes(two: dict[str, Any], three: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> int:
    """The length of the one axis that changes with the number of classes; 2 if no array fits there.

    The weight is looked for under its own name, then among all arrays of its shape but for that axis.
    """
    for name, value in two.items():
        if value.shape == three[name].shape:
            continue
        changed = next(
            i for i, (a, b) in enumerate(zip(value.shape, three[name].shape, strict=True)) if a != b
        )
        named = [arrays[name]] if name in arrays else list(arrays.values())[::-1]
        for array in named:
            if array.ndim == value.ndim and array.ndim > 1 and array.shape[changed] >= 2:
                others = [i for i in range(value.ndim) if i != changed]
                if all(array.shape[i] == value.shape[i] for i in others):
                    return int(array.shape[changed])
    return 2


def _provenance(
    path: Path, kind: Kind, entries: Entries, rows: list[Row], assumed: Sequence[str]
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "weights": {"file": path.name, "format": kind.name, "sha256": _digest(entries.arrays)},
        "matched": [row.to_list() for row in rows[:_MAX_LISTED]],
    }
    if assumed:
        facts["assumed"] = list(assumed)
    if entries.leftovers:
        facts["left_over"] = dict(list(entries.leftovers.items())[:_MAX_LISTED])
    return facts


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for chunk in safetensors.chunks(arrays):
        digest.update(chunk)
    return digest.hexdigest()
