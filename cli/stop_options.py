"""When `armour fuzz` stops: the options that say so, as the rules of Fuzzer.run."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click

from armour.cli.options import DURATION

F = TypeVar("F", bound=Callable[..., Any])

RULES = ("executions", "seconds", "until_class", "plateau", "residual_risk")


def stop_options(function: F) -> F:
    """--executions, --seconds, --until-class, --plateau, --residual-risk: give `stops`, for Fuzzer.run."""

    @wraps(function)
    def command(*args: Any, **values: Any) -> Any:
        stops = {name: values.pop(name) for name in RULES}
        return function(*args, stops=stops, **values)

    shown: Any = command
    for option in reversed(
        (
            click.option(
                "--executions",
                type=click.IntRange(min=1),
                default=None,
                help="Inputs to run in all, those before --resume included. Default: 20,000, if nothing else "
                "says when to stop.",
            ),
            click.option(
                "--seconds",
                type=DURATION,
                default=None,
                help="Time to run: 90, 5m, 1h. Both campaigns share it.",
            ),
            click.option(
                "--until-class",
                type=click.IntRange(min=1),
                default=None,
                metavar="N",
                help="Stop once N failure classes (D2) are found.",
            ),
            click.option(
                "--plateau",
                type=click.IntRange(min=1),
                default=None,
                metavar="EXECUTIONS",
                help="Stop once so many executions have shown no new failure class.",
            ),
            click.option(
                "--residual-risk",
                type=click.FloatRange(0, 1, min_open=True, max_open=True),
                default=None,
                metavar="P",
                help="Stop once the next execution shows a new class with a probability below P (95 % bound, "
                "Good-Turing; a guided search biases it).",
            ),
        )
    ):
        shown = option(shown)
    result: F = shown
    return result
