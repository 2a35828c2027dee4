"""Fuzz, harden, fuzz again: seeds in two sides, nothing of B in training, the same result when resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import data, training
from armour.data import Dataset
from armour.errors import Interrupted, InvalidArgument, NothingEvaluated, UnsupportedError
from armour.events import Event
from armour.fuzz import Corpus, FuzzConfig, Fuzzer, hardening_training
from armour.fuzz.hardening import harden
from armour.fuzz.hardening_data import draw_evenly, gather, random_mutants
from armour.fuzz.hardening_result import HardenConfig, Hardening
from armour.fuzz.ledger import sha256
from armour.fuzz.mutators import get
from armour.fuzz.recipe import Recipe
from armour.fuzz.roots import Roots
from armour.fuzz.seed_split import NEAR, split_seeds
from armour.fuzz.validity import ValidityModel
from armour.model import CallableModel, ModuleModel
from armour.preprocessing import Preprocessing

CONFIG = HardenConfig(
    train=training.TrainConfig(epochs=4, lr=2e-3, shift=0.0, weight_decay=0.0), executions=384
)


@pytest.fixture(scope="module")
def parts() -> tuple[Dataset, Dataset, Dataset]:
    """Training, test and 80 seeds of the test part, of digits."""
    train, test = data.load_split("digits")
    return train[np.arange(400)], test, test[np.arange(80)]


@pytest.fixture(scope="module")
def model(parts: tuple[Dataset, Dataset, Dataset]) -> ModuleModel:
    return small_models.centroids(parts[0].x, parts[0].y)


@pytest.fixture(scope="module")
def done(
    model: ModuleModel, parts: tuple[Dataset, Dataset, Dataset], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Hardening, dict[str, tuple[Dataset, Dataset]]]:
    """A run with both controls, and what each model was trained and validated on."""
    train, test, seeds = parts
    fits: list[tuple[Dataset, Dataset]] = []
    true_fit = training.fit

    def noting(module: Any, fitting: Dataset, validation: Dataset, *rest: Any, **options: Any) -> Any:
        fits.append((fitting, validation))
        return true_fit(module, fitting, validation, *rest, **options)

    folder = tmp_path_factory.mktemp("harden") / "run"
    leaking = Dataset(
        np.concatenate([train.x, seeds.x[:7]]), np.concatenate([train.y, seeds.y[:7]]), name="digits"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hardening_training.training, "fit", noting)
        result = harden(model, seeds, leaking, test, folder, CONFIG)
    return result, dict(zip(("clean", "mutants", "hardened"), fits, strict=True))


# -- the split -------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(n=st.integers(4, 40), classes=st.integers(1, 4), seed=st.integers(0, 99), copies=st.integers(0, 6))
def test_the_sides_are_disjoint_and_follow_the_seeds_not_their_places(
    n: int, classes: int, seed: int, copies: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.random((n, 1, 4, 4)).astype(np.float32)
    y = np.arange(n) % classes
    copied = rng.integers(0, n, copies)
    x, y = np.concatenate([x, x[copied]]), np.concatenate([y, y[copied]])
    split = split_seeds(x, y, seed=seed)
    assert sorted([*split.a, *split.b]) == list(range(n + copies))
    sides = {sha256(x[i]) for i in split.a}, {sha256(x[i]) for i in split.b}
    assert not sides[0] & sides[1]
    assert split.joined == copies
    order = rng.permutation(len(x))
    again = split_seeds(x[order], y[order], seed=seed)
    assert again.digest == split.digest
    assert {sha256(x[order][i]) for i in again.a} == sides[0]
    if not copies:
        for label in range(classes):
            assert abs(int((y[split.a] == label).sum()) - (y == label).sum() / 2) <= 1


def test_near_seeds_stay_together_also_over_a_third() -> None:
    rng = np.random.default_rng(0)
    x = np.clip(rng.random((30, 1, 5, 5)), 0.2, 0.8).astype(np.float32)
    step = np.float32(0.9 * NEAR)
    x[1], x[2] = x[0] + step, x[0] + 2 * step  # 0 and 2 are further apart than NEAR
    x[3] = x[4] + np.float32(1.1 * NEAR)
    for seed in range(12):
        split = split_seeds(x, np.zeros(30, int), seed=seed)
        assert len({i in split.a for i in (0, 1, 2)}) == 1
        assert split.joined == 2  # 3 and 4 are not near
    assert split_seeds(100 * x, np.zeros(30, int), span=100.0).joined == 2


def test_seeds_of_the_training_data_are_on_side_a() -> None:
    x = np.random.default_rng(1).random((20, 1, 4, 4)).astype(np.float32)
    known = {sha256(x[i]) for i in range(15)}
    split = split_seeds(x, np.zeros(20, int), training=known)
    assert set(range(15)) == set(split.a.tolist()) and split.known == 15
    with pytest.raises(InvalidArgument, match=r"both sides.*20 are in the training data"):
        split_seeds(x, np.zeros(20, int), training={sha256(one) for one in x})


@pytest.mark.parametrize("part", [0.0, 1.0])
def test_a_side_of_nothing_is_refused(part: float) -> None:
    with pytest.raises(InvalidArgument, match="part between 0 and 1"):
        split_seeds(np.zeros((4, 2), np.float32), np.zeros(4, int), part=part)


# -- what is trained on ----------------------------------------------------------------------------


def test_classes_are_drawn_evenly_and_repeats_are_limited() -> None:
    keys = ("a",) * 6 + ("b",) * 2 + ("c",)
    for seed in range(5):
        drawn = draw_evenly(keys, 6, 3, np.random.default_rng(seed))
        assert sorted(keys[i] for i in drawn) == ["a", "a", "b", "b", "c", "c"]
        everything = draw_evenly(keys, 100, 2, np.random.default_rng(seed))
        assert np.bincount(everything).tolist() == [2] * 9
    assert len(draw_evenly((), 5, 2, np.random.default_rng(0))) == 0


def test_nothing_of_side_b_is_trained_on(
    done: tuple[Hardening, dict[str, tuple[Dataset, Dataset]]], parts: tuple[Dataset, Dataset, Dataset]
) -> None:
    result, fits = done
    seeds, split = parts[2], result.split
    a, b = ({sha256(seeds.x[i]) for i in side} for side in (split.a, split.b))
    own = {sha256(one) for one in parts[0].x}
    assert split.known == 7  # they were put into the training data
    for name, (fitting, validation) in fits.items():
        used = [sha256(one) for one in (*fitting.x, *validation.x)]
        assert not b & set(used), name
        assert not set(map(sha256, fitting.x)) & set(map(sha256, validation.x)), name
    # The clean control gets the seed of each failure in its place: all are of side A.
    fitting, validation = fits["clean"]
    assert {sha256(one) for one in fitting.x} - own <= a
    assert {sha256(one) for one in validation.x} <= a
    labels = {sha256(x): int(y) for x, y in zip(seeds.x, seeds.y, strict=True)}
    added = slice(-result.trained[1], None)
    assert [labels[sha256(one)] for one in fitting.x[added]] == fits["hardened"][0].y[added].tolist()


def test_what_is_added_are_failures_of_the_old_model(
    done: tuple[Hardening, dict[str, tuple[Dataset, Dataset]]], model: ModuleModel
) -> None:
    result, fits = done
    fitting, _ = fits["hardened"]
    added = slice(-result.trained[1], None)
    assert result.trained == (len(fitting), result.trained[1]) and result.trained[1] > 0
    assert (model.predict(fitting.x[added]) != fitting.y[added]).all()
    assert {len(one[0]) for one in fits.values()} == {len(fitting)}
    for name in ("clean", "mutants"):  # only what was added differs
        assert np.array_equal(fits[name][0].x[: -result.trained[1]], fitting.x[: -result.trained[1]])
        assert not np.array_equal(fits[name][0].x, fitting.x)


def test_random_mutants_are_valid_and_of_their_roots(parts: tuple[Dataset, Dataset, Dataset]) -> None:
    seeds = parts[2]
    roots = Roots(seeds.x, seeds.y, np.arange(len(seeds)), np.zeros((len(seeds), 10), np.int64))
    validity = ValidityModel.fit(seeds.x, seeds.bounds)
    root = np.repeat(np.arange(20), 3)
    made = random_mutants(roots, root, validity, "brightness", np.random.default_rng(0))
    assert made.shape == (60, 1, 8, 8) and not np.array_equal(made, seeds.x[root])
    level = validity.level(made, seeds.x[root], [()] * 60)
    assert (level[(made != seeds.x[root]).reshape(60, -1).any(axis=1)] == 2).all()


def test_a_corpus_gives_failures_of_side_a_alone_and_none_that_mixes_seeds(
    model: ModuleModel, parts: tuple[Dataset, Dataset, Dataset], tmp_path: Path
) -> None:
    train, test, seeds = parts
    some = FuzzConfig(mutators="crossover,gaussian-noise,rotate,translate")
    Fuzzer(model, seeds.x, seeds.y, corpus=tmp_path / "c", config=some).run(executions=1024)
    corpus = Corpus.read(tmp_path / "c")
    result = harden(model, seeds, train, test, tmp_path / "h", replace(CONFIG, controls=()), corpus=corpus)
    fit = [r for r in corpus.records() if r["oracle"] == "label-flip" and r["root"] in result.split.a]
    mixing = [any(get(s.mutator).paired for s in Recipe.parse(r["recipe"]).steps) for r in fit]
    assert any(mixing) and result.failures_a == len(fit) - sum(mixing)
    assert any("mix two seeds" in note for note in result.notes)
    whole = gather(corpus, model, range(len(corpus.roots)), mixing=False)
    assert result.models[0].again_b[1] == len(whole) - result.failures_a
    other = small_models.centroids(train.x, train.y, sharpness=2.0)
    with pytest.raises(InvalidArgument, match="corpus of another model"):
        harden(other, seeds, train, test, tmp_path / "o", CONFIG, corpus=corpus)


# -- the outcome -----------------------------------------------------------------------------------


def test_the_hardened_model_fails_less_on_what_it_was_trained_on(
    done: tuple[Hardening, dict[str, tuple[Dataset, Dataset]]],
) -> None:
    result, _ = done
    old, hardened = result.models[0], result.models[-1]
    assert [one.name for one in result.models] == ["old", "clean", "mutants", "hardened"]
    assert old.again_a == (result.failures_a,) * 2 and old.again_b[0] == old.again_b[1] > 0
    assert hardened.again_a[0] < old.again_a[0]
    assert hardened.fingerprint == result.model.fingerprint != result.parent


def test_every_model_is_fuzzed_from_the_same_roots_of_b(
    done: tuple[Hardening, dict[str, tuple[Dataset, Dataset]]],
) -> None:
    result, _ = done
    corpora = [Corpus.read(result.folder / f"b-{one.name}") for one in result.models]
    for one, corpus in zip(result.models, corpora, strict=True):
        assert np.array_equal(corpus.roots.x, corpora[0].roots.x)
        assert one.executions == 384 and one.broken.sum() == len({r["root"] for r in corpus.records()})
        assert one.failures == len({r["sha256"] for r in corpus.records()})
        assert corpus.manifest["config"]["seed"] == corpora[0].manifest["config"]["seed"]


def test_held_out_samples_are_none_of_side_a(
    done: tuple[Hardening, dict[str, tuple[Dataset, Dataset]]],
    parts: tuple[Dataset, Dataset, Dataset],
    model: ModuleModel,
) -> None:
    result, _ = done
    a = {sha256(parts[2].x[i]) for i in result.split.a}
    kept = np.array([sha256(one) not in a for one in parts[1].x])
    right = (model.predict(parts[1].x) == parts[1].y)[kept]
    assert np.array_equal(result.models[0].right, right)


def test_an_interrupted_run_ends_with_the_same_bits(
    model: ModuleModel,
    parts: tuple[Dataset, Dataset, Dataset],
    tmp_path: Path,
) -> None:
    train, test, seeds = parts
    config = replace(CONFIG, controls=("clean",))
    whole = harden(model, seeds, train, test, tmp_path / "whole", config)

    def stop_at(stage: str, done: int) -> Any:
        def listener(event: Event) -> None:
            if event.stage.endswith(stage) and event.done >= done:
                raise KeyboardInterrupt

        return listener

    folder = tmp_path / "broken"
    steps = -(-whole.trained[0] // 64)
    for resume, stage, at in ((False, "2/6 train", 2 * steps + 1), (True, "6/6 fuzz", 256)):
        with pytest.raises(Interrupted, match="--resume"):
            harden(model, seeds, train, test, folder, config, resume=resume, on_event=stop_at(stage, at))
    assert (folder / "clean.ckpt").is_file() and not (folder / "clean.train").exists()
    again = harden(model, seeds, train, test, folder, config, resume=True)
    for first, second in zip(whole.models, again.models, strict=True):
        assert first.fingerprint == second.fingerprint and (first.broken == second.broken).all()
        assert (first.failures, first.classes, first.epochs, first.best_epoch) == (
            second.failures, second.classes, second.epochs, second.best_epoch,
        )  # fmt: skip
    with pytest.raises(InvalidArgument, match="made with another config, held out, seed, split"):
        harden(model, seeds, train, test, folder, replace(config, mix=0.5), rng=1, resume=True)
    with pytest.raises(InvalidArgument, match="expected an empty folder"):
        harden(model, seeds, train, test, folder, config)


def test_what_cannot_be_trained_is_said_in_a_line(
    model: ModuleModel, parts: tuple[Dataset, Dataset, Dataset], tmp_path: Path
) -> None:
    train, test, seeds = parts
    black = CallableModel(model.logits, bounds=(0, 1), input_shape=(1, 8, 8), num_classes=10, name="box")
    prepared = ModuleModel(
        model.module, preprocessing=Preprocessing(scale=2.0), input_shape=(1, 8, 8), num_classes=10
    )
    for one, said in ((black, "box is no network.*corpus export"), (prepared, "more preprocessing")):
        with pytest.raises(UnsupportedError, match=said):
            harden(one, seeds, train, test, tmp_path / "x", CONFIG)
    assert not (tmp_path / "x").exists()


def test_a_model_without_failures_leaves_nothing_to_train_on(
    model: ModuleModel, parts: tuple[Dataset, Dataset, Dataset], tmp_path: Path
) -> None:
    train, test, seeds = parts
    quiet = replace(CONFIG, executions=1)
    with pytest.raises(NothingEvaluated, match="more executions or more seeds"):
        harden(model, seeds, train, test, tmp_path / "x", quiet)


@pytest.mark.parametrize("change", [{"mix": 0.0}, {"part": 1.0}, {"controls": ("none",)}, {"repeats": 0}])
def test_settings_are_checked(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        replace(CONFIG, **change)
