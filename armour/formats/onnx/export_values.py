"""What the exporter knows of a value: its name in the file, its dtype, and its lengths for any batch size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from armour.tensor.batching import BatchSize
from armour.tensor.graph import Node


class Size(NamedTuple):
    """A length of `per * n + plus` for a batch of n samples."""

    per: int
    plus: int

    @property
    def fixed(self) -> int | None:
        """The length, or None if it depends on the batch."""
        return None if self.per else self.plus


def size_of(length: Any) -> Size:
    """A number, or one that grows with the batch, as a Size."""
    return Size(length.times, length.plus) if isinstance(length, BatchSize) else Size(0, int(length))


@dataclass(frozen=True, slots=True)
class Value:
    """A value of the graph. name: in the file."""

    name: str
    dtype: np.dtype[Any]
    sizes: tuple[Size, ...]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Lengths, None for those that depend on the batch."""
        return tuple(size.fixed for size in self.sizes)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.sizes)

    @property
    def floating(self) -> bool:
        """True for floating-point values."""
        return self.dtype.kind == "f"


@dataclass(frozen=True, slots=True)
class Step:
    """One node of our graph as a rule sees it: what goes in, what comes out, and its settings."""

    node: Node
    inputs: tuple[Value, ...]
    out: Value
    layer: Any  # the Layer of a layer's node, else None
    names: Callable[[str], str] = str  # what a weight of the graph is called in the file

    @property
    def x(self) -> Value:
        """The first input."""
        return self.inputs[0]

    @property
    def attrs(self) -> dict[str, Any]:
        """The attributes of a row."""
        return self.node.attrs

    def weight(self, name: str) -> str:
        """The name in the file of a layer's weight."""
        return self.names(f"{self.node.path}.{name}" if self.node.path else name)
