"""Tables as arrays: what a schema says of inputs (n, size), for all of them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.tensor.backend import Array, get_xp

from .schema import Rule, Schema

_SLACK = 1e-4  # of the size of a rule's terms: differences of sums in float32
_MOST_TEXT = 1 << 22


@dataclass(frozen=True)
class Table:
    """A schema, and arrays that follow from it. Places are those of values, (size,); columns may be wider."""

    schema: Schema

    # -- arrays ----------------------------------------------------------------------------------------------

    @cached_property
    def starts(self) -> np.ndarray:
        """(columns,) int64: the first place of each column."""
        return np.array([column.at for column in self.schema.columns], np.int64)

    @cached_property
    def column(self) -> np.ndarray:
        """(size,) int64: the column of each place."""
        widths = [column.width for column in self.schema.columns]
        return np.repeat(np.arange(len(widths)), widths)

    @cached_property
    def low(self) -> np.ndarray:
        """(size,) float32: what values are clipped to; minus infinity where no range was stated."""
        return self._each(lambda c: c.low if c.low_stated else -np.inf)

    @cached_property
    def high(self) -> np.ndarray:
        """(size,) float32, as low."""
        return self._each(lambda c: c.high if c.high_stated else np.inf)

    @cached_property
    def ends(self) -> np.ndarray:
        """(2, size) float32: least and greatest values, stated or of the seeds."""
        return np.stack([self._each(lambda c: c.low), self._each(lambda c: c.high)])

    @cached_property
    def spread(self) -> np.ndarray:
        """(size,) float32: standard deviations of the seeds."""
        return self._each(lambda c: c.spread)

    @cached_property
    def missing(self) -> np.ndarray:
        """(size,) float32: the numbers for "not known", NaN where there is none."""
        return self._each(lambda c: np.nan if c.missing is None else c.missing)

    def of_kind(self, *kinds: str) -> np.ndarray:
        """(columns,) bool: which are of one of these kinds."""
        return np.array([column.kind in kinds for column in self.schema.columns], bool)

    def has(self, name: str) -> bool:
        """Whether some column has a number for "missing", or is one of "categories"."""
        if name == "missing":
            return bool(np.isfinite(self.missing).any())
        return bool(self.of_kind("category", "one-hot").any())

    def _each(self, value: object) -> np.ndarray:
        rows = [value(column) for column in self.schema.columns]  # type: ignore[operator]
        return np.repeat(np.array(rows, np.float32), [column.width for column in self.schema.columns])

    # -- what mutators ask for -------------------------------------------------------------------------------

    def settle(self, x: Array, out: Array, changed: Array, bounds: Bounds) -> Array:
        """`out` with whole numbers whole, in range, fixed columns as in x and constraints repaired; new.

        Items not `changed` (m,) bool are as in x. What is missing, or becomes it, is left so.
        """
        xp = get_xp(x)
        whole, fixed = (xp.asarray(self.of_kind(kind)[self.column]) for kind in ("integer", "fixed"))
        low = xp.maximum(xp.asarray(self.low), xp.float32(bounds.low))
        high = xp.minimum(xp.asarray(self.high), xp.float32(bounds.high))
        missing = out == xp.asarray(self.missing)
        clipped = xp.minimum(xp.maximum(xp.where(whole, xp.rint(out), out), low), high)
        # A bound need not be a whole number.
        clipped = xp.where(whole & (clipped != xp.rint(clipped)), xp.trunc(clipped), clipped)
        kept = xp.where(missing, out, clipped)
        kept = xp.where(fixed, x, kept).astype(x.dtype)
        for rule in self.schema.rules:
            kept = self._repaired(kept, rule, low, high)
        return xp.where(changed[:, None], kept, x).astype(x.dtype, copy=False)

    def _repaired(self, x: Array, rule: Rule, low: Array, high: Array) -> Array:
        """x with the rule's columns moved, the last one named first, as far as their ranges let them."""
        xp = get_xp(x)
        out = x.copy()
        for place, factor in reversed(list(zip(rule.places, rule.factors, strict=True))):
            column = self.schema.columns[int(self.column[place])]
            if column.kind not in ("numeric", "integer"):
                continue
            total, size, known = self._total(out, rule)
            slack = size * xp.float32(_SLACK)
            wrong = (xp.abs(total) > slack) if rule.equal else (total > slack)
            new = out[:, place] - total / xp.float32(factor)
            if column.kind == "integer" and not rule.equal:
                new = xp.floor(new) if factor > 0 else xp.ceil(new)
            elif column.kind == "integer":
                new = xp.rint(new)
            new = xp.minimum(xp.maximum(new, low[place]), high[place])
            out[:, place] = xp.where(wrong & known, new, out[:, place])
        return out

    def _total(self, x: Array, rule: Rule) -> tuple[Array, Array, Array]:
        """(m,) each: left side less bound, the size of its terms, and whether no column of it is missing."""
        xp = get_xp(x)
        total = xp.full(len(x), xp.float32(-rule.bound))
        size = xp.full(len(x), xp.float32(abs(rule.bound)))
        known = xp.ones(len(x), dtype=bool)
        for place, factor in zip(rule.places, rule.factors, strict=True):
            term = x[:, place] * xp.float32(factor)
            total = total + term
            size = size + xp.abs(term)
            known &= x[:, place] != xp.float32(self.missing[place])
        return total, size, known

    # -- validity --------------------------------------------------------------------------------------------

    def domain(self, x: np.ndarray) -> np.ndarray:
        """(n,) bool, V0: whole numbers, categories, one-hot groups, stated ranges and constraints hold."""
        missing = x == self.missing
        good = (x >= self.low) & (x <= self.high)
        good &= ~self.of_kind("integer")[self.column] | (x == np.rint(x))
        for column in self.schema.columns:
            if column.kind == "category":
                good[:, column.at] &= np.isin(x[:, column.at], np.array(column.values, np.float32))
            elif column.kind == "one-hot":
                group = x[:, column.at : column.at + column.width]
                sound = np.isin(group, (0, 1)).all(axis=1) & (group.sum(axis=1) == 1)
                good[:, column.at] &= sound
        held: np.ndarray = (good | missing).all(axis=1)
        for rule in self.schema.rules:
            total, size, known = self._total(x, rule)
            off = np.abs(total) if rule.equal else total
            held &= ~known | (off <= 2 * _SLACK * size)
        return held

    def share(self, x: np.ndarray, ref: np.ndarray) -> np.ndarray:
        """(n,) float32: the share of columns that differ."""
        return np.asarray(self._differs(x, ref).mean(axis=1, dtype=np.float32))

    def largest(self, x: np.ndarray, ref: np.ndarray) -> np.ndarray:
        """(n,) float32: the largest change of a number as a fraction of its range, 1 for other changes."""
        span = np.maximum(self.ends[1] - self.ends[0], np.float32(1e-6))
        change = np.minimum(np.abs(x - ref) / span, 1)
        return np.asarray(np.where(self._apart(x, ref), np.float32(1), change).max(axis=1).astype(np.float32))

    def closeness(self, x: np.ndarray, ref: np.ndarray) -> np.ndarray:
        """(n,) float32: 1 less the root mean square of the columns' changes in standard deviations.

        A category, or a value that goes missing, counts as one.
        """
        change = np.where(self._apart(x, ref), np.float32(1), (x - ref) / self.spread)
        numbers = np.maximum.reduceat(np.abs(change), self.starts, axis=1)
        return np.asarray((1 - np.sqrt(np.square(numbers).mean(axis=1))).astype(np.float32))

    def seen(self, x: np.ndarray) -> np.ndarray:
        """x in standard deviations of each column, for what compares all columns."""
        return np.asarray(((x - self.ends[0]) / self.spread).astype(np.float32))

    def _differs(self, x: np.ndarray, ref: np.ndarray) -> np.ndarray:
        return np.logical_or.reduceat(x != ref, self.starts, axis=1)

    def _apart(self, x: np.ndarray, ref: np.ndarray) -> np.ndarray:
        """(n, size) bool: changed, and no change of a number by an amount."""
        numbers = self.of_kind("numeric", "integer")[self.column]
        missing = (x == self.missing) != (ref == self.missing)
        apart: np.ndarray = (x != ref) & (~numbers | missing)
        return apart

    # -- storage ---------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays, to be stored."""
        return {"table": np.frombuffer(self.schema.text().encode(), np.uint8)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], size: int) -> Table | None:
        """What arrays() wrote, None if nothing; InvalidArgument for anything else."""
        stored = arrays.get("table")
        if stored is None:
            return None
        if stored.dtype != np.uint8 or stored.size > _MOST_TEXT:
            raise InvalidArgument(f"expected a schema as text, got {stored.dtype} {stored.shape}")
        return cls(Schema.parse(stored.tobytes().decode("utf-8", "replace"), size))
