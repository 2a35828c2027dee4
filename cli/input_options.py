"""Options of `armour fuzz` that say what the inputs are: --schema and --dict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

from armour.contract import Model
from armour.fuzz.aids import Aids
from armour.fuzz.manifest import is_empty, read_manifest
from armour.fuzz.reading import read_aids
from armour.fuzz.stating import read_aids as read_stated

F = TypeVar("F", bound=Callable[..., Any])


def stating_options(function: F) -> F:
    """--schema and --dict: give `schema` and `dictionary`, Paths or None."""
    schema = click.option(
        "--schema",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        default=None,
        help="TOML file: columns of a table, special tokens, which values may change.",
    )
    words = click.option(
        "--dict",
        "dictionary",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        default=None,
        help="Words for inputs of bytes, in AFL's format, or synonyms for tokens.",
    )
    return schema(words(function))


def stated_aids(
    kind: str, x: np.ndarray, model: Model, resumed: Path | None, schema: Path | None, dictionary: Path | None
) -> Aids:
    """What is stated of the inputs, or was when the corpus that is gone on with was started."""
    if resumed is not None and schema is None and dictionary is None and not is_empty(resumed):
        return read_aids(resumed, read_manifest(resumed))
    return read_stated(kind, x, model.bounds, schema, dictionary)


def stated_words(schema: Path | None, dictionary: Path | None) -> list[str]:
    """The options again, for a command line."""
    given = {"--schema": schema, "--dict": dictionary}
    return [word for name, path in given.items() if path is not None for word in (name, str(path))]
