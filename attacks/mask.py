"""Which values of an input an attack may change: the same for every input of a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour.checks import describe
from armour.errors import InvalidArgument


class Mask:
    """A frozen array of booleans that broadcasts to one input (c, h, w); True may change.

    Masks of the same array are equal, so that an attack with a mask is a value. Raises InvalidArgument for
    anything but booleans (or 0 and 1), and for a mask that allows nothing.
    """

    __slots__ = ("allowed",)

    def __init__(self, allowed: ArrayLike) -> None:
        array = np.asarray(allowed)
        if array.dtype != bool:
            if array.dtype.kind not in "iuf" or not np.isin(array, (0, 1)).all():
                raise InvalidArgument(
                    f"expected a mask of booleans (True may change), got {describe('mask', array)}"
                )
            array = array.astype(bool)
        if not array.any():
            raise InvalidArgument(
                "expected a mask that lets at least one value change, got one that is all False"
            )
        array = array.copy()
        array.flags.writeable = False
        self.allowed: NDArray[np.bool_] = array

    @classmethod
    def of(cls, given: Mask | ArrayLike | None) -> Mask | None:
        """A Mask from an array; None and a Mask are returned as they are."""
        return given if given is None or isinstance(given, Mask) else cls(given)

    def like(self, x: NDArray[np.generic]) -> NDArray[np.bool_]:
        """The mask for each of x (n, ...), without a copy; InvalidArgument if it does not fit."""
        try:
            return np.broadcast_to(self.allowed, x.shape)
        except ValueError:
            raise InvalidArgument(
                f"expected a mask that fits inputs {x.shape[1:]}, got one of shape {self.allowed.shape}"
            ) from None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Mask)
            and self.allowed.shape == other.allowed.shape
            and self.allowed.tobytes() == other.allowed.tobytes()
        )

    def __hash__(self) -> int:
        return hash((self.allowed.shape, self.allowed.tobytes()))

    def __repr__(self) -> str:
        return f"Mask({int(self.allowed.sum())} of {self.allowed.size})"
