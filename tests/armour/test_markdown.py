"""The Markdown form: short, plain, and without markup from outside."""

from __future__ import annotations

import dataclasses

import report_samples as samples

from armour.markdown import markdown, text


def test_it_says_what_the_page_says() -> None:
    shown = markdown(samples.report())
    assert "**Robust accuracy \\<= 47.2 % (PGD-40, Linf 0.1, n=1,000, 95 % CI 44.1-50.3)**" in shown
    assert "| 0.1 | 47.2 % | 44.1–50.3 % |" in shown
    assert "## Limits: what was not tested" in shown
    assert "    armour demo --seed 0" in shown
    assert len(markdown(samples.report(fuzz=samples.fuzz_section(60))).encode()) < 64 * 1024


def test_tables_have_as_many_cells_as_heads() -> None:
    for block in markdown(samples.report()).split("\n\n"):
        widths = {line.replace("\\|", "").count("|") for line in block.splitlines() if line.startswith("| ")}
        assert len(widths) <= 1, block


def test_text_from_outside_is_no_markup() -> None:
    assert text("<script>|[x](y)") == "\\<script\\>\\|\\[x\\](y)"
    assert text("a\nb\u202ec") == "a\ufffdb\ufffdc"
    report = samples.report()
    bad = dataclasses.replace(report.model, name="x\n# heading\n<img src=y>")
    shown = markdown(dataclasses.replace(report, model=bad))
    assert "\n# heading" not in shown and "<img" not in shown.replace("\\<img", "")


def test_an_empty_report_is_short() -> None:
    assert "**Nothing was evaluated**" in markdown(samples.report(attacks=(), fuzz=None))
