"""The model's slopes at the seeds: what they are, and that recipes which follow them rebuild without it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.errors import FormatError, InvalidArgument
from armour.fuzz import Corpus, FuzzConfig, Fuzzer
from armour.fuzz.execution import Executor
from armour.fuzz.partners import Partners
from armour.fuzz.recipe import Step, apply_steps
from armour.fuzz.replay import replay
from armour.fuzz.roots import Roots, select
from armour.fuzz.slopes import Slopes, fit, size
from armour.model import CallableModel, ModuleModel
from armour.tensor import nn

GRADIENT = FuzzConfig(round=256, mutators="gradient,brightness")


def linear() -> tuple[ModuleModel, np.ndarray, np.ndarray]:
    """Logits W x of four values and three classes, and seeds that it reads correctly."""
    net = nn.Sequential(nn.Linear(4, 3))
    weight = np.array([[4, 0, 1, 0], [0, 3, 1, -1], [1, 1, 0, 2]], np.float32)
    net.load_state_dict({"0.weight": weight, "0.bias": np.zeros(3, np.float32)})
    model = ModuleModel(net, bounds=(0, 1), input_shape=(4,), num_classes=3)
    x = np.random.default_rng(0).uniform(0.2, 0.8, (30, 4)).astype(np.float32)
    return model, x, model.predict(x)


def test_of_a_linear_model_they_are_its_weights() -> None:
    model, x, y = linear()
    roots, _ = select(Executor(model, 16), x, y)
    slopes = fit(model, roots, 16)
    weight = np.array([[4, 0, 1, 0], [0, 3, 1, -1], [1, 1, 0, 2]])
    logits = model.logits(roots.x)
    for i, label in enumerate(roots.labels.tolist()):
        others = sorted((c for c in range(3) if c != label), key=lambda c: logits[i, label] - logits[i, c])
        for rank, other in enumerate(others):
            assert np.array_equal(slopes.steps[i, rank], np.sign(weight[other] - weight[label]))
        # The signs are the same at every step, and no seed is near its bounds: the walk goes the whole way.
        assert np.array_equal(slopes.walks[i, 0], 127 * np.sign(weight[others[0]] - weight[label]))
        # A direction of the features lies in the space that the weights span, up to the rounding to 8 bits.
        for feature in slopes.features[i].astype(float):
            rest = feature - weight.T @ np.linalg.lstsq(weight.T, feature, rcond=None)[0]
            assert np.abs(rest).max() <= 1 and np.abs(feature).max() == 127
    assert size(len(roots), (4,), 3) == sum(array.nbytes for array in slopes.arrays().values())


def test_steps_go_toward_the_class_and_far_enough() -> None:
    model, x, y = linear()
    roots, _ = select(Executor(model, 16), x, y)
    roots = Roots(roots.x, roots.labels, roots.source, roots.gaps, fit(model, roots, 16))
    number = np.arange(len(roots))
    steps = [(Step("gradient-step", (float(np.float32(0.08)), 0.5), 1),)] * len(roots)
    moved, _ = apply_steps(roots.x, roots.x, steps, model.bounds, partners=Partners(roots, number))
    gaps = np.sort(np.where(roots.gaps == 0, np.iinfo(np.int64).max, roots.gaps), axis=1)[:, 0]
    nearest = np.where(roots.gaps == 0, np.iinfo(np.int64).max, roots.gaps).argmin(axis=1)
    logits = model.logits(moved)
    after = 1e4 * (logits[number, roots.labels] - logits[number, nearest])
    assert (after < gaps - 100).all()
    with pytest.raises(InvalidArgument, match="got no seeds"):
        apply_steps(roots.x, roots.x, steps, model.bounds)
    bare = Roots(roots.x, roots.labels, roots.source, roots.gaps)
    with pytest.raises(InvalidArgument, match="slopes of the model"):
        apply_steps(roots.x, roots.x, steps, model.bounds, partners=Partners(bare, number))


def test_a_corpus_rebuilds_them_without_the_model_and_goes_on(tmp_path: Path) -> None:
    x, y = small_models.digits()
    model = small_models.centroids(x, y)
    whole = Fuzzer(model, x, y, corpus=tmp_path / "a", config=GRADIENT).run(executions=900)
    assert whole.guided.failures > 0 and "gradient-walk" in whole.mutators
    assert {f for failure in whole.failures for f in failure.families} <= {"gradient", "light"}
    Fuzzer(model, x, y, corpus=tmp_path / "b", config=GRADIENT).run(executions=384)
    again = Fuzzer(model, x, y, corpus=tmp_path / "b", config=GRADIENT).run(
        executions=900, resume=True, jobs=2
    )
    assert [f.recipe for f in again.failures] == [f.recipe for f in whole.failures]
    assert small_models.contents(tmp_path / "a") == small_models.contents(tmp_path / "b")

    def silent(images: np.ndarray) -> np.ndarray:
        """A black box that has no gradients."""
        return model.logits(images)

    box = CallableModel(silent, outputs="logits", input_shape=(1, 8, 8), num_classes=10)
    cases = replay(Corpus.read(tmp_path / "a"), box)
    assert len(cases) == whole.guided.failures and all(one.rebuilt and one.fails for one in cases)


def test_they_are_asked_for_only_where_a_mutator_needs_them() -> None:
    x, y = small_models.digits(120)
    model = small_models.centroids(x, y)
    guided = {"gradient-step", "gradient-walk", "feature-noise"}
    plain = Fuzzer(model, x, y, config=FuzzConfig(round=256, baseline=False)).run(executions=128)
    assert not guided & set(plain.mutators) and model.counter.gradients == 0
    more = FuzzConfig(round=256, baseline=False, mutators="+gradient")
    both = Fuzzer(model, x, y, config=more).run(executions=128)
    assert set(both.mutators) == {*plain.mutators, *guided} and model.counter.gradients > 0


def test_black_boxes_have_none(tmp_path: Path) -> None:
    x, y = small_models.digits(120)
    model = small_models.centroids(x, y)
    box = CallableModel(model.logits, outputs="logits", input_shape=(1, 8, 8), num_classes=10)
    result = Fuzzer(box, x, y, corpus=tmp_path / "c", config=FuzzConfig(round=256)).run(executions=128)
    assert not {"gradient-step", "gradient-walk", "feature-noise"} & set(result.mutators)
    assert "slopes" not in json.loads((tmp_path / "c" / "manifest.json").read_text())
    with pytest.raises(InvalidArgument, match=r"'gradient', which needs a model with gradients"):
        Fuzzer(box, x, y, config=GRADIENT).run(executions=128)


def test_changed_slopes_are_refused(tmp_path: Path) -> None:
    x, y = small_models.digits(120)
    model = small_models.centroids(x, y)
    Fuzzer(model, x, y, corpus=tmp_path / "c", config=GRADIENT).run(executions=128)
    path = tmp_path / "c" / "seeds" / "slopes.npz"
    arrays = dict(np.load(path))
    for change, message in (
        ({"steps": -arrays["steps"]}, "sha256"),
        ({"steps": arrays["steps"][:, :0]}, "expected int8 slopes"),
        ({"walks": arrays["walks"].astype(np.int16)}, "expected int8 slopes"),
        ({"features": arrays["features"][:-1]}, "expected int8 slopes"),
    ):
        np.savez(path, **{**arrays, **change})
        with pytest.raises(FormatError, match=message):
            Corpus.read(tmp_path / "c")
        with pytest.raises(FormatError, match=message):
            Fuzzer(model, x, y, corpus=tmp_path / "c", config=GRADIENT).run(executions=256, resume=True)
    path.unlink()
    with pytest.raises(FormatError):
        Corpus.read(tmp_path / "c")


@pytest.mark.parametrize("missing", ["steps", "walks", "features"])
def test_every_array_must_be_there(missing: str) -> None:
    arrays = {name: np.zeros((2, n, 3), np.int8) for name, n in (("steps", 3), ("walks", 1), ("features", 2))}
    assert Slopes.from_arrays(arrays, np.zeros((2, 3))).digest
    del arrays[missing]
    with pytest.raises(InvalidArgument, match=r"got nothing|expected int8"):
        Slopes.from_arrays(arrays, np.zeros((2, 3)))
