"""What a page shows of hardening: one column for each model, the same measures of all."""

from __future__ import annotations

from armour.page_evaluation import Table
from armour.report_hardening import HardeningSection, p_text
from armour.report_sections import Rate
from armour.verdict import interval_text, percent, plural

_HEADS = {"old": "before", "clean": "same seeds", "mutants": "random mutants"}


def hardening_table(section: HardeningSection | None) -> Table | None:
    """Rows of measures, columns of models."""
    if section is None:
        return None
    models = section.models
    executions = ", ".join(sorted({f"{model.executions:,}" for model in models}))
    first = models[0]
    rows = [
        [f"roots broken, of {first.broken.n:,}", *(_rate(model.broken) for model in models)],
        ["failing inputs", *(f"{model.failures:,}" for model in models)],
        ["classes (D2)", *(f"{model.classes:,}" for model in models)],
        [f"old failures of B left{_of(first.again_b)}", *(_rate(model.again_b) for model in models)],
        [f"failures of A left{_of(first.again_a)} (trained on)", *(_rate(model.again_a) for model in models)],
        [f"held-out accuracy, n={first.clean.n:,}", *(_rate(model.clean) for model in models)],
        ["roots only it : only hardened breaks", *_tests(section, "broken"), ""],
        ["samples only it : only hardened misreads", *_tests(section, "misread"), ""],
        ["epochs trained (kept)", *(f"{m.epochs} ({m.best_epoch})" if m.epochs else "–" for m in models)],
    ]
    caption = f"Each model fuzzed from the same roots of B, {executions} executions"
    return Table(caption, ["measure", *(_HEADS.get(model.name, model.name) for model in models)], rows)


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
        f"{test.only_first} : {test.only_second}, {p_text(test.p)}"
        for test in section.tests
        if test.what == what
    ]


def _of(rate: Rate | None) -> str:
    return "" if rate is None else f", of {rate.n:,}"


def _rate(rate: Rate | None) -> str:
    return "–" if rate is None else f"{percent(rate.value)} ({interval_text(rate)})"
