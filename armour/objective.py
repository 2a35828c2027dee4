"""What an attack makes as large as possible: a loss of logits and labels, away from them or towards them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour.checks import describe
from armour.errors import InvalidArgument
from armour.tensor import losses
from armour.tensor.backend import to_device
from armour.tensor.core import Tensor, no_grad

# (logits Tensor (n, k), labels (n,), and what else belongs to each sample) -> Tensor (n,), row by row.
Loss: TypeAlias = Callable[..., Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Objective:
    """direction * function(logits, labels, *data): a Tensor (n,) of logits (n, k).

    labels: (n,) int64. data: further arrays (n, ...) that the function takes, such as clean logits. A model
    can split it by rows, and capture it as a whole: it is data, not a closure.
    """

    function: Loss
    labels: NDArray[np.int64]
    direction: Literal[-1, 1] = 1
    data: tuple[NDArray[Any], ...] = ()

    def __call__(self, logits: Tensor) -> Tensor:
        return self.of(logits, *(to_device(array, logits.device) for array in (self.labels, *self.data)))

    def of(self, logits: Tensor, labels: Any, *data: Any) -> Tensor:
        """The objective for other labels and data."""
        value = self.function(logits, labels, *data)
        return value if self.direction > 0 else -value

    def values(self, logits: NDArray[np.floating[Any]]) -> NDArray[Any]:
        """The objective (n,) of logits (n, k) on the host: numbers alone, no warnings, nothing to go back."""
        with no_grad(), np.errstate(all="ignore"):
            # Searches ask for it thousands of times.
            if type(self) is Objective and self.function is losses.margin and logits.dtype.kind == "f":
                value: NDArray[Any] = losses.margins(logits, self.labels, *self.data)
                return value if self.direction > 0 else -value
            return self(Tensor(logits)).numpy()

    def __getitem__(self, rows: Any) -> Objective:
        data = tuple(array[rows] for array in self.data)
        return Objective(self.function, self.labels[rows], self.direction, data)


@dataclass(frozen=True, slots=True, eq=False)
class OwnObjective(Objective):
    """function(answers, *data): a Tensor (n,) of answers of any shape, with a caller's own data.

    It has no labels, and is not captured: a caller's function may look at its data as arrays. shape: of one
    answer, which the logits (n, size) are given back; None leaves them.
    """

    shape: tuple[int, ...] | None = None

    def __call__(self, logits: Tensor) -> Tensor:
        answers = logits if self.shape is None else logits.reshape((logits.shape[0], *self.shape))
        value: Any = self.function(answers, *(to_device(array, logits.device) for array in self.data))
        if not isinstance(value, Tensor) or value.shape != logits.shape[:1]:
            raise InvalidArgument(
                f"expected a loss that gives a Tensor ({len(logits)},), one number for each sample, got "
                f"{describe('loss', value)}"
            )
        return value

    def __getitem__(self, rows: Any) -> OwnObjective:
        return replace(self, data=tuple(array[rows] for array in self.data))
