"""Dictionaries: words that mean something to what is tested, in AFL's format or as lists of synonyms.

A dictionary of bytes has lines `"word"`, `name="word"` or `name@3="word"`, with `\\\\`, `\\"` and `\\xNN` in
the word; empty lines and those that begin with # are left out
(https://github.com/google/AFL/blob/master/dictionaries/README.dictionaries).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from armour.errors import InvalidArgument

_MOST_BYTES = 1 << 20  # of a dictionary's file
_MOST_WORDS, _LONGEST = 10_000, 128
_LINE = re.compile(r'(?:[A-Za-z0-9_.@-]{1,100}\s*=\s*)?"(.*)"')
_PART = re.compile(r"\\x([0-9A-Fa-f]{2})|\\([\\\"])|([^\\\"])")


@dataclass(frozen=True, slots=True)
class Words:
    """k words. table: (k, longest) int64, each word's bytes, then zeros; lengths: (k,) int64, at least 1."""

    table: np.ndarray
    lengths: np.ndarray

    @classmethod
    def of(cls, words: list[bytes]) -> Words:
        """From byte strings, each once, in order; InvalidArgument for none, or for one too long."""
        words = list(dict.fromkeys(words))
        if not 0 < len(words) <= _MOST_WORDS or not all(0 < len(word) <= _LONGEST for word in words):
            longest = max(map(len, words), default=0)
            raise InvalidArgument(
                f"expected 1 to {_MOST_WORDS:,} words of 1 to {_LONGEST} bytes in a dictionary, got "
                f"{len(words):,}, the longest of {longest}"
            )
        table = np.zeros((len(words), max(map(len, words))), np.int64)
        for row, word in zip(table, words, strict=True):
            row[: len(word)] = list(word)
        return cls(table, np.array([len(word) for word in words], np.int64))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Words:
        """A file in AFL's format; InvalidArgument, with the line, for anything else."""
        words = []
        for number, line in enumerate(text_lines(path), 1):
            stripped = line.strip()
            if stripped and not stripped.startswith("#"):
                words.append(_word(stripped, f"{path}, line {number}"))
        return cls.of(words)

    def arrays(self) -> dict[str, np.ndarray]:
        """Named arrays, to be stored."""
        return {"words.table": self.table, "words.lengths": self.lengths}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> Words | None:
        """What arrays() wrote, None if nothing; InvalidArgument for what is no dictionary."""
        table, lengths = arrays.get("words.table"), arrays.get("words.lengths")
        if table is None and lengths is None:
            return None
        good = table is not None and lengths is not None and table.ndim == 2 and table.dtype == np.int64
        good = good and lengths is not None and lengths.dtype == np.int64 and lengths.shape == table.shape[:1]  # type: ignore[union-attr]
        if not good or table is None or lengths is None or not 0 < len(table) <= _MOST_WORDS:
            raise InvalidArgument("expected a dictionary's words and their lengths, got other arrays")
        fits = 0 < table.shape[1] <= _LONGEST and lengths.min() >= 1 and lengths.max() <= table.shape[1]
        if not fits or table.min() < 0 or table.max() > 255:
            raise InvalidArgument("expected a dictionary's words as bytes, got other numbers")
        return cls(table, lengths)


def text_lines(path: str | os.PathLike[str]) -> list[str]:
    """The lines of a text file of at most 1 MiB; InvalidArgument if it cannot be read."""
    file = Path(path)
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise InvalidArgument(
                f"{path}: expected at most {_MOST_BYTES:,} bytes, got {file.stat().st_size:,}"
            )
        return file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InvalidArgument(f"{path}: {error.strerror or error}; check the path") from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path}: expected text in UTF-8, got other bytes ({error.reason})") from error


def _word(line: str, where: str) -> bytes:
    match = _LINE.fullmatch(line)
    if match is None:
        raise InvalidArgument(f'{where}: expected "word" or name="word", got {line[:60]!r}')
    word, at, text = bytearray(), 0, match[1]
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise InvalidArgument(
                f'{where}: expected \\\\, \\" or \\xNN after a backslash, got {text[at : at + 4]!r}'
            )
        word += bytes([int(part[1], 16)]) if part[1] else (part[2] or part[3]).encode()
        at = part.end()
    if not word:
        raise InvalidArgument(f"{where}: expected a word of at least one byte, got none")
    return bytes(word)
