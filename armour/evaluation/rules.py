"""The checks of evaluation.md that ask the model: a table of small functions, and what a check concludes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour import records
from armour.errors import FormatError
from armour.report_sections import Check
from armour.stats import mcnemar

from .context import Context
from .journal import Arrays, packed, unpacked

Status: TypeAlias = Literal["ok", "note", "warning", "error"]
When: TypeAlias = Literal["before", "after", "last"]

# A difference is held for real if it is larger than the rule says and unlikely to be chance.
LEVEL = 0.05


@dataclass(frozen=True, slots=True)
class Said:
    """What a check concludes: as Check, without its id and title."""

    status: Status
    text: str
    advice: str = ""
    sign: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One check: when it runs (before or after the attacks, or last), what it needs, and its function."""

    id: str
    title: str
    when: When
    gradients: bool
    probes: bool
    function: Callable[[Context], Said]


RULES: dict[str, Rule] = {}

Function: TypeAlias = Callable[[Context], Said]


def rule(
    number: str, title: str, *, when: When = "after", gradients: bool = False, probes: bool = True
) -> Callable[[Function], Function]:
    """Decorator: file the function as the check of that id.

    gradients: it needs a model that has them; probes: samples that are read right.
    """

    def add(function: Function) -> Function:
        RULES[number] = Rule(number, title, when, gradients, probes, function)
        return function

    return add


def run(context: Context, when: When) -> list[Check]:
    """The checks of that time, by id; those for which no time is left are missing."""
    found = []
    rules = [each for each in sorted(RULES.values(), key=lambda each: each.id) if each.when == when]
    for number, each in enumerate(rules):
        if context.out_of_time and f"check {each.id}" not in context.journal.units:
            continue
        if f"check {each.id}" not in context.journal.units:
            context.progress(f"check {each.id}", number / len(rules))
        found.append(_checked(context, each))
        context.random |= each.id == "R12" and found[-1].status == "warning"
    return found


def _checked(context: Context, each: Rule) -> Check:
    def make() -> Arrays:
        if each.gradients and not context.model.can_grad:
            said = Said("note", "Not applicable: the model has no gradients.")
        elif each.probes and not len(context.probe):
            said = Said("note", "Not measured: no sample is read right.")
        else:
            said = each.function(context)
        check = Check(id=each.id, title=each.title, **{f: getattr(said, f) for f in _FIELDS})
        return {"check": packed(records.to_tree(check))}

    kept = context.unit(f"check {each.id}", make)
    if "check" not in kept:
        raise FormatError("the state of the evaluation is damaged; delete it")
    return records.from_tree(Check, unpacked(kept["check"]))


_FIELDS = ("status", "text", "advice", "sign")


def beyond(lost: NDArray[np.bool_], won: NDArray[np.bool_], points: float) -> tuple[bool, float]:
    """Whether `lost` holds for more samples than `won` by over `points` percent, and by how many points.

    Both are over the same samples; the exact paired test must find the difference unlikely to be chance.
    """
    n = max(1, len(lost))
    only_lost, only_won = int((lost & ~won).sum()), int((won & ~lost).sum())
    difference = 100 * (only_lost - only_won) / n
    return difference > points and mcnemar(only_lost, only_won, "greater") < LEVEL, difference


def share(values: Iterable[bool] | NDArray[np.bool_]) -> float:
    """The share that is True; 0 of nothing."""
    array = np.asarray(values, bool)
    return float(array.mean()) if array.size else 0.0
