"""Patches: nothing outside changes, linear models have known best ones, draws are each image's own."""

from __future__ import annotations

import linear
import numpy as np
import pytest
import small_models

from armour import attacks, criteria
from armour.attacks import image_patch
from armour.attacks.patch import _Layout
from armour.errors import InvalidArgument, UnsupportedError
from armour.rng import by_content

SHAPE = (2, 9, 11)


def planar(seed: int = 0) -> linear.LinearModel:
    """Two classes of images (2, 9, 11)."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(int(np.prod(SHAPE)), 2))
    return linear.LinearModel(weights, -weights.sum(axis=0) / 2, input_shape=SHAPE)


def images(n: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, *SHAPE), dtype=np.float32)


def drawn(x: np.ndarray, shape: str, seed: int = 0, degrees: float = 30.0) -> _Layout:
    rng = np.random.default_rng(seed)
    down, right, turn, size = rng.random((4, len(x))).astype(np.float32)
    return _Layout(x, 0.5, shape, down, right, (2 * turn - 1) * degrees, 0.6 + 0.4 * size)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", ["square", "disc"])
def test_nothing_outside_the_patch_changes(shape: str) -> None:
    """Bit for bit; and the area is the one that its size, turn and place say."""
    x = images(40)
    layout = drawn(x, shape)
    put = layout.put(x, np.full((2, 4, 4), 2.0, np.float32))
    changed = (put != x).any(axis=1)
    np.testing.assert_array_equal(changed, layout.shown)
    assert (put[np.broadcast_to(changed[:, None], x.shape)] == 2).all()
    rng = np.random.default_rng(0)
    down, right, turn, size = rng.random((4, 40))
    for k in range(40):
        side = (0.6 + 0.4 * size[k]) * 4
        centre = np.rint(np.array([down[k] * (9 - side), right[k] * (11 - side)])) + (side - 1) / 2
        angle = np.deg2rad((2 * turn[k] - 1) * 30)
        i, j = np.indices((9, 11)) - centre[:, None, None]
        along, across = np.cos(angle) * i + np.sin(angle) * j, np.cos(angle) * j - np.sin(angle) * i
        size_here = np.hypot(along, across) if shape == "disc" else np.maximum(abs(along), abs(across))
        clear = abs(size_here - side / 2) > 1e-4
        np.testing.assert_array_equal(changed[k][clear], (size_here < side / 2)[clear])


def test_a_straight_patch_is_laid_as_it_is() -> None:
    x, patch = images(3), np.random.default_rng(1).random((2, 4, 4), dtype=np.float32)
    attack = attacks.Patch(size=0.5, place=(0.4, 1.0))
    put = attack.lay(x, patch)
    np.testing.assert_array_equal(put[:, :, 2:6, 7:], np.broadcast_to(patch, (3, 2, 4, 4)))
    put[:, :, 2:6, 7:] = x[:, :, 2:6, 7:]
    assert put.tobytes() == x.tobytes()


@pytest.mark.parametrize("shape", ["square", "disc"])
def test_the_gradient_goes_back_through_the_layout(shape: str) -> None:
    """put is linear in the patch: its adjoint agrees with it to rounding."""
    x = images(10)
    layout = drawn(x, shape, seed=3)
    rng = np.random.default_rng(2)
    along = rng.normal(size=x.shape).astype(np.float32)
    for _ in range(5):
        # Values in (0, 1) apart: put clips to the range of the patch, so it must not be constant.
        patch = rng.random((2, 4, 4), dtype=np.float32)
        inside = np.where(layout.shown[:, None], layout.put(x, patch), 0)
        assert (inside * along).sum() == pytest.approx((layout.gathered(along) * patch).sum(), rel=1e-4)


@pytest.mark.parametrize("shape", ["square", "disc"])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_best_patch_of_a_linear_model_is_found(shape: str, targeted: bool) -> None:
    """At one place its gradient is the same for all images: every value is at the bound its weight says."""
    model, x = planar(), images(60)
    corner = model.weights.reshape(*SHAPE, 2)[:, :4, :4]
    corner *= 0.2  # or any patch there would do
    goal = criteria.Targeted(np.ones(60, int)) if targeted else criteria.Misclassified(np.zeros(60, int))
    attack = attacks.Patch(size=0.5, shape=shape, place=(0.0, 0.0), steps=20)  # type: ignore[arg-type]
    patch = attack.fit(model, x, goal)
    slope = (model.weights[:, 1] - model.weights[:, 0]).reshape(SHAPE)[:, :4, :4]
    seen = np.hypot(*(np.indices((4, 4)) - 1.5)) <= 2 if shape == "disc" else np.ones((4, 4), bool)
    np.testing.assert_array_equal(patch[:, seen], (slope > 0)[:, seen].astype(np.float32))
    assert (patch[:, ~seen] == 0.5).all()
    # So that the images broken are exactly those that any patch there could break.
    start = model.predict(x) == 0
    result = attack.attack(model, x[start], np.zeros(start.sum(), int))
    best = x[start].copy()
    best[:, :, :4, :4] = np.where(seen, (slope > 0), best[:, :, :4, :4])
    np.testing.assert_array_equal(result.success[0], model.predict(best) == 1)
    assert 0 < result.success.mean() < 1


def test_draws_are_each_images_own() -> None:
    """An image has the same place in any batch; two steps, two seeds and two images have different ones."""
    x = images(30)
    attack, patch = attacks.Patch(size=0.4), np.full((2, 4, 4), 2.0, np.float32)
    whole = attack.lay(x, patch, rng=3)
    np.testing.assert_array_equal(attack.lay(x[10:13], patch, rng=3), whole[10:13])
    assert (attack.lay(x, patch, rng=4) != whole).any(axis=(1, 2, 3)).mean() > 0.9
    streams = by_content(np.random.default_rng(0), x)
    first, second = (attack._layout(x, streams.child(step)).shown for step in (2, 3))
    assert (first != second).any(axis=(1, 2)).mean() > 0.9
    alone = attack._layout(x[4:5], streams[4:5].child(2)).shown
    np.testing.assert_array_equal(alone, first[4:5])
    corners = {tuple(np.argwhere(one)[0]) for one in first}
    assert len(corners) > 10


def test_a_patch_trained_on_some_images_works_on_others() -> None:
    """Anywhere, turned and scaled; and better than the same area of noise."""
    x, y = small_models.digits(240)
    net = small_models.centroids(*small_models.digits(600))
    right = net.predict(x) == y
    x, y = x[right], y[right]
    attack = attacks.Patch(size=0.45, steps=60)
    half = len(x) // 2
    patch = attack.fit(net, x[:half], y[:half])
    assert patch.shape == (1, 4, 4) and patch.min() >= 0 and patch.max() <= 1
    assert patch.tobytes() == attack.fit(net, x[:half], y[:half]).tobytes()
    broken = (net.predict(attack.lay(x[half:], patch)) != y[half:]).mean()
    noise = np.random.default_rng(0).random(patch.shape, dtype=np.float32)
    plain = (net.predict(attack.lay(x[half:], noise)) != y[half:]).mean()
    assert broken > plain + 0.1 and broken > 0.35
    attack = attacks.Patch(size=0.45, steps=60, place=(0.4, 0.6))
    wanted = attack.fit(net, x[:half], criteria.Targeted(np.full(half, 8)))
    reached = (net.predict(attack.lay(x[half:], wanted)) == 8).mean()
    assert reached > (net.predict(x[half:]) == 8).mean() + 0.2


def best_possible(model: linear.LinearModel, x: np.ndarray, y: np.ndarray, side: int) -> np.ndarray:
    """(n,) the lowest margin that any patch anywhere can bring about, by trying all places."""
    slopes = linear.slope(model, y).reshape(-1, *SHAPE)
    gain = np.where(slopes > 0, slopes * (1 - x), slopes * -x).sum(axis=1)
    places = [
        gain[:, i : i + side, j : j + side].sum(axis=(1, 2))
        for i in range(SHAPE[1] - side + 1)
        for j in range(SHAPE[2] - side + 1)
    ]
    return linear.margin(model, x, y) - np.max(places, axis=0)


def test_for_one_image_the_best_place_and_values_are_found() -> None:
    model, x = planar(3), images(60, seed=5)
    y = model.predict(x)
    lowest = best_possible(model, x, y, 2)
    result = attacks.ImagePatch(size=0.2, steps=3).attack(model, x, y)
    np.testing.assert_array_equal(result.success[0], lowest < 0)
    assert 0.1 < result.success.mean() < 0.97
    left = ~result.success[0]
    np.testing.assert_allclose(
        linear.margin(model, result.adv[0], y)[left], lowest[left], rtol=1e-4, atol=1e-4
    )
    changed = (result.adv[0] != x).any(axis=1)
    for one in changed[left]:
        rows, columns = np.nonzero(one)
        assert np.ptp(rows) < 2 and np.ptp(columns) < 2


def test_a_patch_walks_to_a_better_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a random corner, on a smooth slope, it gets there by its own strides."""
    i, j = np.indices((12, 12))
    hill = np.exp(-((i - 8.5) ** 2 + (j - 3.5) ** 2) / 20).reshape(-1)
    model = linear.LinearModel(
        np.stack([-hill, hill], axis=1), np.array([20.0, -20.0]), input_shape=(1, 12, 12)
    )
    x = np.full((5, 1, 12, 12), 0.01, np.float32) * np.arange(1, 6, dtype=np.float32)[:, None, None, None]
    y = model.predict(x)
    assert (y == 0).all()
    begun = image_patch.ImagePatch._begun

    def far(self: attacks.ImagePatch, model: linear.LinearModel, x: np.ndarray, *rest: object) -> object:
        place, patch = begun(self, model, x, *rest)  # type: ignore[arg-type]
        return np.zeros_like(place), patch

    monkeypatch.setattr(image_patch.ImagePatch, "_begun", far)
    still = attacks.ImagePatch(size=0.34, steps=20, stride=0).attack(model, x, y)
    walked = attacks.ImagePatch(size=0.34, steps=200).attack(model, x, y)
    one = attacks.ImagePatch(size=0.34, steps=200).attack(model, x[2:3], y[2:3])
    np.testing.assert_array_equal(one.adv[0], walked.adv[0, 2:3])
    corner = [tuple(np.argwhere(change)[0]) for change in (walked.adv[0] != x)[:, 0]]
    assert (np.abs(np.array(corner) - [7, 2]) <= 1).all()
    assert all(tuple(np.argwhere(change)[0]) == (0, 0) for change in (still.adv[0] != x)[:, 0])


def test_a_fixed_place_is_kept_and_a_disc_is_round() -> None:
    model, x = planar(), images(20)
    y = model.predict(x)
    result = attacks.ImagePatch(size=0.5, shape="disc", place=(1.0, 0.5), steps=3).attack(model, x, y)
    shown = np.zeros(SHAPE[1:], bool)
    shown[5:9, 4:8] = np.hypot(*(np.indices((4, 4)) - 1.5)) <= 2
    assert shown.sum() == 12
    assert not (result.adv[0] != x)[:, :, ~shown].any() and (result.adv[0] != x)[:, :, shown].mean() > 0.9


@pytest.mark.parametrize("kind", [attacks.Patch, attacks.ImagePatch])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size"),
        ({"size": 1.5}, "size"),
        ({"shape": "star"}, "unknown shape"),
        ({"place": "anywhere"}, "unknown place"),
        ({"place": (0.5,)}, r"\(down, right\)"),
        ({"place": (0.5, 2)}, "place"),
        ({"steps": 0}, "steps"),
        ({"step_size": 0}, "step_size"),
    ],
)
def test_bad_settings(kind: type, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        kind(**settings)


def test_what_does_not_fit() -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 3)
    for kind in (attacks.Patch, attacks.ImagePatch):
        with pytest.raises(UnsupportedError, match=r"images \(n, c, h, w\)"):
            kind().attack(model, x, model.predict(x))
    with pytest.raises(InvalidArgument, match=r"patch \(2, 3, 3\)"):
        attacks.Patch().lay(images(), np.zeros((1, 3, 3), np.float32))
    assert attacks.Patch(place=[0, 1]) == attacks.Patch(place=(0.0, 1.0))  # type: ignore[arg-type]
    for settings in ({"rotation": -1}, {"scale": 0}, {"eot": 0}):
        with pytest.raises(InvalidArgument):
            attacks.Patch(**settings)  # type: ignore[arg-type]
    for settings in ({"restarts": 0}, {"stride": -1}, {"loss": "x"}):
        with pytest.raises(InvalidArgument):
            attacks.ImagePatch(**settings)  # type: ignore[arg-type]


def test_a_masked_pgd_of_the_whole_range_is_the_best_patch_at_its_place() -> None:
    """On a linear model each value that the mask allows ends at the bound that its weight says."""
    model, x = planar(), images(40)
    y = model.predict(x)
    allowed = np.zeros(SHAPE, bool)
    allowed[:, 3:5, 6:8] = True
    result = attacks.PGD(mask=allowed, steps=10, loss="margin").attack(model, x, y, 1.0)
    slopes = linear.slope(model, y).reshape(-1, *SHAPE)
    best = np.where(allowed, slopes > 0, x).astype(np.float32)
    np.testing.assert_array_equal(result.success[0], linear.margin(model, best, y) < 0)
    left = ~result.success[0]
    # A weight next to nothing may not show in the float32 loss, by which the best iterate is chosen.
    reached = linear.margin(model, result.adv[0], y)[left]
    np.testing.assert_allclose(reached, linear.margin(model, best, y)[left], rtol=1e-4, atol=1e-4)
    assert ((result.adv[0] != x) <= allowed).all() and 0 < left.sum() < 40
