"""Linear maps inside a network: applied to values, to radii, and backward to rows of coefficients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from armour.tensor import conv, linalg
from armour.tensor.autodiff import vjp
from armour.tensor.core import Tensor
from armour.tensor.elementwise import abs as magnitude

Shape = tuple[int, ...]


class LinearMap(ABC):
    """A linear map W of one sample's values; batches have the samples on the first axis.

    terms: products that one output sums. diagonal: each output has one input of its own.
    """

    terms: int = 0
    diagonal: bool = False

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """W x for x (n, *in)."""

    @abstractmethod
    def spread(self, radius: Tensor) -> Tensor:
        """|W| radius for radius (n, *in) at or above 0."""

    @abstractmethod
    def back(self, rows: Tensor) -> Tensor:
        """Rows W for rows (m, *out): their coefficients of the inputs, (m, *in)."""


@dataclass(frozen=True, slots=True, eq=False)
class Scale(LinearMap):
    """Each value times a constant; by: broadcasts against (n, *shape) without enlarging it; None for 1."""

    by: Tensor | None = None
    diagonal = True

    @property
    def terms(self) -> int:  # type: ignore[override]
        return 0 if self.by is None else 1

    def apply(self, x: Tensor) -> Tensor:
        return x if self.by is None else x * self.by

    def spread(self, radius: Tensor) -> Tensor:
        return radius if self.by is None else radius * magnitude(self.by)

    def back(self, rows: Tensor) -> Tensor:
        return self.apply(rows)


@dataclass(frozen=True, slots=True, eq=False)
class Dense(LinearMap):
    """Along the last axis: weight (out, in)."""

    weight: Tensor

    @property
    def terms(self) -> int:  # type: ignore[override]
        return self.weight.shape[1]

    def apply(self, x: Tensor) -> Tensor:
        return linalg.linear(x, self.weight)

    def spread(self, radius: Tensor) -> Tensor:
        return linalg.linear(radius, magnitude(self.weight))

    def back(self, rows: Tensor) -> Tensor:
        return rows @ self.weight


@dataclass(frozen=True, slots=True, eq=False)
class Conv(LinearMap):
    """conv2d with padding equal on both sides. settings: stride, padding, dilation, groups; size: (h, w)."""

    weight: Tensor
    settings: dict[str, Any]
    size: tuple[int, int]

    @property
    def terms(self) -> int:  # type: ignore[override]
        return int(np.prod(self.weight.shape[1:]))

    def apply(self, x: Tensor) -> Tensor:
        return conv.conv2d(x, self.weight, **self.settings)

    def spread(self, radius: Tensor) -> Tensor:
        return conv.conv2d(radius, magnitude(self.weight), **self.settings)

    def back(self, rows: Tensor) -> Tensor:
        found: Tensor = conv.conv2d_input_grad(rows, self.weight, size=self.size, **self.settings)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Weighted(LinearMap):
    """Any linear function of (x, weight) whose magnitudes are that function of (|x|, |weight|).

    shape: of one sample's inputs, for the way back, which is the function's own derivative.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    weight: Tensor
    shape: Shape
    terms: int = 0

    def apply(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight)

    def spread(self, radius: Tensor) -> Tensor:
        return self.function(radius, magnitude(self.weight))

    def back(self, rows: Tensor) -> Tensor:
        return _pulled(lambda x: self.function(x, self.weight), rows, self.shape)


@dataclass(frozen=True, slots=True, eq=False)
class Move(LinearMap):
    """A linear function without negative coefficients: values moved, repeated, averaged or summed.

    shape: of one sample's inputs. reshapes: the values stay as they are, in order.
    """

    function: Callable[[Tensor], Tensor]
    shape: Shape
    terms: int = 0
    reshapes: bool = False

    @property
    def diagonal(self) -> bool:  # type: ignore[override]
        return self.reshapes

    def apply(self, x: Tensor) -> Tensor:
        return self.function(x)

    def spread(self, radius: Tensor) -> Tensor:
        return self.function(radius)

    def back(self, rows: Tensor) -> Tensor:
        if self.reshapes:
            return rows.reshape(rows.shape[0], *self.shape)
        return _pulled(self.function, rows, self.shape)


def _pulled(function: Callable[[Tensor], Tensor], rows: Tensor, shape: Shape) -> Tensor:
    """The derivative of a linear function times rows; itself differentiable in the rows."""
    at = Tensor(np.zeros((rows.shape[0], *shape), rows.dtype))
    _, pull = vjp(function, at)
    return pull(rows)[0]
