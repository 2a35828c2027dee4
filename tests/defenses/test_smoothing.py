"""Randomised smoothing against closed forms, SciPy, and an attack that knows it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
from scipy import stats as reference

from armour import attacks, data, stats, training
from armour.defenses import DEFENSES, RandomizedSmoothing, SmoothedModel, gaussian_noise
from armour.defenses.smoothing import _PREDICT, _Progress, lower_bound, radius_of, two_sided
from armour.errors import InvalidArgument, UnsupportedError
from armour.events import Event
from armour.model import CallableModel, ModuleModel
from armour.rng import by_content, generator, per_item
from armour.tensor import nn

SIGMA = 0.5
NORMAL = np.array([0.6, -0.8])  # of length 1, so that a logit is a distance


def plane(**options: object) -> CallableModel:
    """Class 1 where NORMAL @ x > 0: the smoothed class is the same and its true radius the distance."""

    def logits(x: np.ndarray) -> np.ndarray:
        distance = x[:, 0].astype(np.float64) * NORMAL[0] + x[:, 1].astype(np.float64) * NORMAL[1]
        return np.stack([-distance, distance], axis=1)

    settings: dict[str, object] = {
        "bounds": (-2, 2),
        "input_shape": (2,),
        "num_classes": 2,
        "outputs": "logits",
    }
    return CallableModel(logits, **{**settings, **options})  # type: ignore[arg-type]


def points(n: int, reach: float = 1.0) -> np.ndarray:
    return np.random.default_rng(5).uniform(-reach, reach, (n, 2)).astype(np.float32)


@pytest.mark.parametrize(("n", "largest"), [(100_000, 3.8115), (1000, 2.4633), (100, 1.5005)])
def test_largest_radii(n: int, largest: float) -> None:
    always = CallableModel(
        lambda x: np.tile([0.0, 1.0], (len(x), 1)), input_shape=(2,), num_classes=2, outputs="logits"
    )
    found = RandomizedSmoothing(always, sigma=SIGMA).certify(np.full((1, 2), 0.5, np.float32), n=n, rng=0)
    assert found.prediction.tolist() == [1]
    assert found.counts.tolist() == [[0, n]]
    assert abs(found.radius[0] / SIGMA - largest) < 1e-4
    assert abs(found.radius[0] / SIGMA - reference.norm.ppf(0.001 ** (1 / n))) < 1e-9


@pytest.mark.parametrize("n", [1, 100, 1000, 100_000])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_bounds_and_radii_are_scipys(n: int, alpha: float) -> None:
    counts = np.unique(np.linspace(0, n, 300).astype(np.int64))
    p = reference.beta.ppf(alpha, counts, n - counts + 1)
    p[counts == 0] = 0.0
    found = lower_bound(counts, n, alpha)
    np.testing.assert_allclose(found, p, rtol=1e-11, atol=0)
    sure = p > 0.5
    radii = 0.25 * reference.norm.ppf(p[sure])
    np.testing.assert_allclose(radius_of(found[sure], 0.25), radii, rtol=0, atol=1e-9)


def test_p_values_are_scipys() -> None:
    pairs = [(a, b) for a in range(0, 40, 3) for b in range(0, 40, 3) if a + b]
    found = two_sided(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    expected = [reference.binomtest(a, a + b).pvalue for a, b in pairs]
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_a_radius_is_too_large_no_more_often_than_alpha() -> None:
    runs, n, alpha, distance = 3000, 200, 0.05, 0.6
    x = np.tile((distance * NORMAL).astype(np.float32), (runs, 1))
    found = RandomizedSmoothing(plane(), SIGMA).certify(
        x, n=n, n0=20, alpha=alpha, rng=per_item(generator(3), runs)
    )
    wrong = int((found.radius > distance).sum())
    # In closed form: a count so large that its bound is above the true probability.
    p = reference.norm.cdf(distance / SIGMA)
    counts = np.arange(n + 1)
    too_large = counts[lower_bound(counts, n, alpha) > p].min()
    expected = float(reference.binom.sf(too_large - 1, n, p))
    assert 0.01 < expected <= alpha
    low, high = stats.clopper_pearson(wrong, runs, 0.999)
    assert low <= expected <= high, (wrong, expected)
    assert (found.prediction == 1).mean() > 0.99


def test_counts_follow_the_closed_form() -> None:
    x = points(12)
    distance = x.astype(np.float64) @ NORMAL
    found = RandomizedSmoothing(plane(), SIGMA).certify(x, n=20_000, rng=1)
    ends = [stats.clopper_pearson(int(k), 20_000, 0.9999) for k in found.counts[:, 1]]
    assert all(
        low <= p <= high for (low, high), p in zip(ends, reference.norm.cdf(distance / SIGMA), strict=True)
    )
    assert (found.radius <= np.abs(distance)).all()
    clear = np.abs(distance) > 0.1
    assert (found.radius[clear] > 0.8 * np.abs(distance[clear])).all()
    assert found.certified((distance > 0).astype(int), 0.05)[clear].all()
    assert not found.certified((distance < 0).astype(int), 0.0).any()


def test_it_abstains_on_the_boundary() -> None:
    smoothing = RandomizedSmoothing(plane(), SIGMA)
    x = np.zeros((3, 2), np.float32)
    found = smoothing.certify(x, n=1000, rng=per_item(generator(0), 3))
    assert found.prediction.tolist() == [-1] * 3
    assert found.radius.tolist() == [0.0] * 3
    assert not found.certified(np.full(3, -1), 0.0).any()
    assert smoothing.predict(x, n=1000, rng=per_item(generator(0), 3)).prediction.tolist() == [-1] * 3


def test_neither_batch_nor_order_nor_company_matters() -> None:
    x = points(9, 0.3)
    smoothing = RandomizedSmoothing(plane(), SIGMA)
    whole = smoothing.certify(x, n=330, n0=30, rng=7)
    order = np.random.default_rng(0).permutation(len(x))
    mixed = RandomizedSmoothing(plane(batch_size=7), SIGMA).certify(x[order], n=330, n0=30, rng=7)
    np.testing.assert_array_equal(mixed.counts, whole.counts[order])
    np.testing.assert_array_equal(mixed.radius, whole.radius[order])
    alone = smoothing.certify(x[4:5], n=330, n0=30, rng=np.random.default_rng(7))
    np.testing.assert_array_equal(alone.counts[0], whole.counts[4])
    assert (smoothing.certify(x, n=330, n0=30, rng=8).counts != whole.counts).any()
    assert (whole.counts.sum(axis=1) == 330).all()


def test_predictions_stop_early_without_another_outcome() -> None:
    x, n, alpha = points(60, 0.35), 400, 0.01
    smoothing = RandomizedSmoothing(plane(), SIGMA)
    found = smoothing.predict(x, n=n, alpha=alpha, rng=2)
    streams = by_content(generator(2), x).child(_PREDICT)
    full, _ = smoothing._counts(x, streams, n, _Progress("count", 0, None))
    p = np.array([reference.binomtest(int(row.max()), int(row.sum())).pvalue for row in full])
    expected = np.where(p <= alpha, full.argmax(axis=1), -1)
    np.testing.assert_array_equal(found.prediction, expected)
    assert {-1, 0, 1} == set(expected.tolist())
    assert (found.draws < n).any()
    np.testing.assert_array_equal(found.counts.sum(axis=1), found.draws)


def test_predictions_are_wrong_no_more_often_than_alpha() -> None:
    runs, alpha = 3000, 0.1
    x = np.tile((0.02 * NORMAL).astype(np.float32), (runs, 1))
    found = RandomizedSmoothing(plane(), SIGMA).predict(
        x, n=100, alpha=alpha, rng=per_item(generator(1), runs)
    )
    wrong = int((found.prediction == 0).sum())
    assert 0 < stats.clopper_pearson(wrong, runs, 0.999).low <= alpha
    assert stats.clopper_pearson(wrong, runs, 0.999).high < alpha


def test_noise_is_not_clipped_and_inputs_are_checked() -> None:
    seen: list[tuple[float, float]] = []

    def labels(x: np.ndarray) -> np.ndarray:
        seen.append((float(x.min()), float(x.max())))
        return (x[:, 0] > 0.5).astype(np.int64)

    model = CallableModel(labels, input_shape=(2,), num_classes=2, outputs="labels")
    smoothing = RandomizedSmoothing(model, sigma=1.0)
    smoothing.certify(np.full((1, 2), 0.9, np.float32), n=200, rng=0)
    assert min(low for low, _ in seen) < -1
    assert max(high for _, high in seen) > 2
    assert model.counter.queries == 300
    with pytest.raises(InvalidArgument, match="inside the model's bounds"):
        smoothing.certify(np.full((1, 2), 1.5, np.float32), n=10)


def test_answers_that_are_not_finite_count_for_no_class() -> None:
    def broken(x: np.ndarray) -> np.ndarray:
        out = np.tile([0.0, -np.inf], (len(x), 1))
        out[x[:, 0] > 0.5] = np.nan
        return out

    model = CallableModel(broken, input_shape=(2,), num_classes=2, outputs="logits")
    found = RandomizedSmoothing(model, 0.1).certify(np.array([[0.9, 0.5], [0.1, 0.5]], np.float32), n=500)
    assert found.prediction.tolist() == [-1, 0]
    assert found.counts[0].sum() < 5
    assert found.counts[1].sum() > 495


def test_an_interruption_keeps_what_is_finished() -> None:
    x = points(5)
    smoothing = RandomizedSmoothing(plane(), SIGMA)
    n = 6000
    whole = smoothing.certify(np.tile(x, (2000, 1))[:9000], n=2, n0=1, rng=0)
    events: list[Event] = []

    def stop(event: Event) -> None:
        events.append(event)
        if event.done > 8000 * 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        smoothing.certify(np.tile(x, (2000, 1))[:9000], n=2, n0=1, rng=0, on_event=stop)
    partial = caught.value.partial  # type: ignore[attr-defined]
    assert 0 < len(partial) < 9000
    np.testing.assert_array_equal(partial.counts, whole.counts[: len(partial)])
    assert events[-1].total == 9000 * 3
    full: list[Event] = []
    smoothing.predict(x, n=n, rng=0, on_event=full.append)
    assert full[-1].done == full[-1].total == 5 * n


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan")])
def test_wrong_settings_are_refused(sigma: float) -> None:
    with pytest.raises(InvalidArgument, match="number above 0"):
        RandomizedSmoothing(plane(), sigma)
    smoothing = RandomizedSmoothing(plane(), 1.0)
    for bad in ({"n": 0}, {"n0": 0}, {"alpha": 0.0}, {"alpha": 1.0}):
        with pytest.raises(InvalidArgument):
            smoothing.certify(points(1), **bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="one per sample"):
        smoothing.predict(points(2), rng=per_item(generator(0), 3))


def test_no_samples_and_no_classifier() -> None:
    none = RandomizedSmoothing(plane(), 1.0).certify(np.zeros((0, 2), np.float32), n=10)
    assert len(none) == 0
    assert none.counts.shape == (0, 2)
    shaped = CallableModel(lambda x: x, input_shape=(2,), output_shape=(2,))
    with pytest.raises(UnsupportedError, match="not classes"):
        RandomizedSmoothing(shaped, 1.0).certify(np.full((1, 2), 0.5, np.float32), n=10)


@lru_cache(maxsize=1)
def noisy_network() -> tuple[ModuleModel, data.Dataset]:
    """An MLP on scikit-learn's digits, trained under noise of deviation SIGMA."""
    train, test = data.load_split("digits")
    rng = generator(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 64, rng=rng), nn.ReLU(), nn.Linear(64, 10, rng=rng))
    fitting, validation = data.split_dataset(train, 0.1, rng)
    config = training.TrainConfig(epochs=12, shift=0)
    for _ in training.fit(module, fitting, validation, config, rng, transform=gaussian_noise(SIGMA)):
        pass
    return ModuleModel(module, input_shape=test.x.shape[1:], num_classes=10), test


@pytest.mark.parametrize("radius", [0.25, 0.5, 1.0, 1.5])
def test_certified_never_above_attacked_accuracy(radius: float) -> None:
    model, test = noisy_network()
    x, y = test.x[:40], test.y[:40]
    smoothing = RandomizedSmoothing(model, SIGMA)
    held = smoothing.certify(x, n=1500, rng=0).certified(y, radius)
    climbed = attacks.PGD(norm="l2", steps=15, step_size=0.25).attack(
        SmoothedModel(smoothing, draws=16), x, y, [radius], rng=0
    )
    said = smoothing.predict(climbed.adv[0], n=1500, rng=1).prediction
    broken = (said != y) & (said >= 0)
    assert not (held & broken).any(), np.flatnonzero(held & broken)
    assert held.mean() <= 1 - broken.mean()
    assert held.any() or radius > 0.5
    assert broken.any() or radius < 1, "the attack must break something at large radii"


def test_the_smoothed_models_gradient_is_that_of_its_loss() -> None:
    model, test = noisy_network()
    smoothed = SmoothedModel(RandomizedSmoothing(model, 0.3), draws=8, rng=1)
    x, y = np.clip(test.x[:4], 0.05, 0.95), test.y[:4]
    value, gradient = smoothed.loss_gradient(x, y)
    direction = np.random.default_rng(0).normal(size=x.shape).astype(np.float32)
    step = np.float32(2e-3)
    up, down = (smoothed.loss_gradient(x + s * step * direction, y)[0] for s in (1, -1))
    slope = (gradient * direction).reshape(4, -1).sum(axis=1)
    np.testing.assert_allclose((up - down) / (2 * step), slope, rtol=0.05, atol=2e-3)
    alone = [smoothed.loss_gradient(x[i : i + 1], y[i : i + 1])[0][0] for i in range(4)]
    np.testing.assert_allclose(value, alone, rtol=1e-5)
    assert smoothed.can_grad
    blind = SmoothedModel(RandomizedSmoothing(plane(), 0.3))
    assert not blind.can_grad
    with pytest.raises(UnsupportedError, match="black box"):
        blind.loss_gradient(points(1), np.zeros(1, np.int64))


def test_the_smoothed_model_agrees_with_the_smoothed_classifier() -> None:
    model, test = noisy_network()
    smoothing = RandomizedSmoothing(model, 0.2)
    said = smoothing.predict(test.x[:80], n=500).prediction
    sure = said >= 0
    soft = SmoothedModel(smoothing, draws=64).predict(test.x[:80])
    assert (soft[sure] == said[sure]).mean() > 0.95


def test_noise_for_training() -> None:
    x = np.full((4, 1, 50, 50), 0.9, np.float32)
    transform = gaussian_noise(0.25)
    out = transform(x, np.zeros(4, np.int64), np.random.default_rng(0))
    assert out.dtype == np.float32
    assert out.max() > 1
    assert abs((out - x).std() - 0.25) < 0.01
    np.testing.assert_array_equal(out, transform(x, np.zeros(4, np.int64), np.random.default_rng(0)))
    with pytest.raises(InvalidArgument):
        gaussian_noise(0)


def test_it_is_registered_as_certified() -> None:
    assert DEFENSES.get("Randomized_Smoothing") is RandomizedSmoothing
    assert RandomizedSmoothing.evidence.label == "certified"
