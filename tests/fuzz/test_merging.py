"""Merged corpora: nothing lost, nothing twice, and recipes that still rebuild."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.errors import FormatError, InvalidArgument
from armour.fuzz import Corpus, FuzzConfig, Fuzzer
from armour.fuzz.distil import distil
from armour.fuzz.holdings import read_survivors
from armour.fuzz.merging import merge
from armour.fuzz.replay import replay
from armour.model import ModuleModel


def campaign(folder: Path, model: ModuleModel, x: np.ndarray, y: np.ndarray, rng: int) -> Corpus:
    """A corpus of 700 executions."""
    config = FuzzConfig(round=256, baseline=False)
    Fuzzer(model, x, y, corpus=folder, config=config).run(executions=700, rng=rng)
    return Corpus.read(folder)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """160 digits."""
    return small_models.digits(160)


@pytest.fixture(scope="module")
def model(data: tuple[np.ndarray, np.ndarray]) -> ModuleModel:
    """The model of most corpora here."""
    return small_models.centroids(*data)


@pytest.fixture(scope="module")
def three(
    data: tuple[np.ndarray, np.ndarray], model: ModuleModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Corpus, Corpus, Corpus]:
    """Two of the same seeds, and one of the same digits in another order and fewer of them."""
    x, y = data
    place = tmp_path_factory.mktemp("three")
    other = np.random.default_rng(0).permutation(len(x))[:110]
    return (
        campaign(place / "a", model, x, y, 0),
        campaign(place / "b", model, x, y, 1),
        campaign(place / "c", model, x[other], y[other], 2),
    )


def hashes(*corpora: Corpus) -> set[str]:
    """All failing inputs of these."""
    return {record["sha256"] for corpus in corpora for record in corpus.records()}


def keys(*corpora: Corpus) -> set[str]:
    """All classes (D2) of these."""
    return {record["class"] for corpus in corpora for record in corpus.records()}


def test_nothing_is_lost_and_nothing_is_there_twice(
    three: tuple[Corpus, Corpus, Corpus], model: ModuleModel, tmp_path: Path
) -> None:
    before = [small_models.contents(one.folder) for one in three]
    done = merge(three, tmp_path / "all")
    merged = Corpus.read(tmp_path / "all")
    records = merged.records()
    assert hashes(merged) == hashes(*three) and len(records) == len(hashes(*three)) == done.failures
    assert keys(merged) == keys(*three) and done.classes == len(keys(*three))
    assert sum(record["first"] for record in records) == done.classes == len(merged.failures())
    kept = {x.tobytes() for one in three for x in read_survivors(one).x}
    mine = [x.tobytes() for x in read_survivors(merged).x]
    assert set(mine) == kept and len(mine) == len(kept) == done.survivors
    assert [part.failures for part in done.parts] == [len(one.records()) for one in three]
    assert sum(part.new for part in done.parts) == done.failures
    assert [small_models.contents(one.folder) for one in three] == before
    # Each is rebuilt bit for bit from its recipe, those that mix seeds of one corpus too.
    cases = replay(merged, model)
    assert len(cases) == done.failures and all(case.rebuilt and case.same for case in cases)
    assert all(case.minimised for case in cases if case.minimised is not None)
    assert len(merged.roots) == len(three[0].roots) + len(three[2].roots)
    assert merged.roots.group is not None and len(set(merged.roots.group.tolist())) == 2
    seeds = {x.tobytes() for one in three for x in one.roots.x}
    assert len(set(merged.same_seed.tolist())) == len(seeds) < len(merged.roots)


def test_the_same_seeds_are_there_once(three: tuple[Corpus, Corpus, Corpus], tmp_path: Path) -> None:
    done = merge(three[:2], tmp_path / "two")
    merged = Corpus.read(tmp_path / "two")
    assert (
        np.array_equal(merged.roots.x, three[0].roots.x) and merged.roots.group is None and done.notes == ()
    )
    counts = [
        np.load(folder / "coverage" / "counts.npy")
        for folder in (merged.folder, *(c.folder for c in three[:2]))
    ]
    np.testing.assert_array_equal(counts[0], counts[1] + counts[2])
    stats = json.loads((merged.folder / "stats.json").read_text())
    assert stats["guided"]["executions"] == 1400


def test_a_corpus_and_its_minimised_one_add_nothing(
    three: tuple[Corpus, Corpus, Corpus], model: ModuleModel, tmp_path: Path
) -> None:
    distil(three[0], model, tmp_path / "min")
    done = merge([three[0], Corpus.read(tmp_path / "min")], tmp_path / "both")
    assert done.parts[1].new == done.parts[1].new_kept == 0 and hashes(
        Corpus.read(tmp_path / "both")
    ) == hashes(three[0])
    assert json.loads((tmp_path / "both" / "stats.json").read_text())["guided"]["executions"] == 700
    # The other way round, what was distilled comes first and all else follows.
    back = merge([Corpus.read(tmp_path / "min"), three[0]], tmp_path / "back")
    assert hashes(Corpus.read(tmp_path / "back")) == hashes(three[0]) and back.classes == done.classes


def test_into_a_merged_corpus_and_on(
    three: tuple[Corpus, Corpus, Corpus], model: ModuleModel, tmp_path: Path
) -> None:
    merge(three[:1], tmp_path / "all")
    for one in three[1:]:
        merge([Corpus.read(tmp_path / "all"), one], tmp_path / "all")
    merged = Corpus.read(tmp_path / "all")
    assert hashes(merged) == hashes(*three) and keys(merged) == keys(*three)
    small = distil(merged, model, tmp_path / "min")
    assert (
        small.after.classes == len(keys(*three)) and small.after.covered >= small.before.covered - small.edge
    )
    assert all(case.rebuilt and case.same for case in replay(Corpus.read(tmp_path / "min"), model))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "min"]


def test_another_model_judges_again(
    three: tuple[Corpus, Corpus, Corpus],
    data: tuple[np.ndarray, np.ndarray],
    model: ModuleModel,
    tmp_path: Path,
) -> None:
    x, y = data
    rng = np.random.default_rng(5)
    shaken = np.clip(x + rng.normal(0, 0.25, x.shape), 0, 1).astype(np.float32)
    other = small_models.centroids(shaken, y)
    theirs = campaign(tmp_path / "theirs", other, x, y, 3)
    with pytest.raises(InvalidArgument, match="expected a model to judge by"):
        merge([three[0], theirs], tmp_path / "all")
    done = merge([three[0], theirs], tmp_path / "all", model)
    part = done.parts[1]
    assert part.judged and part.gone > 0 and part.new > 0 and not done.parts[0].judged
    assert part.new + part.gone + part.below + part.unknown >= part.failures - len(
        hashes(three[0]) & hashes(theirs)
    )
    merged = Corpus.read(tmp_path / "all")
    assert hashes(three[0]) <= hashes(merged)
    cases = replay(merged, model)
    assert all(case.rebuilt and case.same for case in cases)
    assert all(case.minimised for case in cases if case.minimised is not None)
    # What does not fail on this model is right on it, and so is what was left out.
    left = [r for r in theirs.records() if r["sha256"] not in hashes(merged)]
    again = {case.id: case for case in replay(theirs, model)}
    right = model.predict(theirs.roots.x) == theirs.roots.labels
    assert all(
        not again[r["id"]].fails or not right[r["root"]] or again[r["id"]].validity < "V2" for r in left
    )
    # A corpus can be brought to another model altogether.
    moved = merge([three[0]], tmp_path / "moved", other, source="other.ckpt")
    manifest = Corpus.read(tmp_path / "moved").manifest
    assert manifest["model"]["fingerprint"] == other.fingerprint and 0 < moved.failures < len(
        three[0].records()
    )
    assert all(case.same for case in replay(Corpus.read(tmp_path / "moved"), other))


def test_what_differs_is_refused_and_nothing_is_written(
    three: tuple[Corpus, Corpus, Corpus], data: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, y = data
    wide = small_models.centroids(x * 255, y, bounds=(0, 255))
    theirs = campaign(tmp_path / "wide", wide, x * np.float32(255), y, 0)
    with pytest.raises(InvalidArgument, match="bounds"):
        merge([three[0], theirs], tmp_path / "all", wide)
    before = small_models.contents(three[1].folder)
    with pytest.raises(InvalidArgument, match="holds the state of a campaign, which merging would end"):
        merge([three[1], three[0]], three[1].folder)
    assert small_models.contents(three[1].folder) == before
    shutil.copytree(three[1].folder, tmp_path / "spoilt")
    spoilt = Corpus.read(tmp_path / "spoilt")
    for name, text in (
        ("coverage/counts.npy", "no array"),
        ("corpus/index.jsonl", '{"id": 0}\n'),
        ("failures/index.jsonl", '{"id": "x"}\n'),
    ):
        kept = (tmp_path / "spoilt" / name).read_bytes()
        (tmp_path / "spoilt" / name).write_text(text)
        with pytest.raises(FormatError) as caught:
            merge([three[0], spoilt], tmp_path / "all")
        assert "\n" not in str(caught.value) and str(tmp_path / "spoilt") in str(caught.value)
        (tmp_path / "spoilt" / name).write_bytes(kept)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["spoilt", "wide"]


def test_a_hostile_group_is_refused(three: tuple[Corpus, Corpus, Corpus], tmp_path: Path) -> None:
    shutil.copytree(three[0].folder, tmp_path / "corpus")
    path = tmp_path / "corpus" / "seeds" / "roots.npz"
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    for group in (np.full(len(arrays["x"]), 1 << 60), np.zeros(3, np.int64), np.zeros(len(arrays["x"]))):
        np.savez(path, **arrays, group=group)
        with pytest.raises(FormatError, match="expected group"):
            Corpus.read(tmp_path / "corpus")
