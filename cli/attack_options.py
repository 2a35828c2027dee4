"""What `armour attack` knows beyond its own options: the list of attacks, any setting, masks from files."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from armour import npz
from armour.attacks import (
    ATTACKS,
    Attack,
    DecisionAttack,
    Edits,
    FixedBudgetAttack,
    OwnLimitsAttack,
)
from armour.contract import Model
from armour.errors import DataError, InvalidArgument

_URL = r"(https?://[^\s)]+[^\s).,;])"
_PAPER = re.compile(_URL)
_PICTURES = (".png", ".bmp", ".gif", ".jpg", ".jpeg")
_EDITED = ("replace", "insert", "append", "padding")
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}


class SettingType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """NAME=VALUE: a setting of the attack; gives (name, value), a number, True, False, None or text."""

    name = "setting"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The pair; a usage error if it is none."""
        if isinstance(value, tuple):
            return value
        name, sign, text = str(value).partition("=")
        if not sign or not name.strip().replace("-", "_").isidentifier():
            self.fail(f"expected NAME=VALUE such as momentum=0.9, got {value!r}", param, ctx)
        return name.strip().replace("-", "_"), _value(text.strip())


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def show_list(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    """Print the table of attacks and end; for an eager flag."""
    if value and not ctx.resilient_parsing:
        click.echo(listing())
        ctx.exit()


def listing() -> str:
    """All attacks with their norms, what they need of the model, what limits them, and their paper."""
    rows = [("attack", "norms", "needs", "limited by", "paper")]
    for name, kind in ATTACKS.items():
        text = kind.__doc__ or ""
        # After what it raises: one inside the description of a setting is another paper.
        found = _PAPER.search(text.rpartition("Raises ")[2]) or _PAPER.search(text)
        paper = found[1] if found else "-"
        rows.append((name, " ".join(_norms(kind)), needs(kind), _limit(kind), paper))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[4]]) for row in rows]
    meaning = "nearest: looks for the smallest distance, and takes budgets too. A setting: --set NAME=VALUE."
    return "\n".join([*(line.rstrip() for line in lines), "", meaning])


def needs(kind: type[Attack]) -> str:
    """What an attack asks of a model: gradients, scores, or labels alone."""
    if kind.needs_gradient:
        return "gradients"
    return "labels" if issubclass(kind, DecisionAttack) else "scores"


def _norms(kind: type[Attack]) -> list[str]:
    """The norms that it knows, its default first."""
    default = next(str(field.default) for field in fields(kind) if field.name == "norm")
    return [default, *(norm for norm in kind.norms if norm != default)]


def _limit(kind: type[Attack]) -> str:
    if issubclass(kind, OwnLimitsAttack):
        return "own settings"
    return "epsilon" if issubclass(kind, FixedBudgetAttack) else "nearest"


def merged(settings: dict[str, Any], more: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    """Settings of own options and those of --set; InvalidArgument for one that is stated twice."""
    found = dict(settings)
    for name, value in more:
        if name in found:
            raise InvalidArgument(f"{name} is stated twice; leave one of them out")
        found[name] = value
    return found


def understood(settings: dict[str, Any], device: str) -> dict[str, Any]:
    """Settings whose values a command line gives as text: a surrogate's file, an attack's name, edits.

    InvalidArgument, or what loading raises, for text that stands for none.
    """
    found = dict(settings)
    for name, read in (
        ("surrogate", partial(_surrogate, device=device)),
        ("using", _using),
        ("edits", _edits),
    ):
        if name in found:
            found[name] = read(str(found[name]))
    return found


def _surrogate(text: str, device: str) -> Model:
    import armour

    loaded: Model = armour.load(Path(text), device=device)
    return loaded


def _using(text: str) -> Attack:
    return ATTACKS.get(text)()


def _edits(text: str) -> Edits:
    """Edits of replace:16,append:64,padding:256; InvalidArgument for anything else."""
    values: dict[str, Any] = {}
    for part in text.split(","):
        name, sign, number = part.partition(":")
        value = _value(number.strip())
        if name.strip() not in _EDITED or not sign or isinstance(value, str | bool) or value is None:
            raise InvalidArgument(
                f"expected edits such as replace:16,append:64,padding:256, got {text!r}; masks, offsets and "
                "values are stated in Python: attacks.Bytes(edits=attacks.Edits(...))"
            )
        values[name.strip()] = value
    return Edits(**values)


def known_settings(kind: type[Attack]) -> list[str]:
    """The names of the attack's settings that a command line can state."""
    return [field.name for field in fields(kind) if field.name != "mask"]


def read_mask(path: Path) -> np.ndarray:
    """Booleans from .npy, .npz (its only array, or `mask`) or a picture, where what is not black may change.

    DataError for anything else.
    """
    if not path.is_file():
        raise DataError(
            f"there is no mask {path}; expected .npy, .npz or a picture, True or white may change"
        )
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return npz.parse_array(path.read_bytes(), path, path.name, DataError)
    if suffix == ".npz":
        found = npz.read_arrays(path, DataError)
        name = "mask" if "mask" in found else next(iter(found), "")
        if not name or (name != "mask" and len(found) > 1):
            raise DataError(
                f"expected an array `mask` in {path}, got {', '.join(sorted(found)) or 'nothing'}"
            )
        return found[name]
    if suffix in _PICTURES:
        from PIL import Image

        try:
            with Image.open(path) as picture:
                return np.asarray(picture.convert("L")) > 0
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"the mask {path} cannot be read as a picture: {error}") from error
    raise DataError(f"expected a mask as .npy, .npz or a picture, got {path.name}")
