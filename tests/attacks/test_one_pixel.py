"""The one-pixel attack finds the pixel that decides, changes as many as it may, and keeps its account."""

from __future__ import annotations

import linear
import numpy as np
import pytest
import small_models

from armour import attacks
from armour.attacks.one_pixel import _children
from armour.errors import InvalidArgument
from armour.rng import by_content


def spotted(side: int = 6) -> tuple[linear.LinearModel, np.ndarray, np.ndarray]:
    """Two classes told apart by one pixel of three channels alone, and images of the first."""
    weights = np.full((3, side, side, 2), 0.0)
    weights[:, 2, 4, 1] = [1.0, 1.0, -1.0]
    model = linear.LinearModel(weights.reshape(-1, 2), np.array([0.8, 0.0]), input_shape=(3, side, side))
    x = (
        np.full((12, 3, side, side), 0.5, np.float32)
        + np.linspace(0, 0.1, 12, dtype=np.float32)[:, None, None, None]
    )
    return model, x, np.zeros(12, int)


def test_the_one_pixel_that_decides_is_found() -> None:
    model, x, y = spotted()
    assert (model.predict(x) == y).all()
    result = attacks.OnePixel(population=40, queries=4000).attack(model, x, y, rng=0)
    assert result.success.all()
    changed = (result.adv[0] != x).any(axis=1)
    assert (changed.sum(axis=(1, 2)) == 1).all() and changed[:, 2, 4].all()
    assert result.distance.max() <= 3


@pytest.mark.parametrize("pixels", [1, 2, 4])
def test_no_more_pixels_change_than_may(pixels: int) -> None:
    x, y = small_models.digits(60)
    net = small_models.centroids(x, y)
    result = attacks.OnePixel(pixels=pixels, population=20, queries=100).attack(net, x, y, rng=1)
    assert (result.adv[0] != x).reshape(60, -1).sum(axis=1).max() <= pixels
    assert result.spent.max() <= 100 and result.adv.min() >= 0 and result.adv.max() <= 1
    asked = net.predict(x) == y
    assert (result.spent[0][asked & ~result.success[0]] == 100).all()


def test_more_questions_find_more() -> None:
    x, y = small_models.digits(150)
    net = small_models.centroids(x, y)
    few, many = (
        attacks.OnePixel(pixels=2, population=20, queries=q).attack(net, x, y, rng=1).success[0]
        for q in (20, 600)
    )
    assert (many | ~few).all() and many.sum() > few.sum()


def test_children_are_a_member_and_half_a_difference_of_three_others() -> None:
    rng = np.random.default_rng(0)
    people = rng.uniform(0.4, 0.6, (3, 6, 1, 2)).astype(np.float32)
    children = _children(people, by_content(np.random.default_rng(0), people))
    for sample in range(3):
        for k in range(6):
            others = [i for i in range(6) if i != k]
            made = [
                people[sample, a] + (people[sample, b] - people[sample, c]) / 2
                for a in others
                for b in others
                for c in others
                if len({a, b, c}) == 3
            ]
            assert min(np.abs(children[sample, k] - m).max() for m in made) < 1e-6


@pytest.mark.parametrize("change", [{"pixels": 0}, {"population": 3}, {"queries": 0}])
def test_bad_settings(change: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(change))):
        attacks.OnePixel(**change)
