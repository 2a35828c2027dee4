"""A network in steps that bounds can be carried through: affine maps, curves and largest values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from armour.defenses.bounds.curves import Curve
from armour.defenses.bounds.maps import LinearMap, Shape
from armour.tensor.core import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Step:
    """One step. name: of the graph's node. parents: positions of earlier steps. shape: of one sample."""

    name: str
    shape: Shape
    parents: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Affine(Step):
    """The sum of a linear map of each parent, plus offset (1, *shape) if there is one."""

    maps: tuple[LinearMap, ...]
    offset: Tensor | None = None

    @property
    def terms(self) -> int:
        """Products and summands of one output, at most."""
        return sum(m.terms for m in self.maps) + len(self.maps) - 1 + (self.offset is not None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curved(Step):
    """A function of each value of its one parent."""

    curve: Curve


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Largest(Step):
    """The largest of some values of its one parent.

    windows (values, k): which values each output looks at, counted through the parent's flattened sample;
    -1 for a place that does not exist.
    """

    windows: np.ndarray
