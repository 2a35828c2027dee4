"""V3: a failure is the model's own if another model of a panel still reads the input as its seed's label.

A panel shares its training data with the model, so V3 is strict, and failing it does not prove an input
invalid.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from armour.contract import Model
from armour.errors import FormatError, InvalidArgument
from armour.events import OnEvent, emit
from armour.files import atomic_write

from .manifest import read_json
from .reading import Corpus
from .rebuilding import rebuilt
from .rounds import LEVELS

LEAST = 2  # models of a panel
_FILE = "panel.json"
_BATCH = 128


@dataclass(frozen=True, slots=True)
class References:
    """What the reference models of a panel said of the failures of a corpus.

    models: (name, fingerprint) of each. right: id -> whether each of them gave the seed's label.
    """

    models: tuple[tuple[str, str], ...]
    right: dict[str, tuple[bool, ...]]

    def specific(self, record: dict[str, Any]) -> bool:
        """Whether the failure of a record of failures/index.jsonl reached V2 and a model of the panel is
        right.
        """
        return record["validity"] == LEVELS[-1] and any(self.right.get(record["id"], ()))


def ask(corpus: Corpus, models: Sequence[Model], on_event: OnEvent = None) -> References:
    """Ask each model about every failing input; InvalidArgument for fewer than two or for unfit models."""
    if len(models) < LEAST:
        raise InvalidArgument(f"expected a panel of at least {LEAST} models, got {len(models)}")
    prints = [model.fingerprint for model in models]
    own = corpus.manifest["model"]["fingerprint"]
    if own in prints or len(set(prints)) < len(prints):
        raise InvalidArgument("expected models that differ from the one tested and from each other")
    classes = corpus.manifest["model"]["num_classes"]
    for model in models:
        if tuple(model.input_shape or ()) != corpus.roots.x.shape[1:] or model.num_classes not in (
            None,
            classes,
        ):
            raise InvalidArgument(
                f"expected panel models of inputs {corpus.roots.x.shape[1:]} and {classes} classes, got "
                f"{model.name}: {model.input_shape} and {model.num_classes}"
            )
    records = corpus.records()
    right: dict[str, tuple[bool, ...]] = {}
    for start in range(0, len(records), _BATCH):
        part = records[start : start + _BATCH]
        x, _, _ = rebuilt(corpus, part)
        labels = np.array([record["true"] for record in part])
        said = np.stack([model.predict(x) == labels for model in models], axis=1)
        right |= {record["id"]: tuple(row) for record, row in zip(part, said.tolist(), strict=True)}
        emit(on_event, "panel", len(right), len(records))
    return References(tuple((model.name, model.fingerprint) for model in models), right)


def write(corpus: Corpus, said: References) -> None:
    """Keep what a panel said in panel.json of the corpus; an earlier panel's answers are replaced."""
    tree = {
        "models": [list(model) for model in said.models],
        "right": {k: list(v) for k, v in said.right.items()},
    }
    with atomic_write(corpus.folder / _FILE) as stream:
        stream.write((json.dumps(tree, sort_keys=True) + "\n").encode())


def read(corpus: Corpus) -> References | None:
    """The panel kept with a corpus, None if there is none; FormatError for a damaged file."""
    path = corpus.folder / _FILE
    if not path.is_file():
        return None
    tree = read_json(path, 64 << 20)
    models, right = tree.get("models"), tree.get("right")
    sound = (
        isinstance(models, list)
        and all(isinstance(m, list) and [type(part) for part in m] == [str, str] for m in models)
        and isinstance(right, dict)
        and all(isinstance(v, list) and len(v) == len(models) for v in right.values())
        and all(type(one) is bool for v in right.values() for one in v)
    )
    if not sound or models is None or right is None:
        raise FormatError(f"{path}: expected models and their answers; ask the panel again: corpus verify")
    return References(
        tuple((name, print_) for name, print_ in models), {k: tuple(v) for k, v in right.items()}
    )
