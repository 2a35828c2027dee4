"""The report of an evaluation: what its units found, as the records of armour.report_evaluation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armour.attacks import Attack, AttackResult
from armour.report import Report
from armour.report_build import attack_section, model_info, short_name
from armour.report_evaluation import (
    BROKEN_BY,
    MISREAD,
    STANDS,
    AttackStep,
    DistanceCurve,
    EvaluationSection,
    GroupRow,
    Outcomes,
    QueryCurve,
    ThreatInfo,
    TransferRow,
)
from armour.report_sections import Check, DataInfo, Provenance, Rate
from armour.verdict import plural

from .context import Context, Rows, Trial
from .presets import draws

MAX_GROUPS = 200
BINS = 24
QUERY_MARKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What a report says beside the figures; seconds: of the whole evaluation."""

    preset: str
    notes: tuple[str, ...]
    checks: tuple[Check, ...]
    groups: tuple[str, ...]
    adaptive: bool
    data: DataInfo | None
    seconds: float
    complete: bool


def build(context: Context, extras: Extras, provenance: Provenance, title: str) -> Report:
    """The report of an evaluation that has come to its end, or to the end of its time."""
    kept = np.setdiff1d(np.arange(len(context.x)), context.left_out)
    fate, distances = _fates(context, kept)
    steps = _steps(context, kept, extras)
    counted = [unit["cost"] for unit in context.journal.all_units().values() if "cost" in unit]
    row = context.journal.all_units()["row"]["counts"]
    queries, gradients = (int(sum(int(c[i]) for c in counted) + row[:, i].sum()) for i in (0, 1))
    data = extras.data or DataInfo(name="", n=0)
    classes = np.bincount(context.y[kept])
    data = replace(data, n=len(kept), class_counts=tuple(int(count) for count in classes))
    section = attack_section(
        _result(context, kept, fate, queries, gradients, extras),
        context.model,
        context.x[kept],
        context.y[kept],
        data=data,
        headline=_short(context.epsilon),
        name=_title(context, extras),
        adaptive=extras.adaptive,
    )
    blind = all(not attack.needs_gradient for attack in context.attacks)
    section = replace(section, access="black-box" if blind else "white-box")
    signs = tuple(check.sign for check in extras.checks if check.sign)
    examined = context.model.can_grad and any(check.id == "R10" for check in extras.checks)
    return Report(
        model=model_info(context.model),
        attacks=(section,),
        checks=tuple(sorted(extras.checks, key=lambda check: check.id)),
        clean=section.clean,
        provenance=provenance,
        title=title,
        evaluation=EvaluationSection(
            threat=ThreatInfo(
                norm=context.threat.norm,
                epsilons=section.epsilons,
                knowledge=context.threat.knowledge,
                queries=context.threat.queries or _asked(context),
                goal=context.threat.goal,
            ),
            preset=extras.preset,
            steps=steps,
            outcomes=Outcomes(
                ids=tuple(context.ids[i] for i in kept),
                fate=tuple("".join(row) for row in fate),
                distances=tuple(None if not np.isfinite(d) else float(f"{d:.4g}") for d in distances),
            ),
            masking="signs" if signs else "none" if examined else "not examined",
            signs=signs,
            groups=_groups(extras.groups, fate, kept),
            queries=_query_curves(context),
            distances=_distance_curve(context, distances),
            transfer=_transfer(context),
            complete=extras.complete,
            planned=len(context.x),
            notes=extras.notes,
        ),
    )


def label(attack: Attack) -> str:
    """The attack's name in a table: with its loss, where two of a row would else read alike."""
    loss = getattr(attack, "loss", None)
    name = short_name(str(attack))
    named = isinstance(loss, str) and attack.needs_gradient and loss != "cross-entropy"
    name = f"{name}, {loss}" if named and str(loss) not in name.lower() else name
    return name if draws(attack) == 1 else f"{name}, EOT {draws(attack)}"


def _short(epsilon: float) -> float:
    return float(f"{epsilon:.9g}")


def _asked(context: Context) -> int | None:
    """The most questions that an attack without gradients may ask about one sample, if one was run."""
    found = [getattr(a, "queries", None) for a in context.attacks if not a.needs_gradient]
    return max((int(q) for q in found if q is not None), default=None)


def _title(context: Context, extras: Extras) -> str:
    names = [label(attack) for attack in context.attacks]
    if extras.preset == "own choice":
        return " + ".join(names) if len(names) <= 3 else f"{plural(len(names), 'attack')}"
    most = max(map(draws, context.attacks))
    averaged = f", EOT {most}" if most > 1 else ""
    return f"{extras.preset}, {plural(len(names), 'attack')}{averaged}"


def _fates(context: Context, kept: Rows) -> tuple[NDArray[np.str_], NDArray[np.float64]]:
    """(k, m) the fate of each kept sample as a character, and (m,) the smallest distance that broke it."""
    search = context.search
    assert search is not None
    budgets, n = len(context.budgets), len(context.x)
    fate = np.full((budgets, n), MISREAD, dtype="U1")
    signs = np.array([*BROKEN_BY])
    fate[:, context.attacked] = np.where(
        search.success, signs[np.clip(search.broken_by, 0, len(signs) - 1)], STANDS
    )
    # What a second look alone has changed, before any attack, was misread.
    second = search.success & (search.broken_by < 0)
    fate[:, context.attacked] = np.where(second, MISREAD, fate[:, context.attacked])
    nearest = np.full(n, np.inf)
    for k in range(budgets):
        measured = context.distance.measure(context.x[context.attacked], search.adv[k])
        found = np.where(search.success[k], measured, np.inf)
        nearest[context.attacked] = np.minimum(nearest[context.attacked], found)
    for trial in context.trials.values():
        if context.budgets[-1] < trial.epsilon < np.inf:
            continue  # an attack without a limit does not look for near ones
        found = np.where(trial.success, trial.distance, np.inf)
        nearest[trial.rows] = np.minimum(nearest[trial.rows], found)
    nearest[~context.right] = 0.0
    return fate[:, kept], nearest[kept]


def _result(
    context: Context,
    kept: Rows,
    fate: NDArray[np.str_],
    queries: int,
    gradients: int,
    extras: Extras,
) -> AttackResult:
    """The worst case as the result of one attack."""
    search = context.search
    assert search is not None
    budgets = len(context.budgets)
    adv = np.repeat(context.x[None], budgets, axis=0)
    adv[:, context.attacked] = search.adv
    x = context.x[kept]
    adv = adv[:, kept]
    success = fate != STANDS
    return AttackResult(
        adv=adv,
        success=success,
        distance=np.stack([context.distance.measure(x, row) for row in adv]),
        finished=np.ones(len(kept), bool),
        epsilons=np.asarray(context.budgets),
        robust_accuracy=(~success).mean(axis=1),
        clean_accuracy=float((fate[0] != MISREAD).mean()),
        norm=context.threat.norm,
        attack="; then ".join(str(attack) for attack in context.attacks),
        queries=queries,
        gradients=gradients,
        seconds=extras.seconds,
        spent=np.zeros(success.shape, np.int64),
        broken_by=np.full(success.shape, -1, np.int16),
        components=tuple(str(attack) for attack in context.attacks),
    )


def _steps(context: Context, kept: Rows, extras: Extras) -> tuple[AttackStep, ...]:
    search = context.search
    assert search is not None
    n, counts = len(kept), context.journal.all_units()["row"]["counts"]
    finished = np.setdiff1d(
        np.arange(len(context.attacked)), np.searchsorted(context.attacked, context.left_out)
    )
    by = np.where(search.success, search.broken_by, len(BROKEN_BY))[:, finished].astype(np.int64)
    tried = search.tried[:, finished]
    found = []
    checks_found = bool((by == len(context.attacks)).any())
    for number in range(len(context.attacks) + checks_found):
        before = (by >= number).sum(axis=1)
        broken = (by == number).sum(axis=1)
        left = tuple(Rate.of(int(b - c), n) for b, c in zip(before, broken, strict=True))
        counted: dict[str, Any] = {"given": tuple(map(int, before)), "broken": tuple(map(int, broken))}
        counted["left"] = left
        if number == len(context.attacks):
            text = "what the checks' own attacks found on a sample of the inputs"
            found.append(AttackStep(name="checks", config=text, access="white-box", **counted))
            continue
        attack = context.attacks[number]
        due = (by > number) & (tried <= number)
        found.append(
            AttackStep(
                name=label(attack),
                config=str(attack),
                access="white-box" if attack.needs_gradient else "black-box",
                queries=int(counts[number, 0]),
                gradients=int(counts[number, 1]),
                complete=extras.complete or not due.any(),
                **counted,
            )
        )
    return tuple(found)


def _groups(names: tuple[str, ...], fate: NDArray[np.str_], kept: Rows) -> tuple[GroupRow, ...]:
    if not names:
        return ()
    given = np.array([names[i] for i in kept])
    found = []
    for name in sorted(set(names))[:MAX_GROUPS]:
        rows = given == name
        n = int(rows.sum())
        if n:
            robust = tuple(Rate.of(int((row[rows] == STANDS).sum()), n) for row in fate)
            clean = Rate.of(int((fate[0][rows] != MISREAD).sum()), n)
            found.append(GroupRow(name=name[:200], clean=clean, robust=robust))
    return tuple(found)


def _query_curves(context: Context) -> tuple[QueryCurve, ...]:
    """Of attacks without gradients: the first of the row on all samples, and those of the checks."""
    found = []
    search, first = context.search, context.attacks[0]
    assert search is not None
    trials = [t for name, t in context.trials.items() if name.startswith("scores alone")]
    if not first.needs_gradient and len(context.curve):
        rows, k = context.attacked, context.headline
        own = context.curve[k]
        trials = [
            Trial(
                type(first).__name__, rows, context.epsilon, own, search.adv[k], np.zeros(0), context.asked[k]
            )
        ]
    for trial in trials:
        n = len(trial.rows)
        if not n:
            continue
        most = int(max(trial.spent.max(initial=0), 1))
        marks = sorted({*(mark for mark in QUERY_MARKS if mark < most), most})
        rates = tuple(Rate.of(int((trial.success & (trial.spent <= mark)).sum()), n) for mark in marks)
        name = trial.name.removeprefix("scores alone (").removesuffix(")")
        found.append(QueryCurve(name=name, epsilon=_short(trial.epsilon), queries=tuple(marks), broken=rates))
    return tuple(found)


def _distance_curve(context: Context, distances: NDArray[np.float64]) -> DistanceCurve | None:
    """A histogram of the smallest distances: of the minimum-norm attack's samples if one was run."""
    trial = context.trials.get("nearest")
    values, name = distances[distances > 0], ""
    if trial is not None:
        every = np.full(len(context.x), np.inf)
        kept = np.setdiff1d(np.arange(len(context.x)), context.left_out)
        every[kept] = distances
        values, name = every[trial.rows], context.nearest
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    top = float(np.quantile(finite, 0.99)) or 1.0
    edges = np.linspace(0.0, float(f"{top:.3g}") * 1.001, BINS + 1)
    counts, _ = np.histogram(finite, edges)
    median = float(np.median(np.where(np.isfinite(values), values, np.inf)))
    return DistanceCurve(
        name=name,
        n=len(values),
        found=len(finite),
        median=float(f"{median:.4g}") if np.isfinite(median) else None,
        edges=tuple(float(f"{edge:.5g}") for edge in edges),
        counts=tuple(int(count) for count in counts),
    )


def _transfer(context: Context) -> tuple[TransferRow, ...]:
    found = []
    for name, itself in context.transferred.items():
        trial = context.trials[name]
        n = len(trial.rows)
        if n:
            found.append(
                TransferRow(
                    source=name.removeprefix("transfer from "),
                    epsilon=_short(trial.epsilon),
                    itself=Rate.of(int(itself.sum()), n),
                    target=Rate.of(int(trial.success.sum()), n),
                )
            )
    return tuple(found)
