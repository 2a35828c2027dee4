"""MART, AWP, Free, GradAlign, mixed batches, transforms and ensembles by their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import training_scene as scene
from scipy.special import log_softmax, softmax
from training_scene import cross_entropy, kl, of

from armour.defenses.training import AWP, MART, TRADES, Ensemble, Free, GradAlign, PGDTraining, WorstOfK
from armour.errors import InvalidArgument


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_mart(weight: float) -> None:
    losses, clean, adv, y = of(MART(weight=weight, steps=3))
    rows = np.arange(len(y))
    p, q = softmax(adv, axis=1), softmax(clean, axis=1)
    others = p.copy()
    others[rows, y] = -1
    wanted = -np.log(p[rows, y]) - np.log1p(-others.max(axis=1))
    wanted += weight * kl(clean, adv) * (1 - q[rows, y])
    np.testing.assert_allclose(losses, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inner", [PGDTraining(steps=2), TRADES(steps=2)], ids=["pgd", "trades"])
def test_awp_moves_each_weight_by_gamma_of_its_length_up_the_loss_and_back(inner: Any) -> None:
    awp = AWP(inner=inner, gamma=0.01)
    net = scene.network(awp, scene.smooth())
    given = scene.batch()
    with net.evaluating():
        adv = given.mixed(awp.craft(net, given))
    arrays = awp.inputs(given, adv)
    first = net.gradients(*arrays)
    low = first.losses.mean()
    slopes = {k: v.copy() for k, v in first.parameters.items()}
    moved = awp.worse(net, slopes)
    assert set(moved) == {"1.weight", "3.weight"}, "biases stay"
    before = net.module.state_dict()
    for name, by in moved.items():
        length = np.linalg.norm(before[name])
        assert np.linalg.norm(by) == pytest.approx(0.01 * length, rel=1e-5)
        cosine = (by * slopes[name]).sum() / (np.linalg.norm(by) * np.linalg.norm(slopes[name]))
        assert cosine == pytest.approx(1, rel=1e-5)
    net.module.load_state_dict({k: v + moved.get(k, 0) for k, v in before.items()})
    there = net.gradients(*arrays)
    assert there.losses.mean() > low
    wanted = {k: v.copy() for k, v in there.parameters.items()}
    net.module.load_state_dict(before)
    (update,) = awp.updates(net, scene.batch())
    for name, gradient in update.parameters.items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=1e-4, atol=1e-6)
    after = net.module.state_dict()
    assert all(np.array_equal(before[k], after[k]) for k in before), "weights are put back to the bit"


def test_awp_takes_no_objective_with_updates_of_its_own() -> None:
    for inner in ("free", "awp", "nothing", "input"):
        with pytest.raises(InvalidArgument):
            AWP(inner=inner)


def test_free_replays_a_batch_and_moves_inputs_by_the_same_backward_pass() -> None:
    free = Free(replays=4)
    net = scene.network(free, scene.smooth())
    given = scene.batch(12, epsilon=0.1)
    adv, seen = given.x, []
    for update in free.updates(net, given):
        slope = np.array(update.input)
        losses, _, alone = net.gradients(adv, given.y)
        np.testing.assert_allclose(slope, alone, rtol=1e-3, atol=1e-7)
        seen.append(float(losses.mean()))
        adv = np.clip(adv + np.float32(0.1) * np.sign(slope), given.x - 0.1, given.x + 0.1).clip(0, 1)
    assert len(seen) == 4 and seen[-1] > seen[0]
    np.testing.assert_allclose(net.memory["delta"], adv - given.x, atol=1e-6)
    with net.evaluating():
        np.testing.assert_allclose(free.craft(net, scene.batch(12, epsilon=0.1)), adv, atol=1e-6)


def test_gradalign_penalises_the_angle_between_input_gradients() -> None:
    """The cosine from gradients by hand in float64, and weight gradients by differences of the losses."""
    objective = GradAlign(weight=3.0)
    net = scene.network(objective, scene.smooth())
    given = scene.batch(8)
    with net.evaluating():
        adv = objective.craft(net, given)
    arrays = objective.inputs(given, adv)
    assert (np.abs(arrays[3] - given.x) <= 0.2 + 1e-6).all() and not np.array_equal(arrays[3], given.x)
    found = net.gradients(*arrays)
    losses = found.losses.copy()
    slope = {k: v.copy() for k, v in found.parameters.items()}

    def total(weights: dict[str, np.ndarray]) -> np.ndarray:
        def run(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            v = (x.reshape(len(x), -1).astype(np.float64) - 0.3) / 0.4
            hidden = np.tanh(v @ weights["1.weight"].T + weights["1.bias"])
            z = hidden @ weights["3.weight"].T + weights["3.bias"]
            top = np.exp(log_softmax(z, axis=1))
            top[np.arange(len(z)), given.y] -= 1
            return z, ((top @ weights["3.weight"]) * (1 - hidden**2)) @ weights["1.weight"] / 0.4

        a, b = run(given.x)[1], run(arrays[3])[1]
        cosine = (a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
        return cross_entropy(run(adv)[0], given.y) + 3.0 * (1 - cosine)

    weights = {k: v.astype(np.float64) for k, v in net.module.state_dict().items()}
    np.testing.assert_allclose(losses, total(weights), rtol=1e-4, atol=1e-4)
    direction = {k: np.random.default_rng(0).normal(size=v.shape) for k, v in weights.items()}
    ends = [total({k: v + s * 1e-5 * direction[k] for k, v in weights.items()}).mean() for s in (-1, 1)]
    along = sum(float((slope[k] * direction[k]).sum()) for k in weights)
    assert along == pytest.approx((ends[1] - ends[0]) / 2e-5, rel=1e-3)


def test_worst_of_k_is_the_worst_of_its_draws() -> None:
    found = []
    for k in (1, 4, 12):
        objective = WorstOfK(draws_each=k)
        net = scene.network(objective, scene.smooth())
        given = scene.batch()
        with net.evaluating():
            adv = objective.craft(net, given)
            found.append(cross_entropy(net.model.logits(adv).astype(np.float64), given.y))
    assert (found[0] <= found[1] + 1e-6).all() and (found[1] <= found[2] + 1e-6).all()
    assert found[2].mean() > found[0].mean()
    still = WorstOfK(degrees=0, shift=0, draws_each=2)
    with net.evaluating():
        np.testing.assert_allclose(still.craft(net, scene.batch()), given.x, atol=1e-6)


def test_an_ensemble_draws_models_and_its_members_stay_as_they_are() -> None:
    member = scene.network(PGDTraining(), scene.smooth(40)).model
    objective = Ensemble(models=(member,))
    net = scene.network(objective, scene.smooth())
    before = member.fingerprint
    seen = set()
    alone: dict[bool, Any] = {True: Ensemble(), False: None}
    for rng in range(8):
        with net.evaluating():
            adv = objective.craft(net, scene.batch(rng=rng))
            other = alone[True].craft(net, scene.batch(rng=rng))
        seen.add(bool(np.array_equal(adv, other)))
    assert seen == {True, False}, "sometimes the network's own gradient, sometimes the member's"
    assert member.fingerprint == before
    with pytest.raises(InvalidArgument, match="models with gradients"):
        Ensemble(models=(3,))  # type: ignore[arg-type]
