"""Rotations and translations: against SciPy, against trying them all, and against finite differences."""

from __future__ import annotations

import linear
import numpy as np
import pytest
from scipy import ndimage

from armour import attacks
from armour.attacks.spatial import _View
from armour.bounds import Bounds
from armour.errors import InvalidArgument, UnsupportedError
from armour.model import CallableModel
from armour.rng import by_content


def by_scipy(image: np.ndarray, degrees: float, down: float, right: float, fill: str) -> np.ndarray:
    """(c, h, w) turned counter-clockwise about the centre, then shifted, in float64."""
    h, w = image.shape[1:]
    angle = np.deg2rad(degrees)
    back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centre = np.array([(h - 1) / 2, (w - 1) / 2])
    offset = centre - back @ (centre + np.array([down, right]))
    mode = "grid-constant" if fill == "low" else "nearest"
    return np.stack([ndimage.affine_transform(c, back, offset, order=1, mode=mode) for c in image])


@pytest.mark.parametrize("fill", ["low", "edge"])
@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 8, 13), (2, 12, 5)])
def test_transformations_are_scipys(fill: str, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x = rng.random((20, *shape), dtype=np.float32)
    place = rng.uniform(-1, 1, (20, 3)).astype(np.float32)
    found = _View(x, 40.0, 0.3, fill, Bounds(0, 1)).moved(place)  # type: ignore[arg-type]
    for image, share, out in zip(x.astype(np.float64), place.astype(np.float64), found, strict=True):
        down, right = share[1] * 0.3 * shape[1], share[2] * 0.3 * shape[2]
        np.testing.assert_allclose(out, by_scipy(image, share[0] * 40, down, right, fill), atol=2e-5)


def test_what_needs_no_interpolation_is_exact() -> None:
    x = np.random.default_rng(0).random((3, 2, 8, 8), dtype=np.float32)
    view = _View(x, 90.0, 0.25, "low", Bounds(0, 1))
    same = view.moved(np.zeros((3, 3), np.float32))
    assert same.tobytes() == x.tobytes()
    shifted = view.moved(np.tile(np.float32([0, 1, -0.5]), (3, 1)))  # two down, one left
    expected = np.zeros_like(x)
    expected[:, :, 2:, :-1] = x[:, :, :-2, 1:]
    np.testing.assert_array_equal(shifted, expected)
    turned = view.moved(np.tile(np.float32([1, 0, 0]), (3, 1)))
    np.testing.assert_allclose(turned, np.rot90(x, axes=(2, 3)), atol=2e-6)


@pytest.mark.parametrize("fill", ["low", "edge"])
def test_slopes_are_those_of_finite_differences(fill: str) -> None:
    """By SciPy in float64, where a step so small crosses no bend."""
    rng = np.random.default_rng(1)
    x, along = (rng.random((8, 2, 7, 9), dtype=np.float32) for _ in range(2))
    place = rng.uniform(-1, 1, (8, 3)).astype(np.float32)
    slopes = _View(x, 30.0, 0.2, fill, Bounds(0, 1)).slopes(place, along)  # type: ignore[arg-type]
    step = 1e-6
    limits = np.array([30.0, 0.2 * 7, 0.2 * 9])
    for n in range(8):
        for axis in range(3):
            values = []
            for sign in (-1, 1):
                at = place[n].astype(np.float64)
                at[axis] += sign * step
                out = by_scipy(x[n].astype(np.float64), *(at * limits), fill)
                values.append((out * along[n]).sum())
            expected = (values[1] - values[0]) / (2 * step)
            assert slopes[n, axis] == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_the_grid_is_all_of_it_from_small_to_large() -> None:
    attack = attacks.Spatial(angles=5, shifts=3)
    grid = attack.grid()
    whole = {(a, b, c) for a in (-1, -0.5, 0, 0.5, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)} - {(0, 0, 0)}
    assert len(grid) == 44 and {tuple(point) for point in grid.tolist()} == whole
    assert (np.diff(np.abs(grid).max(axis=1)) >= 0).all()
    assert len(attacks.Spatial().grid()) == 31 * 5 * 5 - 1
    assert len(attacks.Spatial(rotation=0).grid()) == 24 and len(attacks.Spatial(translation=0).grid()) == 30
    # Of an even number of values none is 0.
    assert len(attacks.Spatial(angles=4, shifts=2).grid()) == 16


def asked() -> tuple[linear.OneByOne, np.ndarray, np.ndarray]:
    model = linear.small_network()
    x = linear.inputs(model, 40, seed=3)
    return model, x, model.predict(x)


@pytest.mark.parametrize("method", ["grid", "random"])
def test_a_sample_falls_at_its_first_transformation_that_breaks_it(method: str) -> None:
    """Success, queries and the input handed back are those of going through all of them by hand."""
    model, x, y = asked()
    attack = attacks.Spatial(
        method=method,  # type: ignore[arg-type]
        angles=7,
        shifts=3,
        queries=62,
        rotation=6,
        translation=0.04,
    )
    box = CallableModel(model.logits, input_shape=(1, 5, 5), num_classes=4, outputs="logits")
    result = attack.attack(box, x, y, rng=5)
    streams = by_content(np.random.default_rng(5), x)
    view = _View(x, 6, 0.04, "low", Bounds(0, 1))
    tried, answers = [], []
    for query in range(62):
        draws = streams.child(query).uniform((3,), -1, 1)
        place = np.tile(attack.grid()[query], (40, 1)) if method == "grid" else draws
        tried.append(view.moved(place))
        answers.append(model.logits(tried[-1]))
    wrong = np.stack([z.argmax(axis=1) != y for z in answers])
    np.testing.assert_array_equal(result.success[0], wrong.any(axis=0))
    assert 0.1 < wrong.any(axis=0).mean() <= 0.95
    first = np.where(wrong.any(axis=0), wrong.argmax(axis=0), 61)
    np.testing.assert_array_equal(result.spent[0], first + 1)
    rows = np.arange(40)
    others = np.stack(
        [np.where(np.eye(4, dtype=bool)[y], -np.inf, z).max(axis=1) - z[rows, y] for z in answers]
    )
    best = np.where(wrong.any(axis=0), first, others.argmax(axis=0))
    np.testing.assert_array_equal(result.adv[0], np.stack(tried)[best, rows])
    assert result.queries == 80 + result.spent.sum()


def test_gradients_find_the_transformation_that_matches_a_template() -> None:
    """A linear model whose logit is largest for each image turned and shifted by one known place."""
    rng = np.random.default_rng(0)
    i, j = np.mgrid[:21, :21] - 10.0
    image = np.exp(-(((i - 2) / 5) ** 2 + ((j + 1) / 2.5) ** 2)).astype(np.float32)[None, None]
    wanted = np.float32([[0.4, -0.3, 0.5]])
    template = _View(image, 30.0, 0.15, "low", Bounds(0, 1)).moved(wanted)[0].reshape(-1).astype(np.float64)
    # Distance to the template up to a constant; the norm of the image hardly changes.
    weights = np.stack([-template, template], axis=1)
    near = 0.998 * float(template @ template)
    model = linear.LinearModel(weights, np.array([near, -near]), input_shape=(1, 21, 21))
    x = np.clip(image + rng.uniform(0, 0.01, (6, 1, 21, 21)), 0, 1).astype(np.float32)
    y = model.predict(x)
    assert (y == 0).all()
    result = attacks.SpatialPGD(translation=0.15, step_size=0.05, steps=40, restarts=2).attack(model, x, y)
    assert result.success.all()
    few = attacks.Spatial(method="random", queries=10, translation=0.15).attack(model, x, y)
    assert few.success.mean() < 1


def test_more_restarts_break_no_fewer_and_only_the_rest() -> None:
    model, x, y = asked()
    one = attacks.SpatialPGD(restarts=1).attack(model, x, y)
    three = attacks.SpatialPGD(restarts=3).attack(model, x, y)
    assert (three.success >= one.success).all()
    np.testing.assert_array_equal(three.adv[0][one.success[0]], one.adv[0][one.success[0]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rotation": -1}, "rotation"),
        ({"translation": 1.5}, "translation"),
        ({"rotation": 0, "translation": 0}, "above 0"),
        ({"method": "spiral"}, "unknown method"),
        ({"fill": "white"}, "unknown fill"),
        ({"angles": 41}, "at least the grid's 1024 points, got 775"),
        ({"shifts": 0}, "shifts"),
    ],
)
def test_bad_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        attacks.Spatial(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["spatial", "spatial-pgd"])
def test_inputs_that_are_no_images(name: str) -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 3)
    with pytest.raises(UnsupportedError, match=r"images \(n, c, h, w\)"):
        attacks.get(name)().attack(model, x, model.predict(x))
