"""What is known of token sequences: special tokens, and which token may stand for which other."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from armour.errors import InvalidArgument

from .words import text_lines

_MOST_TOKENS = 1 << 20
# Letters of other alphabets that look the same (Unicode Technical Standard 39, confusables).
_ALIKE = dict(zip("acehijopsxyABCEHIKMOPSTXYZ", "асеһіјорѕхуАВСЕНІКМОРЅТХУΖ", strict=True))
_ALIKE |= {"0": "O", "O": "0", "1": "l", "l": "1", "I": "l", "5": "S"}


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which tokens may replace a token: `to[start[t]:start[t + 1]]` for token t, below len(start) - 1."""

    start: np.ndarray
    to: np.ndarray

    @classmethod
    def of(cls, table: Mapping[int, Iterable[int]], count: int) -> Pairs:
        """From sets of tokens, all below `count`; a token never replaces itself."""
        rows = [sorted({t for t in table.get(token, ()) if t != token}) for token in range(count)]
        start = np.cumsum([0, *map(len, rows)]).astype(np.int64)
        return cls(start, np.array([t for row in rows for t in row], np.int64))

    def __bool__(self) -> bool:
        return len(self.to) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What is known of tokens.

    unknown, padding: their numbers, -1 if there are none. fixed: (f,) int64, tokens that are never changed.
    synonyms: by meaning; spellings: by case, look or a letter more or less.
    """

    unknown: int
    padding: int
    fixed: np.ndarray
    synonyms: Pairs
    spellings: Pairs

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays, to be stored."""
        return {
            "tokens.special": np.array([self.unknown, self.padding], np.int64),
            "tokens.fixed": self.fixed,
            **{f"tokens.{n}.{k}": getattr(getattr(self, n), k) for n in _PAIRS for k in ("start", "to")},
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Tokens | None:
        """What arrays() wrote, None if nothing; InvalidArgument for what is no such table."""
        special, fixed = arrays.get("tokens.special"), arrays.get("tokens.fixed")
        if special is None:
            return None
        parts = [arrays.get(f"tokens.{n}.{k}") for n in _PAIRS for k in ("start", "to")]
        every = [special, *([] if fixed is None else [fixed]), *(a for a in parts if a is not None)]
        if (
            len(every) != 6
            or not all(a.dtype == np.int64 and a.ndim == 1 for a in every)
            or len(special) != 2
        ):
            raise InvalidArgument("expected the tables of token sequences, got other arrays")
        pairs = []
        for start, to in zip(every[2::2], every[3::2], strict=True):
            steps = np.diff(start)
            if (
                not 0 < len(start) <= _MOST_TOKENS + 1
                or start[0] != 0
                or (steps < 0).any()
                or start[-1] != len(to)
            ):
                raise InvalidArgument("expected a table of replacements for tokens, got other numbers")
            pairs.append(Pairs(start, to))
        return cls(
            unknown=int(special[0]),
            padding=int(special[1]),
            fixed=every[1],
            synonyms=pairs[0],
            spellings=pairs[1],
        )


_PAIRS = ("synonyms", "spellings")


def vocabulary(path: str | os.PathLike[str]) -> list[str]:
    """The tokens of a vocabulary, one a line, the first with number 0."""
    words = text_lines(path)
    if not 0 < len(words) <= _MOST_TOKENS:
        raise InvalidArgument(f"{path}: expected 1 to {_MOST_TOKENS:,} tokens, one a line, got {len(words)}")
    return words


def read_synonyms(path: str | os.PathLike[str], words: Sequence[str], count: int) -> Pairs:
    """A file with tokens that mean the same on each line, apart by spaces: numbers, or words of a vocabulary.

    words: the vocabulary, empty if there is none; count: tokens there are. Words that it lacks are left out;
    InvalidArgument for anything else, and if nothing is left.
    """
    number = {word: token for token, word in enumerate(words)}
    table: dict[int, set[int]] = {}
    for at, line in enumerate(text_lines(path), 1):
        if line.strip().startswith("#"):
            continue
        group = set()
        for word in line.split():
            token = number.get(word) if words else int(word) if word.isdecimal() and len(word) < 10 else -1
            if token is None:
                continue
            if not 0 <= token < count:
                raise InvalidArgument(
                    f"{path}, line {at}: expected token numbers below {count}, got {word[:40]!r}; or state a "
                    "vocabulary in the schema"
                )
            group.add(token)
        for token in group:
            table.setdefault(token, set()).update(group)
    pairs = Pairs.of(table, count)
    if not pairs:
        raise InvalidArgument(f"{path}: expected lines with two known tokens or more, got none")
    return pairs


def spellings(words: Sequence[str]) -> Pairs:
    """Which tokens of a vocabulary are other spellings of a token: case, look, accents, one letter off."""
    number = {word: token for token, word in reversed(list(enumerate(words)))}
    table: dict[int, set[int]] = {}
    for token, word in enumerate(words):
        found = {number[other] for other in _respelt(word) if other in number}
        found.discard(token)
        for other in found:
            table.setdefault(token, set()).add(other)
            table.setdefault(other, set()).add(token)
    return Pairs.of(table, len(words))


def _respelt(word: str) -> set[str]:
    plain = unicodedata.normalize("NFD", word)
    bare = "".join(letter for letter in plain if not unicodedata.combining(letter))
    alike = {word[:i] + _ALIKE[letter] + word[i + 1 :] for i, letter in enumerate(word) if letter in _ALIKE}
    near: set[str] = set()
    if len(word) > 3 and word.isalpha():
        near = {word[:i] + word[i + 1 :] for i in range(len(word))}
        near |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    return {word.lower(), word.upper(), word.capitalize(), bare, *alike, *near}
