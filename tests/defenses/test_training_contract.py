"""What holds for every registered way of adversarial training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import training_scene as scene

from armour.defenses import AdversarialTraining
from armour.defenses.training import Batch, objectives
from armour.errors import CheckpointError, InvalidArgument

NAMES = sorted(objectives())
NORMED = [(name, norm) for name in NAMES for norm in objectives()[name].norms]


def part(whole: Batch, rows: slice) -> Batch:
    return replace(whole, x=whole.x[rows], y=whole.y[rows], rng=whole.rng[rows])


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal but for values whose gradient's sign is within rounding of 0."""
    return bool(np.mean(np.abs(a - b) < 1e-4) > 0.98)


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize(("name", "norm"), NORMED)
def test_inputs_stay_in_ball_and_bounds_and_weights_as_they_are(name: str, norm: str) -> None:
    objective = scene.made(name)
    net = scene.network(objective)
    net.module.train()
    before = net.module.state_dict()
    epsilon = {"linf": 0.2, "l2": 1.0, "l1": 5.0}[norm]
    given = scene.batch(norm=norm, epsilon=epsilon)  # type: ignore[arg-type]
    untouched = given.x.copy()
    with net.evaluating():
        adv = objective.craft(net, given)
    assert net.module.training, "it is put back into training"
    assert same(before, net.module.state_dict()), "an attack changes neither weights nor running statistics"
    assert np.array_equal(untouched, given.x)
    assert adv.shape == given.x.shape and adv.dtype == np.float32
    assert adv.min() >= 0 and adv.max() <= 1
    if np.isfinite(objective.reach):
        assert (given.distance.measure(given.x, adv) <= objective.reach * epsilon * (1 + 1e-9)).all()
    if objective.moves:
        assert (adv != given.x).reshape(len(adv), -1).any(axis=1).all(), "every input is moved"


@pytest.mark.parametrize("name", NAMES)
def test_perturbed_inputs_depend_on_their_stream_alone(name: str) -> None:
    objective = scene.made(name)
    net = scene.network(objective)
    with net.evaluating():
        whole = objective.craft(net, scene.batch())
        net.memory.clear()
        again = objective.craft(net, scene.batch())
        net.memory.clear()
        first = objective.craft(net, part(scene.batch(), slice(0, 10)))
        net.memory.clear()
        other = objective.craft(net, scene.batch(rng=1))
    assert np.array_equal(whole, again)
    assert close(whole[:10], first)
    if objective.draws:
        assert not np.array_equal(whole, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_was_left_after_any_epoch_ends_with_the_same_bits(name: str, tmp_path: Path) -> None:
    objective = scene.made(name)
    config = replace(scene.CONFIG, average="ema")
    epochs, result, weights = scene.trained(objective, config)
    for done in (1, 2):
        file = tmp_path / f"{done}.train"
        first, _, _ = scene.trained(objective, config, stop=done, state=file)
        rest, resumed, again = scene.trained(
            objective, config, scene.convolutional(99), state=file, resume=True
        )
        assert same(weights, again) and resumed == result
        assert [replace(e, seconds=0) for e in first + rest] == [replace(e, seconds=0) for e in epochs]


@pytest.mark.parametrize("name", NAMES)
def test_a_smaller_share_leaves_the_rest_of_a_batch_as_it_is(name: str) -> None:
    objective = scene.made(name)
    net = scene.network(objective)
    given = scene.batch(share=0.25)
    with net.evaluating():
        mixed = given.mixed(objective.craft(net, given))
    assert np.array_equal(mixed[6:], given.x[6:])
    if objective.moves:
        assert (mixed[:6] != given.x[:6]).reshape(6, -1).any(axis=1).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_state_of_another_objective_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "run.train"
    scene.trained(scene.made("pgd" if name != "pgd" else "trades"), stop=1, state=file)
    with pytest.raises(InvalidArgument, match="of a run with another defense"):
        scene.trained(scene.made(name), state=file, resume=True)


def test_a_state_without_history_is_refused(tmp_path: Path) -> None:
    from armour.formats import safetensors

    file = tmp_path / "run.train"
    scene.trained(scene.made("pgd"), stop=1, state=file)
    arrays = safetensors.parse(file.read_bytes(), "state")
    for change in ({"method.history": np.zeros((1, 2))}, {"method.memory.delta": np.zeros((1, 2))}):
        file.write_bytes(safetensors.dump({**arrays, **change}))
        with pytest.raises(CheckpointError, match="delete it and train"):
            scene.trained(scene.made("pgd"), state=file, resume=True)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": 0}, "above 0"),
        ({"epsilon": 0.1, "norm": "l0"}, "norm"),
        ({"epsilon": 0.1, "share": 1.5}, "share"),
        ({"epsilon": 0.1, "ramp": -0.1}, "ramp"),
        ({"epsilon": 0.1, "watch_samples": 0}, "watch_samples"),
        ({"epsilon": 0.1, "on_collapse": "ignore"}, "on_collapse"),
        ({"epsilon": 0.1, "objective": "pdg"}, "did you mean"),
        ({"epsilon": 0.1, "objective": 3}, "objective"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        AdversarialTraining(**settings)  # type: ignore[arg-type]
