"""Inputs that a search by labels may begin from: the same for every sample of a call."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import ArrayLike

from armour.bounds import Bounds
from armour.checks import describe
from armour.errors import InvalidArgument
from armour.regions import F32


class Starts:
    """A frozen array (m, ...) of inputs inside the model's bounds, such as images of the class wanted.

    Equal arrays are equal Starts, so that an attack with them is a value. Raises InvalidArgument for anything
    but finite numbers, and for none.
    """

    __slots__ = ("digest", "x")

    def __init__(self, x: ArrayLike) -> None:
        array = np.asarray(x)
        if array.dtype.kind != "f" or array.ndim < 2 or len(array) == 0 or not np.isfinite(array).all():
            raise InvalidArgument(
                f"expected starts as finite floating-point inputs (m, ...), got {describe('starts', array)}"
            )
        array = np.array(array, np.float32)
        array.flags.writeable = False
        self.x: F32 = array
        self.digest = hashlib.sha256(str(array.shape).encode() + array.tobytes()).hexdigest()[:16]

    @classmethod
    def of(cls, given: Starts | ArrayLike | None) -> Starts | None:
        """Starts from an array; None and Starts are returned as they are."""
        return given if given is None or isinstance(given, Starts) else cls(given)

    def check(self, shape: tuple[int, ...], bounds: Bounds) -> None:
        """InvalidArgument unless these are inputs of that shape inside the bounds."""
        if self.x.shape[1:] != shape:
            raise InvalidArgument(f"expected starts of the inputs' shape {shape}, got {self.x.shape[1:]}")
        if not bounds.contains(self.x):
            raise InvalidArgument(
                f"expected starts inside the model's bounds {tuple(bounds)}, got values from "
                f"{self.x.min():g} to {self.x.max():g}"
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Starts) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Starts({len(self.x)} inputs, {self.digest})"
