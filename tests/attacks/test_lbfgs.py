"""L-BFGS minimises what it says it does, inside the box, and comes close to the nearest boundary."""

from __future__ import annotations

import linear
import numpy as np
import pytest
import trained
from scipy.optimize import minimize

from armour import attacks
from armour.attacks.lbfgs import _Points, other, probability
from armour.criteria import Misclassified, Targeted
from armour.errors import InvalidArgument
from armour.tensor import Tensor, grad


def test_the_solver_finds_the_minima_of_many_functions_at_once() -> None:
    """Ill-conditioned quadratics and a curved one, in a box, against SciPy's, which takes one at a time."""
    rng = np.random.default_rng(0)
    n, d = 12, 8
    matrices = rng.normal(size=(n, d, d))
    matrices = matrices @ matrices.transpose(0, 2, 1) + np.eye(d)
    centres = rng.uniform(-0.5, 1.5, (n, d))

    def value(i: int, z: np.ndarray) -> tuple[float, np.ndarray]:
        off = z - centres[i]
        return off @ matrices[i] @ off + (off**4).sum(), 2 * matrices[i] @ off + 4 * off**3

    points, at = _Points(np.full((n, d), 0.5, np.float32), 5), np.arange(n)
    best = np.full(n, np.inf)
    for _ in range(200):
        tried = np.clip(points.tried(), 0, 1)
        made = [value(i, z.astype(np.float64)) for i, z in zip(at, tried, strict=True)]
        cost, slope = np.array([m[0] for m in made]), np.array([m[1] for m in made], np.float32)
        best[at] = np.minimum(best[at], cost)
        at = at[points.take(tried, cost, slope, 0, 1)]
        if not at.size:
            break
    for i in range(n):
        expected = minimize(
            lambda z, i=i: value(i, z), np.full(d, 0.5), jac=True, method="L-BFGS-B", bounds=[(0, 1)] * d
        )
        assert best[i] <= expected.fun * (1 + 1e-3) + 1e-6
    assert at.size == 0, "all come to an end"


def test_the_objective_is_the_goals_probability() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(30, 5)) * 3, np.arange(30) % 5
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    own = p[np.arange(30), labels]
    away = probability(Misclassified(labels))(Tensor(logits)).numpy()
    towards = probability(Targeted(labels))(Tensor(logits)).numpy()
    np.testing.assert_allclose(away, np.log(1 - own), rtol=1e-9)
    np.testing.assert_allclose(towards, np.log(own), rtol=1e-9)
    sure = np.array([[300.0, 0.0, -5.0]])
    assert other(Tensor(sure), np.array([0])).numpy()[0] == pytest.approx(-300, rel=1e-3)
    slope = grad(lambda z: other(z, np.array([0])).sum())(Tensor(sure)).numpy()
    assert slope[0, 0] == pytest.approx(-1), "a sure answer still has a slope"


def test_the_nearest_point_of_a_linear_model_in_a_box() -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 30, seed=3)
    y = model.predict(x)
    nearest = linear.nearest_in_box(model, x, y, "l2")
    result = attacks.LBFGS().attack(model, x, y)
    assert result.success.all()
    ratio = result.distance[0] / nearest
    assert ratio.min() >= 1 - 1e-6 and np.median(ratio) < 1.01 and ratio.max() < 1.05, np.sort(ratio)[-6:]


def test_the_nearest_of_several_boundaries() -> None:
    model, x, y = linear.several_classes()
    ratio = attacks.LBFGS().attack(model, x, y).distance[0] / linear.nearest_boundary(model, x, y, "l2")
    assert ratio.min() >= 1 - 1e-6 and np.median(ratio) < 1.05


def test_no_digit_is_left_unbroken_and_few_gradients_are_needed() -> None:
    model, (_, test) = trained.network("mlp"), trained.digits()
    x, y = test.x[:40], test.y[:40]
    result = attacks.LBFGS().attack(model, x, y)
    cw = attacks.CW(steps=100).attack(model, x, y)
    assert result.success.all()
    assert np.median(result.distance) <= 1.03 * np.median(cw.distance)
    assert result.gradients < cw.gradients / 2


@pytest.mark.parametrize("change", [{"steps": 0}, {"search_steps": 0}, {"memory": 0}, {"first_weight": 0}])
def test_bad_settings(change: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(change))):
        attacks.LBFGS(**change)
