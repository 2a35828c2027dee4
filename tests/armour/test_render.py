"""The page: one self-contained, valid, accessible file in which nothing from outside is more than text."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
import report_samples as samples
from pages_html import check

from armour import environment, page_charts
from armour.render import html
from armour.report import Report
from armour.report_sections import Rate

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7*191 }}",
    "a\u202eb\x1b[31m",
    "</style><svg onload=alert(1)>",
    "javascript:alert(1)",
    "&lt;b&gt;",
    "'",
    "日本語",
    "x" * 5_000,
)


def test_the_page_is_whole_and_says_what_was_found() -> None:
    page = check(html(samples.report()))
    assert "Robust accuracy ≤ 47.2 % (PGD-40, Linf 0.1, n=1,000, 95 % CI 44.1-50.3)" in page.words
    assert "1,120 failures at V2 in 42 D2 classes" in page.words
    assert "stacked random: 896 in 34" in page.words
    assert "non-adaptive" in page.words and "small sample" not in page.words
    assert "armour demo --seed 0" in page.words
    assert page.all("html") == [{"lang": "en"}] and len(page.all("h1")) == 1
    order = " ".join(attrs["id"] for attrs in page.all("section"))
    assert order == ("found trust curve-0 classes failures examples growth environment reproduce limits")


def test_every_figure_comes_from_the_json(monkeypatch: pytest.MonkeyPatch) -> None:
    report = samples.report()
    text = report.to_json()

    def refuse() -> None:
        raise AssertionError("a page is made from the report alone")

    monkeypatch.setattr(environment, "collect", refuse)
    monkeypatch.setattr(environment, "blas", refuse)
    assert html(Report.from_json(text)) == html(report)
    tree: dict[str, Any] = json.loads(text)
    del tree["sha256"]
    tree["fuzz"]["guided"]["distinct"] = 4_711
    tree["environment"]["processor"] = "Another processor"
    changed = check(html(Report.from_json(json.dumps(tree)))).words
    assert "4,711" in changed and "Another processor" in changed


@pytest.mark.parametrize("where", ["labels", "texts"])
def test_hostile_text_stays_text(where: str) -> None:
    report = samples.report()
    tree = json.loads(report.to_json())
    del tree["sha256"]
    if where == "labels":
        tree["model"]["class_names"] = list(HOSTILE)
    else:
        bad = HOSTILE[0] + HOSTILE[1] + HOSTILE[3]
        tree["title"] = tree["model"]["name"] = tree["limits"] = tree["provenance"]["command"] = bad
        tree["limits"] = tree["provenance"]["reproduce"] = [bad]
        tree["model"]["provenance"] = tree["environment"]["packages"] = {bad: bad}
        tree["environment"]["processor"] = tree["environment"]["armour"] = bad
        tree["provenance"]["created"] = bad
        tree["checks"] = [{"id": bad, "title": bad, "status": "warning", "text": bad}]
        for part in (tree["fuzz"]["guided"], tree["attacks"][0]):
            part["schedule" if "schedule" in part else "name"] = bad
        tree["attacks"][0]["norm"] = tree["attacks"][0]["config"] = tree["attacks"][0]["data"]["name"] = bad
        tree["fuzz"]["guided"]["coverage"] = {bad: 0.5}
        tree["fuzz"]["notes"] = tree["fuzz"]["mutators"] = tree["fuzz"]["oracles"] = [bad]
        tree["fuzz"]["guided"]["pair_counts"] = {bad: 3, "1>" + bad: 4}
        for failure in tree["fuzz"]["failures"]:
            for name in ("id", "key", "oracle", "operations", "recipe", "replay", "validity"):
                failure[name] = bad
            failure["figures"] = {bad: 1.0}
    loaded = Report.from_json(json.dumps(tree))
    text = html(loaded)
    page = check(text)
    assert "<script>alert(1)</script>" in page.words  # seen by the reader, as text
    assert "\u202e" not in text and "\x1b" not in text
    assert "1337" not in text
    assert "<script" not in text and "<img src=x" not in text
    assert "\x1b" not in loaded.to_markdown() and "\n<" not in loaded.to_markdown()


def test_an_empty_report_says_so() -> None:
    page = check(html(samples.report(attacks=(), fuzz=None)))
    assert "Nothing was evaluated" in page.words
    assert "No adversarial attack was run." in page.words and "The model was not fuzzed." in page.words


def test_parts_stand_alone() -> None:
    attack = check(html(samples.report(fuzz=None)))
    assert "What fuzzing found" not in attack.words and "Robust accuracy" in attack.words
    fuzz = check(html(samples.report(attacks=())))
    assert "Security curve" not in fuzz.words and "D2 classes" in fuzz.words


def test_without_a_failure_it_prints_the_exact_bound() -> None:
    section = samples.fuzz_section(failures=0)
    nothing = {
        "failures": 0,
        "pairs": 0,
        "classes": 0,
        "distinct": 0,
        "roots": 0,
        "pair_counts": {},
        "curve": (),
    }
    none = dataclasses.replace(section.guided, failing={}, **nothing)  # type: ignore[arg-type]
    base = dataclasses.replace(section.baseline, failing={}, **nothing)  # type: ignore[type-var, arg-type]
    report = samples.report(attacks=(), fuzz=dataclasses.replace(section, guided=none, baseline=base))
    page = check(html(report))
    # 1 - 0.05 ** (1 / 18600) = 0.0161 %
    assert "No failure at V2 in 18,600 valid executions (at most 0.016 % of such inputs fail" in page.words
    assert "neither found anything" in page.words
    assert "failures" not in {attrs.get("id") for attrs in page.all("section")}
    unlucky = dataclasses.replace(none, valid=0, executions=0, levels={})
    report = samples.report(attacks=(), fuzz=dataclasses.replace(section, guided=unlucky, baseline=None))
    assert "none of 0 executions was a valid input" in check(html(report)).words


def test_guidance_that_did_not_help_is_said_in_words() -> None:
    section = samples.fuzz_section()
    assert section.baseline is not None
    swapped = dataclasses.replace(section, guided=section.baseline, baseline=section.guided)
    words = check(html(samples.report(fuzz=swapped))).words
    assert "guided search was not better in this run: 307 against 384 distinct failures" in words
    alone = dataclasses.replace(section, baseline=None)
    assert "No baseline was run" in check(html(samples.report(fuzz=alone))).words


def test_small_samples_carry_a_badge() -> None:
    words = check(html(samples.report(attacks=(samples.attack_section(n=400),)))).words
    assert "small sample" in words and "400 samples" in words


def test_the_page_stays_below_its_limit_and_says_what_it_left_out() -> None:
    section = samples.fuzz_section(failures=60, shape=(3, 64, 64))
    many = dataclasses.replace(section, guided=dataclasses.replace(section.guided, classes=400, distinct=500))
    report = samples.report(fuzz=many)
    whole = html(report)
    assert len(whole.encode()) < 5_000_000
    assert "Capped: one failure of each of 60 of 400 classes (D2)" in check(whole).words
    small = html(report, max_bytes=400_000)
    assert len(small.encode()) <= 400_000
    assert re.search(r"Capped: one failure of each of (7|3) of 400 classes", check(small).words)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 1, 13)])
def test_pictures_of_any_size_are_enlarged_by_pixels(shape: tuple[int, ...]) -> None:
    page = check(html(samples.report(fuzz=samples.fuzz_section(2, shape))))
    first = next(attrs for attrs in page.all("img"))
    assert (first["height"], first["width"]) == (str(shape[1]), str(shape[2]))
    assert "image-rendering:pixelated" in html(samples.report())


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(c * 2 for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(scheme: int) -> None:
    blocks = re.findall(r":root\{([^}]*)\}", html(samples.report()))
    colours = dict(re.findall(r"--([a-z0-9-]+):(#[0-9a-f]{3,6})", blocks[0]))
    colours |= dict(re.findall(r"--([a-z0-9-]+):(#[0-9a-f]{3,6})", blocks[scheme]))
    pairs = [(text, back) for text in ("ink", "muted", "s0", "ok", "bad", "warn") for back in ("bg", "card")]
    pairs += [("warn", "warn-bg"), ("bad", "bad-bg"), ("ink", "soft"), ("muted", "soft")]
    for text, back in pairs:
        high, low = sorted((luminance(colours[text]), luminance(colours[back])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, back)
    # Lines and markers are graphics: 3 to 1.
    for line in ("s0", "s1", "s2", "s3"):
        high, low = sorted((luminance(colours[line]), luminance(colours["card"])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3, line


def test_an_evaluation_is_shown_whole() -> None:
    report = samples.evaluated()
    page = check(html(report))
    for words in (
        "Signs of gradient masking: the softmax is saturated",
        "Attack by attack",
        "Square (cut short)",
        "Smallest distances",
        "Success over questions",
        "left",
        "fools this one",
        "Time was over during Square.",
        "stopped early",
        "BPDA.",
        "after PGD-20",
    ):
        assert words in page.words, words
    order = " ".join(attrs["id"] for attrs in page.all("section"))
    assert order.startswith("found trust attacks curve-0 measures classes groups")
    text = report.to_markdown()
    assert "Signs of gradient masking" in text and "Attack by attack" in text and "unsound evidence" in text


def test_the_curve_has_a_line_for_each_attack_that_left_more_than_all_did() -> None:
    """Of too many to show, those whose line would lie under the worst case are left out first."""
    report = samples.evaluated()
    section = report.evaluation
    assert section is not None
    first, last = section.steps[0], dataclasses.replace(section.steps[-1], left=report.attacks[0].robust)
    middle = dataclasses.replace(first, name="second", left=(Rate.of(99, 100),) * len(first.left))
    steps = (
        first,
        middle,
        dataclasses.replace(last, name="third"),
        dataclasses.replace(last, name="fourth"),
        last,
    )
    shown = dataclasses.replace(report, evaluation=dataclasses.replace(section, steps=steps))
    assert [series.name for series in page_charts._after(shown)] == ["after second"]


def test_a_section_without_a_norm_states_no_figure() -> None:
    report = samples.report()
    blank = dataclasses.replace(report, attacks=(dataclasses.replace(report.attacks[0], norm=""),))
    page = check(html(blank)).words
    assert "No robust accuracy is stated" in page and "R01" in page
