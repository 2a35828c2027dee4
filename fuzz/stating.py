"""Reading what a user states of the inputs: a schema in TOML, and a dictionary.

Of tables the schema holds `[[column]]` and `[[constraint]]` (fuzz/schema.py). Of byte strings, series and
arrays it may say which values may change, by their places in an input; of tokens also which are special:

    change = [[0, 15], [64, 127]]   # first and last place of each part that may change

    [tokens]
    unknown = 100
    padding = 0
    fixed = [101, 102]              # never changed, nor put in
    vocabulary = "vocab.txt"        # one token a line, the first is number 0; seen from the schema's folder
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from armour.bounds import Bounds
from armour.checks import suggest
from armour.errors import InvalidArgument

from .aids import NOTHING, Aids
from .schema import build
from .table import Table
from .tokens import Pairs, Tokens, read_synonyms, spellings, vocabulary
from .words import Words, text_lines

_KEYS = ("column", "constraint", "change", "tokens")
_TOKEN_KEYS = ("unknown", "padding", "fixed", "vocabulary")
_MOST_PARTS = 10_000


def read_aids(
    kind: str,
    x: np.ndarray,
    bounds: Bounds,
    schema: str | os.PathLike[str] | None = None,
    dictionary: str | os.PathLike[str] | None = None,
) -> Aids:
    """What the files state of inputs x (n, *shape) of a kind ("tabular", "bytes", "tokens", ...).

    InvalidArgument, in one line that names the file, for what they may not say.
    """
    if schema is None and dictionary is None:
        return NOTHING
    if dictionary is not None and kind not in ("bytes", "tokens"):
        raise InvalidArgument(
            f"expected a dictionary for inputs of bytes or tokens, got {kind}; state --inputs"
        )
    stated = {} if schema is None else _toml(schema)
    try:
        table, change, tokens = _schema(stated, kind, x, bounds, schema, dictionary)
    except InvalidArgument as error:
        if schema is None or str(error).startswith(str(dictionary)):
            raise
        raise InvalidArgument(f"{schema}: {error}") from error
    words = Words.read(dictionary) if dictionary is not None and kind == "bytes" else None
    source = tuple(Path(path).name for path in (schema, dictionary) if path is not None)
    return Aids(words=words, tokens=tokens, table=table, change=change, source=source)


def _schema(
    stated: Mapping[str, Any],
    kind: str,
    x: np.ndarray,
    bounds: Bounds,
    schema: str | os.PathLike[str] | None,
    dictionary: str | os.PathLike[str] | None,
) -> tuple[Table | None, np.ndarray | None, Tokens | None]:
    for key in stated:
        if key not in _KEYS:
            raise InvalidArgument(f"unknown key {key!r}{suggest(key, _KEYS)}")
    if ("column" in stated or "constraint" in stated) and kind != "tabular":
        raise InvalidArgument(f"expected columns for tabular inputs, got {kind}; state --inputs tabular")
    if "tokens" in stated and kind != "tokens":
        raise InvalidArgument(f"expected [tokens] for inputs of tokens, got {kind}; state --inputs tokens")
    table = None
    if kind == "tabular":
        if x.ndim != 2:
            raise InvalidArgument(f"expected rows (n, columns) as seeds of a table, got shape {x.shape}")
        table = Table(build(_tables(stated, "column"), _tables(stated, "constraint"), x))
    change = _change(stated["change"], x.shape[1:]) if "change" in stated else None
    tokens = None
    if kind == "tokens":
        folder = Path("." if schema is None else schema).parent
        tokens = _tokens(stated.get("tokens", {}), x, bounds, folder, dictionary)
    return table, change, tokens


def _toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        return tomllib.loads("\n".join(text_lines(path)))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InvalidArgument(f"{path}: not TOML ({' '.join(str(error).split())[:100]})") from error


def _tables(stated: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = stated.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InvalidArgument(f"expected tables [[{name}]], got another value")
    return found


def _change(parts: Any, shape: tuple[int, ...]) -> np.ndarray:
    size = math.prod(shape)
    good = isinstance(parts, list) and 0 < len(parts) <= _MOST_PARTS
    good = good and all(
        isinstance(part, list) and len(part) == 2 and all(type(v) is int for v in part) for part in parts
    )
    if not good or not all(0 <= first <= last < size for first, last in parts):
        raise InvalidArgument(
            f"expected change = [[first, last], ...] with places in 0..{size - 1}, got {str(parts)[:60]}"
        )
    mask = np.zeros(size, bool)
    for first, last in parts:
        mask[first : last + 1] = True
    return mask.reshape(shape)


def _tokens(
    stated: Any, x: np.ndarray, bounds: Bounds, folder: Path, dictionary: str | os.PathLike[str] | None
) -> Tokens:
    if not isinstance(stated, dict):
        raise InvalidArgument("expected a table [tokens], got another value")
    for key in stated:
        if key not in _TOKEN_KEYS:
            raise InvalidArgument(f"unknown key {key!r} of [tokens]{suggest(key, _TOKEN_KEYS)}")
    words: list[str] = []
    if "vocabulary" in stated:
        if not isinstance(stated["vocabulary"], str):
            raise InvalidArgument("expected vocabulary to be the name of a file")
        words = vocabulary(folder / stated["vocabulary"])
    count = len(words) or math.floor(bounds.high) + 1
    special = [stated.get(name, -1) for name in ("unknown", "padding")]
    fixed = stated.get("fixed", [])
    every = [*special, *(fixed if isinstance(fixed, list) else [None])]
    if not all(type(token) is int and -1 <= token < count for token in every):
        raise InvalidArgument(f"expected token numbers below {count} in [tokens], got {str(stated)[:60]}")
    none = Pairs.of({}, 0)
    return Tokens(
        unknown=special[0],
        padding=special[1],
        fixed=np.array(sorted(set(fixed)), np.int64),
        synonyms=none if dictionary is None else read_synonyms(dictionary, words, count),
        spellings=spellings(words) if words else none,
    )
