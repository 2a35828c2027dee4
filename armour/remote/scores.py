"""From a served model's answer to scores (n, classes), checked for all that a server can get wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from .client import Client
from .connection import Answer
from .strict import WireError
from .tensors import HEADER, decode, entries, unpack

_MAX_VALUES = 1 << 24


def read_scores(client: Client, answer: Answer, rows: int, output: str | None) -> np.ndarray:
    """The values of the output of that name, with `rows` rows; WireError for anything else."""
    client.check_plain(answer)
    head, rest = unpack(answer.body, answer.headers.get(HEADER.lower()))
    found = entries(head, "outputs", rest)
    names = [entry.get("name") for entry, _ in found]
    if output is None and len(found) != 1:
        raise WireError(f"{len(found)} outputs ({_shown(names)}) where one was expected; state output=NAME")
    chosen = [pair for pair in found if output is None or pair[0].get("name") == output]
    if len(chosen) != 1:
        raise WireError(f"without one output {output!r}; it has {_shown(names)}")
    values = decode(*chosen[0], most=_MAX_VALUES)
    if len(values) != rows:
        raise WireError(f"{len(values)} rows of scores for {rows} samples (shape {values.shape})")
    bad = ~np.isfinite(values.reshape(rows, -1)).all(axis=1)
    if bad.any():
        raise WireError(f"NaN or infinity in the scores of {int(bad.sum())} of {rows} samples")
    return values


def as_table(values: np.ndarray, classes: int | None, labels: bool | None) -> tuple[np.ndarray, bool]:
    """(n, classes) float32 scores, and whether they were made of labels: then 1 for the label, 0 elsewhere.

    labels: the values are known to be labels, or not; None: they are if they are whole numbers, one for each
    sample. WireError for another shape than (n, classes), and for labels out of range.
    """
    n = len(values)
    width = int(np.prod(values.shape[1:]))
    single = width == 1
    if labels is None:
        labels = single and values.dtype.kind in "iu"
    if labels:
        if not single:
            raise WireError(f"shape {values.shape} where one label for each of {n} samples was expected")
        if classes is None:
            raise WireError("labels, whose number of classes is not known; state num_classes=")
        wanted = values.reshape(n)
        if (wanted != np.rint(wanted)).any() or ((wanted < 0) | (wanted >= classes)).any():
            raise WireError(f"labels outside 0..{classes - 1}; is num_classes right?")
        return np.eye(classes, dtype=np.float32)[wanted.astype(np.int64)], True
    if values.shape != (n, width) and width != max(values.shape[1:], default=1):
        raise WireError(f"scores of shape {values.shape} where ({n}, classes) was expected")
    if width != classes and classes is not None:
        raise WireError(f"{width} scores for each sample where {classes} classes were expected")
    if single:
        raise WireError("one score for each sample where one for each class was expected; choose output=NAME")
    with np.errstate(over="ignore"):
        table = np.ascontiguousarray(values.reshape(n, width), dtype=np.float32)
    if not np.isfinite(table).all():
        raise WireError("scores beyond the range of float32")
    return table, False


def _shown(names: list[Any]) -> str:
    return ", ".join(ascii(name)[:40] for name in names[:10]) or "none"
