"""DDN and FMN: the minima of linear models inside their bounds, and what their searches keep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import linear
import numpy as np
import pytest

from armour import attacks, criteria
from armour.attacks.ddn import cosine, unit
from armour.errors import InvalidArgument

CASES = [("ddn", "l2"), ("fmn", "linf"), ("fmn", "l2"), ("fmn", "l1")]
CLOSE = {"linf": 1.01, "l2": 1.01, "l1": 1.02}
every = pytest.mark.parametrize(("name", "norm"), CASES)
both = pytest.mark.parametrize("name", ["ddn", "fmn"])


def found(result: attacks.AttackResult) -> np.ndarray:
    """(n,) distances, infinity where nothing was found."""
    return np.where(result.success[0], result.distance[0], np.inf)


@every
def test_the_minimum_of_a_linear_model_in_its_bounds(name: str, norm: Any) -> None:
    model = linear.two_classes(d=20)
    x = linear.inputs(model, 16)
    y = model.predict(x)
    result = attacks.get(name)(norm=norm, steps=150).attack(model, x, y)
    best = linear.nearest_in_box(model, x, y, norm)
    assert (result.distance[0] >= best * (1 - 1e-4)).all()
    assert (result.distance[0] <= best * CLOSE[norm]).all(), result.distance[0] / best


@every
def test_the_minimum_of_several_classes(name: str, norm: Any) -> None:
    model, x, y = linear.several_classes()
    model.bounds = type(model.bounds)(-3, 3)
    best = linear.nearest_boundary(model, x, y, norm)
    ratio = found(attacks.get(name)(norm=norm, steps=150).attack(model, x, y)) / best
    assert (ratio >= 1 - 1e-4).all()
    # Between two boundaries that are nearly as near, the first that is met may not be the nearest.
    assert np.median(ratio) < (1.03 if name == "ddn" else CLOSE[norm]) and np.quantile(ratio, 0.9) < 1.2, (
        ratio
    )


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_fmn_does_not_settle_for_the_class_that_is_likeliest_at_x(norm: Any, scale: float) -> None:
    """The second class is nearly as likely and much nearer; how large the logits are does not matter."""
    weight = np.zeros((12, 3))
    weight[:6, 1], weight[6:, 2] = 1, 4
    model = linear.LinearModel(scale * weight, scale * np.array([0, -1, -1.1]))
    model.bounds = type(model.bounds)(-1, 1)
    x, y = np.zeros((4, 12), np.float32), np.zeros(4, np.int64)
    result = attacks.FMN(norm=norm, steps=60).attack(model, x, y)
    best = 1.1 / 4 / {"linf": 6, "l2": 6**0.5, "l1": 1}[norm]
    assert result.success.all()
    np.testing.assert_allclose(result.distance[0], best, rtol=0.02)


def test_the_fewest_values_of_a_linear_model() -> None:
    """In l0 the steepest values go to their ends: so many are needed, by sorting."""
    model = linear.two_classes(d=30)
    x = linear.inputs(model, 30)
    y = model.predict(x)
    slopes = linear.slope(model, y)
    gains = np.sort(np.where(slopes > 0, slopes * (1 - x), slopes * -x), axis=1)[:, ::-1]
    fewest = 1 + (np.cumsum(gains, axis=1) <= linear.margin(model, x, y)[:, None]).sum(axis=1)
    result = attacks.FMN(norm="l0", steps=100).attack(model, x, y)
    assert result.success.all() and (result.distance[0] >= fewest).all()
    assert (result.distance[0] == fewest).mean() > 0.8 and (result.distance[0] <= fewest + 1).all()


@pytest.mark.parametrize(("name", "norm"), [*CASES, ("fmn", "l0")])
def test_more_steps_come_nearer_and_the_search_at_the_end_never_loses(name: str, norm: Any) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 16)
    y = model.predict(x)
    attack = attacks.get(name)(norm=norm, steps=30)
    short, long, plain = (
        found(a.attack(model, x, y))
        for a in (replace(attack, steps=6), attack, replace(attack, search_steps=0))
    )
    assert np.isfinite(long).all() and np.median(long) <= np.median(short)
    assert (long <= plain).all()
    assert attack.attack(model, x, y).gradients == 30 * len(x)


@both
def test_towards_a_class(name: str) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 12)
    target = (model.predict(x) + 1) % 4
    result = attacks.get(name)(norm="l2", steps=40).attack(model, x, criteria.Targeted(target))
    assert result.success.mean() > 0.9
    assert (model.predict(result.adv[0][result.success[0]]) == target[result.success[0]]).all()


@both
def test_a_confident_mistake_is_further_away(name: str) -> None:
    model = linear.small_network()
    x = linear.inputs(model, 12)
    y = model.predict(x)
    attack = attacks.get(name)(norm="l2", steps=40)
    plain = found(attack.attack(model, x, y))
    sure = found(attack.attack(model, x, criteria.Misclassified(y) & criteria.Confident(0.8)))
    assert np.isfinite(sure).mean() > 0.5 and np.median(sure) > np.median(plain)


@both
def test_a_constant_model_ends_quietly(name: str) -> None:
    model = linear.LinearModel(np.zeros((4, 3)), np.array([1.0, 0, 0]))
    x = linear.inputs(model, 5)
    for norm in attacks.get(name).norms:
        result = attacks.get(name)(norm=norm, steps=3).attack(model, x, np.zeros(5, np.int64))
        assert not result.success.any()
        np.testing.assert_array_equal(result.adv[0], x)


def test_unit_rows_and_the_cosine() -> None:
    z = np.array([[3e-30, 4e-30], [0, 0], [-1e30, 0]], np.float32)
    np.testing.assert_allclose(unit(z), [[0.6, 0.8], [0, 0], [-1, 0]], rtol=1e-6)
    assert cosine(0, 10, 0.01) == 1 and cosine(10, 10, 0.01) == pytest.approx(0.01)
    assert cosine(5, 10, 0.01) == pytest.approx(0.505)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (attacks.DDN, {"norm": "linf"}),
        (attacks.DDN, {"start": 0}),
        (attacks.DDN, {"gamma": 2}),
        (attacks.FMN, {"step_size": 0}),
        (attacks.FMN, {"steps": 0}),
        (attacks.FMN, {"search_steps": -1}),
    ],
)
def test_bad_settings(kind: Any, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(settings))):
        kind(**settings)
