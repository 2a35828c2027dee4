"""Certificates: sound at random points and under attack, ordered by method, equal to dense formulas."""

from __future__ import annotations

from typing import Any

import certified_nets
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import armour.tensor as at
from armour import attacks
from armour.defenses import DEFENSES, certify
from armour.defenses.certificate import Certificate
from armour.errors import InvalidArgument, UnsupportedError
from armour.model import CallableModel, ModuleModel
from armour.tensor import nn

METHODS: tuple[Any, ...] = ("ibp", "crown-ibp", "crown", "alpha-crown")


def toy() -> ModuleModel:
    """x -> (relu(a - b) - relu(2a - b), 0) of x = (a, b)."""
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    module.load_state_dict(
        {
            "0.weight": np.array([[1, -1], [2, -1]], np.float32),
            "0.bias": np.zeros(2, np.float32),
            "2.weight": np.array([[1, -1], [0, 0]], np.float32),
            "2.bias": np.zeros(2, np.float32),
        }
    )
    return ModuleModel(module, input_shape=(2,), num_classes=2, bounds=(-4, 4))


def at_toy(method: Any, rounding: Any = "none") -> Certificate:
    x = np.array([[0.5, -0.5]], np.float32)
    return certify(toy(), x, np.array([0]), epsilon=1.5, method=method, rounding=rounding)


@pytest.mark.parametrize(
    ("method", "low", "high"), [("ibp", -6, 4), ("crown", -3, 3), ("alpha-crown", -3, 2)]
)
def test_the_toy_network_has_its_known_bounds(method: Any, low: float, high: float) -> None:
    """a in [-1, 2], b in [-2, 1]; the true range is [-2, 1]."""
    found = at_toy(method)
    np.testing.assert_allclose((found.lower[0, 0], found.upper[0, 0]), (low, high), rtol=0, atol=1e-12)
    padded = at_toy(method, "float32")
    assert padded.lower[0, 0] < low and padded.upper[0, 0] > high
    np.testing.assert_allclose(padded.lower, found.lower, rtol=0, atol=1e-4)


def dense_crown(weights: list[Any], biases: list[Any], low: Any, high: Any) -> tuple[Any, Any]:
    """Bounds of the last layer by CROWN, one neuron at a time, with intermediate layers intersected."""
    lows, highs = [], []  # before each rectifier
    box_low, box_high = low, high
    for depth, (w, b) in enumerate(zip(weights, biases, strict=True)):
        mid, rad = w @ (box_low + box_high) / 2 + b, abs(w) @ (box_high - box_low) / 2
        layer_low, layer_high = mid - rad, mid + rad
        for i in range(len(b)):
            if depth < len(weights) - 1 and not layer_low[i] < 0 < layer_high[i]:
                continue  # tighter bounds would change no line
            for sign, bound, better in ((1, layer_low, max), (-1, layer_high, min)):
                row, constant = sign * w[i], sign * b[i]
                for k in range(depth - 1, -1, -1):
                    after = np.zeros_like(row)
                    for j, a in enumerate(row):
                        lo, hi = lows[k][j], highs[k][j]
                        if lo >= 0:
                            after[j] = a
                        elif hi > 0 and a > 0:
                            after[j] = a * (hi > -lo)
                        elif hi > 0:
                            after[j] = a * hi / (hi - lo)
                            constant -= a * hi * lo / (hi - lo)
                    row, constant = after @ weights[k], constant + after @ biases[k]
                value = constant + row @ (low + high) / 2 - abs(row) @ (high - low) / 2
                bound[i] = better(bound[i], sign * value)
        lows.append(layer_low)
        highs.append(layer_high)
        box_low, box_high = np.maximum(layer_low, 0), np.maximum(layer_high, 0)
    return lows[-1], highs[-1]


@pytest.mark.parametrize("seed", range(3))
def test_crown_equals_the_dense_formulas(seed: int) -> None:
    """In float64, to 1e-9, through a normalisation."""
    model, x = certified_nets.model("dense", seed), certified_nets.inputs(2, seed)
    found = certify(model, x, np.zeros(2, int), epsilon=0.08, method="crown", rounding="none")
    state = {k: v.astype(float) for k, v in model.state_dict().items()}
    weights, biases = ([state[f"{i}.{kind}"] for i in (1, 3, 5)] for kind in ("weight", "bias"))
    factor = np.float64(np.float32(1) / np.float32(0.7))
    biases[0] = biases[0] + weights[0].sum(axis=1) * np.float64(-np.float32(0.4) / np.float32(0.7))
    weights[0] = weights[0] * factor
    for i, flat in enumerate(x.reshape(2, -1).astype(float)):
        low, high = dense_crown(weights, biases, np.maximum(flat - 0.08, 0), np.minimum(flat + 0.08, 1))
        np.testing.assert_allclose(found.lower[i], low, rtol=0, atol=1e-9)
        np.testing.assert_allclose(found.upper[i], high, rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("name", certified_nets.NETS)
def test_no_point_of_the_region_leaves_the_bounds(name: str, norm: str) -> None:
    """10,000 random points of a sample's region per network and norm, in float32 as models are evaluated."""
    model, x = certified_nets.model(name, 1), certified_nets.inputs(1, 1)
    epsilon = {"linf": 0.05, "l2": 0.3, "l1": 1.0}[norm]
    drawn = certified_nets.points(x[0], epsilon, norm, 10_000, np.random.default_rng(2))
    logits = model.logits(drawn).astype(float)
    y = model.predict(x)
    gaps = np.delete(logits[:, y] - logits, y, axis=1).min(axis=0)
    for method in METHODS:
        found = certify(model, x, y, epsilon=epsilon, norm=norm, method=method)
        assert (logits >= found.lower).all() and (logits <= found.upper).all()
        assert (gaps >= np.delete(found.margins[0], y)).all()


@given(
    name=st.sampled_from(sorted(certified_nets.NETS)),
    seed=st.integers(0, 1000),
    epsilon=st.sampled_from([0.0, 1e-3, 0.03, 0.2, 2.0]),
    norm=st.sampled_from(["linf", "l2", "l1"]),
)
@settings(max_examples=10, deadline=None)
def test_bounds_hold_and_are_ordered(name: str, seed: int, epsilon: float, norm: str) -> None:
    """Any network, sample, ball: every method holds, and none is looser than interval bounds.

    CROWN may be looser than CROWN-IBP: a tighter bound may change which lower line is chosen.
    """
    model, x = certified_nets.model(name, seed), certified_nets.inputs(2, seed)
    y = model.predict(x)
    results = [certify(model, x, y, epsilon=epsilon, norm=norm, method=m) for m in METHODS]
    for i in range(2):
        drawn = certified_nets.points(x[i], epsilon, norm, 200, np.random.default_rng(seed))
        logits = model.logits(drawn)
        for found in results:
            assert (logits >= found.lower[i]).all() and (logits <= found.upper[i]).all()
            if found.certified[i]:
                assert (logits.argmax(axis=1) == y[i]).all()
    looser, *others = results
    for tighter in others:
        assert (tighter.lower >= looser.lower).all() and (tighter.upper <= looser.upper).all()
        assert (tighter.margins >= looser.margins).all()
    crown, alpha = results[2:]
    assert (alpha.lower >= crown.lower).all() and (alpha.upper <= crown.upper).all()
    assert (alpha.margins >= crown.margins).all()


@pytest.mark.parametrize("name", certified_nets.NETS)
def test_no_certified_sample_is_broken_by_pgd(name: str) -> None:
    """Attacks of the certificate's own budget, over networks and seeds."""
    broken = certified = 0
    for seed in range(2):
        model, x = certified_nets.model(name, seed), certified_nets.inputs(12, seed)
        y = model.predict(x)
        epsilon = 0.02
        proved = certify(model, x, y, epsilon=epsilon, method="crown").certified
        attack = attacks.get("pgd")(norm="linf", steps=20, restarts=2)
        wrong = attack.attack(model, x, y, epsilons=epsilon, rng=seed).success[0]
        broken += int((wrong & proved).sum())
        certified += int(proved.sum())
    assert certified > 0 and broken == 0


def test_results_do_not_depend_on_the_batch() -> None:
    """One by one, or together."""
    model, x = certified_nets.model("pooled"), certified_nets.inputs(5)
    y = model.predict(x)
    together = certify(model, x, y, epsilon=0.03, method="crown")
    for i in range(5):
        alone = certify(model, x[i : i + 1], y[i : i + 1], epsilon=0.03, method="crown")
        np.testing.assert_allclose(alone.margins[0], together.margins[i], rtol=0, atol=1e-9)


def test_no_epsilon_and_no_samples() -> None:
    """A ball of one point certifies right answers alone; no samples give no results."""
    model, x = certified_nets.model("dense"), certified_nets.inputs(4)
    y = model.predict(x)
    right = certify(model, x, y, epsilon=0, method="crown")
    np.testing.assert_allclose(right.lower, model.logits(x), rtol=0, atol=1e-3)
    assert right.certified.all()
    assert not certify(model, x, (y + 1) % 3, epsilon=0).certified.any()
    assert len(certify(model, x[:0], y[:0], epsilon=0.1, method="crown")) == 0


class Sorted(nn.Module):
    """Something without a rule."""

    def forward(self, x: at.Tensor) -> at.Tensor:
        """Cosines."""
        return at.cos(x)


def test_what_cannot_be_bounded_is_said_in_one_line() -> None:
    """The operation by name, and what to do instead."""
    x, y = np.zeros((1, 3), np.float32), np.zeros(1, int)
    model = ModuleModel(Sorted(), input_shape=(3,), num_classes=3)
    with pytest.raises(UnsupportedError, match=r"no bounds for cos at .*; use randomised smoothing"):
        certify(model, x, y, epsilon=0.1)
    with pytest.raises(UnsupportedError, match="expected a network of ours"):
        certify(CallableModel(lambda x: x, input_shape=(3,), num_classes=3), x, y, epsilon=0.1)
    with pytest.raises(UnsupportedError, match="probabilities"):
        ends = nn.Sequential(nn.Linear(3, 3), nn.Softmax())
        certify(ModuleModel(ends, input_shape=(3,), num_classes=3), x, y, epsilon=0.1)
    for wrong in ({"norm": "l0"}, {"method": "exact"}, {"rounding": "float16"}, {"epsilon": -1}):
        with pytest.raises(InvalidArgument, match="expected"):
            certify(toy(), x[:, :2], y, **({"epsilon": 0.1} | wrong))  # type: ignore[arg-type]


def test_certificates_are_registered_with_their_evidence() -> None:
    """Every method is a defense by name, labelled as what it is."""
    for name in METHODS:
        assert DEFENSES.get(name).evidence.label == "certified"


def test_the_input_shape_may_be_told_by_the_inputs() -> None:
    net = nn.Sequential(nn.Linear(3, 2, rng=np.random.default_rng(0)))
    model = ModuleModel(net, bounds=(0, 1))
    x = np.full((2, 3), 0.5, np.float32)
    assert model.input_shape is None
    proof = certify(model, x, model.predict(x), epsilon=0.0)
    assert proof.certified.all() and proof.lower.shape == (2, 2)
