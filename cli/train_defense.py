"""What `armour train --defense` knows: its options, how well each defense holds, and its figures."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

from armour import attacks, formats
from armour.checks import suggest
from armour.cli.attack_options import SettingType
from armour.cli.options import EpsilonType
from armour.contract import Model
from armour.data import Dataset
from armour.defenses.training import (
    AdversarialTraining,
    TrainingObjective,
    TrainingResult,
    facts,
    name_of,
    objectives,
)
from armour.errors import InvalidArgument
from armour.model import ModuleModel
from armour.stats import wilson

F = TypeVar("F", bound=Callable[..., Any])

# What the test samples are attacked with at the end.
STEPS, STEP_SIZE = 30, 0.1
_WIDTH = 78


def defense_options(function: F) -> F:
    """--defense and what belongs to it."""
    names = ", ".join(objectives())
    for option in reversed(
        (
            click.option("--defense", metavar="NAME", default=None, help=f"Train against attacks: {names}."),
            click.option("--epsilon", type=EpsilonType(), default=None, help="Budget to train against."),
            click.option(
                "--norm",
                type=click.Choice(["linf", "l2", "l1"]),
                default=None,
                help="Norm of the budget.  [default: linf]",
            ),
            click.option(
                "--share",
                type=click.FloatRange(0, 1),
                default=None,
                help="Share of each batch that is perturbed. Default: by defense.",
            ),
            click.option(
                "--ramp",
                type=click.FloatRange(0, 1),
                default=None,
                help="Share of the epochs in which the budget grows to epsilon.  [default: 0.4]",
            ),
            click.option(
                "--on-collapse",
                type=click.Choice(["warn", "stop"]),
                default=None,
                help="At catastrophic overfitting.  [default: warn]",
            ),
            click.option(
                "--static",
                type=click.Path(path_type=Path, exists=True, dir_okay=False),
                multiple=True,
                metavar="MODEL",
                help="Another model that perturbs inputs, for --defense ensemble. Several are allowed.",
            ),
            click.option(
                "--set",
                "settings",
                type=SettingType(),
                multiple=True,
                metavar="NAME=VALUE",
                help="A setting of the defense, such as beta=6.",
            ),
        )
    ):
        function = option(function)
    return function


def evidence_text() -> str:
    """How well each defense holds, and who says so; for the end of --help."""
    lines = [
        "How well defenses hold (robust accuracy is an upper bound until stronger attacks have tried):",
        "",
    ]
    for name, kind in objectives().items():
        lines += textwrap.wrap(
            f"{name}: {kind.evidence}",
            _WIDTH,
            subsequent_indent="    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\b\n" + "\n".join(line or "\b" for line in lines)


def built(
    name: str | None, settings: tuple[tuple[str, Any], ...], static: tuple[Path, ...] = (), **options: Any
) -> AdversarialTraining | None:
    """The defense that was asked for; None without one. InvalidArgument for what does not fit."""
    stated = {key: value for key, value in options.items() if value is not None}
    if name is None:
        if stated or settings or static:
            which = next(iter(stated), "set" if settings else "static").replace("_", "-")
            raise InvalidArgument(f"--{which} belongs to a defense; add --defense, such as --defense pgd")
        return None
    kinds = objectives()
    kind = next((k for n, k in kinds.items() if n == name.lower().replace("_", "-")), None)
    if kind is None:
        raise InvalidArgument(f"no defense called {name!r} trains{suggest(name.lower(), kinds)}")
    if "epsilon" not in stated:
        raise InvalidArgument(f"expected a budget for --defense {name}; state --epsilon, such as 8/255")
    given: dict[str, Any] = {"models": _loaded(static)} if static else {}
    known = set(kind.__dataclass_fields__)
    if static and "models" not in known:
        raise InvalidArgument(f"--static belongs to --defense ensemble, not to {name}; leave it out")
    for key, value in settings:
        if key not in known or key == "models":
            raise InvalidArgument(f"{name} has no setting {key!r}{suggest(key, known)}")
        given[key] = value
    return AdversarialTraining(objective=kind(**given), **stated)


def _loaded(paths: tuple[Path, ...]) -> tuple[Model, ...]:
    return tuple(formats.load(path) for path in paths)


def words(defense: AdversarialTraining | None, static: tuple[Path, ...] = ()) -> list[str]:
    """The options that ask for this defense again."""
    if defense is None:
        return []
    found = ["--defense", name_of(defense.method), "--epsilon", repr(defense.budget), "--norm", defense.norm]
    found += ["--share", repr(defense.share), "--ramp", repr(defense.ramp)]
    found += ["--on-collapse", defense.on_collapse]
    for key in defense.method.settings():
        value = getattr(defense.method, key)
        if isinstance(value, TrainingObjective):
            value = name_of(value)
        if key != "models":
            found += ["--set", f"{key}={value}"]
    return found + [word for path in static for word in ("--static", str(path))]


def measured(
    defense: AdversarialTraining, result: TrainingResult, model: ModuleModel, test: Dataset
) -> dict[str, Any]:
    """The figures of a defended network: the defense's evidence, its run, and PGD on the test samples."""
    attack = attacks.PGD(norm=defense.norm, steps=STEPS, step_size=STEP_SIZE)
    found = attack.attack(model, test.x, test.y, defense.budget, rng=0)
    right = int(np.count_nonzero(~found.success[0]))
    label = defense.method.evidence
    return {
        "robust_accuracy": right / len(test),
        "robust_samples": len(test),
        "robust_interval": list(wilson(right, len(test))),
        "robust_attack": f"{attack}, epsilon={defense.budget:g}",
        "validation_robust_accuracy": result.best.robust,
        "defense": defense.identity() | {"evidence": str(label)} | facts(result),
    }


def lines(result: dict[str, Any]) -> list[str]:
    """What people are told of those figures."""
    low, high = result["robust_interval"]
    told = [
        f"robust accuracy <= {result['robust_accuracy']:.2%} (n={result['robust_samples']:,}, 95 % interval "
        f"{low:.2%} to {high:.2%}) under {result['robust_attack']}",
        f"evidence of {result['defense']['objective']}: {result['defense']['evidence']}",
    ]
    collapsed = result["defense"]["collapse"]
    if collapsed is not None:
        told.append(f"warning: {collapsed['text']}; epoch {result['best_epoch']} was kept")
    return told
