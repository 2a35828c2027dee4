"""What may be done to a sequence of whole numbers, such as the bytes of a file: replace, insert, append."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour.bounds import Bounds
from armour.checks import count, describe
from armour.errors import InvalidArgument
from armour.regions import F32
from armour.rng import Streams

from .black_box import Rows
from .mask import Mask

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edits:
    """Limits of what an attack may do to a sequence; everything else stays as it is.

    A sequence is one input, whatever its shape, read in order. It ends before the padding at its end.

    replace: most values that are replaced. mask: where, booleans that broadcast to one input; None for
    everywhere before the end. insert: most values that are inserted. offsets: the numbers of the values that
    they may be inserted before, from 0; None for anywhere, also after the last. append: most values after
    the end. values: least and largest value that is written, whole numbers. padding: the value after the end
    of a sequence; inserting and appending takes the place of padding, so that a sequence without any can
    only have values replaced.
    """

    replace: int = 0
    mask: Mask | None = None
    insert: int = 0
    offsets: tuple[int, ...] | None = None
    append: int = 0
    values: tuple[int, int] = (0, 255)
    padding: float | None = None

    def __post_init__(self) -> None:
        for name in ("replace", "insert", "append"):
            count(name, getattr(self, name), 0)
        object.__setattr__(self, "mask", Mask.of(self.mask))
        if self.offsets is not None:
            offsets = tuple(sorted({count("offsets", offset, 0) for offset in self.offsets}))
            if not offsets:
                raise InvalidArgument("expected at least one offset to insert before, got none; or insert=0")
            object.__setattr__(self, "offsets", offsets)
        whole = len(self.values) == 2 and all(int(value) == value for value in self.values)
        if not whole or self.values[0] > self.values[1]:
            raise InvalidArgument(
                f"expected least and largest value, whole numbers, got {describe('values', self.values)}"
            )
        if not self.total:
            raise InvalidArgument("expected something to do: replace=, insert= or append= above 0")
        if self.padding is None and self.insert + self.append:
            raise InvalidArgument("expected padding= (the value after the end) to insert or append values")

    @property
    def total(self) -> int:
        """Most values that are written."""
        return self.replace + self.insert + self.append

    def check(self, bounds: Bounds) -> None:
        """InvalidArgument if the values or the padding are outside the model's bounds."""
        for value in (*self.values, *(() if self.padding is None else (self.padding,))):
            if not bounds.low <= value <= bounds.high:
                raise InvalidArgument(
                    f"expected values and padding inside the model's bounds {tuple(bounds)}, got {value:g}"
                )


class Sequences:
    """n sequences (n, d) with their ends, and where each may be edited.

    An edit has a slot of its own: the first `replace` slots replace, the next insert, the last append. place:
    where, -1 for an unused slot (0 for an append that is used); value: what is written.
    """

    def __init__(self, x: F32, edits: Edits, allowed: NDArray[np.bool_] | None) -> None:
        size = x.shape[1]
        self.x, self.edits = x, edits
        content = np.ones(x.shape, bool) if edits.padding is None else x != np.float32(edits.padding)
        # The end is after the last value that is no padding; padding may stand inside, too.
        self.end = np.where(content.any(axis=1), size - content[:, ::-1].argmax(axis=1), 0)
        self.spare = size - self.end
        before = np.arange(size) < self.end[:, None]
        self.replaceable = _listed(before if allowed is None else before & allowed)
        offsets = np.arange(size + 1)
        inserted = offsets <= self.end[:, None]
        if edits.offsets is not None:
            inserted &= np.isin(offsets, edits.offsets)
        self.insertable = _listed(inserted & (self.spare > 0)[:, None])
        kinds = np.repeat(np.arange(3), [edits.replace, edits.insert, edits.append])
        self.kinds = kinds
        # (n, slots) at how many places each slot may be.
        room = np.stack([self.replaceable[1], self.insertable[1], np.minimum(self.spare, 1)], axis=1)
        self.choices: NDArray[np.int64] = room[:, kinds] * (edits.values[1] - edits.values[0] + 1)

    def usable(self, at: Rows, turn: int) -> NDArray[np.int64]:
        """(m,) the slot whose turn it is, of those that have options."""
        order, number = _listed(self.choices[at] > 0)
        return np.asarray(order[np.arange(len(at)), turn % np.maximum(number, 1)])

    def options(self, at: Rows, slot: NDArray[np.int64], number: Places) -> tuple[Places, F32]:
        """Place and value of the options (m, ...), from 0 on, of slots (m, ...); place -1 without any."""
        width = self.edits.values[1] - self.edits.values[0] + 1
        which, value = np.divmod(number, width)
        kind, row = self.kinds[slot], at.reshape(-1, *(1,) * (number.ndim - 1))
        place = np.zeros(number.shape, np.int64)
        for code, (listed, _) in enumerate((self.replaceable, self.insertable)):
            last = listed.shape[1] - 1
            place = np.where(kind == code, listed[row, np.clip(which, 0, last)], place)
        place = np.where(self.choices[row, slot] > 0, place, -1)
        return place, (value + self.edits.values[0]).astype(np.float32)

    def drawn(self, at: Rows, slot: NDArray[np.int64], streams: Streams) -> tuple[Places, F32]:
        """Place and value of random options of slots (m, ...)."""
        part = streams.uniform(slot.shape[1:], dtype=np.float64)
        choices = self.choices[at.reshape(-1, *(1,) * (slot.ndim - 1)), slot]
        return self.options(at, slot, np.floor(part * choices).astype(np.int64))

    def written(self, at: Rows, place: Places, value: F32) -> F32:
        """The sequences (m * k, d) with these edits (m, k, slots)."""
        m, k, slots = place.shape
        out = np.repeat(self.x[at], k, axis=0)
        place, value = place.reshape(m * k, slots), value.reshape(m * k, slots)
        first, second = self.edits.replace, self.edits.replace + self.edits.insert
        row, slot = np.nonzero(place[:, :first] >= 0)
        out[row, place[row, slot]] = value[row, slot]
        if second == place.shape[1] == first:
            return out
        # Values that find no spare place are left out: inserted ones come first.
        end, spare = np.repeat(self.end[at], k)[:, None], np.repeat(self.spare[at], k)[:, None]
        added = place[:, first:] >= 0
        added &= added.cumsum(axis=1) <= spare
        inserted, appended = added[:, : second - first], added[:, second - first :]
        target = np.broadcast_to(end, appended.shape) + appended.cumsum(axis=1) - 1
        row, slot = np.nonzero(appended)
        out[row, target[row, slot]] = value[row, second + slot]
        if not inserted.any():
            return out
        size = out.shape[1]
        # Sorted by place, an inserted value before the one that stood there; what is pushed out is padding.
        own = np.broadcast_to(2 * np.arange(size) + 1, out.shape)
        new = np.where(inserted, 2 * place[:, first:second], 2 * size + 2)
        order = np.argsort(np.concatenate([new, own], axis=1), axis=1, kind="stable")[:, :size]
        both = np.concatenate([value[:, first:second], out], axis=1)
        moved: F32 = np.take_along_axis(both, order, axis=1)
        return moved


def _listed(allowed: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n, most) the places that are allowed, in order, and (n,) how many they are."""
    number = allowed.sum(axis=1)
    order = np.argsort(~allowed, axis=1, kind="stable")[:, : max(1, int(number.max(initial=0)))]
    return order, number


def of(edits: Edits, x: ArrayLike) -> Sequences:
    """The sequences of inputs x (n, ...)."""
    array = np.asarray(x, np.float32)
    flat = array.reshape(len(array), -1) if len(array) else array.reshape(0, int(np.prod(array.shape[1:])))
    allowed = None if edits.mask is None else edits.mask.like(array).reshape(flat.shape)
    return Sequences(flat, edits, allowed)
