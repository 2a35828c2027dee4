"""Coverage of a campaign by the criteria that it was asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.errors import FormatError, InvalidArgument
from armour.fuzz import FuzzConfig, Fuzzer, FuzzResult
from armour.fuzz.coverage import CRITERIA, KMNC, NBC, SNAC
from armour.fuzz.coverage.measures import DEFAULT, Roots, check_names
from armour.fuzz.execution import Executor
from armour.fuzz.sections import Profile, SectionMap
from armour.model import CallableModel, ModuleModel
from armour.tensor import nn

ALL = tuple(CRITERIA.names())
CONFIG = FuzzConfig(round=128, coverage=ALL)


@pytest.fixture(scope="module")
def seeds() -> tuple[np.ndarray, np.ndarray]:
    """150 digits."""
    return small_models.digits(150)


@pytest.fixture(scope="module")
def model(seeds: tuple[np.ndarray, np.ndarray]) -> ModuleModel:
    """Forty random features with ReLU and a last layer by least squares: three layers that differ."""
    x, y = seeds
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(0, 0.3, (40, 64)), rng.normal(0, 0.5, 40)
    hidden = np.maximum(x.reshape(len(x), -1) @ weight.T + bias, 0)
    last = np.linalg.lstsq(np.c_[hidden, np.ones(len(x))], 8 * np.eye(10)[y], rcond=None)[0]
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
    values = {"1.weight": weight, "1.bias": bias, "3.weight": last[:-1].T, "3.bias": last[-1]}
    net.load_state_dict({name: value.astype(np.float32) for name, value in values.items()})
    return ModuleModel(net, input_shape=x.shape[1:], num_classes=10, name="features")


@pytest.fixture(scope="module")
def done(
    model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> FuzzResult:
    """A run with all criteria, in ten rounds and a bit."""
    folder = tmp_path_factory.mktemp("measures") / "corpus"
    return Fuzzer(model, *seeds, corpus=folder, config=CONFIG).run(executions=1400)


def test_all_are_reported_in_the_order_asked(done: FuzzResult) -> None:
    assert tuple(done.guided.coverage) == ALL == tuple(done.guided.correlation)
    assert done.baseline is not None and tuple(done.baseline.coverage) == ALL
    for name, value in done.guided.coverage.items():
        assert np.isfinite(value) and (value <= 1 or CRITERIA.get(name).form != "share")
        column = [point.criteria[name] for point in done.guided.curve]
        assert column[-1] == value and (not CRITERIA.get(name).monotone or (np.diff(column) >= 0).all())
        assert len(set(column)) > 1 or value == 1, name  # NC is full after a round
    assert done.guided.curve[-1].coverage == done.guided.coverage["kmnc"]


def test_they_do_not_change_what_is_found(
    done: FuzzResult, model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    plain = Fuzzer(model, *seeds, config=FuzzConfig(round=128)).run(executions=1400)
    assert tuple(plain.guided.coverage) == DEFAULT
    assert plain.guided.class_counts == done.guided.class_counts
    for name in DEFAULT:
        assert plain.guided.coverage[name] == done.guided.coverage[name]


def test_plot_and_stats_have_them(done: FuzzResult) -> None:
    assert done.corpus is not None
    head, *rows = [line.split(",") for line in (done.corpus / "plot.csv").read_text().splitlines()]
    assert head[-len(ALL) :] == [f"coverage_{name}" for name in ALL]
    last = dict(zip(head, rows[-1], strict=True))
    stats = json.loads((done.corpus / "stats.json").read_text())["guided"]
    for name in ALL:
        assert float(last[f"coverage_{name}"]) == pytest.approx(stats["coverage"][name], abs=1e-6)
    assert stats["correlation"].keys() == set(ALL)


def test_an_interrupted_run_ends_alike(
    model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    found = []
    for name, steps in (("parts", (384, 768, 1280)), ("whole", (1280,))):  # whole rounds of 128
        for executions in steps:
            fuzzer = Fuzzer(model, *seeds, corpus=tmp_path / name, config=CONFIG)
            result = fuzzer.run(executions=executions, resume=True)
        found.append((result.guided.coverage, result.guided.curve, small_models.contents(tmp_path / name)))
    assert found[0] == found[1]
    path = tmp_path / "parts" / "state.npz"
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    for name, wrong in (
        ("guided.measures.nn.points", np.full((1, 10), 1 << 60)),
        ("guided.measures.scc.sums", -arrays["guided.measures.scc.sums"] - 1),
        ("guided.measures.tknp.patterns", np.array([5, 5], np.uint64)),
        ("guided.measures.nlc.0.mean", np.full_like(arrays["guided.measures.nlc.0.mean"], np.nan)),
    ):
        np.savez(path, **{**arrays, name: wrong})
        with pytest.raises(FormatError, match="not a state of this campaign"):
            Fuzzer(model, *seeds, corpus=tmp_path / "parts", config=CONFIG).run(executions=1500, resume=True)


def test_other_criteria_are_other_settings(
    done: FuzzResult, model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(InvalidArgument, match="other settings"):
        Fuzzer(model, *seeds, corpus=done.corpus, config=FuzzConfig(round=128)).run(
            executions=9999, resume=True
        )


def test_the_map_and_the_classes_agree(model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]) -> None:
    executor = Executor(model, 64)
    clean = Roots.of(executor.run(seeds[0][:80]), executor)
    profile = Profile.fit(clean.outcome.neurons)
    table = SectionMap(profile, 10)
    noisy = np.clip(seeds[0] + np.random.default_rng(0).normal(0, 0.3, seeds[0].shape), 0, 1).astype(
        np.float32
    )
    outcome = executor.run(noisy)
    table.update(table.ids(outcome.neurons))
    bounds = (profile.low, profile.high)
    for value, criterion in (
        (table.kmnc, KMNC(k=10, profile=bounds)),
        (table.boundary, NBC(profile=bounds)),
        (table.strong, SNAC(profile=bounds)),
    ):
        criterion.update({"all": outcome.neurons})
        assert value == criterion.value > 0


def test_the_logits_are_there_once(model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]) -> None:
    executor = Executor(model, 64)
    clean = Roots.of(executor.run(seeds[0][:9]), executor)
    layers = clean.layers(clean.outcome)
    assert list(layers)[-1] == "logits" and not clean.black_box
    widths = [part.shape[1] for part in layers.values()]
    assert sum(widths) == clean.outcome.neurons.shape[1] and widths[-1] == 10
    np.testing.assert_array_equal(layers["logits"], clean.outcome.logits)


def test_a_black_box_has_logits_alone(seeds: tuple[np.ndarray, np.ndarray], model: ModuleModel) -> None:
    black = CallableModel(model.logits, outputs="logits", input_shape=seeds[0].shape[1:], num_classes=10)
    config = FuzzConfig(round=128, baseline=False, coverage=("kmnc", "nn", "lsa", "dsa"))
    result = Fuzzer(black, *seeds, config=config).run(executions=300)
    assert result.guided.coverage["kmnc"] == 0 and result.guided.coverage["dsa"] > 0
    with pytest.raises(InvalidArgument, match="coverage nc, got a black box; of one, there are dsa, lsa, nn"):
        Fuzzer(black, *seeds, config=FuzzConfig(coverage=("nc",))).run(executions=10)


def test_names() -> None:
    assert check_names(["KMNC", "nn", "kmnc"]) == ("kmnc", "nn") and FuzzConfig(coverage=()).coverage == ()
    with pytest.raises(InvalidArgument, match="criterion 'kmcn'; did you mean kmnc"):
        FuzzConfig(coverage=("kmcn",))
    with pytest.raises(InvalidArgument, match="several names"):
        FuzzConfig(coverage="kmnc")  # type: ignore[arg-type]
    assert check_names(DEFAULT, islands=4) == DEFAULT
    with pytest.raises(InvalidArgument, match="nlc: it depends on the order of inputs; use one island"):
        check_names(("kmnc", "nlc"), islands=2)
