"""Distilled corpora: nothing that counts is lost, and what comes out is a corpus."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.errors import FormatError, InvalidArgument
from armour.fuzz import Corpus, FuzzConfig, Fuzzer
from armour.fuzz.content import Looker, criteria
from armour.fuzz.distil import distil
from armour.fuzz.holdings import read_survivors, rebuild_all, recipe_of
from armour.fuzz.replay import replay
from armour.fuzz.shrinking import shrink
from armour.model import ModuleModel

World = tuple[Path, ModuleModel, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A corpus of 1,200 executions, its model and seeds."""
    x, y = small_models.digits(120)
    model = small_models.centroids(x, y)
    folder = tmp_path_factory.mktemp("world") / "corpus"
    config = FuzzConfig(round=256, baseline=False)
    Fuzzer(model, x, y, corpus=folder, config=config).run(executions=1200)
    return folder, model, x, y


def test_survivors_are_what_their_recipes_give(world: World) -> None:
    corpus = Corpus.read(world[0])
    kept = read_survivors(corpus)
    index = (world[0] / "corpus" / "index.jsonl").read_text().splitlines()
    assert len(kept) == len(index) > 50 and kept.missing == 0
    again = rebuild_all(corpus, [recipe_of(corpus, one, "corpus/index.jsonl") for one in kept.records])
    assert np.array_equal(again, kept.x)


@pytest.mark.parametrize("criterion", [name for name in criteria() if name != "lsa"])
def test_nothing_that_counts_is_lost(criterion: str, world: World, tmp_path: Path) -> None:
    folder, model, *_ = world
    before = small_models.contents(folder)
    done = distil(Corpus.read(folder), model, tmp_path / "min", criterion)
    assert small_models.contents(folder) == before
    assert done.after.survivors < done.before.survivors / 2 and done.after.failures < done.before.failures
    for name in ("classes", "solved", "niches"):
        assert getattr(done.after, name) == getattr(done.before, name) > 0
    assert done.after.covered == done.before.covered - done.edge and done.edge <= 2
    # Looked at by other means: the classes, the niches, and every margin from its own run.
    small, whole = Corpus.read(tmp_path / "min"), Corpus.read(folder)
    assert {f.key for f in small.failures()} == {f.key for f in whole.failures()}
    niches = [{(r["root"], r["predicted"]) for r in one.records()} for one in (small, whole)]
    assert niches[0] == niches[1]
    nearest = [margins(one, model) for one in (small, whole)]
    for niche, gap in nearest[1].items():
        if niche not in niches[0]:
            assert (
                nearest[0].get(niche, np.inf) <= max(gap, 0) + 2e-4 or gap >= own(whole, model)[niche] - 2e-4
            )


def margins(corpus: Corpus, model: ModuleModel) -> dict[tuple[int, int], float]:
    """(root, label) -> least logit margin over the survivors that are still right."""
    kept, found = read_survivors(corpus), dict[tuple[int, int], float]()
    for record, logits in zip(kept.records, model.logits(kept.x), strict=True):
        true = int(corpus.roots.labels[record["root"]])
        for label in range(10):
            if label != true and logits.argmax() == true:
                niche = (record["root"], label)
                found[niche] = min(found.get(niche, np.inf), float(logits[true] - logits[label]))
    return found


def own(corpus: Corpus, model: ModuleModel) -> dict[tuple[int, int], float]:
    """(root, label) -> margin of the seed itself."""
    logits = model.logits(corpus.roots.x)
    labels = corpus.roots.labels
    return {(r, c): float(logits[r, labels[r]] - logits[r, c]) for r in range(len(labels)) for c in range(10)}


def test_sections_are_covered_as_a_campaign_counted_them(world: World, tmp_path: Path) -> None:
    """All that the campaign hit by inputs it kept, and what the seeds hit, is hit by the distilled corpus."""
    folder, model, *_ = world
    distil(Corpus.read(folder), model, tmp_path / "min")
    small = Corpus.read(tmp_path / "min")
    content = Looker(small, model, "sections").look(small)
    counts = np.load(folder / "coverage" / "counts.npy", allow_pickle=False)
    lost = (counts.reshape(-1) > 0) & ~content.covered()
    assert lost.sum() <= 2


def test_the_result_is_a_corpus_that_is_replayed_and_minimised_again(world: World, tmp_path: Path) -> None:
    folder, model, x, y = world
    one = distil(Corpus.read(folder), model, tmp_path / "min")
    cases = replay(Corpus.read(tmp_path / "min"), model)
    assert len(cases) == one.after.failures and all(case.rebuilt and case.same for case in cases)
    two = distil(Corpus.read(tmp_path / "min"), model, tmp_path / "again")
    assert two.before == one.after and two.after.covered == two.before.covered
    assert two.after.survivors <= one.after.survivors
    config = FuzzConfig(round=256, baseline=False)
    before = small_models.contents(tmp_path / "min")
    with pytest.raises(InvalidArgument, match="made by armour corpus minimize and holds no state"):
        Fuzzer(model, x, y, corpus=tmp_path / "min", config=config).run(executions=2000, resume=True)
    assert small_models.contents(tmp_path / "min") == before


def test_bad_requests_leave_nothing_behind(world: World, tmp_path: Path) -> None:
    folder, model, x, y = world
    corpus = Corpus.read(folder)
    other = small_models.centroids(x, y, sharpness=5.0)
    with pytest.raises(InvalidArgument, match="which is another"):
        distil(corpus, other, tmp_path / "min")
    with pytest.raises(InvalidArgument, match="criterion"):
        distil(corpus, model, tmp_path / "min", "nlc")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(InvalidArgument, match="not empty"):
        distil(corpus, model, tmp_path / "full")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full"]
    assert (tmp_path / "full" / "file").read_text() == "mine"


def outside(line: dict[str, object]) -> None:
    line["shard"] = "../../seeds/roots"


def no_root(line: dict[str, object]) -> None:
    line["root"] = 10**9


def no_recipe(line: dict[str, object]) -> None:
    line["recipe"] = "root=0;__import__(x=1)@0"


def a_float(line: dict[str, object]) -> None:
    line["round"] = 1.5


@pytest.mark.parametrize("spoil", [outside, no_root, a_float])
def test_hostile_survivors_are_refused(spoil: object, world: World, tmp_path: Path) -> None:
    shutil.copytree(world[0], tmp_path / "corpus")
    path = tmp_path / "corpus" / "corpus" / "index.jsonl"
    lines = path.read_text().splitlines()
    record = json.loads(lines[1])
    spoil(record)  # type: ignore[operator]
    path.write_text("\n".join([lines[0], json.dumps(record), *lines[2:], ""]))
    with pytest.raises(FormatError, match="line 2") as caught:
        distil(Corpus.read(tmp_path / "corpus"), world[1], tmp_path / "min")
    assert "\n" not in str(caught.value) and not (tmp_path / "min").exists()


def test_hostile_files_are_refused(world: World, tmp_path: Path) -> None:
    shutil.copytree(world[0], tmp_path / "corpus")
    folder = tmp_path / "corpus"
    secret = tmp_path / "secret"
    secret.write_text("not yours")
    png = next(iter(sorted(folder.glob("failures/*/*/preview.png"))))
    png.unlink()
    png.symlink_to(secret)
    with pytest.raises(FormatError, match="expected a plain file"):
        distil(Corpus.read(folder), world[1], tmp_path / "min")
    png.unlink()
    np.savez(folder / "corpus" / "00000.npz", x=np.zeros((3, 1, 8, 8)))
    with pytest.raises(FormatError, match=r"00000\.npz: expected finite float32"):
        distil(Corpus.read(folder), world[1], tmp_path / "min")
    np.savez(folder / "coverage" / "profile.npz", low=np.zeros(3, np.float32), high=np.ones(3, np.float32))
    with pytest.raises(FormatError, match=r"profile\.npz: expected low and high"):
        distil(Corpus.read(folder), world[1], tmp_path / "min")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["corpus", "secret"]


def test_a_shard_that_was_not_written_yet_is_counted(world: World, tmp_path: Path) -> None:
    shutil.copytree(world[0], tmp_path / "corpus")
    (tmp_path / "corpus" / "corpus" / "00000.npz").unlink()
    corpus = Corpus.read(tmp_path / "corpus")
    listed = len((world[0] / "corpus" / "index.jsonl").read_text().splitlines())
    done = distil(corpus, world[1], tmp_path / "min")
    assert done.missing == listed and done.before.survivors == 0 and done.after.classes == done.before.classes


def test_a_case_gets_smaller_and_stays_what_it_is(world: World, tmp_path: Path) -> None:
    shutil.copytree(world[0], tmp_path / "corpus")
    corpus, model = Corpus.read(tmp_path / "corpus"), world[1]
    smaller = 0
    for failure in corpus.failures()[:30]:
        done = shrink(corpus, model, failure.id[:10])
        (now,) = [f for f in Corpus.read(corpus.folder).failures() if f.id == failure.id]
        assert np.array_equal(now.mutant, failure.mutant) and now.key == failure.key and done.id == now.id
        assert now.families == failure.families
        l2 = float(np.linalg.norm(now.minimised - now.minimised_reference))
        assert l2 == pytest.approx(done.after, rel=1e-5, abs=1e-6) and done.after <= done.before
        assert done.smaller == (not np.array_equal(now.minimised, failure.minimised))
        assert model.predict(now.minimised[None])[0] == failure.predicted
        smaller += done.smaller
    assert smaller >= 2
    assert all(case.same and case.minimised in (None, True) for case in replay(corpus, model))
    assert not list(corpus.folder.rglob(".building*"))
    rest = [r for r in corpus.records() if not r["first"]]
    with pytest.raises(InvalidArgument, match="has no folder; the one stored of its class is"):
        shrink(corpus, model, rest[0]["id"])
    with pytest.raises(InvalidArgument, match="'zz', which 0 have"):
        shrink(corpus, model, "zz")
