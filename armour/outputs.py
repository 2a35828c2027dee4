"""What the raw outputs of a network mean, and the logits that are made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from armour.checks import describe, one_of
from armour.errors import InvalidArgument
from armour.tensor import clip, concat
from armour.tensor.core import Tensor

Kind: TypeAlias = Literal["auto", "logits", "probabilities", "labels"]
KINDS = ("auto", "logits", "probabilities", "labels")
FLOOR = 1e-12  # added to a probability before its logarithm

# (kind, one score for two classes) -> what provenance["outputs"] says
_NOTES = {
    ("logits", False): "logits",
    ("probabilities", False): "probabilities; their logarithm is used as logits",
    ("logits", True): "one score, of class 1; minus and plus its half are used as logits",
    ("probabilities", True): "one probability, of class 1; logarithms are used as logits",
    ("labels", False): "labels only; one-hot scores are used as logits",
}
_KINDS: dict[str, Kind] = {note: kind for (kind, _), note in _NOTES.items()}  # type: ignore[misc]


@dataclass(slots=True)
class Outputs:
    """How a model's raw outputs become logits; decided on the first ones unless the caller says it.

    kind: "logits"; "probabilities", whose logarithm is taken; "labels", (n,) whole numbers that become
    one-hot scores; or "auto": probabilities if each row lies in [0, 1] and sums to 1, labels if they are
    whole numbers (n,), logits otherwise. single: one score (n,) or (n, 1) for two classes, which becomes two
    logits; a score in [0, 1] throughout is taken for the probability of class 1.
    """

    kind: Kind = "auto"
    single: bool = False

    def __post_init__(self) -> None:
        one_of("outputs", self.kind, KINDS)

    @classmethod
    def noted(cls, note: Any) -> Outputs:
        """As a model's provenance["outputs"] says; undecided for any other value."""
        return cls(_KINDS.get(note, "auto") if isinstance(note, str) else "auto")

    @property
    def note(self) -> str:
        """What provenance["outputs"] says; "" as long as nothing is decided."""
        return _NOTES.get((self.kind, self.single), "")

    def settle(self, raw: np.ndarray, num_classes: int | None, sigmoid: bool | None = None) -> None:
        """Decide on raw outputs of a batch, those that are finite. sigmoid: whether one score is a
        probability, if that is known from the network."""
        self.single = (
            self.kind != "labels"
            and num_classes in (None, 2)
            and raw.size > 0
            and (raw.ndim == 1 or (raw.ndim == 2 and raw.shape[1] == 1))
            and not (self.kind == "auto" and _are_labels(raw))
        )
        if self.kind != "auto":
            return
        if _are_labels(raw):
            self.kind = "labels"
            return
        rows = raw.reshape(len(raw), -1) if raw.ndim and len(raw) else raw.reshape(0, 1)
        rows = rows[np.isfinite(rows).all(axis=1)] if rows.dtype.kind == "f" else rows
        if not rows.size:
            return
        inside = bool((rows >= 0).all() and (rows <= 1 + 1e-6).all())
        if self.single:
            likely = inside if sigmoid is None else sigmoid
        else:
            likely = inside and rows.shape[1] > 1 and np.allclose(rows.sum(axis=1), 1, atol=1e-3)
        self.kind = "probabilities" if likely else "logits"

    def logits(self, raw: Tensor) -> Tensor:
        """Logits (n, k) of raw outputs; differentiable, in rows of the op table. Not for labels."""
        if self.single:
            raw = raw.reshape(-1, 1)
        if self.kind != "probabilities":
            return concat([raw * -0.5, raw * 0.5], axis=1) if self.single else raw
        if self.single:
            raw = concat([1.0 - raw, raw], axis=1)
        return (clip(raw, 0.0, None) + FLOOR).log()

    def logits_of(self, raw: np.ndarray, num_classes: int | None) -> np.ndarray:
        """Logits of raw outputs on the host; InvalidArgument for labels that are none."""
        if self.kind == "labels":
            return one_hot(raw, num_classes)
        if raw.dtype.kind != "f":
            raw = raw.astype(np.float32)
        with np.errstate(all="ignore"):
            return self.logits(Tensor(raw)).data  # type: ignore[no-any-return]


def outputs_of(kind: Kind, shape: tuple[int, ...] | None) -> Outputs:
    """The Outputs of a model; of one whose answers have a shape of their own, taken as they are."""
    if shape is None:
        return Outputs(kind)
    if kind not in ("auto", "logits"):
        raise InvalidArgument(
            f"expected outputs of shape {shape} to be taken as they are, got outputs={kind!r}"
        )
    return Outputs("logits")


def one_hot(labels: np.ndarray, num_classes: int | None) -> np.ndarray:
    """(n, num_classes) float32 with a 1 at each label (n,) or (n, 1)."""
    flat = labels.reshape(len(labels)) if labels.size == len(labels) else labels
    if num_classes is None:
        raise InvalidArgument("expected num_classes to be stated for a model that gives labels only")
    whole = flat.ndim == 1 and flat.dtype.kind in "iufb" and bool((flat == np.floor(flat)).all())
    if not whole or (flat.size and not (flat.min() >= 0 and flat.max() < num_classes)):
        raise InvalidArgument(
            f"expected labels (n,) in 0..{num_classes - 1} from the model, got {describe('output', labels)}"
        )
    scores = np.zeros((len(flat), num_classes), np.float32)
    scores[np.arange(len(flat)), flat.astype(np.int64)] = 1
    return scores


def _are_labels(raw: np.ndarray) -> bool:
    return raw.ndim == 1 and raw.dtype.kind in "iu"
