"""From a served model's answer to scores (n, classes), checked for all that a server can get wrong."""

from __future__ import annotations

import math
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


def as_table(values: np.ndarray, classes: int | None) -> np.ndarray:
    """(n, classes) scores, (n, 1) single scores, or (n,) labels if they are whole numbers, one a sample.

    WireError for any other shape.
    """
    n, width = len(values), math.prod(values.shape[1:])
    if width == 1:
        return values.reshape(n) if values.dtype.kind in "iu" else values.reshape(n, 1)
    if width != max(values.shape[1:], default=1):
        raise WireError(f"scores of shape {values.shape} where ({n}, classes) was expected")
    if classes is not None and width != classes:
        raise WireError(f"{width} scores for each sample where {classes} classes were expected")
    with np.errstate(over="ignore"):
        table = np.ascontiguousarray(values.reshape(n, width), dtype=np.float32)
    if not np.isfinite(table).all():
        raise WireError("scores beyond the range of float32")
    return table


def _shown(names: list[Any]) -> str:
    return ", ".join(ascii(name)[:40] for name in names[:10]) or "none"
