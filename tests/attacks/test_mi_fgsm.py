"""The momentum family against float64 references of the papers, written out one sample at a time."""

from __future__ import annotations

from typing import Any

import linear
import numpy as np
import pytest

from armour import attacks
from armour.attacks import Diversity, Momentum, Neighbours, Smoothing
from armour.attacks.gradient import ascend
from armour.attacks.momentum import MomentumWay, unit
from armour.contract import LossFn
from armour.criteria import Misclassified
from armour.distances import distance
from armour.errors import InvalidArgument, UnsupportedError
from armour.rng import Streams, per_item

SHAPE = (2, 4, 3)
EPSILON = 0.2
STEPS = 5


class Recorded(linear.LinearModel):
    """A linear model of three classes that keeps every point whose gradient it was asked for."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        super().__init__(rng.normal(size=(24, 3)) * 2, rng.normal(size=3), input_shape=SHAPE)
        self.pulled: list[np.ndarray] = []

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self.pulled.append(x.copy())
        return super()._pullback(x, loss_fn)

    def slope(self, x: np.ndarray, label: int) -> np.ndarray:
        """The gradient of the cross-entropy at one input, by hand."""
        z = x.reshape(-1).astype(np.float64) @ self.weights + self.bias
        p = np.exp(z - z.max())
        return np.asarray((self.weights @ (p / p.sum() - np.eye(3)[label])).reshape(x.shape))


class Never(Misclassified):
    """Never met, so that all steps are taken."""

    def __call__(self, logits: Any) -> np.ndarray:
        return np.zeros(len(logits), bool)

    def __getitem__(self, index: Any) -> Never:
        return Never(self.labels[index])


def walk(attack: Any, n: int = 3, norm: str = "linf") -> tuple[Recorded, np.ndarray, np.ndarray]:
    model = Recorded()
    x = np.random.default_rng(1).uniform(0.05, 0.95, (n, *SHAPE)).astype(np.float32)
    y = model.predict(x)
    attack.run(model, x, Never(y), EPSILON, rng=streams(n))
    return model, x, y


def streams(n: int) -> Streams:
    return per_item(np.random.default_rng(5), n)


def reference(
    model: Recorded, x: np.ndarray, label: int, *, nesterov: bool = False, scales: int = 1, smooth: Any = None
) -> list[np.ndarray]:
    """All iterates of one sample: Dong et al., algorithm 1, and Lin et al., algorithm 1, in float64."""
    x = x.astype(np.float64)
    point, g, alpha, seen = x, np.zeros_like(x), EPSILON / STEPS, []
    for _ in range(STEPS):
        at = np.clip(point + alpha * g, 0, 1) if nesterov else point
        seen.append(at)
        slope = np.mean([model.slope(at / 2**i, label) / 2**i for i in range(scales)], axis=0)
        if smooth is not None:
            slope = smooth(slope)
        g = g + slope / np.abs(slope).mean()
        point = np.clip(np.clip(point + alpha * np.sign(g), x - EPSILON, x + EPSILON), 0, 1)
    return seen


def window(slope: np.ndarray) -> np.ndarray:
    """TI's window of 5 pixels whose edge is at three standard deviations, pixel by pixel."""
    line = np.exp(-0.5 * np.linspace(-3, 3, 5) ** 2)
    line /= line.sum()
    out = np.zeros_like(slope)
    h, w = slope.shape[1:]
    for i in range(h):
        for j in range(w):
            for di in range(-2, 3):
                for dj in range(-2, 3):
                    if 0 <= i + di < h and 0 <= j + dj < w:
                        out[:, i, j] += line[di + 2] * line[dj + 2] * slope[:, i + di, j + dj]
    return out


@pytest.mark.parametrize(
    ("attack", "settings"),
    [
        (attacks.MIFGSM(steps=STEPS), {}),
        (attacks.NIFGSM(steps=STEPS), {"nesterov": True}),
        (attacks.SIFGSM(steps=STEPS, scales=3), {"nesterov": True, "scales": 3}),
        (attacks.SIFGSM(steps=STEPS, scales=4, nesterov=False), {"scales": 4}),
        (attacks.TIFGSM(steps=STEPS, size=5), {"smooth": window}),
    ],
)
def test_every_point_is_the_papers(attack: Any, settings: dict[str, Any]) -> None:
    model, x, y = walk(attack)
    scales = settings.get("scales", 1)
    assert len(model.pulled) == STEPS
    for i in range(len(x)):
        expected = reference(model, x[i], y[i], **settings)
        for step, pulled in enumerate(model.pulled):
            copies = pulled.reshape(len(x), scales, *SHAPE)[i]
            for k in range(scales):
                np.testing.assert_allclose(copies[k], expected[step] / 2**k, atol=2e-6)


def test_momentum_in_closed_form() -> None:
    """On a linear objective the directions are 1, 1 + d, 1 + d + d^2, ... times one unit gradient."""
    model = linear.two_classes()
    x = np.full((4, 12), 0.5, np.float32)
    y = np.array([0, 1, 0, 1])
    slopes = linear.slope(model, y)
    expected = slopes / np.abs(slopes).mean(axis=1, keepdims=True)
    seen = []
    region = distance("linf").region(x, 0.1, model.bounds)
    way = MomentumWay(
        Momentum(decay=0.5), model, region, steps=4, step_size=0.1, rng=per_item(np.random.default_rng(0), 4)
    )

    class Spy:
        elsewhere = way.elsewhere

        def __call__(self, *given: Any) -> np.ndarray:
            seen.append(way(*given))
            return seen[-1]

    adv, _, _ = ascend(model, region, Never(y), x, loss="margin", steps=4, step_size=0.1, way=Spy())
    for step, direction in enumerate(seen):
        np.testing.assert_allclose(direction, expected * (2 - 0.5**step), rtol=1e-5)
    np.testing.assert_allclose(adv, x + 0.04 * np.sign(slopes), atol=1e-6)


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_other_norms_step_along_the_momentum(norm: Any) -> None:
    """On a linear margin MI in l2 goes straight to where FGSM does; its length is the budget."""
    model = linear.two_classes()
    x = np.full((4, 12), 0.5, np.float32)
    y = model.predict(x)
    adv = attacks.MIFGSM(norm=norm, loss="margin").run(model, x, Never(y), 0.3, rng=streams(4))
    straight = attacks.FGSM(norm=norm, loss="margin").run(model, x, Never(y), 0.3, rng=streams(4))
    np.testing.assert_allclose(adv, straight, atol=1e-5)


@pytest.mark.parametrize("nesterov", [False, True])
def test_variance_tuning(nesterov: bool) -> None:
    """From the neighbours that were asked, the paper's recursion in float64 gives the next iterate."""
    many = 6
    attack = (attacks.VNIFGSM if nesterov else attacks.VMIFGSM)(steps=STEPS, neighbours=many)
    model, x, y = walk(attack)
    # After the last step no neighbours are needed.
    assert len(model.pulled) == 2 * STEPS - 1 and len(model.pulled[1]) == many * len(x), "one tiled batch"
    drawn = []
    for i in range(len(x)):
        clean, alpha = x[i].astype(np.float64), EPSILON / STEPS
        point, g, v = clean, np.zeros(SHAPE), np.zeros(SHAPE)
        for step in range(STEPS):
            at = np.clip(point + alpha * g, 0, 1) if nesterov else point
            np.testing.assert_allclose(model.pulled[2 * step][i], at, atol=2e-6)
            if step == STEPS - 1:
                break
            neighbours = model.pulled[2 * step + 1].reshape(len(x), many, *SHAPE)[i]
            drawn.append(neighbours - point)
            slope = model.slope(at, y[i])
            g = g + (slope + v) / np.abs(slope + v).mean()
            v = np.mean([model.slope(q, y[i]) for q in neighbours], axis=0) - slope
            point = np.clip(np.clip(point + alpha * np.sign(g), clean - EPSILON, clean + EPSILON), 0, 1)
    away = np.concatenate(drawn)
    assert np.abs(away).max() <= 1.5 * EPSILON + 1e-6 and np.abs(away).max() > 1.4 * EPSILON
    assert len(np.unique(away.reshape(len(away), -1), axis=0)) == len(away), "each neighbour is its own"


def test_decay_zero_and_no_parts_is_bim() -> None:
    model, x = linear.small_network(), linear.inputs(linear.small_network(), 12)
    y = model.predict(x)
    plain = attacks.BIM(steps=6, step_size=1 / 6).attack(model, x, y, 0.1)
    for attack in (
        attacks.MIFGSM(steps=6, decay=0),
        attacks.DIFGSM(steps=6, decay=0, probability=0),
        attacks.TIFGSM(steps=6, decay=0, size=1),
        attacks.SIFGSM(steps=6, decay=0, scales=1),
    ):
        np.testing.assert_array_equal(attack.attack(model, x, y, 0.1).adv, plain.adv)


def test_a_composition_uses_all_its_parts() -> None:
    """Each part, taken away, changes what is found."""
    model, x = linear.small_network(), linear.inputs(linear.small_network(), 8)
    y = model.predict(x)
    parts: dict[str, Any] = {
        "nesterov": True,
        "scales": 3,
        "diversity": Diversity(probability=1.0, smallest=0.7),
        "neighbours": Neighbours(count=3),
        "smoothing": Smoothing(size=3),
    }

    def found(given: dict[str, Any]) -> np.ndarray:
        attack = attacks.CTFGSM(steps=4, parts=Momentum(**given))
        return attack.run(model, x, Never(y), 0.1, rng=streams(8))

    whole = found(parts)
    for name in parts:
        assert not np.array_equal(found({k: v for k, v in parts.items() if k != name}), whole), name
    assert not np.array_equal(found({**parts, "decay": 0.0}), whole)


@pytest.mark.parametrize("kind", [attacks.DIFGSM, attacks.TIFGSM, attacks.CTFGSM])
def test_inputs_that_are_no_images_are_refused(kind: Any) -> None:
    model = linear.two_classes()
    x = linear.inputs(model, 3)
    with pytest.raises(UnsupportedError, match=r"needs images.*shape \(12,\); use mi-fgsm"):
        kind().attack(model, x, model.predict(x), 0.1)
    for other in (attacks.SIFGSM, attacks.VNIFGSM):
        assert other().attack(model, x, model.predict(x), 0.3).success.any()


def test_no_slope_is_no_step() -> None:
    flat = linear.LinearModel(np.zeros((24, 3)), np.array([1.0, 0, 0]), input_shape=SHAPE)
    x = np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32)
    for attack in (attacks.MIFGSM(), attacks.CTFGSM(), attacks.VNIFGSM(neighbours=2)):
        np.testing.assert_array_equal(attack.attack(flat, x, np.zeros(3, int), 0.1).adv[0], x)


def test_batches_are_no_larger_than_the_models() -> None:
    """And it makes no difference how many samples fit into one."""
    found = []
    for size in (256, 8, 2):
        model = Recorded()
        model.batch_size = size
        x = np.random.default_rng(1).uniform(0.05, 0.95, (5, *SHAPE)).astype(np.float32)
        attack = attacks.VNIFGSM(steps=3, neighbours=3)
        found.append(attack.run(model, x, Never(model.predict(x)), EPSILON, rng=streams(5)))
        assert max(len(pulled) for pulled in model.pulled) <= min(size, 15)
        assert sum(len(pulled) for pulled in model.pulled) == 3 * 5 + 2 * 15
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_gradients_that_are_no_numbers() -> None:
    class Cracked(Recorded):
        def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            loss, gradient, logits = super()._pullback(x, loss_fn)
            gradient = gradient.copy()
            gradient[:, 0, 0], gradient[:, 0, 1], gradient[:, 1, 0] = np.nan, np.inf, -np.inf
            return loss, gradient, logits

    model = Cracked()
    x = np.random.default_rng(0).uniform(0.3, 0.7, (3, *SHAPE)).astype(np.float32)
    goal = Never(model.predict(x))
    for attack in (
        attacks.MIFGSM(),
        attacks.TIFGSM(size=3),
        attacks.SIFGSM(),
        attacks.VNIFGSM(),
        attacks.CTFGSM(),
    ):
        adv = attack.run(model, x, goal, 0.1, rng=streams(3))
        assert np.isfinite(adv).all() and np.abs(adv - x).max() <= 0.1
        if not isinstance(attack, (attacks.TIFGSM, attacks.CTFGSM)):
            np.testing.assert_allclose(adv[:, 0, 1], x[:, 0, 1] + 0.1, atol=1e-6)


def test_unit_of_tiny_and_huge_gradients() -> None:
    row = np.array([1.0, -2.0, 3.0, 0.0])
    given = np.stack([row * s for s in (0, 1e-41, 1e-20, 1, 1e37)]).astype(np.float32)
    got = unit(given)
    assert not got[0].any()
    np.testing.assert_allclose(got[1:], np.tile(row / 1.5, (4, 1)), rtol=2e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: attacks.MIFGSM(decay=-1), "decay=-1"),
        (lambda: attacks.SIFGSM(scales=0), "scales=0"),
        (lambda: attacks.DIFGSM(probability=1.5), "probability=1.5"),
        (lambda: attacks.DIFGSM(smallest=0), "smallest=0"),
        (lambda: attacks.TIFGSM(size=4), "odd size, got size=4"),
        (lambda: attacks.VMIFGSM(neighbours=0), "count=0"),
        (lambda: attacks.VMIFGSM(step_size=0), "step_size=0"),
        (lambda: attacks.NIFGSM(loss="kl"), "random start"),
        (lambda: attacks.CTFGSM(parts=3), "attacks.Momentum"),
    ],
)
def test_bad_settings(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make()
