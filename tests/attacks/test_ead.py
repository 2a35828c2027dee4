"""EAD comes close to the nearest points of linear models in l1 and l2, and changes few values."""

from __future__ import annotations

import linear
import numpy as np
import pytest
import trained

from armour import attacks
from armour.attacks.ead import margin_of
from armour.criteria import Misclassified, Targeted
from armour.distances import Norm
from armour.errors import InvalidArgument
from armour.tensor import Tensor


@pytest.mark.parametrize(("norm", "limit"), [("l1", 1.15), ("l2", 1.05)])
def test_the_nearest_point_of_a_linear_model_in_a_box(norm: Norm, limit: float) -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 30, seed=3)
    y = model.predict(x)
    nearest = linear.nearest_in_box(model, x, y, norm)
    # A weight of l1 that decides alone, or plays no part.
    attack = attacks.EAD(norm=norm, regularization=0.02 if norm == "l1" else 1e-4, step_size=0.01)
    result = attack.attack(model, x, y)
    assert result.success.all()
    ratio = result.distance[0] / nearest
    assert ratio.min() >= 1 - 1e-6 and np.median(ratio) < limit, np.sort(ratio)


def test_changes_are_sparse() -> None:
    model, (_, test) = trained.network("mlp"), trained.digits()
    x, y = test.x[:30], test.y[:30]
    sparse = attacks.EAD(steps=50).attack(model, x, y)
    dense = attacks.CW(steps=50).attack(model, x, y)
    assert sparse.success.all() and dense.success.all()

    def changed(result: attacks.AttackResult) -> np.ndarray:
        return np.asarray((result.adv[0] != x).reshape(len(x), -1).mean(axis=1))

    assert np.median(changed(sparse)) < 0.3 * np.median(changed(dense))
    l1 = np.abs(dense.adv[0] - x).reshape(len(x), -1).sum(axis=1)
    assert np.median(sparse.distance) < 0.8 * np.median(l1)


def test_the_norm_decides_what_is_kept() -> None:
    model, (_, test) = trained.network("mlp"), trained.digits()
    x, y = test.x[:30], test.y[:30]
    by = {norm: attacks.EAD(norm=norm, steps=40).attack(model, x, y).adv[0] for norm in ("l1", "l2")}  # type: ignore[arg-type]
    for norm, ours in by.items():
        measure = attacks.EAD(norm=norm).distance.measure  # type: ignore[arg-type]
        assert all(measure(x, ours).mean() <= measure(x, adv).mean() for adv in by.values())


def test_the_margin_is_the_losses() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    labels = np.arange(20) % 4
    for criterion in (Misclassified(labels), Targeted(labels)):
        expected = criterion.objective("margin")(Tensor(logits)).numpy()
        np.testing.assert_allclose(margin_of(criterion, logits), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "change",
    [{"steps": 0}, {"step_size": 0}, {"search_steps": 0}, {"regularization": -1}, {"confidence": -1}],
)
def test_bad_settings(change: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(change))):
        attacks.EAD(**change)
