"""Comparisons of schedules: what they are made of, how they go on, and what they say in words."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import small_models
from scipy import integrate

from armour import report_compare, stats
from armour.errors import FormatError, InvalidArgument
from armour.events import Event
from armour.fuzz import Campaign, Comparison, FuzzConfig, Fuzzer
from armour.fuzz.comparing import chosen
from armour.fuzz.comparison import COUNTS, CURVE, Run, area
from armour.fuzz.schedules import SCHEDULES
from armour.fuzz.setup import prepare
from armour.model import ModuleModel

CONFIG = FuzzConfig(round=128)
BUDGET = 300


@pytest.fixture(scope="module")
def world() -> tuple[ModuleModel, np.ndarray, np.ndarray]:
    """A small network and 60 digits."""
    x, y = small_models.digits(60)
    return small_models.centroids(x, y), x, y


@pytest.fixture(scope="module")
def plain(world: tuple[ModuleModel, np.ndarray, np.ndarray]) -> Comparison:
    """Two schedules, three repeats, in memory."""
    return Fuzzer(*world, config=CONFIG).compare(["niche"], repeats=3, executions=BUDGET, rng=7)


def figures(found: Comparison) -> list[object]:
    """All of it that does not depend on the clock."""
    return [dataclasses.replace(run, seconds=0.0) for run in found.runs]


def made(schedule: str, repeat: int, value: float, executions: int = 100) -> Run:
    """A run whose counts all have one value."""
    curve = ((executions / 2, *[value / 2] * 3, 0.1), (float(executions), *[value] * 3, 0.2))
    return Run(
        schedule=schedule, repeat=repeat, seed=repeat, counts=dict.fromkeys(COUNTS, value), valid=1.0,
        seconds=0.5, curve=curve,
    )  # fmt: skip


def of(**values: list[float]) -> Comparison:
    """A comparison of runs with these counts; random is always among them."""
    names = ("random", *(name for name in values if name != "random"))
    runs = [made(name, i, value) for name, own in values.items() for i, value in enumerate(own)]
    return Comparison(
        model="m<b>", fingerprint="f" * 64, data_sha256="d" * 64, schedules=names, executions=100, seed=0,
        repeats=max(map(len, values.values())), validity="V2", roots=9, runs=tuple(runs),
    )  # fmt: skip


def test_a_run_is_the_campaign_of_its_seed(
    plain: Comparison, world: tuple[ModuleModel, np.ndarray, np.ndarray]
) -> None:
    assert [(run.schedule, run.repeat, run.seed) for run in plain.runs] == [
        (name, repeat, 7 + repeat) for repeat in range(3) for name in ("random", "niche")
    ]
    setup = dataclasses.replace(prepare(Fuzzer(*world, config=CONFIG), 7), seed=9)
    for name, stream in (("random", 1), ("niche", 0)):
        campaign = Campaign(setup, name, stream=stream, shrink=False)
        while campaign.counters.executions < BUDGET:
            campaign.round(BUDGET - campaign.counters.executions)
        run, result = plain.of(name)[2], campaign.result(0.0)
        assert all(
            run.counts[key] == getattr(result, key) for key in ("distinct", "classes", "pairs", "roots")
        )
        points = np.array([(0, *[0] * 4), *run.curve])
        for column, count in ((2, "class_area"), (3, "root_area")):
            expected = integrate.trapezoid(points[:, column], points[:, 0]) / BUDGET
            assert run.counts[count] == pytest.approx(expected)
    # The same figures as the fuzzer's own guided campaign and baseline of that seed.
    both = Fuzzer(*world, config=CONFIG).run(executions=BUDGET, rng=9)
    assert both.baseline is not None
    assert both.guided.classes == plain.of("niche")[2].counts["classes"]
    assert both.baseline.distinct == plain.of("random")[2].counts["distinct"]


def test_processes_and_interruptions_change_nothing(
    plain: Comparison, world: tuple[ModuleModel, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    fuzzer = Fuzzer(*world, corpus=tmp_path / "c", config=CONFIG)
    first = fuzzer.compare(["niche"], repeats=1, executions=BUDGET, rng=7)
    assert len(first.runs) == 2 and not first.interrupted
    again = fuzzer.compare(["niche"], repeats=3, executions=BUDGET, rng=7, resume=True, jobs=2)
    assert figures(again) == figures(plain)
    # What is there is not made again: the time of the first run is still the first one's.
    assert again.runs[0] == first.runs[0]
    seen: list[Event] = []
    whole = fuzzer.compare(["niche"], repeats=3, executions=BUDGET, rng=7, resume=True, on_event=seen.append)
    assert whole.runs == again.runs and [e.done for e in seen if e.stage == "compare"] == [6 * BUDGET]
    fewer = fuzzer.compare(["niche"], repeats=2, executions=BUDGET, rng=7, resume=True)
    assert fewer.runs == again.runs[:4]


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_whole_runs(
    jobs: int, plain: Comparison, world: tuple[ModuleModel, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    assert threading.current_thread() is threading.main_thread()
    fuzzer = Fuzzer(*world, corpus=tmp_path / "c", config=CONFIG)
    sent = False

    def stop(event: Event) -> None:
        nonlocal sent
        if event.stage == "compare" and event.done >= 2 * BUDGET and not sent:
            sent = True  # two runs may end together, and a second Ctrl-C interrupts at once
            os.kill(os.getpid(), signal.SIGINT)

    part = fuzzer.compare(["niche"], repeats=3, executions=BUDGET, rng=7, on_event=stop, jobs=jobs)
    assert part.interrupted and 2 <= len(part.runs) < 6
    assert len(list((tmp_path / "c" / "runs").iterdir())) == len(part.runs)
    rest = fuzzer.compare(["niche"], repeats=3, executions=BUDGET, rng=7, resume=True)
    assert figures(rest) == figures(plain)


def test_another_comparison_is_not_gone_on_with(
    world: tuple[ModuleModel, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    model, x, y = world
    folder = tmp_path / "c"
    fuzzer = Fuzzer(model, x, y, corpus=folder, config=CONFIG)
    fuzzer.compare(["niche"], repeats=1, executions=200)
    with pytest.raises(InvalidArgument, match="empty folder"):
        fuzzer.compare(["niche"], repeats=1, executions=200)
    with pytest.raises(InvalidArgument, match="same executions, got 200 instead of 300"):
        fuzzer.compare(["niche"], repeats=1, executions=300, resume=True)
    with pytest.raises(InvalidArgument, match="same seed"):
        fuzzer.compare(["niche"], repeats=1, executions=200, rng=1, resume=True)
    with pytest.raises(InvalidArgument, match="same data"):
        Fuzzer(model, x[1:], y[1:], corpus=folder, config=CONFIG).compare(["niche"], 1, 200, resume=True)
    with pytest.raises(InvalidArgument, match="same config"):
        Fuzzer(model, x, y, corpus=folder).compare(["niche"], 1, 200, resume=True)
    other = small_models.centroids(x, y, sharpness=5.0)
    with pytest.raises(InvalidArgument, match="same model"):
        Fuzzer(other, x, y, corpus=folder, config=CONFIG).compare(["niche"], 1, 200, resume=True)


@pytest.mark.parametrize(
    "spoiled",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 5000, b"x" * (1 << 21),
        b'{"schedule": "../x"}', b"NaN", b"negative", b"moved", b"backwards",
    ],
)  # fmt: skip
def test_damaged_runs_are_refused_in_one_line(
    spoiled: bytes, world: tuple[ModuleModel, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    fuzzer = Fuzzer(*world, corpus=tmp_path / "c", config=CONFIG)
    fuzzer.compare(["niche"], repeats=1, executions=128)
    path = tmp_path / "c" / "runs" / "niche-0000.json"
    good = json.loads(path.read_text())
    if spoiled in (b"NaN", b"negative"):
        good["counts"]["roots"] = float("nan") if spoiled == b"NaN" else -1
        spoiled = json.dumps(good).encode()
    if spoiled == b"backwards":
        good["curve"] = [good["curve"][0]] * 2
        spoiled = json.dumps(good).encode()
    if spoiled == b"moved":
        path.rename(path.with_name("niche-0003.json"))
    else:
        path.write_bytes(spoiled)
    with pytest.raises(FormatError) as caught:
        fuzzer.compare(["niche"], repeats=1, executions=128, resume=True)
    assert "\n" not in str(caught.value) and "niche-000" in str(caught.value)
    assert (tmp_path / "c" / "runs" / "random-0000.json").is_file()


def test_names_of_schedules() -> None:
    assert chosen(["Tensor-Fuzz", "niche", "niche"]) == ("random", "tensorfuzz", "niche")
    assert set(chosen(None)) == set(SCHEDULES.names()) and chosen(None)[0] == "random"
    with pytest.raises(InvalidArgument, match="did you mean niche"):
        chosen(["nich"])
    with pytest.raises(InvalidArgument, match="such as niche"):
        chosen(["random"])


def test_lines_are_those_of_scipy_and_holm() -> None:
    from scipy.stats import mannwhitneyu

    own, base = [5.0, 6, 7, 8, 9, 10, 11, 12], [1.0, 2, 3, 4, 5, 6, 7, 8]
    found = of(random=base, niche=own, rare=base)
    assert len(found.lines) == 2 * len(COUNTS)
    p = mannwhitneyu(own, base, alternative="two-sided").pvalue
    line = found.line("niche", "roots")
    assert line.p == pytest.approx(p, rel=0.05) and line.baseline == 4.5 and line.median == 8.5
    assert line.effect.value == pytest.approx(0.875)
    # Seven equal p-values among fourteen: each is multiplied by fourteen.
    assert line.holm == pytest.approx(min(1.0, 14 * line.p))
    assert found.line("rare", "roots").effect.value == 0.5 and found.line("rare", "roots").holm == 1


def test_the_verdict_says_when_guidance_does_not_help() -> None:
    base = [float(i) for i in range(20)]
    found = of(random=base, niche=[v + 30 for v in base], rare=[v - 30 if v < 5 else v for v in base])
    by_name = {sentence.split()[0]: sentence for sentence in found.verdicts()}
    assert by_name["niche"].startswith("niche finds more than stacked random: ")
    assert "A12 1.00" in by_name["niche"] and "do not" not in by_name["niche"]
    assert by_name["rare"].startswith("rare is not better than stacked random, as far as 20 repeats tell: ")
    few = of(random=[1.0, 2, 3], niche=[4.0, 5, 6]).verdicts()
    assert few[0].startswith("niche cannot be told from stacked random by 3 repeats, which are too few")
    mixed = found.of("niche")
    changed = [dataclasses.replace(r, counts=r.counts | {"roots": float(r.repeat)}) for r in mixed]
    part = dataclasses.replace(found, runs=(*found.of("random"), *changed), schedules=("random", "niche"))
    assert "20 repeats do not show it for seeds broken (A12 0.50)" in part.verdicts()[0]
    assert dataclasses.replace(found, runs=()).verdicts() == [
        "nothing to compare yet: no whole repeat was run"
    ]


def test_area_and_growth_by_hand() -> None:
    # Classes 0, 4, 10 at 0, 100, 200: (0 + 4) / 2 * 100 + (4 + 10) / 2 * 100 = 900, over 200.
    curve = [(100.0, 0.0, 4.0, 0.0, 0.0), (200.0, 0.0, 10.0, 0.0, 0.0)]
    assert area(curve, CURVE[2]) == 4.5 and area(curve, "roots") == 0
    found = of(random=[1.0, 2, 3], niche=[2.0, 4, 9])
    assert found.growth("niche", "classes") == [(50.0, 2.0, 1.0, 4.5), (100.0, 4.0, 2.0, 9.0)]


def test_the_interval_of_a_median_covers_it() -> None:
    # n = 20: ranks 6 and 15, P(Bin(20, 1/2) <= 5) = .0207; the exact table of Conover.
    assert stats.median_interval(range(1, 21)) == (6, 15)
    assert stats.median_interval([3.0, 1.0, 2.0]) == (1, 3) and stats.median_interval([4.0]) == (4, 4)
    assert stats.median_interval(range(1, 7)) == (1, 6) and stats.median_interval(range(1, 10)) == (2, 8)
    rng = np.random.default_rng(0)
    held = [low <= 0 <= high for low, high in map(stats.median_interval, rng.normal(0, 1, (2000, 15)))]
    assert 0.95 <= np.mean(held) <= 0.985


def test_the_page_and_the_figures(plain: Comparison) -> None:
    page = report_compare.html(of(random=[1.0] * 8, niche=[2.0] * 8), "armour fuzz m --compare '<i>'")
    assert "Niche finds more than stacked random." in page and "m&lt;b&gt;" in page and "<i>" not in page
    assert page.count("<svg") == 1 + 8 and "<script" not in page and "://" not in page
    values = json.loads(json.dumps(report_compare.values(plain, "c"), allow_nan=False))
    assert [row["count"] for row in values["lines"]] == list(COUNTS) and len(values["runs"]) == 6
    assert values["growth"]["niche"]["classes"][-1][0] == BUDGET
    names = [name for name in SCHEDULES.names() if name != "random"]
    several = report_compare.html(of(random=[1.0] * 3, **{n: [2.0] * 3 for n in names}), "c")
    # Three schedules in a group of charts at most, so that each has no more lines than differ in dash.
    assert several.count("<svg") == 1 + 2 * 4 * -(-len(names) // 3)
    assert 's3"' in several and "s4" not in several


def test_an_interrupted_page_says_so(plain: Comparison) -> None:
    part = dataclasses.replace(plain, runs=plain.runs[:1], interrupted=True)
    page = report_compare.html(part, "c")
    assert "INTERRUPTED" in page and "Nothing to compare yet" in page
