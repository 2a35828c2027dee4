"""What is stated of a campaign's inputs, and stored with it: some mutators and validity levels need it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from armour.errors import InvalidArgument

from .table import Table
from .tokens import Tokens
from .words import Words

# What each need of a mutator is, for messages.
MISSING = {
    "words": "a dictionary (--dict FILE)",
    "synonyms": "synonyms (--dict FILE)",
    "spellings": "a vocabulary ([tokens] vocabulary in --schema FILE)",
    "unknown": "an unknown token ([tokens] unknown in --schema FILE)",
    "padding": "a padding token ([tokens] padding in --schema FILE)",
    "table": "a table of columns (--inputs tabular)",
    "missing": "a column with a number for missing values (missing = N in --schema FILE)",
    "categories": "a column of categories (kind in --schema FILE)",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aids:
    """What is known of inputs, None where nothing is.

    words: of bytes; tokens: special ones and replacements; table: columns; change: (*shape) bool, the values
    that may change. source: names of the files they were read from.
    """

    words: Words | None = None
    tokens: Tokens | None = None
    table: Table | None = None
    change: np.ndarray | None = None
    source: tuple[str, ...] = ()

    def has(self, name: str) -> bool:
        """Whether what a mutator needs under that name was stated."""
        return self.get(name) is not None

    def get(self, name: str) -> Any:
        """What a mutator is given that needs `name`, or None."""
        if name == "words":
            return self.words
        if name == "table":
            return self.table
        if name in ("missing", "categories"):
            return self.table if self.table is not None and self.table.has(name) else None
        tokens = self.tokens
        if tokens is None:
            return None
        known = {
            "synonyms": bool(tokens.synonyms),
            "spellings": bool(tokens.spellings),
            "unknown": tokens.unknown >= 0,
            "padding": tokens.padding >= 0,
        }
        return tokens if known.get(name) else None

    def kept(self, new: Any, old: Any) -> Any:
        """`new` (m, *shape), with what may not change as it was in `old`."""
        from armour.tensor.backend import get_xp

        xp = get_xp(new)
        if self.change is not None:
            new = xp.where(xp.asarray(self.change)[None], new, old)
        if self.tokens is not None and len(self.tokens.fixed):
            fixed = xp.asarray(self.tokens.fixed)
            held = xp.isin(old, fixed) | xp.isin(new, fixed)
            new = xp.where(held, old, new)
        return new

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays, to be stored; none if nothing was stated."""
        return {
            **(self.words.arrays() if self.words else {}),
            **(self.tokens.arrays() if self.tokens else {}),
            **(self.table.arrays() if self.table else {}),
            **({} if self.change is None else {"change": self.change}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> Aids:
        """What arrays() wrote, for inputs of that shape; InvalidArgument for anything else."""
        change = arrays.get("change")
        if change is not None and (change.dtype != bool or change.shape != shape):
            raise InvalidArgument(
                f"expected a mask {shape} of what may change, got {change.dtype} {change.shape}"
            )
        return cls(
            words=Words.from_arrays(dict(arrays)),
            tokens=Tokens.from_arrays(arrays),
            table=Table.from_arrays(arrays, int(np.prod(shape))),
            change=change,
        )

    @property
    def digest(self) -> str:
        """Hex sha256 of all of it, "" if nothing was stated."""
        arrays = self.arrays()
        total = hashlib.sha256()
        for name in sorted(arrays):
            total.update(f"{name}{arrays[name].dtype.str}{arrays[name].shape}|".encode())
            total.update(np.ascontiguousarray(arrays[name]).data)
        return total.hexdigest() if arrays else ""


NOTHING = Aids()
