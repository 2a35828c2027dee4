"""What an attacker wants of a model's answer, sample by sample. A criterion holds its own labels.

Misclassified(y)                     any class but y
Targeted(t)                          class t
Misclassified(y) & Confident(0.9)    any class but y, with probability 0.9 or more
Custom(success, loss, ...)           what two functions of the answers say: for models that are no classifiers
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour.checks import describe, fraction
from armour.errors import InvalidArgument, UnsupportedError
from armour.objective import Loss as Loss
from armour.objective import Objective, OwnObjective
from armour.registry import Registry
from armour.tensor import losses
from armour.tensor.core import Tensor

Labels: TypeAlias = NDArray[np.int64]

LOSSES: Registry[Loss] = Registry("loss")
LOSSES.register("cross-entropy")(losses.cross_entropy)
LOSSES.register("margin")(losses.margin)
LOSSES.register("dlr")(losses.dlr)
LOSSES.register("jitter")(losses.jitter)
LOSSES.register("soft-margin")(losses.soft_margin)
LOSSES.register("targeted-dlr")(losses.targeted_dlr)


def _kl(logits: Tensor, labels: Any, clean: Any) -> Tensor:
    return losses.kl(logits, clean)


# Losses that compare with the clean logits (n, k), given to them as a third argument.
RELATIVE: Registry[Loss] = Registry("relative loss")
RELATIVE.register("kl")(_kl)


class Criterion(ABC):
    """Says for each sample whether the model's logits are what the attacker wants.

    labels: (n,) int64 the criterion speaks of, or None if it fits any number of samples. direction: 1 if the
    attacker drives the model away from the labels, -1 if towards them, 0 if it gives no direction.
    of_classes: it speaks of classes, so that the model must be a classifier.
    """

    of_classes: bool = True
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

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What it knows of each sample."""
        return () if self.labels is None else (self.labels,)

    def objective(self, loss: str | Loss = "cross-entropy", *data: NDArray[Any]) -> Objective:
        """The function of logits (Tensor (n, k) -> Tensor (n,)) that the attacker makes as large as possible.

        loss: "cross-entropy", "margin", "soft-margin", "dlr", "jitter", or a function (logits, labels, *data)
        -> (n,) that grows as the logits favour other classes; "kl" with the clean logits (n, k) as data grows
        as the logits leave those. data: arrays (n, ...) with something for each sample. Raises
        InvalidArgument for an unknown name; UnsupportedError without labels, for "kl" without clean logits,
        and for "kl" towards a target.
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
        self.leader = first if first.direction else second
        self.labels, self.direction = self.leader.labels, self.leader.direction
        self.of_classes = first.of_classes or second.of_classes

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        return self.first(logits) & self.second(logits)

    def __getitem__(self, index: Any) -> And:
        return And(self.first[index], self.second[index])

    def check(self, n: int, num_classes: int | None) -> None:
        """InvalidArgument unless the labels of both parts fit."""
        parts = [part for part in (self.first, self.second) if part.direction]
        for part in parts:
            part.check(n, num_classes)
        if not parts:
            super().check(n, num_classes)

    def objective(self, loss: str | Loss = "cross-entropy", *data: NDArray[Any]) -> Objective:
        """The objective of the part that drives the attack."""
        return self.leader.objective(loss, *data)

    def __repr__(self) -> str:
        return f"{self.first} & {self.second}"


class Custom(Criterion):
    """What two functions of the model's answers say: for detectors, segmentation, or any aim of one's own.

    success: (answers (n, ...), *data) -> (n,) booleans, True where the attacker has what he wants.
    loss: (answers Tensor (n, ...), *data) -> Tensor (n,), each sample by itself: the attacker makes it as
    large as possible, whatever loss an attack names.
    data: arrays with one row for each sample (masks, boxes); the functions are given the rows they speak of.
    shape: of one answer, the model's output_shape; None for logits (n, classes).
    name: what is shown in results. A result under it has no robust accuracy: that is a classifier's.
    Raises InvalidArgument for data that do not fit the inputs, and for functions that give anything else.
    """

    direction = 1
    of_classes = False

    def __init__(
        self,
        success: Callable[..., ArrayLike],
        loss: Callable[..., Tensor],
        *,
        data: Sequence[ArrayLike] = (),
        shape: Sequence[int] | None = None,
        name: str = "custom",
    ) -> None:
        if not callable(success) or not callable(loss):
            raise InvalidArgument(
                f"expected functions of the answers, got {describe('success', success)} and "
                f"{describe('loss', loss)}"
            )
        self.success, self.loss, self.name = success, loss, str(name)
        self.data = tuple(np.asarray(array) for array in data)
        self.shape = None if shape is None else tuple(int(side) for side in shape)
        if any(array.ndim == 0 for array in self.data):
            raise InvalidArgument("expected data as arrays with one row for each sample, got a number")

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Its data."""
        return self.data

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        n = len(logits)
        if self.shape is not None:
            if logits.size != n * math.prod(self.shape):
                raise InvalidArgument(
                    f"expected answers of shape {self.shape}, got {logits.shape[1:]} from the model; state "
                    "shape=model.output_shape"
                )
            logits = logits.reshape(n, *self.shape)
        met = np.asarray(self.success(logits, *self.data))
        if met.shape != (n,) or met.dtype != bool:
            raise InvalidArgument(
                f"expected a success function that gives booleans ({n},), got {describe('success', met)}"
            )
        return met

    def __getitem__(self, index: Any) -> Custom:
        data = [array[index] for array in self.data]
        return Custom(self.success, self.loss, data=data, shape=self.shape, name=self.name)

    def check(self, n: int, num_classes: int | None) -> None:
        """InvalidArgument unless the data have `n` rows."""
        for array in self.data:
            if len(array) != n:
                raise InvalidArgument(
                    f"expected data with a row for each of the {n} inputs, got an array of {len(array)} rows"
                )

    def objective(self, loss: str | Loss = "cross-entropy", *data: NDArray[Any]) -> OwnObjective:
        """Its own loss; InvalidArgument for a function, which would need labels."""
        if not isinstance(loss, str):
            raise InvalidArgument(
                f"expected the attack's loss to be left alone under {self}, which has its own, got a function"
            )
        return OwnObjective(self.loss, np.zeros(0, np.int64), data=self.data, shape=self.shape)

    def __repr__(self) -> str:
        return f"Custom({self.name!r})"


def _labels(name: str, values: ArrayLike) -> Labels:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise InvalidArgument(f"expected integers of shape (n,), got {describe(name, array)}")
    return array.astype(np.int64)
