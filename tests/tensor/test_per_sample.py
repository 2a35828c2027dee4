"""Per-sample gradients by rule against batches of one sample, and their clipped sums against those."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour import tensor
from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor import Tensor, clipped_gradient, cross_entropy, grad, module_sample_grads, mse, nn, zoo
from armour.tensor import per_sample as engine
from tests.tensor.sample_oracle import check, squares

RNG = np.random.default_rng(0)


@settings(max_examples=40)
@given(n=st.integers(1, 5), middle=st.lists(st.integers(1, 3), max_size=2), bias=st.booleans())
def test_linear_with_any_leading_axes(n: int, middle: list[int], bias: bool) -> None:
    check(nn.Linear(4, 3, bias=bias), RNG.standard_normal((n, *middle, 4)))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 4),
    groups=st.integers(1, 3),
    inner=st.integers(1, 2),
    outer=st.integers(1, 2),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 1)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    size=st.tuples(st.integers(5, 8), st.integers(5, 7)),
    bias=st.booleans(),
)
def test_convolutions_of_every_kind(
    n: int,
    groups: int,
    inner: int,
    outer: int,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    size: Any,
    bias: bool,
) -> None:
    layer = nn.Conv2d(groups * inner, groups * outer, kernel, stride, padding, dilation, groups, bias)
    check(layer, RNG.standard_normal((n, groups * inner, *size)))


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "gram matrices of a convolution": (lambda: nn.Conv2d(6, 20, 3), (3, 6, 4, 5)),
    "gram matrices, groups": (lambda: nn.Conv2d(8, 24, 3, groups=2), (3, 8, 4, 4)),
    "a large image in several chunks": (lambda: nn.Conv2d(12, 2, 3), (2, 12, 90, 80)),
    "gram matrices of a sequence": (lambda: nn.Linear(9, 7), (4, 5, 9)),
    "a sequence longer than its weights": (lambda: nn.Linear(2, 3), (4, 9, 2)),
    "layer norm": (lambda: nn.LayerNorm(5), (4, 5)),
    "layer norm, sequence": (lambda: nn.LayerNorm(5), (4, 3, 2, 5)),
    "layer norm over an image": (lambda: nn.LayerNorm((3, 4)), (4, 2, 3, 4)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (3, 4, 2, 5)),
    "group norm without places": (lambda: nn.GroupNorm(2, 4), (3, 4)),
    "batch norm in evaluation": (lambda: nn.BatchNorm2d(3).eval(), (4, 3, 2, 5)),
    "batch norm 1d in evaluation": (lambda: nn.BatchNorm1d(3).eval(), (4, 3)),
    "embedded in others": (
        lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.MaxPool2d(2)),
        (3, 2, 7, 8),
    ),
    "no parameter in front": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), (3, 2, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    make, shape = LAYERS[name]
    module = make()
    for key, buffer in module.named_buffers():
        buffer.data = RNG.uniform(0.5, 1.5, buffer.shape)
        assert key.startswith("running")
    check(module, RNG.standard_normal(shape) * 2)


@pytest.mark.parametrize("name", ["mlp", "lenet5", "resnet8"])
def test_networks_with_a_loss_of_labels(name: str) -> None:
    net = zoo.build(name, (1, 12, 12), 5).eval()
    check(net, RNG.random((6, 1, 12, 12)), RNG.integers(0, 5, 6), cross_entropy)


@pytest.mark.parametrize("ghost", [True, False])
def test_an_empty_batch_has_no_rows_and_sum_zero(ghost: bool) -> None:
    net = zoo.build("lenet5", (1, 12, 12), 5)
    x, y = np.zeros((0, 1, 12, 12), np.float32), np.zeros(0, int)
    grads = module_sample_grads(net, cross_entropy, x, y)
    total, norms = clipped_gradient(net, cross_entropy, x, y, 1.0, ghost=ghost)
    assert norms.shape == (0,)
    for name, p in net.named_parameters():
        assert grads[name].shape == (0, *p.shape) and grads[name].dtype == np.float32
        np.testing.assert_array_equal(total[name].numpy(), np.zeros(p.shape))


# -- shared, frozen and unused parameters -------------------------------------------------------------


class Twice(nn.Module):
    """One layer called twice, and a second layer that shares the first one's weight."""

    def __init__(self) -> None:
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4) -> (n, 4)."""
        return self.b(tensor.tanh(self.a(tensor.tanh(self.a(x)))))  # type: ignore[no-any-return]


def test_uses_of_a_parameter_add_up_before_the_norm() -> None:
    check(Twice(), RNG.standard_normal((3, 4)))


def test_frozen_parameters_are_left_out() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    net[2].requires_grad_(False)
    net[4].bias.requires_grad = False
    check(net, RNG.standard_normal((5, 4)))
    assert "2.weight" not in module_sample_grads(net, squares, np.ones((2, 4)), np.zeros(2))
    with pytest.raises(InvalidArgument, match="parameters that require gradients"):
        clipped_gradient(net.requires_grad_(False), squares, np.ones((2, 4)), np.zeros(2), 1.0)


class Unused(nn.Module):
    """A layer that the output does not depend on, and one that is never called."""

    def __init__(self) -> None:
        self.used, self.dropped, self.silent = nn.Linear(4, 2), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4) -> (n, 2)."""
        self.dropped(x)
        return self.used(x)  # type: ignore[no-any-return]


def test_unused_layers_have_gradient_zero() -> None:
    check(Unused(), RNG.standard_normal((3, 4)))


def test_lengths_that_coincide_do_not_forbid_the_rule_nor_move_random_streams() -> None:
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5, rng=1), nn.Linear(8, 4)).train()
    x = RNG.standard_normal((4, 4, 4))
    before = net.rng_state()
    plain = net(Tensor(x)).numpy()
    after = net.rng_state()
    net.load_rng_state(before)
    check_rule = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_one_by_one", lambda *a: check_rule.append(1))
        outputs: list[np.ndarray] = []

        def loss(out: Tensor, y: Any) -> Tensor:
            outputs.append(out.numpy())
            return squares(out, y)

        module_sample_grads(net, loss, x, np.zeros(4))
    assert not check_rule
    np.testing.assert_array_equal(outputs[0], plain)
    assert net.rng_state() == after


# -- how it is called -------------------------------------------------------------


def test_batch_norm_in_training_is_refused() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    with pytest.raises(UnsupportedError, match=r"BatchNorm2d.*normalises over the batch.*eval\(\)"):
        module_sample_grads(net, squares, RNG.random((3, 1, 5, 5), np.float32), np.zeros(3))


def test_float32_stays_float32() -> None:
    net = zoo.build("lenet5", (1, 12, 12), 5)
    x, y = RNG.random((4, 1, 12, 12), np.float32), RNG.integers(0, 5, 4)
    grads = module_sample_grads(net, cross_entropy, x, y)
    total, norms = clipped_gradient(net, cross_entropy, x, y, 1.0)
    assert {g.dtype for g in [*grads.values(), *total.values(), norms]} == {np.dtype(np.float32)}


class Joined(nn.Module):
    """Two inputs."""

    def __init__(self) -> None:
        self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        """(n, 4), (n, 2) -> (n, 3)."""
        return tensor.tanh(self.a(x) + self.b(z))


def test_several_inputs_and_labels() -> None:
    net = Joined().astype("float64")
    x, z, y, w = (RNG.standard_normal(s) for s in ((5, 4), (5, 2), (5, 3), (5,)))
    loss = lambda out, labels: mse(out, labels[0]) * labels[1]  # noqa: E731
    grads = module_sample_grads(net, loss, (x, z), (y, w))
    for i in range(5):
        net.zero_grad()
        (mse(net(Tensor(x[i : i + 1]), Tensor(z[i : i + 1])), y[i : i + 1]) * w[i]).sum().backward()
        for name, p in net.named_parameters():
            np.testing.assert_allclose(grads[name].numpy()[i], p.grad.numpy(), rtol=1e-11)  # type: ignore[union-attr]


def test_gradients_of_gradients_reach_the_input() -> None:
    # d/dx of the squared norm of sample i's gradient, against central differences.
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).astype("float64")
    x, y = RNG.standard_normal((4, 3)), np.array([0, 1, 1, 0])

    def total(t: Any) -> Tensor:
        grads = module_sample_grads(net, cross_entropy, t, y)
        weights = np.arange(1.0, 5.0)
        return sum(
            (((g * g).reshape((4, -1)).sum(axis=1) * weights).sum() for g in grads.values()),
            start=Tensor(0.0),
        )

    def clipped(t: Any) -> Tensor:
        sums, norms = clipped_gradient(net, cross_entropy, t, y, 0.5)
        return sum(((g * g).sum() for g in sums.values()), start=norms.sum())

    step = 1e-6 * RNG.standard_normal(x.shape)
    for function in (total, clipped):
        slope = grad(function)(x).numpy()
        numeric = (function(Tensor(x + step)).item() - function(Tensor(x - step)).item()) / 2
        assert (slope * step).sum() == pytest.approx(numeric, rel=1e-5)


def test_sample_gradients_work_inside_no_grad_and_beside_a_watcher() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x, y = RNG.standard_normal((4, 3)).astype("f"), np.array([0, 1, 1, 0])
    with tensor.no_grad(), nn.capture(net) as seen:
        inside = module_sample_grads(net, cross_entropy, x, y)
    assert sorted(seen) == ["0", "1", "2"]
    for name, g in module_sample_grads(net, cross_entropy, x, y).items():
        np.testing.assert_array_equal(g.numpy(), inside[name].numpy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"loss_fn": lambda z, y: cross_entropy(z, y).mean()},
            r"one loss for each of 4 samples, got shape \(\)",
        ),
        ({"y": np.zeros(3, int)}, "one row for each sample"),
        ({"x": np.float32(1)}, "one row for each sample"),
        ({"max_norm": 0}, "max_norm above 0"),
        ({"max_norm": float("inf")}, "max_norm above 0 and finite"),
    ],
)
def test_errors(change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {
        "module": nn.Linear(3, 2),
        "loss_fn": cross_entropy,
        "x": np.ones((4, 3), np.float32),
        "y": np.zeros(4, int),
        "max_norm": 1.0,
    }
    with pytest.raises(InvalidArgument, match=message):
        clipped_gradient(**arguments | change)
