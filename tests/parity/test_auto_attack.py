"""APGD, Square and AutoAttack against the authors' code (as `pyautoattack`) on the same weights."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import trained
from benchmarks import peers

from armour import attacks
from armour.model import ModuleModel

pyautoattack = pytest.importorskip(
    "pyautoattack", reason="pyautoattack is not installed here; see `make parity`"
)

NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1"}


def network(name: str, epsilon: float) -> tuple[ModuleModel, Any]:
    """The network here and, with the same weights, in PyTorch."""
    ours = trained.network(name, epsilon)
    theirs = peers.build(name, (1, 28, 28), 10)
    peers.load(theirs, {key: np.array(value) for key, value in ours.state_dict().items()})
    return ours, theirs


def samples(n: int) -> tuple[np.ndarray, np.ndarray]:
    _, test = trained.digits()
    return test.x[:n], test.y[:n]


def left_by_peer(
    theirs: Any, n: int, norm: str, epsilon: float, names: list[str] | None, **settings: Any
) -> float:
    """Robust accuracy under the authors' code, as the model answers when asked again."""
    x, y = (torch.from_numpy(array) for array in samples(n))
    version = "standard" if names is None else "custom"
    peer = pyautoattack.AutoAttack(
        theirs, norm=NORMS[norm], eps=epsilon, seed=0, version=version, attacks=names
    )
    if names is not None:
        peer.apgd.n_restarts, peer.apgd.use_largereps = 1, norm == "l1"
        peer.square.n_queries = settings.get("queries", 5000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of samples without a gradient
        adv, _ = peer.run_standard_evaluation(x, y, batch_size=n)
    return float((theirs(adv).argmax(1) == y).float().mean())


@pytest.mark.parametrize(
    ("attack", "name", "trained_on", "norm", "epsilon"),
    [
        ("apgd-ce", "mlp", 0.0, "linf", 0.05),
        ("apgd-ce", "mlp", 0.0, "l2", 0.8),
        ("apgd-dlr", "mlp", 0.0, "l1", 6.0),
        ("apgd-dlr", "lenet5", 0.1, "linf", 0.12),
    ],
)
def test_apgd_leaves_no_more(attack: str, name: str, trained_on: float, norm: Any, epsilon: float) -> None:
    """Both start at random: at most two images in 80 more."""
    ours, theirs = network(name, trained_on)
    n = 80
    theirs_left = left_by_peer(theirs, n, norm, epsilon, [attack])
    left = attacks.get(attack)(norm=norm).attack(ours, *samples(n), epsilon).robust_accuracy[0]
    print(f"\n{attack} {name} {norm} {epsilon}: authors' {theirs_left:.3f}, armour {left:.3f}")
    assert 0.02 < theirs_left < 0.95, "the case tells nothing"
    assert left <= theirs_left + 2.0001 / n


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.1), ("l2", 2.0)])
def test_square_leaves_about_as_many(norm: Any, epsilon: float) -> None:
    """Both draw at random: up to three images in 80 more, with 400 queries each."""
    ours, theirs = network("mlp", 0.0)
    n = 80
    theirs_left = left_by_peer(theirs, n, norm, epsilon, ["square"], queries=400)
    left = attacks.Square(norm=norm, queries=400).attack(ours, *samples(n), epsilon).robust_accuracy[0]
    print(f"\nsquare {norm} {epsilon}: authors' {theirs_left:.3f}, armour {left:.3f}")
    assert 0.02 < theirs_left < 0.95, "the case tells nothing"
    assert left <= theirs_left + 3.0001 / n


def test_auto_attack_leaves_no_more() -> None:
    ours, theirs = network("mlp", 0.0)
    n, epsilon = 20, 0.05
    theirs_left = left_by_peer(theirs, n, "linf", epsilon, None)
    result = attacks.AutoAttack().attack(ours, *samples(n), epsilon)
    print(f"\nstandard: authors' {theirs_left:.3f}, armour {result.robust_accuracy[0]:.3f}")
    assert 0.02 < theirs_left < 0.95, "the case tells nothing"
    assert result.robust_accuracy[0] <= theirs_left + 1e-6
