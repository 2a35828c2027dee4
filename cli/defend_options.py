"""`--defend NAME[:KEY=VALUE,...]`: defenses in front of the model that a command attacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from armour.contract import Model

F = TypeVar("F", bound=Callable[..., Any])


def defend_option(function: F) -> F:
    """--defend: gives the command `defend`, a tuple of texts for `defended`; and --defenses, which lists."""

    shown: Any = function
    for option in (
        click.option(
            "--defend",
            multiple=True,
            metavar="NAME[:KEY=VALUE,...]",
            help="Put a defense in front of MODEL, such as bit-depth:bits=3; attacks go back through it. May "
            "be given several times, in order. --defenses shows all, and how well they hold.",
        ),
        click.option(
            "--defenses",
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show,
            help="Show the defenses that --defend knows, with their evidence, and end.",
        ),
    ):
        shown = option(shown)
    result: F = shown
    return result


def defended(model: Model, texts: tuple[str, ...], seed: int) -> Model:
    """The model behind the defenses, or itself where there are none; InvalidArgument for unknown ones."""
    if not texts:
        return model
    from armour.defenses import Defended

    return Defended(model, texts, rng=seed)


def evidence(model: Model) -> list[str]:
    """One line for each defense in front of the model: what it is, and how well it holds."""
    from armour.defenses import Defended

    if not isinstance(model, Defended):
        return []
    return [f"{defense}: {defense.evidence}" for defense in model.defenses]


def listing() -> str:
    """Every defense with its settings, its gradient and its evidence."""
    from dataclasses import fields

    from armour.defenses.input import input_defenses

    lines = []
    for name, kind in input_defenses().items():
        settings = ",".join(f"{field.name.replace('_', '-')}={field.default}" for field in fields(kind))
        lines += [
            f"{name}:{settings}",
            f"  {str(kind.__doc__).splitlines()[0]}",
            f"  gradient: {kind.backward}",
            f"  {kind.evidence}",
        ]
    return "\n".join(lines)


def _show(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(listing())
        ctx.exit()
