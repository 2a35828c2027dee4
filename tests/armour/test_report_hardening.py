"""The verdict on hardening, from counts made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from armour import stats
from armour.errors import InvalidArgument
from armour.page_hardening import hardening_table
from armour.report_hardening import (
    HardenedModel,
    HardeningSection,
    Paired,
    gained,
    hardening_sentence,
    hardening_verdict,
)
from armour.report_sections import Rate

HELPED = "hardening helped on seeds it had not seen"


def section(
    broken: tuple[int, ...], discordant: tuple[tuple[int, int], ...], misread: tuple[int, int] = (3, 3)
) -> HardeningSection:
    """Models of which so many of 200 roots are broken; and of each but the last, of it or the last alone."""
    names = (*("old", "clean", "mutants")[: len(broken) - 1], "hardened")
    models = tuple(
        HardenedModel(
            name=name,
            fingerprint="f",
            executions=1000,
            failures=2 * k,
            classes=k,
            broken=Rate.of(k, 200),
            clean=Rate.of(480, 500),
        )
        for name, k in zip(names, broken, strict=True)
    )
    tests = [
        Paired(
            what="broken", first=name, second="hardened", only_first=a, only_second=b, p=stats.mcnemar(a, b)
        )
        for name, (a, b) in zip(names[:-1], discordant, strict=True)
    ]
    a, b = misread
    tests += [
        Paired(
            what="misread", first=name, second="hardened", only_first=a, only_second=b, p=stats.mcnemar(a, b)
        )
        for name in names[:-1]
    ]
    return HardeningSection(
        models=models,
        tests=tuple(tests),
        parent="f",
        split="s",
        seeds_a=100,
        seeds_b=210,
        failures_a=50,
        classes_a=20,
        data="some data",
        samples=400,
        added=100,
    )


@pytest.mark.parametrize(
    ("given", "head", "gain"),
    [
        (section((60, 55, 30), ((35, 5), (30, 5))), "hardening helped on seeds it had not seen", True),
        (
            section((60, 32, 30), ((35, 5), (7, 5))),
            HELPED + ", but not beyond its control (the same seeds, unchanged)",
            False,
        ),
        (
            section((60, 50, 32, 30), ((35, 5), (25, 5), (7, 5))),
            HELPED + ", but not beyond its control (random mutants of them)",
            False,
        ),
        (
            section((60, 55, 58), ((12, 10), (13, 16))),
            "hardening did not help on seeds it had not seen",
            False,
        ),
        (
            section((30, 55, 60), ((5, 35), (15, 20))),
            "hardening made the model worse on seeds it had not seen",
            False,
        ),
        (
            section((60, 30), ((35, 5),)),
            "hardening helped on seeds it had not seen, or training on did: there was no control",
            True,
        ),
        (
            section((60, 55, 30), ((35, 5), (30, 5)), misread=(1, 12)),
            "hardening helped on seeds it had not seen, and accuracy fell",
            True,
        ),
    ],
)
def test_the_verdict_follows_from_the_paired_tests(given: HardeningSection, head: str, gain: bool) -> None:
    assert hardening_verdict(given)[0] == head
    assert gained(given) is gain


def test_the_sentence_holds_the_figures_and_exact_p() -> None:
    # 10 discordant roots, all mended: p = 2 / 2**10.
    text = hardening_sentence(section((60, 52, 50), ((10, 0), (6, 4))))
    assert "50 of 200 roots broken; 60 before, p = 0.002; 52 by the control" in text
    assert "p = 0.75" in text and "held-out accuracy 96.0 %, 96.0 % before, p = 1" in text


def test_the_table_has_a_column_for_each_model() -> None:
    table = hardening_table(section((60, 52, 30), ((35, 5), (30, 8))))
    assert table is not None and len(table.heads) == 4
    assert {len(row) for row in table.rows} == {4}
    assert table.rows[0][0] == "roots broken, of 200" and table.rows[0][1].startswith("30.0 % (")
    assert table.rows[6][1:] == ["35 : 5, p < 0.001", "30 : 8, p < 0.001", ""]
    assert hardening_table(None) is None


def test_what_does_not_add_up_is_refused() -> None:
    good = section((60, 52, 30), ((35, 5), (30, 8)))
    with pytest.raises(InvalidArgument, match="a test of each other model"):
        replace(good, tests=good.tests[:-1])
    with pytest.raises(InvalidArgument, match="expected the models old, controls, hardened"):
        replace(good, models=good.models[:-1])
    with pytest.raises(InvalidArgument, match="same roots"):
        fewer = replace(good.models[0], broken=Rate.of(6, 20))
        replace(good, models=(fewer, *good.models[1:]))
