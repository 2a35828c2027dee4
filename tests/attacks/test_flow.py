"""Flow: no displacement is the image itself, gradients are those of finite differences, fields are smooth."""

from __future__ import annotations

import linear
import numpy as np
import pytest
import small_models
from scipy import ndimage

from armour import attacks
from armour.attacks.flow import bent, flow_slopes, roughness
from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor import Tensor, grid_sample


def images(n: int = 3, shape: tuple[int, ...] = (2, 7, 9), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.random((n, *shape), dtype=np.float32)
    return x, rng.uniform(-2.5, 2.5, (n, 2, *shape[1:])).astype(np.float32)


def by_scipy(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    at = np.indices(flow.shape[1:]) + flow
    return np.stack([ndimage.map_coordinates(c, at, order=1, mode="nearest") for c in image])


def test_no_flow_is_the_image_bit_for_bit() -> None:
    x, flow = images()
    assert bent(x, 0 * flow).tobytes() == x.tobytes()
    whole = np.broadcast_to(np.float32([1, -2])[:, None, None], (3, 2, 7, 9))
    np.testing.assert_array_equal(bent(x, whole)[:, :, :-1, 2:], x[:, :, 1:, :-2])


def test_bending_is_scipys() -> None:
    x, flow = images()
    for image, field, out in zip(x.astype(np.float64), flow.astype(np.float64), bent(x, flow), strict=True):
        np.testing.assert_allclose(out, by_scipy(image, field), atol=2e-6)


def test_slopes_are_those_of_finite_differences_and_of_the_engine() -> None:
    x, flow = images(seed=1)
    along = np.random.default_rng(2).normal(size=x.shape).astype(np.float32)
    slopes = flow_slopes(x, flow, along)
    step = 1e-6
    rng = np.random.default_rng(3)
    for _ in range(60):
        n, axis, i, j = (int(rng.integers(size)) for size in flow.shape)
        values = []
        for sign in (-1, 1):
            moved = flow[n].astype(np.float64)
            moved[axis, i, j] += sign * step
            values.append((by_scipy(x[n].astype(np.float64), moved) * along[n]).sum())
        expected = (values[1] - values[0]) / (2 * step)
        assert slopes[n, axis, i, j] == pytest.approx(expected, rel=1e-3, abs=1e-4)
    # And all of them by the tape.
    h, w = flow.shape[2:]
    at = np.stack([(np.arange(w) + flow[:, 1]), np.arange(h)[:, None] + flow[:, 0]], axis=-1)
    grid = Tensor((at / np.array([(w - 1) / 2, (h - 1) / 2]) - 1).astype(np.float64), requires_grad=True)
    out = grid_sample(Tensor(x.astype(np.float64)), grid, padding_mode="border", align_corners=True)
    (out * along).sum().backward()
    theirs = grid.grad.numpy() / np.array([(w - 1) / 2, (h - 1) / 2])
    np.testing.assert_allclose(slopes, theirs[..., ::-1].transpose(0, 3, 1, 2), rtol=1e-3, atol=1e-4)


def test_on_a_pixel_the_slope_leads_to_its_neighbour() -> None:
    """Also at the last one, so that a border is not stuck."""
    x = np.float32([[[[0, 1, 3], [0, 1, 3]]]])
    slopes = flow_slopes(x, np.zeros((1, 2, 2, 3), np.float32), np.ones_like(x))
    np.testing.assert_allclose(slopes[0, 1], [[1, 2, 2], [1, 2, 2]])
    np.testing.assert_allclose(slopes[0, 0], 0)
    line = flow_slopes(x[:, :, :1], np.zeros((1, 2, 1, 3), np.float32), np.ones((1, 1, 1, 3), np.float32))
    np.testing.assert_allclose(line[0, :, 0], [[0, 0, 0], [1, 2, 2]])


def test_roughness_is_the_papers_sum_and_its_slope() -> None:
    _, flow = images(2, (1, 4, 5))
    for field, found in zip(flow.astype(np.float64), roughness(flow)[0], strict=True):
        total = 0.0
        for i in range(4):
            for j in range(5):
                for a, b in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                    if 0 <= a < 4 and 0 <= b < 5:
                        total += float(np.linalg.norm(field[:, i, j] - field[:, a, b]))
        assert found == pytest.approx(total, rel=1e-3)
    slopes = roughness(flow)[1]
    for at in [(0, 0, 0, 0), (0, 1, 2, 3), (1, 0, 3, 4)]:
        up, down = flow.copy(), flow.copy()
        up[at] += 1e-2
        down[at] -= 1e-2
        change = (roughness(up)[0] - roughness(down)[0])[at[0]] / (up[at] - down[at])
        assert slopes[at] == pytest.approx(change, rel=2e-2, abs=2e-2)
    shifted = np.ones_like(flow) * np.float32(1.7)
    assert (roughness(shifted)[0] == 0).all() and (roughness(shifted)[1] == 0).all()


def test_it_breaks_within_its_reach_and_only_moves_pixels() -> None:
    """Values of the image only: no pixel beyond the least and the largest around it."""
    x, y = small_models.digits(60)
    net = small_models.centroids(*small_models.digits(600))
    right = net.predict(x) == y
    x, y = x[right], y[right]
    result = attacks.Flow(steps=60).attack(net, x, y)
    assert result.success.mean() > 0.9
    size = 2 * int(np.ceil(0.2 * 8)) + 1
    low = ndimage.minimum_filter(x, (1, 1, size, size), mode="nearest")
    high = ndimage.maximum_filter(x, (1, 1, size, size), mode="nearest")
    assert (result.adv[0] >= low - 1e-5).all() and (result.adv[0] <= high + 1e-5).all()
    still = attacks.Flow(steps=60, reach=0.01).attack(net, x, y)
    assert still.success.mean() < 0.3
    flat = np.full_like(x[:4], 0.5)
    assert (attacks.Flow(steps=5).attack(net, flat, net.predict(flat)).adv[0] == flat).all()


def test_more_weight_gives_smoother_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same images: the field that is handed back is the smoothest that was met."""
    x, y = small_models.digits(60)
    net = small_models.centroids(*small_models.digits(600))
    right = net.predict(x) == y
    x, y = x[right], y[right]
    kept = []
    for weight in (0.0, 0.02, 0.2):
        seen: list[np.ndarray] = []

        def noted(field: np.ndarray, kept: list[np.ndarray] = seen) -> tuple[np.ndarray, np.ndarray]:
            kept.append(field.copy())
            return roughness(field)

        monkeypatch.setattr("armour.attacks.flow.roughness", noted)
        result = attacks.Flow(steps=60, smoothness=weight).attack(net, x, y)
        monkeypatch.undo()
        rough, least = np.full((2, len(x)), np.inf)
        for field in seen:
            adv, value = np.clip(bent(x, field), 0, 1), roughness(field)[0]
            same = (adv == result.adv[0]).all(axis=(1, 2, 3))
            met = net.predict(adv) != y
            rough[same], least[met] = (np.minimum(a, value)[at] for a, at in ((rough, same), (least, met)))
        np.testing.assert_array_equal(result.success[0], np.isfinite(least))
        np.testing.assert_allclose(rough[result.success[0]], least[result.success[0]])
        kept.append((result.success[0], rough))
    both = np.logical_and.reduce([success for success, _ in kept])
    assert both.mean() > 0.8
    medians = [float(np.median(rough[both])) for _, rough in kept]
    assert medians[0] > 1.2 * medians[1] > 1.2 * medians[2]


@pytest.mark.parametrize(
    "settings",
    [{"smoothness": -1}, {"reach": 0}, {"reach": 2}, {"steps": 0}, {"step_size": 0}, {"loss": "x"}],
)
def test_bad_settings(settings: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        attacks.Flow(**settings)  # type: ignore[arg-type]


def test_inputs_that_are_no_images() -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 3)
    with pytest.raises(UnsupportedError, match=r"images \(n, c, h, w\)"):
        attacks.Flow().attack(model, x, model.predict(x))
