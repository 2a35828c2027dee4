"""Fuzzer.run: what it finds, what it counts, and what it never does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small_models

from armour.errors import InvalidArgument, NothingEvaluated
from armour.fuzz import FuzzConfig, Fuzzer, FuzzResult
from armour.fuzz.recipe import Recipe, rebuild
from armour.fuzz.validity import ValidityModel
from armour.model import CallableModel, ModuleModel
from armour.tensor import nn

SMALL = FuzzConfig(round=256)


@pytest.fixture(scope="module")
def seeds() -> tuple[np.ndarray, np.ndarray]:
    """300 real digits of 8 x 8."""
    return small_models.digits()


@pytest.fixture(scope="module")
def model(seeds: tuple[np.ndarray, np.ndarray]) -> ModuleModel:
    """A network that reads nine in ten of them."""
    return small_models.centroids(*seeds)


@pytest.fixture(scope="module")
def result(model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]) -> FuzzResult:
    """A run of 1,500 executions in memory."""
    return Fuzzer(model, *seeds, config=SMALL).run(executions=1500, rng=0)


def test_counts_add_up(result: FuzzResult) -> None:
    assert result.executions == 1500 and result.baseline is not None
    assert result.roots + result.skipped == result.seeds == 300
    for campaign in (result.guided, result.baseline):
        assert campaign.executions == 1500 == sum(campaign.levels.values())
        assert campaign.valid == campaign.levels["V2"] > 0.9 * campaign.executions
        assert campaign.failures == sum(campaign.class_counts.values()) <= campaign.failing["V2"]
        assert len(campaign.class_counts) == campaign.classes >= campaign.pairs >= 1
        assert campaign.failures >= (campaign.variants or 0) >= campaign.classes
        assert campaign.failures >= campaign.distinct >= campaign.roots >= 1
        assert campaign.failures == sum(campaign.pair_counts.values())
        assert campaign.curve[-1].executions == 1500 and campaign.curve[-1].classes == campaign.classes
        values = [(p.failures, p.distinct, p.classes, p.roots, p.coverage) for p in campaign.curve]
        assert all((np.diff(column) >= 0).all() for column in zip(*values, strict=True))
    assert len(result.failures) == result.classes == result.guided.classes


def test_every_failure_is_valid_and_fails_again(
    result: FuzzResult, model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = seeds
    validity, alone = ValidityModel.fit(x, model.bounds), 0
    for failure in result.failures:
        root = x[failure.source]
        assert y[failure.source] == failure.true and np.array_equal(root, failure.root_image)
        assert model.predict(root[None])[0] == failure.true
        recipe = Recipe.parse(failure.recipe)
        mutant, reference = failure.mutant, failure.reference
        if not {"crossover", "gradient"} & set(recipe.families):  # these need the other seeds and the model
            alone += 1
            again = rebuild(recipe, root, model.bounds)
            assert np.array_equal(again[0], mutant) and np.array_equal(again[1], reference)
        assert model.predict(mutant[None])[0] == failure.predicted != failure.true
        assert validity.level(mutant[None], reference[None], [recipe.steps])[0] == 2
        assert failure.validity == "V2"
    assert alone > len(result.failures) / 5


def test_minimised_failures_still_fail_and_shrink(
    result: FuzzResult, model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    x, _ = seeds
    validity = ValidityModel.fit(x, model.bounds)
    shorter = 0
    for failure in result.failures:
        recipe, small = Recipe.parse(failure.recipe), Recipe.parse(failure.minimised_recipe)
        assert model.predict(failure.minimised[None])[0] == failure.predicted
        level = validity.level(failure.minimised[None], failure.minimised_reference[None], [small.steps])
        assert level[0] == 2
        assert {(s.mutator, s.key) for s in small.steps} <= {(s.mutator, s.key) for s in recipe.steps}
        assert failure.families == small.families
        assert failure.key == f"{failure.pair}-{'+'.join(small.families)}"
        shorter += len(small.steps) < len(recipe.steps)
    assert shorter > len(result.failures) / 4
    assert np.median([len(Recipe.parse(f.minimised_recipe).steps) for f in result.failures]) <= 2


def test_the_same_seed_gives_the_same_result(
    result: FuzzResult, model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    again = Fuzzer(model, *seeds, config=SMALL).run(executions=1500, rng=0, jobs=2)
    assert [f.recipe for f in again.failures] == [f.recipe for f in result.failures]
    assert again.guided.class_counts == result.guided.class_counts
    assert again.baseline is not None and result.baseline is not None
    assert again.baseline.class_counts == result.baseline.class_counts
    assert again.baseline.pair_counts == result.baseline.pair_counts
    other = Fuzzer(model, *seeds, config=SMALL).run(executions=1500, rng=1)
    assert [f.recipe for f in other.failures] != [f.recipe for f in result.failures]


def test_two_campaigns_do_not_share_random_numbers(
    model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    alone = Fuzzer(model, *seeds, config=FuzzConfig(round=256, baseline=False)).run(executions=512)
    both = Fuzzer(model, *seeds, config=SMALL).run(executions=512)
    assert alone.baseline is None
    assert alone.guided.class_counts == both.guided.class_counts


@pytest.mark.parametrize("n", [1, 2])
def test_tiny_corpora_are_fuzzed_whole(
    n: int, model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = seeds
    right = np.flatnonzero(model.predict(x) == y)[:n]
    result = Fuzzer(model, x[right], y[right], config=SMALL).run(executions=400)
    assert result.roots == n and result.guided.executions == 400
    assert {point.executions for point in result.guided.curve} == {128, 384, 400}


def test_no_seed_is_refused(model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, y = seeds
    with pytest.raises(NothingEvaluated, match="got 0 of 0"):
        Fuzzer(model, x[:0], y[:0]).run(executions=10)
    wrong = np.flatnonzero(model.predict(x) != y)
    with pytest.raises(NothingEvaluated, match=f"got 0 of {len(wrong)}"):
        Fuzzer(model, x[wrong], y[wrong], corpus=tmp_path / "corpus").run(executions=10)
    assert not (tmp_path / "corpus").exists()


def test_misread_seeds_are_left_out_and_counted(
    model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = seeds
    result = Fuzzer(model, x, y, config=SMALL).run(executions=256)
    assert result.skipped == int((model.predict(x) != y).sum())
    assert all(model.predict(x[f.source][None])[0] == y[f.source] for f in result.failures)


def test_bad_arguments(model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = seeds
    with pytest.raises(InvalidArgument, match="integer labels"):
        Fuzzer(model, x, y[:-1])
    with pytest.raises(InvalidArgument, match="bounds"):
        Fuzzer(model, x * 3, y)
    with pytest.raises(InvalidArgument, match="executions"):
        Fuzzer(model, x, y).run(executions=0)
    with pytest.raises(InvalidArgument, match="seconds"):
        Fuzzer(model, x, y).run(seconds=-1)
    with pytest.raises(InvalidArgument, match="schedule 'nich'; did you mean niche"):
        FuzzConfig(schedule="nich")
    with pytest.raises(InvalidArgument, match="validity"):
        FuzzConfig(validity="V3")
    with pytest.raises(InvalidArgument, match="int at or above 0"):
        Fuzzer(model, x, y).run(executions=10, rng=-1)


def test_seconds_stop_the_run(model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]) -> None:
    result = Fuzzer(model, *seeds, config=SMALL).run(seconds=0.3)
    assert result.executions > 0 and 0.3 <= result.seconds < 10


def test_model_calls_are_linear_in_the_executions(
    model: ModuleModel, seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = seeds

    def queries(executions: int) -> int:
        before = model.counter.queries
        result = Fuzzer(model, x, y, config=FuzzConfig(batch=64, round=256)).run(executions=executions)
        assert result.baseline is not None
        triage = result.guided.triage_executions + result.baseline.triage_executions
        # One forward pass of each mutant, the seeds and the minimising; padding rounds batches up.
        assert model.counter.queries - before >= 2 * executions + triage + len(x)
        return model.counter.queries - before - 16 * (triage // 16 + 1)

    few, many = queries(512), queries(2048)
    assert many < 6 * few


def test_a_network_with_a_nan_path_is_found(seeds: tuple[np.ndarray, np.ndarray]) -> None:
    class RareNaN(nn.Module):
        """Takes the logarithm of a negative number once an image is brighter than any seed."""

        def __init__(self, inner: nn.Module, limit: float) -> None:
            super().__init__()
            self.inner, self.limit = inner, limit

        def forward(self, x: object) -> object:
            rare = (self.limit - x.mean(axis=(1, 2, 3))).log()  # type: ignore[attr-defined]
            return self.inner(x) + rare.reshape(-1, 1) * 0.0

    x, y = seeds
    plain = small_models.centroids(x, y)
    limit = float(x.mean(axis=(1, 2, 3)).max()) * 1.02
    planted = ModuleModel(RareNaN(plain.module, limit), input_shape=x.shape[1:], num_classes=10)
    result = Fuzzer(planted, x, y, config=SMALL).run(executions=3000)
    found = [failure for failure in result.failures if failure.oracle == "nonfinite"]
    assert found
    for failure in found:
        assert failure.predicted == -1 and failure.pair == f"nonfinite-{failure.true}-none"
        assert not np.isfinite(planted.logits(failure.mutant[None])).all()
        assert not np.isfinite(planted.logits(failure.minimised[None])).all()


def test_a_planted_trigger_is_found(seeds: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = seeds
    plain = small_models.centroids(x, y, sharpness=40.0)

    def with_trigger(images: np.ndarray) -> np.ndarray:
        """Calls everything a 3 whose corner is a little brighter than in any seed."""
        logits = plain.logits(np.clip(images, 0, 1).astype(np.float32))
        logits[images[:, 0, 0, 0] > x[:, 0, 0, 0].max() + 0.05, 3] += 1000
        return logits

    model = CallableModel(with_trigger, outputs="logits", input_shape=x.shape[1:], num_classes=10)
    result = Fuzzer(model, x, y, config=SMALL).run(executions=2000)
    hits = [f for f in result.failures if f.predicted == 3 and f.mutant[0, 0, 0] > x[:, 0, 0, 0].max() + 0.05]
    assert len({f.true for f in hits}) >= 5
    assert result.guided.coverage == {"kmnc": 0.0, "nbc": 0.0, "snac": 0.0}  # a black box has no neurons


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_colour_and_grey_in_any_bounds(
    channels: int, bounds: tuple[float, float], seeds: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = seeds
    low, high = bounds
    scaled = np.repeat(x, channels, axis=1) * np.float32(high - low) + np.float32(low)
    model = small_models.centroids(scaled, y, bounds=bounds, sharpness=4.0 / channels)
    assert (model.predict(scaled) == y).mean() > 0.85
    result = Fuzzer(model, scaled, y, config=SMALL).run(executions=600)
    assert result.guided.failures > 0 and result.guided.valid > 500
    for failure in result.failures:
        assert failure.mutant.min() >= low and failure.mutant.max() <= high
        assert failure.mutant.shape == (channels, 8, 8)


def test_units_are_those_of_the_bounds(seeds: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = seeds
    wide = small_models.centroids(x * 255, y, bounds=(0, 255))
    narrow = small_models.centroids(x, y)
    counts = [
        Fuzzer(m, data, y, config=SMALL).run(executions=1000).guided.failures
        for m, data in ((wide, x * np.float32(255)), (narrow, x))
    ]
    assert 0.6 < counts[0] / counts[1] < 1.7


def test_seeds_are_those_that_json_can_hold() -> None:
    x, y = small_models.digits(60)
    fuzzer = Fuzzer(small_models.centroids(x, y), x, y)
    drawn = [fuzzer.run(executions=1, rng=np.random.default_rng(i)).seed for i in range(4)]
    assert len(set(drawn)) == 4 and all(float(seed) == seed < 2**53 for seed in drawn)
    with pytest.raises(InvalidArgument, match=r"a seed below 2\*\*53"):
        fuzzer.run(executions=1, rng=2**53)
