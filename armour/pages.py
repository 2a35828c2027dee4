"""What the HTML page shows beside charts and tables, computed from a Report. No HTML is written here."""

from __future__ import annotations

from typing import NamedTuple

from armour.report import Report
from armour.report_sections import Example, Failure, FuzzSection
from armour.verdict import epsilon_text, fuzz_speed, interval_text, norm_text, percent, plural


class Figure(NamedTuple):
    """One large number of the page's head."""

    name: str
    value: str
    note: str


class Shown(NamedTuple):
    """A failure with its labels as text."""

    failure: Failure
    true: str
    predicted: str
    figures: str


class Adversarial(NamedTuple):
    """An adversarial example with its labels as text."""

    example: Example
    true: str
    predicted: str
    note: str


def facts(report: Report) -> list[str]:
    """What stands beside the model's name: parameters, input, data."""
    model, found = report.model, []
    if model.parameters is not None:
        found.append(f"{model.parameters:,} parameters")
    if model.input_shape:
        found.append("input " + "×".join(str(side) for side in model.input_shape))
    used = [section.data for section in report.attacks] + ([report.fuzz.data] if report.fuzz else [])
    for name, n in dict.fromkeys((data.name or "unnamed data", data.n) for data in used):
        found.append(f"{name} (n={n:,})")
    if report.provenance.seed is not None:
        found.append(f"seed {report.provenance.seed}")
    return found


def figures(report: Report) -> list[Figure]:
    """The numbers that the page opens with."""
    found = []
    clean = report.clean or (report.attacks[0].clean if report.attacks else None)
    if clean is not None:
        found.append(Figure("Clean accuracy", percent(clean.value), f"{interval_text(clean)}, n={clean.n:,}"))
    for section in report.attacks[:2]:
        rate, epsilon = section.robust[section.headline], epsilon_text(section.epsilons[section.headline])
        name = f"Robust accuracy, {norm_text(section.norm)} {epsilon}"
        found.append(Figure(name, f"<= {percent(rate.value)}", f"{interval_text(rate)}, {section.name}"))
    if report.fuzz is not None:
        found += _fuzz_figures(report.fuzz)
    return found


def shown_failures(report: Report, limit: int) -> list[Shown]:
    """The first `limit` failures of the gallery with their labels."""
    if report.fuzz is None:
        return []
    label = report.model.label
    return [
        Shown(
            failure,
            label(failure.example.true),
            label(failure.example.predicted),
            _facts(failure.figures),
        )
        for failure in report.fuzz.failures[:limit]
    ]


def specimen(shown: list[Shown], bounds: tuple[float, float]) -> Shown | None:
    """The failure to open the page with: one the model is sure of, and whose pixels changed little."""
    span = (bounds[1] - bounds[0]) or 1.0

    def worth(item: Shown) -> float:
        return item.failure.figures.get("confidence", 0.0) - item.failure.example.largest / (2 * span)

    return max(shown, key=worth, default=None)


def shown_examples(report: Report, limit: int) -> list[Adversarial]:
    """The first `limit` adversarial examples of all attacks."""
    label = report.model.label
    return [
        Adversarial(
            example,
            label(example.true),
            label(example.predicted),
            f"{section.name}, {norm_text(section.norm)} {epsilon_text(section.epsilons[section.headline])}",
        )
        for section in report.attacks
        for example in section.examples
    ][:limit]


def environment_rows(report: Report) -> list[tuple[str, str]]:
    """Environment and model identity as name and value."""
    where, model = report.environment, report.model
    rows = [
        ("armour", where.armour),
        ("Python", where.python),
        ("System", f"{where.system}, {where.machine}"),
        ("Processor", f"{where.processor}, {plural(where.cores, 'core')}"),
        ("BLAS", where.blas),
        ("Device", where.device),
        ("Packages", ", ".join(f"{name} {version}" for name, version in sorted(where.packages.items()))),
    ]
    if where.settings:
        rows.append(("Settings", ", ".join(f"{k}={v}" for k, v in sorted(where.settings.items()))))
    if model.fingerprint:
        rows.append(("Model sha256", model.fingerprint))
    rows += [(f"Model, {key}", value) for key, value in sorted(model.provenance.items())]
    for section in report.attacks:
        config = section.config
        if report.evaluation is not None and section is report.attacks[0]:
            rows += [(step.name, step.config) for step in report.evaluation.steps]
            config = "worst case for each sample"
        rows.append((section.name, f"{config}; {section.queries:,} queries, {section.gradients:,} gradients"))
    if report.fuzz is not None:
        rows.append(("Mutators", ", ".join(report.fuzz.mutators) or "not recorded"))
        rows.append(("Oracles", ", ".join(report.fuzz.oracles)))
        rows.append(("Validity", report.fuzz.validator or f"{report.fuzz.level}, validator not recorded"))
    return rows


def _fuzz_figures(fuzz: FuzzSection) -> list[Figure]:
    guided, base = fuzz.guided, fuzz.baseline
    distinct, classes = (
        (f"stacked random {n:,}" for n in (base.distinct, base.classes)) if base else ("no baseline",) * 2
    )
    found = [
        Figure("Distinct failures", f"{guided.distinct:,}", distinct),
        Figure("Failure classes (D2)", f"{guided.classes:,}", classes),
    ]
    speed = fuzz_speed(fuzz)
    if speed is not None:
        found.append(Figure("Inputs tested a second", f"{speed:,.0f}", "mutated, validity-checked, judged"))
    return found


def _facts(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in sorted(found.items()))
