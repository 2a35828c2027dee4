"""Options and parameter types that commands share, so that they are spelled and explained once."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from armour.errors import ArmourError

if TYPE_CHECKING:
    from armour.bounds import Bounds

F = TypeVar("F", bound=Callable[..., Any])

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", re.ASCII)


class EpsilonType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """A budget: a number or a fraction such as 8/255; gives a float in input units."""

    name = "epsilon"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; a usage error if it is none."""
        from armour.distances import parse_epsilon

        try:
            return float(parse_epsilon(value))
        except ArmourError as error:
            self.fail(str(error), param, ctx)


class DurationType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """A length of time: 90, 90s, 5m, 1h30m; gives seconds as a float above 0."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds; a usage error if it is no length of time."""
        if isinstance(value, (int, float)):
            seconds = float(value)
        else:
            parts = _DURATION.fullmatch(str(value).strip().lower())
            if parts is None or not any(parts.groups()):
                self.fail(
                    f"expected a length of time such as 90, 90s, 5m or 1h30m, got {value!r}", param, ctx
                )
            hours, minutes, rest = (float(part or 0) for part in parts.groups())
            seconds = 3600 * hours + 60 * minutes + rest
        if not (math.isfinite(seconds) and seconds > 0):
            self.fail(f"expected a length of time above 0, got {value!r}", param, ctx)
        return seconds


class BoundsType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer click
    """The range of a model's inputs: 0,1 or 0,255; gives Bounds."""

    name = "bounds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Bounds:
        """The Bounds; a usage error if they are none."""
        from armour.bounds import Bounds

        if isinstance(value, Bounds):
            return value
        try:
            low, high = (float(part) for part in str(value).strip("()[] ").split(","))
            return Bounds(low, high)
        except ValueError:  # also what Bounds raises
            self.fail(
                f"expected two numbers such as 0,1 or -1,1, the lower one first, got {value!r}", param, ctx
            )


EPSILON = EpsilonType()
BOUNDS = BoundsType()
DURATION = DurationType()


def data_option(function: F) -> F:
    """--data: a data set by name or a path; default None (the one the checkpoint records)."""
    return click.option(
        "--data",
        metavar="NAME|PATH",
        default=None,
        help="Data set: digits, mnist, ..., or a .npz, .csv, idx file or folder of images. "
        "Default: the one the checkpoint records.",
    )(function)


def bounds_option(function: F) -> F:
    """--bounds: the range of the inputs, for a model file that does not state it; default None."""
    return click.option(
        "--bounds",
        type=BOUNDS,
        metavar="LOW,HIGH",
        default=None,
        help="Range of the model's inputs, if its file does not state it.",
    )(function)


def seed_option(function: F) -> F:
    """--seed: an int at or above 0; the same seed gives the same result."""
    return click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all random choices."
    )(function)


def json_option(function: F) -> F:
    """--json: gives the command `as_json`; it then prints one JSON object on stdout, and only that."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")(function)


def quiet_option(function: F) -> F:
    """--quiet: no progress and no summary; errors and asked-for data only."""
    return click.option("-q", "--quiet", is_flag=True, help="No progress and no summary.")(function)


def output_option(help: str = "Where to write the result.", *, required: bool = False) -> Callable[[F], F]:
    """-o, --output: gives `output`, a Path or None. Use armour.files.check_writable before long work."""
    # No default=None: click 8.3 takes it for an answer to a required option.
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        metavar="PATH",
        required=required,
        help=help,
    )


def samples_option(default: int = 1000, *, of: str = "samples", least: int = 1) -> Callable[[F], F]:
    """-n, --samples: how many are taken at most; of: what they are called here."""
    return click.option(
        "-n",
        "--samples",
        type=click.IntRange(min=least),
        default=default,
        show_default=True,
        help=f"At most so many {of}, chosen by seed in the classes' proportions.",
    )


def device_option(function: F) -> F:
    """--device: cpu or cuda."""
    return click.option(
        "--device",
        type=click.Choice(["cpu", "cuda"]),
        default="cpu",
        show_default=True,
        help="Where the model runs; cuda needs the extra gpu.",
    )(function)


def jobs_option(function: F) -> F:
    """--jobs: worker processes; results do not depend on it."""
    return click.option(
        "-j",
        "--jobs",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Worker processes; the result is the same for any number.",
    )(function)


def coverage_option(help: str, default: str = "kmnc,nbc,snac") -> Callable[[F], F]:
    """--coverage: names of criteria, such as kmnc,nn; given on as a text."""
    return click.option(
        "--coverage", metavar="NAME,...", default=default, show_default=bool(default), help=help
    )


def mutators_option(help: str) -> Callable[[F], F]:
    """--mutators: a selection such as +grain,-fog; default "", what is armour's own. May name plug-ins."""
    return click.option("--mutators", metavar="+NAME,-NAME", default="", help=help)


def print_json(value: Any) -> None:
    """One JSON object on stdout, made of what `plain` gives."""
    click.echo(json.dumps(plain(value), allow_nan=False, ensure_ascii=False))


def plain(value: Any) -> Any:
    """`value` with only what JSON knows: arrays become lists, NaN and infinities None, other things text."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)
