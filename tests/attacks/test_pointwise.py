"""Pointwise: what is left cannot be taken back value by value, and l0 comes near the fewest there can be."""

from __future__ import annotations

import linear
import numpy as np

from armour import attacks


def test_no_changed_value_can_be_left_out() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 20)
    y = model.predict(x)
    result = attacks.Pointwise(queries=2000).attack(model, x, y)
    assert result.success.all() and result.spent.max() < 2000
    adv = result.adv[0].reshape(20, 25)
    for i, point in enumerate(adv):
        for j in np.flatnonzero(point != x[i].ravel()):
            back = point.copy()
            back[j] = x[i].flat[j]
            assert model.predict(back.reshape(1, 1, 5, 5))[0] == y[i]


def test_the_fewest_values_of_a_linear_model() -> None:
    """The steepest values, each taken to its bound, are the fewest; at random it takes a few more."""
    model = linear.two_classes(d=40)
    x = linear.inputs(model, 30, seed=1)
    y = model.predict(x)
    slopes, gaps = linear.slope(model, y), linear.margin(model, x, y)
    gains = np.sort(np.where(slopes > 0, slopes * (1 - x), -slopes * x), axis=1)[:, ::-1].cumsum(axis=1)
    fewest = (gains <= gaps[:, None]).sum(axis=1) + 1
    result = attacks.Pointwise(queries=2000).attack(model, x, y)
    ratio = result.distance[0] / fewest
    assert result.success.all() and ratio.min() >= 1 and ratio.mean() < 4


def test_l1_goes_on_with_parts_of_values() -> None:
    """Values that cannot be taken back whole are moved in part, so that l1 ends nearer than l0's points."""
    model = linear.two_classes(d=40)
    x = linear.inputs(model, 30, seed=1)
    y = model.predict(x)
    whole = attacks.Pointwise(queries=3000).attack(model, x, y)
    part = attacks.Pointwise(norm="l1", queries=3000).attack(model, x, y)
    reach = np.abs(whole.adv[0] - x).sum(axis=1)
    assert part.success.all() and part.distance[0].mean() < 0.9 * reach.mean()
    # The margin is what an eighth of the way back for any one value would use up.
    gap, slopes = -linear.margin(model, part.adv[0], y), np.abs(linear.slope(model, y))
    step = slopes * np.abs(part.adv[0] - x) / 8
    changed = part.adv[0] != x
    used_up = step >= gap[:, None] * (1 - 1e-3) - 1e-5
    assert used_up[changed].mean() > 0.95
