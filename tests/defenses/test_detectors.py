"""Detectors: rates against closed forms, scores against float64 references, gradients against differences,
and what an attack that knows them leaves."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import small_models
import trained
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from scipy.stats import mannwhitneyu

from armour.defenses import (
    DEFENSES,
    Detector,
    EnsembleDetector,
    FeatureSqueezing,
    KernelDensity,
    MagNet,
    Mahalanobis,
    RegionBased,
    detection,
)
from armour.defenses.comparing import jensen_shannon
from armour.defenses.detector import Watched
from armour.defenses.features import LID
from armour.defenses.roc import auc, threshold
from armour.errors import InvalidArgument, NothingEvaluated, UnsupportedError
from armour.model import CallableModel, ModuleModel
from armour.tensor import Tensor, nn

DETECTORS = {
    name: kind for name, kind in DEFENSES.items() if isinstance(kind, type) and issubclass(kind, Detector)
}
SHORT: dict[str, dict[str, Any]] = {"detect-lid": {"k": 8}, "detect-magnet": {"epochs": 3, "hidden": 16}}
SHORT["detect-ensemble"] = {"detectors": (MagNet(epochs=3, hidden=16), Mahalanobis())}


def made(name: str) -> Detector:
    detector: Detector = DETECTORS[name](**SHORT.get(name, {}))
    return detector


@lru_cache(maxsize=1)
def scene() -> tuple[ModuleModel, np.ndarray]:
    x, y = small_models.digits(200)
    return small_models.centroids(x, y), x


# -- rates --------------------------------------------------------------------------------------------------


def test_auc_by_hand() -> None:
    found = auc([1, 2, 3], [2, 4])
    assert found.value == pytest.approx(4.5 / 6)  # pairs: 1 < 2, 1 < 4, 2 = 2 half, 2 < 4, 3 < 4
    # DeLong: variances of the shares of the other group that each beats, divided by their numbers.
    spread = np.var([0.5, 1], ddof=1) / 2 + np.var([1, 0.75, 0.5], ddof=1) / 3
    assert found.low == pytest.approx(found.value - 1.959964 * math.sqrt(spread), abs=1e-6)
    assert found.high == 1


def test_auc_is_mann_whitneys_u() -> None:
    rng = np.random.default_rng(0)
    clean, suspect = rng.integers(0, 9, 40).astype(float), rng.integers(3, 12, 30).astype(float)
    u = mannwhitneyu(suspect, clean).statistic
    found = auc(clean, suspect)
    assert found.value == pytest.approx(u / (40 * 30))
    assert auc(-clean, -suspect).value == pytest.approx(1 - found.value)
    assert found.low < found.value < found.high


def test_aucs_interval_covers() -> None:
    """Two normals a deviation apart have an AUC of Phi(1 / sqrt 2)."""
    rng, true = np.random.default_rng(1), 0.5 * (1 + math.erf(0.5))
    found = [auc(rng.normal(size=40), rng.normal(1, 1, 50)) for _ in range(400)]
    covered = np.mean([low <= true <= high for _, low, high in found])
    assert 0.91 < covered < 0.98


def test_complete_separation_is_no_certainty() -> None:
    value, low, high = auc(np.zeros(20), np.ones(30))
    assert (value, high) == (1, 1) and low == pytest.approx(0.05 ** (1 / 20))
    assert auc(np.ones(20), np.zeros(30)).low == 0
    with pytest.raises(InvalidArgument, match="finite scores"):
        auc([], [1.0])


@pytest.mark.parametrize(("rate", "limit"), [(0, 10), (0.1, 9), (0.25, 8), (0.3, 7), (1, 1)])
def test_thresholds(rate: float, limit: float) -> None:
    scores = np.arange(1, 11)[::-1]
    assert threshold(scores, rate) == limit
    assert (scores > limit).mean() <= rate


# -- every one of them --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DETECTORS)
def test_scores_are_each_samples_own(name: str) -> None:
    model, x = scene()
    fitted = made(name).fit(model, x[:120], rng=1)
    whole = fitted.score(x[120:160])
    assert whole.dtype == np.float64 and whole.shape == (40,) and np.isfinite(whole).all()
    again = made(name).fit(model, x[:120], rng=1)
    np.testing.assert_allclose(again.score(x[[159, 130]]), whole[[39, 10]], rtol=1e-5, atol=1e-9)
    assert fitted.score(x[:0]).shape == (0,)
    limit = fitted.threshold(x[120:160], 0.1)
    assert (whole > limit).sum() <= 4
    with pytest.raises(InvalidArgument, match="at least 2 clean inputs"):
        made(name).fit(model, x[:1])


@pytest.mark.parametrize("name", DETECTORS)
def test_gradients_of_scores(name: str) -> None:
    model, x = scene()
    detector = made(name)
    if isinstance(detector, FeatureSqueezing):  # the identity stands in for fewer levels
        detector = replace(detector, bits=16)
    fitted = detector.fit(model, x[:120], rng=1)
    noise = np.random.default_rng(2).uniform(-0.08, 0.08, x[120:126].shape)  # no ties in the filter
    at = np.clip(x[120:126], 0.1, 0.9) + noise.astype(np.float32)
    score, gradient = fitted.pull(at)
    np.testing.assert_allclose(score, fitted.score(at), rtol=1e-5, atol=1e-7)
    along = np.random.default_rng(0).normal(size=at.shape).astype(np.float32)
    slopes = (gradient * along).reshape(6, -1).sum(axis=1)
    step = 5e-4
    differences = (fitted.score(at + step * along) - fitted.score(at - step * along)) / (2 * step)
    close = np.abs(differences - slopes) < 0.05 * np.abs(slopes) + 0.01 * np.abs(slopes).max()
    assert close.sum() >= 5, (differences, slopes)  # a kink may lie between the two


def test_watched_models_go_back_through_both() -> None:
    model, x = scene()
    fitted = made("detect-mahalanobis").fit(model, x[:120])
    watched = Watched(fitted, 10, centre=2.0, scale=4.0)
    answers = watched.logits(x[:5])
    np.testing.assert_allclose(answers[:, :-1], model.logits(x[:5]), rtol=1e-5)
    np.testing.assert_allclose(answers[:, -1], (fitted.score(x[:5]) - 2) / 4, rtol=1e-5)
    value, gradient, _ = watched.gradient(x[:5], lambda a: a[:, 3] - 0.5 * a[:, -1])
    apart = model.gradient(x[:5], lambda z: z[:, 3])[1] - 0.125 * fitted.pull(x[:5])[1]
    np.testing.assert_allclose(gradient, apart, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(value, answers[:, 3] - 0.5 * answers[:, -1], rtol=1e-5)


# -- one by one ---------------------------------------------------------------------------------------------


def features_model(d: int) -> ModuleModel:
    """Features are the inputs themselves; the answer is the larger of the first two."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(d, 2, rng=np.random.default_rng(0)))
    net.load_state_dict({"1.weight": np.eye(2, d, dtype=np.float32), "1.bias": np.zeros(2, np.float32)})
    return ModuleModel(net, bounds=(-50, 50), input_shape=(d,), num_classes=2)


def test_mahalanobis_is_the_float64_reference() -> None:
    rng = np.random.default_rng(3)
    x = (rng.normal(size=(300, 4)) @ rng.normal(size=(4, 4))).astype(np.float32)
    model, new = features_model(4), rng.normal(size=(20, 4)).astype(np.float32)
    found = Mahalanobis(ridge=1e-9).fit(model, x).score(new)
    labels, f = model.predict(x), x.astype(np.float64)
    means = np.stack([f[labels == c].mean(axis=0) for c in range(2)])
    covariance = np.cov((f - means[labels]).T, bias=True)
    expected = cdist(new.astype(np.float64), means, "mahalanobis", VI=np.linalg.inv(covariance)) ** 2
    np.testing.assert_allclose(found, expected.min(axis=1), rtol=1e-6)


def test_kernel_density_is_the_float64_reference() -> None:
    rng = np.random.default_rng(4)
    x, new = (rng.normal(size=(n, 3)).astype(np.float32) for n in (100, 15))
    model = features_model(3)
    found = KernelDensity(bandwidth=2.0).fit(model, x).score(new)
    labels, answers = model.predict(x), model.predict(new)
    apart = cdist(x.astype(float), x) ** 2
    apart[(labels[:, None] != labels) | np.eye(100, dtype=bool)] = np.inf
    width = 4 * np.median(apart.min(axis=1))
    squares = cdist(new.astype(float), x.astype(float)) ** 2
    for row, answer, value in zip(squares, answers, found, strict=True):
        own = row[labels == answer]
        assert value == pytest.approx(math.log(len(own)) - logsumexp(-own / width), rel=1e-6)


@pytest.mark.parametrize("dimension", [2, 5])
def test_lid_is_the_dimension_of_the_data(dimension: int) -> None:
    """Uniform data in a cube of that dimension, in a space of 8."""
    rng = np.random.default_rng(5)
    model = features_model(8)
    x = np.zeros((4000, 8), np.float32)
    x[:, :dimension] = rng.uniform(-1, 1, (4000, dimension))
    new = np.zeros((200, 8), np.float32)
    new[:, :dimension] = rng.uniform(-0.5, 0.5, (200, dimension))
    found = LID(k=50, most=4000).fit(model, x).score(new)
    near = np.sort(cdist(new.astype(float), x.astype(float)), axis=1)[:, :50]
    np.testing.assert_allclose(found, -1 / np.log(near / near[:, -1:]).mean(axis=1), rtol=1e-4)
    assert np.mean(found) == pytest.approx(dimension, rel=0.12)


def test_squeezing_of_two_levels_by_hand() -> None:
    net = nn.Sequential(nn.Linear(2, 2, rng=np.random.default_rng(0)))
    net.load_state_dict({"0.weight": np.eye(2, dtype=np.float32) * 3, "0.bias": np.zeros(2, np.float32)})
    model = ModuleModel(net, input_shape=(2,), num_classes=2)
    x = np.array([[0.2, 0.9], [1.0, 0.0], [0.4, 0.45]], np.float32)
    found = FeatureSqueezing(bits=1).fit(model, x).score(x)
    expected = np.abs(softmax(3 * x, axis=1) - softmax(3 * np.rint(x), axis=1)).sum(axis=1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_region_of_no_size_is_ones_own_doubt_and_a_large_one_reaches_the_other_side() -> None:
    model, x = features_model(2), np.array([[0.1, 0.0], [3.0, -3.0]], np.float32)
    own = softmax(model.logits(x), axis=1).max(axis=1)
    none = RegionBased(radius=1e-7).fit(model, x).score(x)
    np.testing.assert_allclose(none, 1 - own, atol=1e-4)
    wide = RegionBased(radius=0.01, draws=2000).fit(model, x).score(x)  # a radius of 1 in bounds of 100
    grid = np.linspace(-1, 1, 401)
    for row, value in zip(x, wide, strict=True):
        gap = (row[0] - row[1]) + grid[:, None] - grid[None]
        assert value == pytest.approx(float(np.mean(1 / (1 + np.exp(gap)))), abs=0.02)


def test_an_ensemble_is_as_suspicious_as_the_most_suspicious() -> None:
    model, x = scene()
    one, two = Mahalanobis(), FeatureSqueezing()
    both = EnsembleDetector(detectors=(one, two)).fit(model, x[:120]).score(x[120:150])
    parts = []
    for detector in (one, two):
        fitted = detector.fit(model, x[:120])
        clean, score = fitted.score(x[:120]), fitted.score(x[120:150])
        parts.append((score - np.median(clean)) / (np.quantile(clean, 0.95) - np.median(clean)))
    np.testing.assert_allclose(both, np.maximum(*parts), rtol=1e-6, atol=1e-7)
    with pytest.raises(InvalidArgument, match="at least one"):
        EnsembleDetector(detectors=())


def test_jensen_shannon_of_certain_opposites_is_log_two() -> None:
    one, other = np.array([[50.0, 0.0]]), np.array([[0.0, 50.0]])
    assert jensen_shannon(Tensor(one), other).numpy() == pytest.approx(math.log(2))
    assert jensen_shannon(Tensor(one), one).numpy() == pytest.approx(0)


def test_what_cannot_be_looked_into_is_refused() -> None:
    black = CallableModel(lambda x: x.reshape(len(x), -1)[:, :3], input_shape=(1, 8, 8), num_classes=3)
    x = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)
    with pytest.raises(UnsupportedError, match="looks at layers"):
        Mahalanobis().fit(black, x)
    assert FeatureSqueezing().fit(black, x).score(x).shape == (5,)
    with pytest.raises(InvalidArgument, match="unknown layer"):
        Mahalanobis(layer="fc").fit(scene()[0], x)
    with pytest.raises(InvalidArgument, match="at least k=20"):
        LID().fit(scene()[0], x)


# -- what they are worth ------------------------------------------------------------------------------------


@pytest.mark.parametrize("detector", [FeatureSqueezing(), MagNet(epochs=15)], ids=["squeezing", "magnet"])
def test_an_attack_that_knows_the_detector_lowers_its_auc(detector: Detector) -> None:
    train, test = trained.digits()
    model = trained.network("mlp")
    result = detection(
        detector, model, train.x[:400], test.x[:50], test.y[:50], epsilon=0.15, steps=12, weights=(0.1, 1, 10)
    )
    static, adaptive = result.static, result.adaptive
    assert adaptive.auc.high < static.auc.low - 0.05, str(result)
    assert result.label == "broken" and result.evidence.label == "broken"
    assert adaptive.evading > static.evading or static.evading > 0.9
    assert adaptive.n >= static.n and result.samples <= 50
    assert 0 <= result.fpr_interval.low <= result.fpr <= result.fpr_interval.high
    text = str(result)
    assert "static" in text and "adaptive" in text and "broken" in text and "http" in text


def test_nothing_to_detect_is_no_result() -> None:
    model, x = scene()
    y = model.predict(x)
    with pytest.raises(NothingEvaluated, match="no wrong label"):
        detection(FeatureSqueezing(), model, x[:100], x[100:110], y[100:110], epsilon=1e-4, steps=2)
    with pytest.raises(NothingEvaluated, match="rightly"):
        detection(FeatureSqueezing(), model, x[:100], x[:9], (y[:9] + 1) % 10, epsilon=0.1, steps=2)
