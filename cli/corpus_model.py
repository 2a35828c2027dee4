"""The model that a corpus was made with, for the commands that ask it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from armour.cli.model_options import from_words, load_model
from armour.contract import Model
from armour.fuzz import Corpus
from armour.fuzz.replay import model_path


def noted(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a manifest says was stated about the model when the corpus was started."""
    source = manifest.get("source", {})
    return from_words(source.get("model_options", []) if isinstance(source, dict) else [])


def place_of(
    found: Corpus, other: Path | str | None, options: Mapping[str, Any]
) -> tuple[Path | str, dict[str, Any]]:
    """Where the model is, `other` or what the corpus records, and all that is stated about it.

    Raises InvalidArgument if the corpus records none that is there.
    """
    where = other or model_path(found)
    stated = dict(options)
    if other is None:
        stated = noted(found.manifest) | stated
    if isinstance(where, str):  # a server need not say its bounds; the corpus does
        stated = {"bounds": found.bounds} | stated
    return where, stated


def model_of(
    found: Corpus,
    other: Path | str | None,
    options: Mapping[str, Any],
    *,
    remote: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> Model:
    """The model `other`, or the one that the corpus records, with what is stated about it.

    Raises InvalidArgument if the corpus records none that is there, and what loading raises.
    """
    where, stated = place_of(found, other, options)
    return load_model(where, stated, remote=remote, device=device)
