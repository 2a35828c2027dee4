"""--oracle, --against, --relations: what judges a fuzzing campaign beside what always does.

`@oracle_options` gives a command one parameter `judging`: what was stated. `judged_by` makes of it the
settings of a campaign and the models to compare with.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from armour.cli.model_options import load_model
from armour.cli.remote import MODEL
from armour.contract import Model
from armour.errors import InvalidArgument
from armour.fuzz.manifest import is_empty, read_manifest
from armour.fuzz.oracles import ORACLES, parse, read_relations
from armour.fuzz.oracles.differential import BUILT_IN, ENGINE
from armour.fuzz.plugins import load_named
from armour.fuzz.reading import Corpus
from armour.fuzz.replay import model_path

F = TypeVar("F", bound=Callable[..., Any])

NAMES = ("oracles", "against", "relations")


@dataclass(frozen=True, slots=True)
class Judging:
    """What was stated: oracles as texts, what to compare with as texts, and a file of relations."""

    oracles: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    relations: Path | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """Settings of a campaign (oracles, against, relations), the models to compare with, what a manifest notes
    of their places, and the words of a command line that state it all again.
    """

    settings: dict[str, tuple[str, ...]]
    others: dict[str, Model]
    source: dict[str, Any]
    words: list[str]


def oracle_options(function: F) -> F:
    """--oracle, --against, --relations: gives the command `judging`."""

    @wraps(function)
    def command(*args: Any, oracle: Any, against: Any, relations: Any, **values: Any) -> Any:
        return function(*args, judging=Judging(tuple(oracle), tuple(against), relations), **values)

    shown: Any = command
    for option in (
        click.option(
            "--relations",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            default=None,
            help="TOML file of metamorphic relations: a change of the input, and what must hold then.",
        ),
        click.option(
            "--against",
            multiple=True,
            metavar="MODEL2|float16|int8|onnxruntime",
            help="Compare with another model, or with MODEL in fewer bits or in another engine. Repeatable.",
        ),
        click.option(
            "--oracle",
            multiple=True,
            metavar="NAME[:KEY=VALUE,...]",
            help=f"What else is a failure: {', '.join(_offered())}, or a plug-in. Repeatable.",
        ),
    ):
        shown = option(shown)
    result: F = shown
    return result


def judged_by(
    judging: Judging,
    model: Path | str,
    folder: Path,
    *,
    resume: bool,
    model_options: Mapping[str, Any],
    device: str = "cpu",
) -> Judged:
    """The settings, and the models that they name.

    resume: what the corpus in `folder` records holds where the command line states nothing. model_options,
    device: of MODEL, for others of its kind. Names of plug-ins on the command line load them; a corpus loads
    none.
    """
    load_named(ORACLES, [text.partition(":")[0] for text in judging.oracles])
    manifest = {} if not resume or is_empty(folder) else read_manifest(folder)
    recorded, source = manifest.get("config", {}), manifest.get("source", {})
    settings = {name: tuple(recorded.get(name, ())) for name in NAMES}
    if judging.oracles:
        settings["oracles"] = tuple(str(parse(text)) for text in judging.oracles)
    if judging.relations is not None:
        settings["relations"] = tuple(str(one) for one in read_relations(judging.relations))
    if judging.against:
        paths = _named(judging.against)
        settings["against"] = tuple(paths)
    else:
        corpus = Corpus.read(folder) if settings["against"] else None
        paths = {
            n: n if n in BUILT_IN or corpus is None else model_path(corpus, n) for n in settings["against"]
        }
    beside = folder.resolve().parent
    noted: dict[str, Any] = {}
    where = {name: _relative(path, beside) for name, path in paths.items() if name not in BUILT_IN}
    if where:
        noted["against"] = where
    if judging.relations is not None:
        noted["relations"] = _relative(judging.relations, beside)
    elif isinstance(source, dict) and isinstance(source.get("relations"), str):
        noted["relations"] = source["relations"]
    words = [word for text in settings["oracles"] for word in ("--oracle", text)]
    for name, path in paths.items():
        words += ["--against", name if name in BUILT_IN else _relative(path, Path.cwd())]
    if settings["relations"] and "relations" in noted:
        words += ["--relations", _relative(beside / noted["relations"], Path.cwd())]
    others = other_models(settings["against"], paths, model, model_options=model_options, device=device)
    return Judged(settings, others, noted, words)


def other_models(
    names: Iterable[str],
    paths: Mapping[str, Path | str],
    model: Path | str,
    *,
    model_options: Mapping[str, Any],
    device: str = "cpu",
) -> dict[str, Model]:
    """The models to compare with by name, but for those that the oracle makes of MODEL itself."""
    found: dict[str, Model] = {}
    for name in names:
        if name == ENGINE and isinstance(model, Path) and model.suffix == ".onnx":
            # The file itself: what is exported from the network would have lost what importing it got wrong.
            found[name] = load_model(model, {**model_options, "runtime": ENGINE})
        elif name not in BUILT_IN:
            path = paths[name]
            own = isinstance(path, Path) and path.suffix == ".ckpt"
            found[name] = load_model(path, {} if own else model_options, device=device)
    return found


def replayed_against(
    corpus: Corpus, against: Iterable[str], model: Path | str, **stated: Any
) -> dict[str, Model]:
    """The models that a corpus compares with: those stated, and otherwise the files that it records."""
    names = corpus.manifest["config"].get("against", [])
    names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    given = _named(tuple(against))
    paths = {name: given.get(name) or model_path(corpus, name) for name in names if name not in BUILT_IN}
    return other_models(names, paths, model, **stated)


def _offered() -> list[str]:
    """Oracles that --oracle may name; the others have options of their own."""
    return [name for name in ORACLES.names() if name not in ("differential", "metamorphic")]


def _named(texts: tuple[str, ...]) -> dict[str, Path | str]:
    """Name -> file or URL of each model; built-in names stand for themselves."""
    found: dict[str, Path | str] = {}
    for text in texts:
        where = MODEL.convert(text, None, None)
        stem = text if text in BUILT_IN else _stem(where)
        if stem in found:
            raise InvalidArgument(f"expected each --against once and of another name, got {stem!r} twice")
        found[stem] = where
    return found


def _stem(where: Path | str) -> str:
    name = where.stem if isinstance(where, Path) else where.rstrip("/").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:60] or "other"


def _relative(path: Path | str, folder: Path) -> str:
    """A file as seen from a folder; a URL as it is."""
    return path if isinstance(path, str) else os.path.relpath(path, folder)
