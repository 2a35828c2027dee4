"""Coverage of stored corpora."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.errors import FormatError, InvalidArgument
from armour.fuzz import Corpus, FuzzConfig, Fuzzer, FuzzResult
from armour.fuzz.distil import distil
from armour.fuzz.growth import as_counted, of_what_is_held
from armour.model import ModuleModel

World = tuple[FuzzResult, Corpus, ModuleModel]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A run of a dozen rounds, its corpus and model."""
    x, y = small_models.digits(120)
    model = small_models.centroids(x, y)
    folder = tmp_path_factory.mktemp("world") / "corpus"
    config = FuzzConfig(round=128, baseline=False, coverage=("kmnc", "snac", "nn"))
    result = Fuzzer(model, x, y, corpus=folder, config=config).run(executions=1500)
    return result, Corpus.read(folder), model


def test_what_the_campaign_counted(world: World) -> None:
    result, corpus, _ = world
    found = as_counted(corpus)
    assert found.executed and found.executions == 1500 and found.failures == result.guided.failures
    assert found.values.keys() == {"kmnc", "snac", "nn"} and found.rounds == 12
    assert found.values == pytest.approx(result.guided.coverage, abs=1e-8)
    assert found.correlation == result.guided.correlation
    assert found.correlation["kmnc"] is not None


def test_any_criterion_over_what_is_held(world: World) -> None:
    result, corpus, model = world
    found = of_what_is_held(corpus, model, ("kmnc", "nn", "tknc", "nlc", "scc"))
    assert not found.executed and found.rounds == 12
    lines = len((corpus.folder / "corpus" / "index.jsonl").read_text().splitlines())
    assert found.executions == lines + found.failures
    # All that was the first to hit a section, and valid, is held.
    assert found.values["kmnc"] == pytest.approx(result.guided.coverage["kmnc"], abs=2e-3)
    assert found.values["nn"] <= result.guided.coverage["nn"] and found.values["nlc"] > 1
    assert found.correlation.keys() == found.values.keys()


def test_a_corpus_made_from_others_has_values_and_no_rounds(world: World, tmp_path: Path) -> None:
    _, corpus, model = world
    distil(corpus, model, tmp_path / "min")
    small, whole = (of_what_is_held(one, model, ("kmnc",)) for one in (Corpus.read(tmp_path / "min"), corpus))
    assert small.correlation == {} and small.rounds == 0 and small.executions < whole.executions
    assert small.values["kmnc"] == pytest.approx(whole.values["kmnc"], abs=2e-3)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plot.csv", "executions,failures,coverage_kmnc\n1,2\n"),
        ("plot.csv", "executions,failures,coverage_kmnc\n1,2,x\n"),
        ("plot.csv", "executions,failures,coverage_kmnc\n5,2,nan\n"),
        ("plot.csv", "executions,failures,coverage_kmnc\n5,2,0.1\n5,2,0.1\n"),
        ("plot.csv", "failures,coverage_kmnc\n5,2\n"),
        ("journal.jsonl", '{"round": "0"}\n'),
        ("journal.jsonl", "[1]\n"),
    ],
)
def test_damaged_files_are_refused_in_one_line(name: str, text: str, world: World, tmp_path: Path) -> None:
    shutil.copytree(world[1].folder, tmp_path / "corpus")
    (tmp_path / "corpus" / name).write_text(text)
    corpus = Corpus.read(tmp_path / "corpus")
    with pytest.raises(FormatError) as caught:
        as_counted(corpus) if name == "plot.csv" else of_what_is_held(corpus, world[2], ("kmnc",))
    assert "\n" not in str(caught.value) and name in str(caught.value)


def test_names_and_models_are_checked(world: World) -> None:
    x, y = small_models.digits(120)
    with pytest.raises(InvalidArgument, match="did you mean kmnc"):
        of_what_is_held(world[1], world[2], ("kmn",))
    with pytest.raises(InvalidArgument, match="which is another"):
        of_what_is_held(world[1], small_models.centroids(x, y, sharpness=5.0), ("kmnc",))


def test_what_grew_alike_is_a_tie() -> None:
    from armour.fuzz.correlation import growth_correlations

    share = np.cumsum([0.1] * 20) + 0.3  # 0.1 each, but for rounding
    assert len(set(np.diff(share).tolist())) > 1
    done = np.arange(1.0, 21.0).tolist()
    assert growth_correlations(done, np.cumsum(np.arange(20.0)).tolist(), {"a": share.tolist()}) == {
        "a": None
    }
