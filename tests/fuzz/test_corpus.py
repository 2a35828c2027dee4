"""The corpus folder: what is in it, replay, and damaged or hostile folders."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.errors import FormatError, InvalidArgument
from armour.fuzz import Corpus, FuzzConfig, Fuzzer
from armour.fuzz.replay import replay
from armour.model import ModuleModel

CONFIG = FuzzConfig(round=256)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ModuleModel, np.ndarray, np.ndarray]:
    """A corpus of 900 executions, its model and seeds."""
    x, y = small_models.digits(200)
    model = small_models.centroids(x, y)
    folder = tmp_path_factory.mktemp("world") / "corpus"
    Fuzzer(model, x, y, corpus=folder, config=CONFIG, source={"data": "digits"}).run(executions=900)
    return folder, model, x, y


@pytest.fixture
def copy(world: tuple[Path, ModuleModel, np.ndarray, np.ndarray], tmp_path: Path) -> Path:
    """A copy of the corpus that a test may spoil."""
    shutil.copytree(world[0], tmp_path / "corpus")
    return tmp_path / "corpus"


def test_layout(world: tuple[Path, ModuleModel, np.ndarray, np.ndarray]) -> None:
    folder, model, x, y = world
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == 1 and manifest["model"]["fingerprint"] == model.fingerprint
    assert manifest["config"]["seed"] == 0 and manifest["environment"]["threads"] == 1
    assert manifest["source"] == {"data": "digits"}
    corpus = Corpus.read(folder)
    lines = (folder / "seeds" / "roots.jsonl").read_text().splitlines()
    assert len(lines) == len(corpus.roots) == manifest["data"]["roots"]
    assert np.array_equal(corpus.roots.x, x[corpus.roots.source])
    assert np.array_equal(corpus.roots.labels, y[corpus.roots.source])
    index = [json.loads(line) for line in (folder / "corpus" / "index.jsonl").read_text().splitlines()]
    with np.load(folder / "corpus" / "00000.npz", allow_pickle=False) as shard:
        assert len(index) == len(shard["x"])
    for meta in folder.glob("failures/*/*/meta.json"):
        content = json.loads(meta.read_text())
        assert content["validity"] == "V2" and meta.parent.parent.name == content["class"]
        assert meta.parent.name == content["sha256"][:12] == content["id"]
        assert {path.name for path in meta.parent.iterdir()} == {
            "input.npy", "min.npy", "ref.npy", "recipe.json", "meta.json", "preview.png"
        }  # fmt: skip
        assert (meta.parent / "preview.png").read_bytes().startswith(b"\x89PNG")
    journal = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert [record["round"] for record in journal] == list(range(len(journal)))
    assert journal[-1]["executions"] == 900
    stats = json.loads((folder / "stats.json").read_text())
    assert stats["guided"]["executions"] == stats["baseline"]["executions"] == 900
    rows = (folder / "plot.csv").read_text().splitlines()
    assert len(rows) == len(journal) + 1 and rows[-1].startswith("900,")
    counts = np.load(folder / "coverage" / "counts.npy", allow_pickle=False)
    assert counts.dtype == np.uint32 and (counts.sum(axis=1) == stats["guided"]["valid"]).all()


def test_every_failure_is_replayed(world: tuple[Path, ModuleModel, np.ndarray, np.ndarray]) -> None:
    folder, model, *_ = world
    cases = replay(Corpus.read(folder), model)
    stats = json.loads((folder / "stats.json").read_text())
    assert len(cases) == stats["guided"]["failures"] > 20
    assert all(one.rebuilt and one.fails and one.same and one.validity == "V2" for one in cases)
    stored = [one.minimised for one in cases if one.minimised is not None]
    assert len(stored) == stats["guided"]["classes"] and all(stored)
    records = Corpus.read(folder).records()
    assert len({(one["class"], one["variant"]) for one in records}) == stats["guided"]["variants"]
    (single,) = replay(Corpus.read(folder), model, cases[3].id)
    assert (single.id, single.recipe, single.now, single.fails) == (
        cases[3].id, cases[3].recipe, cases[3].now, cases[3].fails
    )  # fmt: skip
    with pytest.raises(InvalidArgument, match="'zz', which 0 have"):
        replay(Corpus.read(folder), model, "zz")


def test_failures_are_read_as_they_were_found(
    world: tuple[Path, ModuleModel, np.ndarray, np.ndarray],
) -> None:
    folder, model, x, y = world
    fresh = Fuzzer(model, x, y, config=CONFIG).run(executions=900)
    read = Corpus.read(folder).failures()
    assert [f.id for f in read] == [f.id for f in fresh.failures]
    for one, two in zip(read, fresh.failures, strict=True):
        for name in (
            "oracle",
            "true",
            "predicted",
            "root",
            "source",
            "recipe",
            "minimised_recipe",
            "families",
        ):
            assert getattr(one, name) == getattr(two, name)
        for name in ("root_image", "reference", "mutant", "minimised", "minimised_reference"):
            assert np.array_equal(getattr(one, name), getattr(two, name)), name
        assert one.margin == pytest.approx(two.margin, rel=1e-5)


def test_a_larger_budget_goes_on_with_what_is_there(
    world: tuple[Path, ModuleModel, np.ndarray, np.ndarray], copy: Path
) -> None:
    _, model, x, y = world
    before = {path.name for path in copy.glob("failures/*/*")}
    result = Fuzzer(model, x, y, corpus=copy, config=CONFIG).run(executions=1500, resume=True)
    assert result.executions == 1500 and result.notes == ()
    assert before < {path.name for path in copy.glob("failures/*/*")} == {f.id for f in result.failures}
    same = Fuzzer(model, x, y, corpus=copy, config=CONFIG).run(executions=1500, resume=True)
    assert [f.id for f in same.failures] == [f.id for f in result.failures]
    assert same.guided.class_counts == result.guided.class_counts


def test_resume_needs_the_same_model_data_and_settings(
    world: tuple[Path, ModuleModel, np.ndarray, np.ndarray], copy: Path
) -> None:
    _, model, x, y = world

    def go(fuzzer: Fuzzer, rng: int = 0, resume: bool = True) -> None:
        fuzzer.run(executions=1200, rng=rng, resume=resume)

    other = small_models.centroids(x, y, sharpness=5.0)
    with pytest.raises(InvalidArgument, match="another model"):
        go(Fuzzer(other, x, y, corpus=copy, config=CONFIG))
    with pytest.raises(InvalidArgument, match="other data"):
        go(Fuzzer(model, x[:-1], y[:-1], corpus=copy, config=CONFIG))
    with pytest.raises(InvalidArgument, match=r"other settings \(validity V2, now V1\)"):
        go(Fuzzer(model, x, y, corpus=copy, config=FuzzConfig(round=256, validity="V1")))
    with pytest.raises(InvalidArgument, match=r"other settings \(seed 0, now 4\)"):
        go(Fuzzer(model, x, y, corpus=copy, config=CONFIG), rng=4)
    with pytest.raises(InvalidArgument, match="expected an empty folder"):
        go(Fuzzer(model, x, y, corpus=copy, config=CONFIG), resume=False)
    assert small_models.contents(copy) == small_models.contents(world[0])


def test_another_model_is_asked_too(world: tuple[Path, ModuleModel, np.ndarray, np.ndarray]) -> None:
    folder, _, x, y = world
    cases = replay(Corpus.read(folder), small_models.centroids(x, 9 - y))
    assert any(not one.same for one in cases) and all(one.rebuilt for one in cases)


# -- hostile folders -----------------------------------------------------------------------------------------

Spoil = Callable[[Path], None]


def failure(folder: Path) -> Path:
    """The first failure's folder."""
    return sorted(folder.glob("failures/*/*"))[0]


def pickled(folder: Path) -> None:
    (failure(folder) / "input.npy").write_bytes(pickle.dumps({"x": 1}))


def object_array(folder: Path) -> None:
    np.save(failure(folder) / "min.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)


def promises_too_much(folder: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1000000, 1000000), }".ljust(117) + "\n"
    (failure(folder) / "ref.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + header.encode())


def another_shape(folder: Path) -> None:
    np.save(failure(folder) / "ref.npy", np.zeros((1, 9, 9), np.float32))


def changed_input(folder: Path) -> None:
    np.save(failure(folder) / "input.npy", np.zeros((1, 8, 8), np.float32))


def missing_file(folder: Path) -> None:
    (failure(folder) / "meta.json").unlink()


def not_json(folder: Path) -> None:
    (failure(folder) / "meta.json").write_text("{")


def outside(folder: Path) -> None:
    edit(folder, lambda record: record.update({"class": "../../x"}))


def no_such_root(folder: Path) -> None:
    edit(folder, lambda record: record.update(root=10**6))


def hostile_recipe(folder: Path) -> None:
    edit(folder, lambda record: record.update(recipe="root=1;__import__(x=1)@0"))


def wrong_types(folder: Path) -> None:
    edit(folder, lambda record: record.update(true="3"))


def wrong_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))


def no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def pickled_roots(folder: Path) -> None:
    np.savez(folder / "seeds" / "roots.npz", x=np.array([{}], dtype=object), allow_pickle=True)


def other_roots(folder: Path) -> None:
    np.savez(folder / "seeds" / "roots.npz", x=np.zeros((2, 1, 8, 8)), labels=np.zeros(2), source=np.zeros(2))


def truncated_roots(folder: Path) -> None:
    path = folder / "seeds" / "roots.npz"
    path.write_bytes(path.read_bytes()[:500])


def edit(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    path = folder / "failures" / "index.jsonl"
    lines = path.read_text().splitlines()
    record = json.loads(lines[0])
    change(record)
    path.write_text("\n".join([json.dumps(record), *lines[1:], ""]))


READING: list[Spoil] = [
    pickled, object_array, promises_too_much, another_shape, changed_input, missing_file, not_json, outside,
    no_such_root, hostile_recipe, wrong_types, wrong_manifest, no_manifest, pickled_roots, other_roots,
    truncated_roots,
]  # fmt: skip


@pytest.mark.parametrize("spoil", READING, ids=lambda spoil: spoil.__name__)
def test_a_hostile_corpus_is_refused_in_one_line(
    spoil: Spoil, world: tuple[Path, ModuleModel, np.ndarray, np.ndarray], copy: Path
) -> None:
    spoil(copy)
    with pytest.raises(FormatError) as caught:
        replay(Corpus.read(copy), world[1])
    assert "\n" not in str(caught.value) and str(copy) in str(caught.value)


def truncated_state(folder: Path) -> None:
    path = folder / "state.npz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def another_state(folder: Path) -> None:
    np.savez(folder / "state.npz", lengths=np.frombuffer(b"{}", np.uint8))


def mixed_up_state(folder: Path) -> None:
    with np.load(folder / "state.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    arrays["guided.schedule.gaps"] = arrays["guided.schedule.gaps"][:3]
    np.savez(folder / "state.npz", **arrays)


def short_journal(folder: Path) -> None:
    path = folder / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:100])


def missing_shard(folder: Path) -> None:
    (folder / "corpus" / "00000.npz").unlink()


def bad_index(folder: Path) -> None:
    path = folder / "failures" / "index.jsonl"
    path.write_bytes(b"x" * path.stat().st_size)


@pytest.mark.parametrize(
    "spoil",
    [truncated_state, another_state, mixed_up_state, short_journal, missing_shard, bad_index, no_manifest],
    ids=lambda spoil: spoil.__name__,
)
def test_a_damaged_corpus_is_not_gone_on_with(
    spoil: Spoil, world: tuple[Path, ModuleModel, np.ndarray, np.ndarray], copy: Path
) -> None:
    spoil(copy)
    _, model, x, y = world
    with pytest.raises(FormatError) as caught:
        Fuzzer(model, x, y, corpus=copy, config=CONFIG).run(executions=1200, resume=True)
    assert "\n" not in str(caught.value) and str(copy) in str(caught.value)


def test_a_file_or_an_unwritable_place_is_no_corpus(
    world: tuple[Path, ModuleModel, np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    _, model, x, y = world
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidArgument):
        Fuzzer(model, x, y, corpus=tmp_path / "file").run(executions=128)
