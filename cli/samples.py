"""Which samples a command attacks or evaluates: of the data set that a model records, or of --data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from armour import data
from armour.contract import Model
from armour.data import Dataset
from armour.errors import DataError, InvalidArgument, NothingEvaluated
from armour.events import OnEvent
from armour.rng import generator
from armour.subset import stratified_order


@dataclass(frozen=True, slots=True)
class Chosen:
    """Samples to work on.

    at: their places in the whole, of which there are `total`. training: what the model was trained on, if its
    own data set is used.
    """

    at: np.ndarray
    samples: Dataset
    total: int
    training: Dataset | None


def choose(model: Model, source: str | None, limit: int, seed: int, on_event: OnEvent) -> Chosen:
    """At most `limit` samples; DataError if they do not fit, NothingEvaluated if there are none."""
    recorded = model.provenance.get("data", {}).get("name")
    source = source or recorded
    if not source:
        raise InvalidArgument(f"{model.name} records no data set; state one with --data")
    train, test = data.load_split(source, bounds=model.bounds, on_event=on_event)
    if source in data.names() or source == recorded:
        samples = test
    else:
        samples = Dataset(
            np.concatenate([train.x, test.x]),
            np.concatenate([train.y, test.y]),
            test.bounds,
            test.name,
            test.class_names,
        )
    training = train if source == recorded else None
    if samples.x.shape[1:] == (1, *(model.input_shape or ())) and samples.x.ndim == 4:
        # Read as grey images, which get a channel axis; this model takes arrays of two axes.
        samples = replace(samples, x=samples.x[:, 0])
        training = None if training is None else replace(training, x=training.x[:, 0])
    if not len(samples):
        raise NothingEvaluated(f"{samples.name} has no samples to attack; choose other data with --data")
    try:
        model.check_input(samples.x[:1])
        model.check_labels(samples.y, len(samples))
    except InvalidArgument as error:
        raise DataError(f"{samples.name} does not fit {model.name}: {error}") from error
    at = stratified_order(samples.y, generator(seed))[:limit]
    return Chosen(at, samples[at], len(samples), training)


def read_groups(option: str, chosen: Chosen) -> np.ndarray:
    """The group of each chosen sample, as text, from FILE or FILE:COLUMN with a value for each of the whole.

    FILE is .npy, .npz (an array of that name, or its only one) or text with commas, whose first line names
    the columns if COLUMN is stated. Raises DataError for anything else.
    """
    path, column = _split(option)
    if not path.is_file():
        raise DataError(f"there is no file {path} with groups; expected --group FILE or FILE:COLUMN")
    try:
        values = _values(path, column)
    except (OSError, ValueError) as error:
        raise DataError(f"groups cannot be read from {path}: {error}") from error
    if len(values) != chosen.total:
        raise DataError(
            f"expected the group of each of the {chosen.total:,} samples in {path}, got {len(values):,}"
        )
    groups: np.ndarray = values[chosen.at]
    return groups


def _split(option: str) -> tuple[Path, str]:
    head, colon, column = option.rpartition(":")
    return (Path(head), column) if colon and not Path(option).is_file() else (Path(option), "")


def _values(path: Path, column: str) -> np.ndarray:
    from armour import npz

    suffix = path.suffix.lower()
    if suffix == ".npy":
        array = npz.parse_array(path.read_bytes(), path, path.name, DataError)
    elif suffix == ".npz":
        found = npz.read_arrays(path, DataError)
        name = column or (next(iter(found)) if len(found) == 1 else "")
        if name not in found:
            raise DataError(f"{path} holds {', '.join(sorted(found)) or 'nothing'}; state one: {path}:NAME")
        array = found[name]
    else:
        array = _column(path, column)
    if array.ndim != 1:
        raise DataError(f"expected one group for each sample in {path}, got an array of shape {array.shape}")
    return array.astype(str)


def _column(path: Path, column: str) -> np.ndarray:
    import csv

    with path.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.reader(stream) if row]
    if not rows:
        raise DataError(f"{path} holds no groups")
    place = 0
    if column:
        if column not in rows[0]:
            raise DataError(f"{path} has no column {column!r}; it has: {', '.join(rows[0])[:200]}")
        place, rows = rows[0].index(column), rows[1:]
    if any(len(row) <= place for row in rows):
        raise DataError(f"{path} has lines of different lengths")
    return np.array([row[place].strip() for row in rows])
