"""The section of a report on a fuzzing run: its counts, its growth, and a gallery of its failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from armour import report_sections as sections
from armour.report_build import example
from armour.report_sections import Campaign, DataInfo, FuzzSection

if TYPE_CHECKING:
    from armour.contract import Model
    from armour.fuzz.result import CampaignResult, Failure, FuzzResult

MAX_PICTURES = 120
MAX_POINTS = 200


def fuzz_section(
    result: FuzzResult,
    model: Model,
    *,
    data: DataInfo | None = None,
    mutators: tuple[str, ...] = (),
    pictures: int = MAX_PICTURES,
) -> FuzzSection:
    """A section of a fuzzing run; at most `pictures` failures are shown, first one of each class pair."""
    counts = result.guided.class_counts
    shown = _spread_out(result.failures, counts)[:pictures]
    bounds = (float(model.bounds.low), float(model.bounds.high))
    ordered = sorted(result.failures, key=lambda failure: (-counts.get(failure.key, 1), failure.key))
    return FuzzSection(
        guided=_campaign(result.guided),
        baseline=None if result.baseline is None else _campaign(result.baseline),
        data=data or DataInfo(name="", n=int(result.seeds), sha256=result.data_sha256),
        level=result.validity,
        validator=result.validator,
        roots=int(result.roots),
        skipped=int(result.skipped),
        oracles=tuple(result.oracles),
        mutators=mutators,
        classes=tuple(
            sections.FailureClass(
                key=failure.key,
                oracle=failure.oracle,
                true=int(failure.true),
                predicted=int(failure.predicted),
                families=tuple(failure.families),
                count=int(counts.get(failure.key, 1)),
            )
            for failure in ordered
        ),
        failures=tuple(_failure(failure, bounds) for failure in shown),
        seed=int(result.seed),
        interrupted=bool(result.interrupted),
        notes=(*_special(result), *result.notes),
    )


def operations(recipe: str) -> str:
    """A recipe for people: steps without seeds, parameters in three digits, and only those that do something.

    "root=3;rotate(deg=3.2041)@1f;scale(wide=1,high=0.9)@9b" is "rotate(deg=3.2), scale(high=0.9)".
    """
    from armour.fuzz.mutators import get
    from armour.fuzz.recipe import Recipe

    shown = []
    for step in Recipe.parse(recipe).steps:
        pairs = zip(get(step.mutator).params, step.params, strict=True)
        moved = [(p.name, f"{value:.3g}") for p, value in pairs if f"{value:.3g}" != f"{p.identity:.3g}"]
        shown.append(f"{step.mutator}({', '.join(f'{name}={value}' for name, value in moved)})")
    return ", ".join(shown)


def _campaign(result: CampaignResult) -> Campaign:
    step = -(-len(result.curve) // MAX_POINTS) or 1
    points = list(result.curve[::step])
    if result.curve and points[-1] is not result.curve[-1]:
        points.append(result.curve[-1])
    return Campaign(
        schedule=result.schedule,
        executions=int(result.executions),
        valid=int(result.valid),
        failures=int(result.failures),
        pairs=int(result.pairs),
        classes=int(result.classes),
        variants=result.variants,
        distinct=int(result.distinct),
        roots=int(result.roots),
        levels={level: int(count) for level, count in result.levels.items()},
        failing={level: int(count) for level, count in result.failing.items()},
        pair_counts={f"{int(a)}>{int(b)}": int(n) for (a, b), n in sorted(result.pair_counts.items())},
        coverage={name: float(value) for name, value in result.coverage.items() if _is_share(name)},
        measures={n: float(value) for n, value in result.coverage.items() if not _is_share(n)} or None,
        correlation={n: tuple(map(float, found)) for n, found in result.correlation.items() if found} or None,
        triage=int(result.triage_executions),
        seconds=float(result.seconds),
        curve=tuple(
            sections.GrowthPoint(
                executions=int(point.executions),
                failures=int(point.failures),
                distinct=int(point.distinct),
                classes=int(point.classes),
                roots=int(point.roots),
                coverage=float(point.coverage),
                seconds=float(point.seconds),
            )
            for point in points
        ),
    )


def _is_share(name: str) -> bool:
    from armour.fuzz.coverage import CRITERIA

    return name not in CRITERIA or CRITERIA.get(name).form == "share"


def _failure(failure: Failure, bounds: tuple[float, float]) -> sections.Failure:
    change = (failure.minimised.astype(np.float64) - failure.minimised_reference).ravel()
    figures = {"confidence": float(failure.confidence)}
    if change.any():
        # To the reference: what a geometric step moved is not counted, as in the validity rule.
        figures["linf"] = float(np.abs(change).max())
        figures["l2"] = float(np.sqrt(np.square(change).sum()))
    true, predicted = int(failure.true), int(failure.predicted)
    return sections.Failure(
        id=failure.id,
        key=failure.key,
        oracle=failure.oracle,
        validity=failure.validity,
        recipe=failure.minimised_recipe,
        operations=operations(failure.minimised_recipe),
        replay=failure.replay,
        example=example(failure.root_image, failure.minimised, bounds, true, predicted),
        figures={name: value for name, value in figures.items() if np.isfinite(value)},
        severity=failure.severity,
        trouble=failure.trouble,
    )


def _special(result: FuzzResult) -> list[str]:
    from armour.fuzz.special import summary

    text = summary(result.special)
    return (
        [f"Special inputs (NaN, infinities, an empty batch, ...), which are no failures: {text}"]
        if text
        else []
    )


def _spread_out(failures: tuple[Failure, ...], counts: dict[str, int]) -> list[Failure]:
    """Largest classes first, but one of each class pair before a second of any."""
    turn: dict[str, int] = {}
    placed: list[tuple[int, int, Failure]] = []
    for failure in sorted(failures, key=lambda f: (-counts.get(f.key, 1), f.key)):
        turn[failure.pair] = turn.get(failure.pair, -1) + 1
        placed.append((turn[failure.pair], len(placed), failure))
    return [failure for _, _, failure in sorted(placed, key=lambda item: item[:2])]
