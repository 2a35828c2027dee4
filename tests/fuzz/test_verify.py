"""Verifying a corpus, panels of models, and exported suites."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.adapters import wrap
from armour.errors import FormatError, InvalidArgument
from armour.fuzz import Corpus, FuzzConfig, Fuzzer, ladder
from armour.fuzz import references as panel
from armour.fuzz.lock import Known, add
from armour.fuzz.regression import Suite, export
from armour.fuzz.verify import verify
from armour.model import ModuleModel


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModuleModel]:
    """A corpus of 900 executions and its model."""
    x, y = small_models.digits(200)
    model = small_models.centroids(x, y)
    folder = tmp_path_factory.mktemp("verify") / "corpus"
    Fuzzer(model, x, y, corpus=folder, config=FuzzConfig(round=256)).run(executions=900)
    return folder, model


@pytest.fixture
def copy(world: tuple[Path, ModuleModel], tmp_path: Path) -> Path:
    """A copy of the corpus that a test may spoil."""
    shutil.copytree(world[0], tmp_path / "corpus")
    return tmp_path / "corpus"


def meta_of(folder: Path, record: dict[str, object]) -> Path:
    return folder / "failures" / str(record["class"]) / str(record["id"])


def test_a_sound_corpus(world: tuple[Path, ModuleModel]) -> None:
    folder, model = world
    checked = verify(Corpus.read(folder), model)
    assert checked.unsound == {} and checked.failures == len(Corpus.read(folder).records())
    assert checked.stored == len(list(folder.glob("failures/*/*/meta.json"))) > 5


def test_another_model_is_for_replay(world: tuple[Path, ModuleModel]) -> None:
    x, y = small_models.digits(200)
    with pytest.raises(InvalidArgument, match="armour corpus replay"):
        verify(Corpus.read(world[0]), small_models.centroids(x, y, sharpness=5.0))


def test_each_claim_that_does_not_hold_is_named(world: tuple[Path, ModuleModel], copy: Path) -> None:
    model, path = world[1], copy / "failures" / "index.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    later = [i for i, record in enumerate(records) if not record["first"]][:3]
    records[later[0]]["predicted"] = (records[later[0]]["predicted"] + 1) % 10
    records[later[1]]["sha256"] = "0" * 64
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    unsound = verify(Corpus.read(copy), model).unsound
    assert set(unsound) == {records[i]["id"] for i in later[:2]}
    assert "gives label" in unsound[records[later[0]]["id"]]
    assert "another input" in unsound[records[later[1]]["id"]]
    first = next(record for record in records if record["first"])
    np.save(meta_of(copy, first) / "input.npy", np.zeros((1, 8, 8), np.float32))
    assert "sha256" in verify(Corpus.read(copy), model).unsound[first["id"]]


def test_a_failure_is_the_models_own_if_one_of_the_panel_is_right(copy: Path) -> None:
    corpus = Corpus.read(copy)
    records = corpus.records()
    truth = {x.tobytes(): record["true"] for x, record in zip(_inputs(corpus), records, strict=True)}

    def judge(right: bool, name: str) -> object:
        def logits(x: np.ndarray) -> np.ndarray:
            labels = [(truth.get(row.tobytes(), 0) + (not right)) % 10 for row in x]
            return np.eye(10, dtype=np.float32)[labels]

        return wrap(logits, bounds=(0, 1), input_shape=(1, 8, 8), num_classes=10, name=name)

    wrong, right = judge(False, "wrong"), judge(True, "right")
    said = panel.ask(corpus, [wrong, right])  # type: ignore[list-item]
    assert all(said.specific(record) for record in records)
    assert set(said.right.values()) == {(False, True)} and [name for name, _ in said.models] == [
        "wrong",
        "right",
    ]
    panel.write(corpus, said)
    assert panel.read(corpus) == said and set(ladder.levels(corpus).values()) == {"V3"}
    ladder.enter(corpus)
    first = next(record for record in records if record["first"])
    assert json.loads((meta_of(copy, first) / "meta.json").read_text())["validity"] == "V3"
    none = panel.ask(corpus, [wrong, judge(False, "also wrong")])  # type: ignore[list-item]
    assert not any(none.specific(record) for record in records)
    below = {**first, "validity": "V1"}
    assert said.specific(first) and not said.specific(below)


def _inputs(corpus: Corpus) -> np.ndarray:
    from armour.fuzz.rebuilding import rebuilt

    return rebuilt(corpus, corpus.records())[0]


def test_panels_that_say_nothing(world: tuple[Path, ModuleModel], copy: Path) -> None:
    corpus, model = Corpus.read(copy), world[1]
    x, y = small_models.digits(200)
    other = small_models.centroids(x, y, sharpness=5.0)
    with pytest.raises(InvalidArgument, match="at least 2 models"):
        panel.ask(corpus, [other])
    with pytest.raises(InvalidArgument, match="differ"):
        panel.ask(corpus, [other, model])
    with pytest.raises(InvalidArgument, match="differ"):
        panel.ask(corpus, [other, other])
    (copy / "panel.json").write_text('{"models": [], "right": {"a": [1]}}')
    with pytest.raises(FormatError, match="ask the panel again"):
        panel.read(corpus)


def test_a_suite_holds_the_failures_without_the_corpus(
    world: tuple[Path, ModuleModel], tmp_path: Path
) -> None:
    folder, model = world
    written = export(Corpus.read(folder), tmp_path / "suite", model={"path": "m.ckpt", "options": []})
    read = Suite.read(tmp_path / "suite")
    assert read.cases == written.cases and np.array_equal(read.x, written.x) and len(read.cases) > 5
    labels = read.predicted(model)
    assert all(labels[case.id] == case.predicted != case.true for case in read.cases)
    found = export(Corpus.read(folder), tmp_path / "suite", minimised=False, model={})
    by_id = {one.id: one for one in Corpus.read(folder).failures()}
    assert all(np.array_equal(x, by_id[case.id].mutant) for case, x in zip(found.cases, found.x, strict=True))


def test_a_locked_class_may_fail_until_its_day(world: tuple[Path, ModuleModel], tmp_path: Path) -> None:
    suite = export(Corpus.read(world[0]), tmp_path, model={})
    day, one = datetime.date(2027, 1, 1), suite.cases[0]
    add(tmp_path / "failures.lock", [Known(key=one.key, reason="known", owner="us", expires=day)])
    assert suite.known(one, day - datetime.timedelta(days=1)) == "known (us, until 2027-01-01)"
    assert suite.known(one, day) == ""


@pytest.mark.parametrize("spoil", ["kind", "case", "type", "count", "pickle"])
def test_suites_of_others_are_checked(world: tuple[Path, ModuleModel], tmp_path: Path, spoil: str) -> None:
    export(Corpus.read(world[0]), tmp_path, model={})
    tree = json.loads((tmp_path / "cases.json").read_text())
    if spoil == "kind":
        tree["kind"] = "other"
    elif spoil == "case":
        tree["cases"][0]["extra"] = 1
    elif spoil == "type":
        tree["cases"][0]["true"] = "3"
    elif spoil == "count":
        tree["cases"].pop()
    else:
        np.savez(tmp_path / "failures.npz", x=np.array([{}], dtype=object))
    (tmp_path / "cases.json").write_text(json.dumps(tree))
    with pytest.raises(FormatError):
        Suite.read(tmp_path)
