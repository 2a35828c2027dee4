"""What a page shows of hardening: one column for each model, the same measures of all."""

from __future__ import annotations

from armour.page_evaluation import Table
from armour.report_hardening import NAMES, HardeningSection, p_text
from armour.report_sections import Rate
from armour.verdict import interval_text, percent, plural


def hardening_table(section: HardeningSection | None) -> Table | None:
    """Rows of measures, columns of models."""
    if section is None:
        return None
    models = section.models
    executions = ", ".join(sorted({f"{model.executions:,}" for model in models}))
    rows = [
        ["roots of B broken", *(_rate(model.broken) for model in models)],
        ["failing inputs found on B", *(f"{model.failures:,}" for model in models)],
        ["failure classes (D2)", *(f"{model.classes:,}" for model in models)],
        ["old failures of B that still fail", *(_rate(model.again_b) for model in models)],
        [
            "failures of A that still fail (trained on: a training error)",
            *(_rate(model.again_a) for model in models),
        ],
        ["accuracy on held-out samples", *(_rate(model.clean) for model in models)],
        ["hardened against it, roots of B", *_tests(section, "broken"), ""],
        ["hardened against it, held-out samples", *_tests(section, "misread"), ""],
        ["epochs trained (kept)", *(f"{m.epochs} ({m.best_epoch})" if m.epochs else "–" for m in models)],
    ]
    caption = f"Each model fuzzed from the same roots of B, {executions} executions"
    return Table(caption, ["measure", *(NAMES.get(model.name, model.name) for model in models)], rows)


def hardening_lead(section: HardeningSection) -> str:
    """What was done, in two sentences."""
    found = f"{plural(section.failures_a, 'failure')} in {plural(section.classes_a, 'D2 class')}"
    return (
        f"{found} of {section.seeds_a:,} seeds (side A) gave {section.added:,} of {section.samples:,} "
        f"inputs to train on, beside {section.data}. All figures on B are of {section.seeds_b:,} other "
        "seeds, none of which was trained on."
    )


def _tests(section: HardeningSection, what: str) -> list[str]:
    return [
        f"{test.only_first} mended, {test.only_second} new, {p_text(test.p)}"
        for test in section.tests
        if test.what == what
    ]


def _rate(rate: Rate | None) -> str:
    if rate is None:
        return "–"
    return f"{rate.k:,} of {rate.n:,}: {percent(rate.value)} ({interval_text(rate)})"
