"""What an attacker wants of a model's answer, sample by sample. A criterion holds its own labels.

Misclassified(y)                     any class but y
Targeted(t)                          class t
Misclassified(y) & Confident(0.9)    any class but y, with probability 0.9 or more
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour.checks import describe, fraction
from armour.errors import InvalidArgument, UnsupportedError
from armour.objective import Loss as Loss
from armour.objective import Objective
from armour.registry import Registry
from armour.tensor import losses
from armour.tensor.core import Tensor

Labels: TypeAlias = NDArray[np.int64]

LOSSES: Registry[Loss] = Registry("loss")
LOSSES.register("cross-entropy")(losses.cross_entropy)
LOSSES.register("margin")(losses.margin)
LOSSES.register("dlr")(losses.dlr)
LOSSES.register("jitter")(losses.jitter)
LOSSES.register("targeted-dlr")(losses.targeted_dlr)


def _kl(logits: Tensor, labels: Any, clean: Any) -> Tensor:
    return losses.kl(logits, clean)


# Losses that compare with the clean logits (n, k), given to them as a third argument.
RELATIVE: Registry[Loss] = Registry("relative loss")
RELATIVE.register("kl")(_kl)


class Criterion(ABC):
    """Says for each sample whether the model's logits are what the attacker wants.

    labels: (n,) int64 the criterion speaks of, or None if it fits any number of samples. direction: 1 if the
    attacker drives the model away from the labels, -1 if towards them, 0 if it has no labels.
    """

    labels: Labels | None = None
    direction: Literal[-1, 0, 1] = 0

    @abstractmethod
    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        """True (n,) where logits (n, k) meet the criterion."""

    @abstractmethod
    def __getitem__(self, index: Any) -> Criterion:
        """The criterion of some of the samples."""

    def __and__(self, other: Criterion) -> Criterion:
        """Both at once; the labels and direction of the first that has labels drive the attack."""
        return And(self, other)

    def check(self, n: int, num_classes: int | None) -> None:
        """InvalidArgument unless the labels fit `n` samples of a model with that many classes."""
        if self.labels is None:
            raise InvalidArgument(f"{self} has no labels; combine it: criteria.Misclassified(y) & {self}")
        if len(self.labels) != n:
            raise InvalidArgument(
                f"expected one label for each of the {n} inputs, got {len(self.labels)} labels"
            )
        if n and (self.labels.min() < 0 or (num_classes is not None and self.labels.max() >= num_classes)):
            end = "" if num_classes is None else str(num_classes - 1)
            raise InvalidArgument(
                f"expected labels in 0..{end}, got {self.labels.min()}..{self.labels.max()}; "
                "the model has another number of classes than the data"
            )

    def objective(self, loss: str | Loss = "cross-entropy", *data: NDArray[Any]) -> Objective:
        """The function of logits (Tensor (n, k) -> Tensor (n,)) that the attacker makes as large as possible.

        loss: "cross-entropy", "margin", "dlr", "jitter", or a function (logits, labels, *data) -> (n,) that
        grows as the logits favour other classes; "kl" with the clean logits (n, k) as data grows as the
        logits leave those. data: arrays (n, ...) with something for each sample. Raises InvalidArgument for
        an unknown name; UnsupportedError without labels, for "kl" without clean logits, and for "kl" towards
        a target.
        """
        labels, direction = self.labels, self.direction
        if isinstance(loss, str) and loss in RELATIVE:
            function = RELATIVE.get(loss)
            if not data:
                raise UnsupportedError(
                    f"the {loss} loss compares with the clean prediction, which this attack does not give; "
                    "use PGD"
                )
            if direction < 0:
                raise UnsupportedError(
                    f"the {loss} loss leads away from the clean prediction, to no target; use cross-entropy"
                )
        else:
            function = LOSSES.get(loss) if isinstance(loss, str) else loss
        if labels is None:
            raise UnsupportedError(
                f"{self} gives an attack no direction; combine it with Misclassified or Targeted"
            )
        return Objective(function, labels, -1 if direction < 0 else 1, data)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class Misclassified(Criterion):
    """The model answers anything but the label.

    labels: (n,) integers.
    """

    direction = 1

    def __init__(self, labels: ArrayLike) -> None:
        self.labels: Labels = _labels("labels", labels)

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        return np.asarray(logits.argmax(axis=1) != self.labels)

    def __getitem__(self, index: Any) -> Misclassified:
        return Misclassified(self.labels[index])


class Targeted(Criterion):
    """The model answers the class the attacker chose.

    targets: (n,) integers.
    """

    direction = -1

    def __init__(self, targets: ArrayLike) -> None:
        self.labels: Labels = _labels("targets", targets)

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        return np.asarray(logits.argmax(axis=1) == self.labels)

    def __getitem__(self, index: Any) -> Targeted:
        return Targeted(self.labels[index])


class Confident(Criterion):
    """The model gives its answer at least this softmax probability, in [0, 1]; combined with `&`."""

    def __init__(self, probability: float) -> None:
        self.probability = fraction("probability", probability)

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        with np.errstate(invalid="ignore"):
            shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
            return np.asarray(1 / shifted.sum(axis=1) >= self.probability)

    def __getitem__(self, index: Any) -> Confident:
        return self

    def __repr__(self) -> str:
        return f"Confident({self.probability})"


class And(Criterion):
    """Both criteria; written `first & second`."""

    def __init__(self, first: Criterion, second: Criterion) -> None:
        self.first, self.second = first, second
        leader = first if first.labels is not None else second
        self.labels, self.direction = leader.labels, leader.direction

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        return self.first(logits) & self.second(logits)

    def __getitem__(self, index: Any) -> And:
        return And(self.first[index], self.second[index])

    def check(self, n: int, num_classes: int | None) -> None:
        """InvalidArgument unless the labels of both parts fit."""
        parts = [part for part in (self.first, self.second) if part.labels is not None]
        for part in parts:
            part.check(n, num_classes)
        if not parts:
            super().check(n, num_classes)

    def __repr__(self) -> str:
        return f"{self.first} & {self.second}"


def _labels(name: str, values: ArrayLike) -> Labels:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise InvalidArgument(f"expected integers of shape (n,), got {describe(name, array)}")
    return array.astype(np.int64)
