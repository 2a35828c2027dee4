"""Attacks on signals (t,) and (c, t): budgets in decibels, closed forms on tone detectors, a 1-D network."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np
import pytest

from armour import attacks
from armour.distances import snr, snr_epsilon
from armour.errors import InvalidArgument
from armour.model import ModuleModel
from armour.tensor import nn

T = 64
TIME = np.arange(T) / T


def tones(n: int, seed: int = 0) -> np.ndarray:
    """(n, T) a low and a high tone of random strengths and phases, within (-1, 1)."""
    rng = np.random.default_rng(seed)
    phase, strength = rng.uniform(0, 2 * np.pi, (2, n, 1)), rng.uniform(0.1, 0.4, (2, n, 1))
    low, high = (
        a * np.sin(2 * np.pi * f * TIME + p) for a, f, p in zip(strength, (3, 11), phase, strict=True)
    )
    return (low + high).astype(np.float32)


def detector(shape: tuple[int, ...]) -> linear.LinearModel:
    """Whether a template is in the signal: linear, so that the smallest perturbation is known."""
    template = np.sin(2 * np.pi * 3 * TIME)
    return linear.LinearModel(
        np.stack([template, -template], axis=1), np.zeros(2), input_shape=shape, bounds=(-1, 1)
    )


def network(channels: int) -> ModuleModel:
    rng = np.random.default_rng(2)
    module = nn.Sequential(
        nn.Conv1d(channels, 8, 9, stride=2, rng=rng),
        nn.ReLU(),
        nn.Conv1d(8, 8, 5, stride=2, rng=rng),
        nn.ReLU(),
        nn.GlobalAvgPool1d(),
        nn.Flatten(),
        nn.Linear(8, 3, rng=rng),
    )
    return ModuleModel(module, input_shape=(channels, T), num_classes=3, bounds=(-1, 1))


def test_decibels_and_budgets_are_two_ways_to_say_the_same() -> None:
    x = tones(5)
    epsilon = snr_epsilon(x, 20)
    np.testing.assert_allclose(epsilon, np.linalg.norm(x, axis=1) / 10, rtol=1e-6)
    noise = np.random.default_rng(0).normal(size=x.shape)
    noise *= (epsilon / np.linalg.norm(noise, axis=1))[:, None]
    np.testing.assert_allclose(snr(x.astype(float), x + noise), 20, rtol=1e-9)
    # By powers: a hundredth of the signal's.
    np.testing.assert_allclose(10 * np.log10((x**2).mean(axis=1) / (noise**2).mean(axis=1)), 20, rtol=1e-5)
    assert np.isposinf(snr(x, x)).all()
    assert np.isneginf(snr(np.zeros((1, 4)), np.ones((1, 4)))).all()
    for wrong in (float("nan"), "loud", None):
        with pytest.raises(InvalidArgument, match="decibels"):
            snr_epsilon(x, wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(T,), (1, T), (2, T // 2)])
def test_the_loudest_noise_that_does_not_break_a_detector(shape: tuple[int, ...]) -> None:
    model = detector(shape)
    x = tones(6, seed=1).reshape(6, *shape)
    y = model.predict(x)
    smallest = linear.margin(model, x, y) / np.linalg.norm(linear.slope(model, y), axis=1)
    ratio = 20 * np.log10(np.linalg.norm(x.reshape(6, -1), axis=1) / smallest)
    for i in range(3):
        budgets = [float(snr_epsilon(x[i : i + 1], ratio[i] + change)[0]) for change in (0.2, -0.2)]
        result = attacks.PGD(norm="l2").attack(model, x[i : i + 1], y[i : i + 1], budgets)
        assert result.success[:, 0].tolist() == [False, True]
        found = attacks.DeepFool(norm="l2").attack(model, x[i : i + 1], y[i : i + 1])
        assert snr(x[i : i + 1], found.adv[0])[0] == pytest.approx(ratio[i], abs=0.5)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    "attack",
    [
        attacks.PGD(norm="l2"),
        attacks.NES(norm="l2", queries=300),
        attacks.SPSA(norm="l2", queries=300),
        attacks.Bandits(norm="l2", queries=300, tile=2),
        attacks.ZOO(norm="l2", queries=300),
        attacks.SimBA(norm="l2", basis="dct", queries=300),
        attacks.Genetic(norm="l2", queries=300),
        attacks.PSO(norm="l2", queries=300),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_a_network_of_signals_is_attacked_within_its_decibels(attack: Any, channels: int) -> None:
    net = network(channels)
    x = np.stack([tones(12, seed) for seed in range(channels)], axis=1)
    # So that every class occurs.
    state = net.module.state_dict()
    state["6.bias"] = state["6.bias"] - net.logits(x).mean(axis=0)
    net.module.load_state_dict(state)
    y = net.predict(x)
    epsilon = float(snr_epsilon(x, 6).min())
    result = attack.attack(net, x, y, epsilon)
    assert (snr(x, result.adv[0]) >= 6 - 1e-4).all() and np.abs(result.adv).max() <= 1
    assert result.success.mean() > 0.2
