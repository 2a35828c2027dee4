"""The contract of every oracle: silent on a good model, loud on its fault, a function of each input."""

from __future__ import annotations

import dataclasses

import numpy as np
import oracle_cases as cases
import pytest

from armour.bounds import Bounds
from armour.errors import ArmourError, InvalidArgument, UnsupportedError
from armour.fuzz import Campaign, FuzzConfig, Fuzzer, plugins
from armour.fuzz.campaign import Setup
from armour.fuzz.execution import Executor
from armour.fuzz.kinds import ARRAY, IMAGE
from armour.fuzz.oracles import (
    DEFAULTS,
    ORACLES,
    SEVERITIES,
    Oracle,
    Panel,
    Seen,
    in_order,
    parse,
    register,
)
from armour.fuzz.oracles.panel import chosen, make_panel
from armour.fuzz.roots import select
from armour.fuzz.sections import Profile
from armour.fuzz.validity import ValidityModel

every = pytest.mark.parametrize("name", ORACLES.names())


def test_each_oracle_has_a_case() -> None:
    assert set(cases.CASES) == set(ORACLES.names())


@every
def test_silent_on_a_good_model(name: str) -> None:
    panel = cases.panel(cases.CASES[name], faulty=False)
    seen = cases.seen(panel.place)
    hit, label = panel.filed([*panel.names] * len(seen), seen)
    assert not hit.any() and np.array_equal(label, seen.labels)


@every
def test_loud_on_its_fault(name: str) -> None:
    panel = cases.panel(cases.CASES[name], faulty=True)
    seen = cases.seen(panel.place)
    hit, label = panel.filed([*panel.names] * len(seen), seen)
    expected = cases.triggered(seen.x)
    if name == "batch-consistency":
        expected[:] = True  # it is a fault of all inputs
    if name in ("invariance", "monotonicity"):
        expected = hit  # those that the fault does not touch are judged by the test of their own
    assert hit.any() and np.array_equal(hit, expected)
    flips = {"label-flip", "overconfident-wrong", "differential", "invariance"}
    if name in flips:
        assert (label[hit] == 1 - seen.labels[hit]).all()
    if name in ("nonfinite", "crash", "hang"):
        assert (label[hit] == -1).all()
    assert (seen.meter.count > 0) == ORACLES.get(name).asks


@every
def test_what_is_judged_together_does_not_matter(name: str) -> None:
    panel = cases.panel(cases.CASES[name], faulty=True)
    whole = cases.seen(panel.place)
    keys = [*panel.names] * len(whole)
    hit, label = panel.filed(keys, whole)
    backwards = np.arange(len(whole))[::-1]
    turned = cases.seen(panel.place, backwards)
    for parts in (
        [whole[np.arange(0, 7)], whole[np.arange(7, 8)], whole[np.arange(8, len(whole))]],
        [turned],
    ):
        found = [panel.filed(keys[: len(part)], part) for part in parts]
        rows = np.concatenate([part.root for part in parts])
        assert np.array_equal(np.concatenate([one[0] for one in found]), hit[rows])
        assert np.array_equal(np.concatenate([one[1] for one in found]), label[rows])
    # Filed under another label, or by another oracle, it does not hold.
    assert np.array_equal(panel.holds(keys, label, whole), hit)
    assert not panel.holds(keys, label + 5, whole).any()


@every
def test_a_stored_campaign_goes_on_and_minimises(name: str) -> None:
    case = cases.CASES[name]
    at = cases.place(case, faulty=True)
    x = np.concatenate([at.roots.x])
    kind = ARRAY if case.tabular else IMAGE
    own, rest = chosen([case.spec])
    setup = Setup(
        executor=at.executor, roots=at.roots, validity=ValidityModel.fit(x, Bounds(0, 1), kind),
        profile=Profile.fit(at.executor.run(at.roots.x).neurons), seed=1, round=128, required=0, sections=10,
        panel=Panel([*own, *rest], at),
    )  # fmt: skip
    one, two = (Campaign(setup, "niche", stream=0, shrink=True) for _ in range(2))
    found = [f for _ in range(2) for f in one.round().found]
    two.restore({key: array.copy() for key, array in one.arrays().items()})
    first, second = one.round(), two.round()
    assert first.state == second.state and one.counters == two.counters
    assert [f.digest for f in first.found] == [f.digest for f in second.found]
    found += first.found
    mine = [f for f in found if f.case.oracle == parse(case.spec).key]
    if ORACLES.get(name).raises:
        assert all(f.severity == "high" for f in found if f.case.oracle == "label-flip") and found
        return
    assert mine, sorted({f.case.oracle for f in found})
    assert {f.severity for f in mine} <= {ORACLES.get(name).severity, "high"}
    assert all(f.key.startswith(f"{parse(case.spec).key}-{f.case.label}-") for f in mine)
    small = [f.minimised for f in mine if f.minimised is not None]
    assert small
    seen = dataclasses.replace(
        cases.seen(at),
        x=np.stack([s.x for s in small]),
        root=np.array([s.recipe.root for s in small]),
        labels=np.array([s.label for s in small]),
        outcome=at.executor.run(np.stack([s.x for s in small])),
    )
    filed = np.array([s.predicted for s in small])
    assert setup.panel is not None and setup.panel.holds([s.oracle for s in small], filed, seen).all()


@every
def test_a_black_box_is_judged_or_refused_in_one_line(name: str) -> None:
    case = cases.CASES[name]
    box = cases.black_box(cases.right, (cases.COLUMNS,) if case.tabular else cases.SHAPE)
    executor = Executor(box, 16)
    x, y = cases.rows() if case.tabular else cases.images()
    roots, _ = select(executor, x, y)
    at = dataclasses.replace(cases.place(case, faulty=False), model=box, executor=executor, roots=roots)
    if name != "cost":
        assert Panel([parse(case.spec)], at).names
        return
    with pytest.raises(UnsupportedError, match="cost: answers is a black box") as caught:
        Panel([parse(case.spec)], at)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bits", ["int8", "float16", "onnxruntime"])
def test_a_black_box_has_no_copy_of_its_own(bits: str) -> None:
    at = cases.place(cases.CASES["label-flip"], faulty=False)
    with pytest.raises(UnsupportedError, match=r"differential: .*black box.*--against FILE") as caught:
        make_panel(at, against=[bits])
    assert "\n" not in str(caught.value)


def test_the_most_severe_names_a_failure_and_the_specific_before_the_general() -> None:
    order = in_order([parse(case.spec) for case in cases.CASES.values()])
    ranks = [SEVERITIES.index(one.severity) for one in order]
    assert ranks == sorted(ranks)
    names = [one.name for one in order]
    assert names.index("nonfinite") < names.index("differential") < names.index("label-flip")
    assert names[-1] == "confidence-collapse" and names.index("metamorphic") < names.index("label-flip")


def test_what_is_on_by_default_is_known_and_cheap() -> None:
    assert [parse(text).name for text in DEFAULTS] == [
        "crash", "nonfinite", "batch-consistency", "label-flip", "overconfident-wrong",
    ]  # fmt: skip
    x, y = cases.images()
    result = Fuzzer(cases.network(1.1), x, y, config=FuzzConfig(baseline=False)).run(executions=2048)
    assert result.guided.judging_executions == 4 * 4  # four rows for one execution in 512
    assert set(result.oracles) == {parse(text).name for text in DEFAULTS}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("label-flop", "unknown oracle 'label-flop'.*label-flip"),
        ("cost:factr=2", "oracle cost: expected factor=..., every=..., got 'factr=2'"),
        ("cost:factor=-1", "factor"),
        ("cost:factor=much", "oracle cost: expected factor as float"),
        ("crash:isolate=perhaps", "oracle crash: expected isolate as bool"),
        ("label-flip:margin=1", "oracle label-flip: expected no settings"),
        ("invariance", "oracle invariance needs column="),
        ("monotonicity:column=-1", "column"),
        ("differential:against=../../etc/passwd", "expected against as"),
        ("metamorphic:relation=x", "expected a relation such as"),
    ],
)
def test_bad_specifications_are_refused(spec: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        FuzzConfig(oracles=(spec,))
    assert "\n" not in str(caught.value)


def test_settings_are_spelt_out_and_an_oracle_is_there_once() -> None:
    config = FuzzConfig(oracles=("Cost",))
    assert config.oracles == ("cost:factor=3.0,every=1",) and config == FuzzConfig(oracles=config.oracles)
    with pytest.raises(InvalidArgument, match="differential-int8 twice"):
        FuzzConfig(oracles=("differential:against=int8",), against=("int8",))
    with pytest.raises(InvalidArgument, match="several texts"):
        FuzzConfig(against="int8")  # type: ignore[arg-type]
    # One that is named stands for the default one.
    own, rest = chosen(["batch-consistency:every=1"])
    assert [one.name for one in own] == ["batch-consistency"] and len(rest) == len(DEFAULTS) - 1


def test_an_unknown_model_to_compare_with_is_an_error() -> None:
    at = cases.place(cases.CASES["label-flip"], faulty=False)
    with pytest.raises(InvalidArgument, match=r"a model of the name 'v1'.*others="):
        make_panel(at, against=["v1"])
    other = cases.black_box(lambda x: np.zeros((len(x), 3), np.float32))
    other.num_classes = 3
    with pytest.raises(InvalidArgument, match=r"2 classes, got .* and 3"):
        make_panel(dataclasses.replace(at, others={"v1": other}), against=["v1"])


def test_tabular_oracles_say_what_they_are_for() -> None:
    at = cases.place(cases.CASES["label-flip"], faulty=False)
    for spec in ("invariance:column=0", "monotonicity:column=0"):
        with pytest.raises(UnsupportedError, match="rows of features"):
            make_panel(at, [spec])
    at = cases.place(cases.CASES["invariance"], faulty=False)
    with pytest.raises(ArmourError, match=r"a column in 0..4, got 5"):
        make_panel(at, ["invariance:column=5"])


def test_monotonicity_by_hand() -> None:
    case = cases.CASES["monotonicity"]
    panel = cases.panel(case, faulty=True)
    seen = cases.seen(panel.place)
    hit, _ = panel.filed([*panel.names] * len(seen), seen)
    # The step is 0.1 of 0.6: from below the dent at 0.82 to above it.
    first = seen.x[:, 0]
    assert np.array_equal(hit, (first <= 0.82) & (first + np.float32(0.06) > 0.82)) and hit.any()


def test_seeds_that_the_other_model_misreads_are_left_out() -> None:
    at = cases.place(cases.CASES["label-flip"], faulty=False)
    # It reads bright images as dark ones, triggered or not.
    other = cases.black_box(lambda x: np.tile(np.array([[1.0, 0.0]], np.float32), (len(x), 1)))
    panel = make_panel(dataclasses.replace(at, others={"v1": other}), against=["v1"])
    seen = cases.seen(panel.place)
    hit, _ = panel.filed(["differential-v1"] * len(seen), seen)
    assert not hit.any() and (seen.labels == 1).any()


def test_an_oracle_from_elsewhere_is_recorded_as_such() -> None:
    @register("unsure")
    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Unsure(Oracle):
        """The probability of the label is below `least`."""

        least: float = 0.6

        def judge(self, seen: Seen) -> np.ndarray:
            return np.asarray(seen.outcome.confidence() < self.least)

    try:
        x, y = cases.images()
        box = cases.black_box(cases.where(lambda z: z * 0.01))
        config = FuzzConfig(oracles=("unsure:least=0.7",), validity="V0", baseline=False)
        result = Fuzzer(box, x, y, config=config).run(executions=384)
        assert "unsure" in result.oracles and {f.oracle for f in result.failures} >= {"unsure"}
        (noted,) = plugins.origins(ORACLES, ["unsure", "label-flip", "cost"])
        assert noted["name"] == "unsure" and not plugins.is_own(ORACLES.get("unsure"))
    finally:
        ORACLES._items.pop("unsure")
    with pytest.raises(InvalidArgument, match=r"oracle 'unsure' .* is not loaded"):
        plugins.check_loaded(ORACLES, [noted], "c")
