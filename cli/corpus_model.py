"""The model that a corpus was made with, and its options, for the commands that ask it again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from armour.cli.model_options import from_words, load_model, model_options
from armour.cli.options import device_option, json_option, mutators_option, quiet_option
from armour.cli.oracle_options import replayed_against
from armour.cli.remote import MODEL, remote_options
from armour.contract import Model
from armour.fuzz import Corpus
from armour.fuzz.replay import model_path

F = TypeVar("F", bound=Callable[..., Any])


def asking_options(model: str, corpus: str = "the corpus was") -> Callable[[F], F]:
    """What a command takes that asks a model about a corpus: --model, with that help, to --quiet."""

    def add(function: F) -> F:
        for option in (
            quiet_option,
            json_option,
            remote_options,
            device_option,
            model_options,
            mutators_option(f"Plug-ins that {corpus} made with: +NAME loads one."),
            click.option("--model", "other", type=MODEL, metavar="MODEL|URL", default=None, help=model),
        ):
            function = option(function)
        return function

    return add


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


def models_of(
    found: Corpus,
    other: Path | str | None,
    against: Iterable[str],
    options: Mapping[str, Any],
    *,
    remote: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> tuple[Model, dict[str, Model]]:
    """As model_of, and the models that the corpus compares with: those stated, or those that it records."""
    where, stated = place_of(found, other, options)
    model = load_model(where, stated, remote=remote, device=device)
    return model, replayed_against(found, against, where, model_options=stated, device=device)
