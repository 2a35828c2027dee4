"""The state of a training run between two epochs, as a file: arrays and JSON in safetensors, no pickle."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from armour.archive import file_size
from armour.data import Dataset
from armour.errors import CheckpointError, InvalidArgument
from armour.files import atomic_write
from armour.formats import safetensors
from armour.tensor import optim
from armour.tensor.nn import Module

if TYPE_CHECKING:
    from armour.training import TrainConfig

_FORMAT = "armour-train/2"
_MAX_BYTES = 8 << 30
_HEAD = "head"
MORE = ("method", "average")
ADVICE = "delete it and train from the start"


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where a run is: finished epochs, the best validation accuracy, and the epoch that reached it."""

    root: int
    done: int = 0
    best_accuracy: float = -1.0
    best_epoch: int = 0
    finished: bool = False


def identify(
    module: Module,
    train: Dataset,
    validation: Dataset,
    config: TrainConfig,
    root: int,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]],
) -> dict[str, Any]:
    """What must be equal for a run to go on: data, configuration, network, seed, as plain JSON values."""
    shapes = {name: list(value.shape) for name, value in module.state_dict().items()}
    # The first difference is what is told: another network or seed also draws another validation part.
    return {
        "format": _FORMAT,
        "network": hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest(),
        "config": asdict(config),
        "root": root,
        "data": [train.digest, validation.digest, [list(part) for part in normalisation]],
    }


def write(
    path: Path,
    identity: dict[str, Any],
    module: Module,
    optimiser: optim.Optimizer,
    at: Progress,
    best: dict[str, np.ndarray],
    more: dict[str, dict[str, np.ndarray]],
) -> None:
    """Replace the file in one step: a run killed at any moment finds the old state or the new one.

    more: what the method ("method") and the average of weights ("average") keep.
    """
    head = json.dumps({"identity": identity, "progress": asdict(at)}, sort_keys=True).encode()
    arrays = {_HEAD: np.frombuffer(head, np.uint8)}
    parts = {"now": module.state_dict(), "best": best, "optimiser": optimiser.state_dict()} | more
    for part, values in parts.items():
        arrays |= {f"{part}.{name}": np.asarray(value) for name, value in values.items()}
    with atomic_write(path) as stream:
        stream.write(safetensors.dump(arrays))


def read(
    path: Path, identity: dict[str, Any], module: Module, optimiser: optim.Optimizer
) -> tuple[Progress, dict[str, np.ndarray], dict[str, dict[str, np.ndarray]]]:
    """Put module and optimiser where the run was; gives its progress, its best weights, and `write`'s more.

    Raises InvalidArgument naming what differs if the file is of another run, CheckpointError if it is none.
    """
    size = file_size(path, CheckpointError)
    if size > _MAX_BYTES:
        raise CheckpointError(f"{path}: expected at most {_MAX_BYTES:,} bytes, got {size:,}; {ADVICE}")
    try:
        arrays = safetensors.parse(path.read_bytes(), str(path))
        head = json.loads(arrays.pop(_HEAD).tobytes())
        known, at = head["identity"], _progress(head["progress"])
        told = {key: known.get(key) for key in identity}
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path}: this is no training state; {ADVICE}") from error
    words = {"format": "version of armour", "data": "data set", "config": "configuration", "root": "seed"}
    words["method"] = "defense"
    for key, value in identity.items():
        if told[key] != value:
            raise InvalidArgument(
                f"{path} is of a run with another {words.get(key, key)}; "
                f"resume with the options it was started with, or {ADVICE}"
            )
    parts: dict[str, dict[str, np.ndarray]] = {name: {} for name in ("now", "best", "optimiser", *MORE)}
    for name, value in arrays.items():
        part, _, rest = name.partition(".")
        if part not in parts:
            raise CheckpointError(f"{path}: this is no training state; {ADVICE}")
        parts[part][rest] = value
    try:
        # The best weights are loaded too, so that a damaged file is refused before training goes on.
        module.load_state_dict(parts["best"])
        module.load_state_dict(parts["now"])
        optimiser.load_state_dict(parts["optimiser"])
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; {ADVICE}") from error
    return at, parts["best"], {name: parts[name] for name in MORE}


def _progress(tree: Any) -> Progress:
    at = Progress(**tree)
    whole = all(type(v) is int and v >= 0 for v in (at.root, at.done, at.best_epoch))
    if not whole or type(at.best_accuracy) is not float or type(at.finished) is not bool:
        raise ValueError("the progress holds values of another kind")
    return at
