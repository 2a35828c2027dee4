"""Defenses in front of a model: values against closed forms, gradients against differences, and all of them
under attacks that go back through them."""

from __future__ import annotations

import model_contract
import numpy as np
import pytest
import trained
from linear import small_network
from numpy.typing import NDArray
from scipy import ndimage

from armour import attacks
from armour.bounds import Bounds
from armour.defenses import (
    BitDepth,
    Defended,
    InputDefense,
    RandomResizing,
    SpatialSmoothing,
    Thermometer,
    TotalVariation,
)
from armour.defenses.input import input_defenses, parse
from armour.defenses.total_variation import denoised
from armour.errors import InvalidArgument
from armour.model import ModuleModel
from armour.rng import Streams, by_content
from armour.tensor import Tensor, cross_entropy, nn, optim

UNIT, PIXELS = Bounds(0, 1), Bounds(0, 255)
ALL = sorted(input_defenses())
PLAIN = [name for name in ALL if name != "thermometer"]  # what leaves shapes alone


def streams(x: np.ndarray, seed: int = 0) -> Streams:
    return by_content(np.random.default_rng(seed), x)


def applied(defense: InputDefense, x: np.ndarray, bounds: Bounds = UNIT) -> NDArray[np.floating]:
    return np.asarray(defense.apply(Tensor(x), bounds, Streams(np.arange(len(x), dtype=np.uint64))).data)


def images(n: int = 3, c: int = 2, h: int = 8, w: int = 9, dtype: type = np.float32) -> np.ndarray:
    x = np.random.default_rng(1).random((n, c, h, w)).astype(dtype)
    x[:, :, 0] = 0
    x[:, :, 1, :3] = 1
    return x


# -- every one of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_it_stays_inside_and_each_sample_is_its_own(name: str) -> None:
    defense, x = parse(name), images()
    keys = np.arange(3, dtype=np.uint64)
    whole = applied(defense, x)
    assert whole.dtype == np.float32 and whole.min() >= 0 and whole.max() <= 1
    assert defense.taken(whole.shape[1:]) == x.shape[1:]
    turned = defense.apply(Tensor(x[[2, 0]]), UNIT, Streams(keys[[2, 0]])).data
    np.testing.assert_array_equal(turned, whole[[2, 0]])
    assert defense.apply(Tensor(x[:0]), UNIT, Streams(keys[:0])).shape == (0, *whole.shape[1:])


@pytest.mark.parametrize("name", ALL)
def test_another_scale_of_the_bounds_scales_the_result(name: str) -> None:
    # Not on levels, marks and ties, where rounding decides.
    defense, x = parse(name), (images() * 0.98 + 0.007).astype(np.float64)
    x = x.astype(np.float32).astype(np.float64)
    in_pixels = applied(defense, 255 * x, PIXELS) / 255
    np.testing.assert_allclose(in_pixels, applied(defense, x), atol=2e-5)


@pytest.mark.parametrize("name", ALL)
def test_its_gradient_is_what_it_says(name: str) -> None:
    defense, x = (
        parse(name),
        0.9 * images(dtype=np.float64) + 0.05 * np.random.default_rng(2).random((3, 2, 8, 9)),
    )
    rng = np.random.default_rng(3)
    for bounds in (UNIT, PIXELS):
        leaf = Tensor(bounds.low + bounds.span * x, requires_grad=True)
        keys = np.arange(len(x), dtype=np.uint64)
        out = defense.apply(leaf, bounds, Streams(keys))
        g = rng.normal(size=out.shape)
        (out * Tensor(g)).sum().backward()
        found = leaf.grad.numpy()
        if defense.backward == "identity":
            np.testing.assert_allclose(found, g, rtol=1e-12)
            continue

        def value(
            z: np.ndarray, bounds: Bounds = bounds, g: np.ndarray = g, keys: np.ndarray = keys
        ) -> float:
            if isinstance(defense, Thermometer):  # the stand-in
                marks = (np.arange(defense.levels) / defense.levels).reshape(-1, 1, 1)
                u = (z - bounds.low) / bounds.span
                made = np.clip(u[:, :, None] - marks, 0, 1).reshape(g.shape) * bounds.span
            else:
                made = defense.apply(Tensor(z), bounds, Streams(keys)).data
            return float((g * made).sum())

        along = rng.normal(size=x.shape)
        step = 1e-7 * bounds.span
        slope = (value(leaf.data + step * along) - value(leaf.data - step * along)) / (2 * step)
        assert slope == pytest.approx(float((found * along).sum()), rel=1e-5)


@pytest.mark.parametrize("name", PLAIN)
def test_in_front_of_a_model_it_is_a_model(name: str) -> None:
    example = model_contract.Example(
        name, lambda seed: Defended(_images_model(seed), parse(name)), can_grad=True, pickles=False
    )
    if not parse(name).random:  # their answers may differ
        model_contract.shapes_and_dtypes(example)
        model_contract.no_samples_and_one(example)
        model_contract.batch_size_does_not_matter(example)
    model_contract.bad_inputs_are_refused(example)


def _images_model(seed: int = 0, bounds: tuple[float, float] = (0, 1), channels: int = 1) -> ModuleModel:
    rng = np.random.default_rng(seed)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(64 * channels, 24, rng=rng), nn.Tanh(), nn.Linear(24, 4, rng=rng)
    )
    mean, std = sum(bounds) / 2, (bounds[1] - bounds[0]) / 6
    return ModuleModel(
        net, bounds=bounds, input_shape=(channels, 8, 8), num_classes=4, mean=mean, std=std, name="net"
    )


# -- one by one ----------------------------------------------------------------------------------------------


def test_bit_depth() -> None:
    x = np.array([[0, 0.16, 0.17, 0.49, 0.51, 1]], np.float32)
    np.testing.assert_array_equal(applied(BitDepth(bits=1), x), [[0, 0, 0, 0, 1, 1]])
    thirds = applied(BitDepth(bits=2), x)
    np.testing.assert_allclose(thirds, [[0, 0, 1 / 3, 1 / 3, 2 / 3, 1]], rtol=1e-6)
    np.testing.assert_array_equal(applied(BitDepth(bits=2), thirds), thirds)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_spatial_smoothing_is_scipys(size: int) -> None:
    x = images(2, 2, 7, 9, np.float64)
    mean = ndimage.uniform_filter(x, (1, 1, size, size), mode="nearest")
    np.testing.assert_allclose(applied(SpatialSmoothing(kind="mean", size=size), x), mean, atol=1e-12)
    found = applied(SpatialSmoothing(size=size), x)
    if size % 2:
        np.testing.assert_array_equal(found, ndimage.median_filter(x, (1, 1, size, size), mode="nearest"))
    else:  # SciPy takes the upper of the two in the middle
        ranks = [
            ndimage.rank_filter(x, rank, (1, 1, size, size), mode="nearest")
            for rank in (size * size // 2 - 1, size * size // 2)
        ]
        np.testing.assert_allclose(found, (ranks[0] + ranks[1]) / 2, atol=1e-12)


def test_total_variation_of_two_pixels_has_a_closed_form() -> None:
    a, b, weight = 0.2, 0.9, 0.1
    x = np.array([a, b]).reshape(1, 1, 1, 2)
    ones = np.ones((1, 1, 1, 2))
    np.testing.assert_allclose(denoised(x, ones, weight, 500).ravel(), [a + weight, b - weight], atol=1e-6)
    np.testing.assert_allclose(denoised(x, ones, 1.0, 500).ravel(), [(a + b) / 2] * 2, atol=1e-6)
    # A pixel that is dropped takes its neighbour's value.
    kept = np.array([1.0, 0]).reshape(1, 1, 1, 2)
    np.testing.assert_allclose(denoised(x, kept, weight, 500).ravel(), [a, a], atol=1e-6)


def test_total_variation_reaches_the_least_of_its_objective() -> None:
    x = images(2, 2, 6, 6, np.float64)
    kept = (np.random.default_rng(0).random((2, 1, 6, 6)) < 0.6).astype(float)

    def objective(z: np.ndarray) -> np.ndarray:
        down, right = np.zeros_like(z), np.zeros_like(z)
        down[:, :, :-1], right[..., :-1] = np.diff(z, axis=2), np.diff(z, axis=3)
        return (kept * (z - x) ** 2 / 2 + 0.2 * np.hypot(down, right)).sum(axis=(1, 2, 3))

    best = denoised(x, kept, 0.2, 4000)
    least = objective(best)
    assert (least < objective(x)).all()
    rng = np.random.default_rng(1)
    for size in (1e-1, 1e-2, 1e-3):  # convex: no direction leads down from the least
        for _ in range(20):
            assert (objective(best + size * rng.normal(size=x.shape)) > least).all()
    near = objective(denoised(x, kept, 0.2, TotalVariation().steps))
    assert (near < least + 0.02 * (objective(x) - least)).all(), "the default number of steps is enough"


def test_thermometer_codes() -> None:
    x = np.array([0, 0.1, 0.25, 0.6, 1], np.float32).reshape(5, 1, 1, 1)
    codes = applied(Thermometer(levels=4), x).reshape(5, 4)
    np.testing.assert_array_equal(codes, [[0] * 4, [1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0], [1] * 4])
    two = applied(Thermometer(levels=4), np.concatenate([x, 1 - x], axis=1))
    np.testing.assert_array_equal(two[:, :4].reshape(5, 4), codes)  # a channel's levels stay together


def test_resizing_of_one_factor_is_bilinear_and_whole_ones_change_nothing() -> None:
    from armour.defenses.resizing import _placed

    np.testing.assert_array_equal(_placed(7, np.ones(2), np.array([0, 0.99])), np.stack([np.eye(7)] * 2))
    half = _placed(4, np.array([0.5]), np.array([0.99]))[0]
    np.testing.assert_array_equal(half, [[0] * 4, [0] * 4, [0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    x = images(40, 1, 10, 10)
    made = applied(RandomResizing(smallest=0.5), x + 0.1)
    corner = (made[:, 0, 0, 0] == 0).mean()
    assert 0.3 < corner < 1, "places differ"
    assert (made[:, 0].sum(axis=(1, 2)) > 0).all()


# -- the model -----------------------------------------------------------------------------------------------


def test_defenses_follow_one_another_and_the_counter_is_the_models() -> None:
    inner, x = _images_model(), images(5, 1, 8, 8)
    model = Defended(inner, ["bit-depth:bits=2", SpatialSmoothing(kind="mean", size=2)])
    by_hand = applied(SpatialSmoothing(kind="mean", size=2), applied(BitDepth(bits=2), x))
    np.testing.assert_array_equal(model.logits(x), inner.logits(by_hand))
    np.testing.assert_array_equal(model.transformed(x), by_hand)
    model.counter.reset()
    y = np.zeros(5, np.int64)
    gradient = model.loss_gradient(x, y)[1]
    assert (inner.counter.queries, inner.counter.gradients) == (5, 5)
    given = inner.loss_gradient(by_hand, y)[1]
    back = np.einsum("ia,ncab,bj->ncij", _mean_matrix(8).T, given, _mean_matrix(8))
    np.testing.assert_allclose(gradient, back, atol=1e-6)
    assert model.name == "net behind bit-depth:bits=2 then spatial-smoothing:kind=mean,size=2"
    assert model.provenance["defenses"] == ["bit-depth:bits=2", "spatial-smoothing:kind=mean,size=2"]
    assert len({inner.fingerprint, model.fingerprint, Defended(inner, "bit-depth").fingerprint}) == 3
    np.testing.assert_array_equal(model.tapped(x)[1]["1"], inner.tapped(by_hand)[1]["1"])


def _mean_matrix(side: int) -> np.ndarray:
    """(side, side): each pixel and the one before it, halved; the first counts twice."""
    return (np.eye(side) + np.eye(side)[np.maximum(np.arange(side) - 1, 0)]) / 2


def test_what_is_drawn_follows_from_the_call_and_the_sample_alone() -> None:
    x = images(9, 1, 8, 8)
    model = Defended(_images_model(), RandomResizing(), rng=3)
    assert model.random and not Defended(_images_model(), "jpeg").random
    calls = [model.logits(x) for _ in range(3)]
    assert np.abs(calls[0] - calls[1]).max() > 1e-3, "each call draws anew"
    again = Defended(_images_model(), RandomResizing(), rng=3)
    again.batch_size = 2
    turned = np.arange(9)[::-1]
    for call in calls:
        np.testing.assert_allclose(again.logits(x[turned]), call[turned], atol=1e-5)
    other = Defended(_images_model(), RandomResizing(), rng=4)
    assert np.abs(other.logits(x) - calls[0]).max() > 1e-3
    # One call of gradient() has one draw, in chunks too.
    chunked = [Defended(_images_model(), RandomResizing(), rng=3) for _ in range(2)]
    chunked[1].batch_size = 4
    y = np.zeros(9, np.int64)
    whole, parts = (m.gradient(x, lambda z: cross_entropy(z, y[: len(z.data)])) for m in chunked)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    flat = small_network()
    for wrong, message in (
        ([], "expected at least one defense"),
        ("bit-depths", "unknown defense 'bit-depths'"),
        ("bit-depth:bit=3", "bit-depth: expected bits=..., each once, got 'bit=3'"),
        ("bit-depth:bits=x", "expected bits as int"),
        ("bit-depth:bits=40", "1 to 16 bits"),
        ("jpeg:quality=100", "quality of 1 to 99"),
        ("total-variation:keep=0", "keep"),
        ("spatial-smoothing:kind=mode", "unknown kind 'mode'"),
        ("thermometer:levels=3", "a multiple of 3 channels behind thermometer:levels=3"),
        ([7], "expected an input defense"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            Defended(flat, wrong)  # type: ignore[arg-type]
    rows = ModuleModel(nn.Linear(5, 2, rng=np.random.default_rng(0)), input_shape=(5,), num_classes=2)
    assert Defended(rows, "bit-depth").logits(np.zeros((2, 5), np.float32)).shape == (2, 2)
    with pytest.raises(InvalidArgument, match=r"expected images \(c, h, w\) for jpeg"):
        Defended(rows, "jpeg")


# -- what an attack leaves -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        *(name for name in PLAIN if name != "random-resizing"),
        "random-resizing:smallest=0.9",
        "spatial-smoothing:kind=mean",
        "thermometer:levels=4",
    ],
)
def test_attacks_go_through_it(text: str) -> None:
    """An attack that knows the defense leaves nothing, as without it; one that does not, a lot."""
    _, test = trained.digits()
    x, y = test.x[:60], test.y[:60]
    plain = trained.network("mlp")
    defense = parse(text)
    inner = _encoded_network(defense) if isinstance(defense, Thermometer) else plain
    model = Defended(inner, defense)
    assert model.accuracy(x, y) > 0.75, "it does not defend by breaking the model"
    attack = attacks.PGD(steps=20, step_size=0.1, eot=4 if defense.random else 1)
    epsilon = 0.3 if defense.random else 0.2
    alone = attack.attack(plain, x, y, epsilon, rng=0)
    through = attack.attack(model, x, y, epsilon, rng=0)
    assert alone.robust_accuracy[0] == 0
    # A random one is asked once more at the end, and may be lucky.
    assert through.robust_accuracy[0] <= (0.1 if defense.random else 0.02), "gradients go through"
    assert model.accuracy(alone.adv[0], y) > 0.1, "so this attack on the model alone would have flattered it"


def _encoded_network(defense: Thermometer) -> ModuleModel:
    train, _ = trained.digits()
    rng = np.random.default_rng(0)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(784 * defense.levels, 32, rng=rng), nn.ReLU(), nn.Linear(32, 10, rng=rng)
    )
    optimiser = optim.Adam(net.parameters(), 5e-3)
    codes = applied(defense, train.x)
    for _ in range(6):
        for rows in np.array_split(rng.permutation(len(codes)), len(codes) // 64):
            for parameter in net.parameters():
                parameter.zero_grad()
            cross_entropy(net(Tensor(codes[rows])), train.y[rows]).mean().backward()
            optimiser.step()
    return ModuleModel(net, input_shape=(defense.levels, 28, 28), num_classes=10)
