"""Ghost norms: in float32, in memory, on another kind of array; rules that anyone may register."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest

from armour.tensor import Tensor, clipped_gradient, cross_entropy, module_sample_grads, nn, zoo
from armour.tensor.sample_grads import SAMPLERS, Dense, OuterSum, SampleGrad, added, grad_sampler, sampler_of
from tests.tensor.sample_oracle import squares
from tests.tensor.strict import StrictArray, register

RNG = np.random.default_rng(0)
NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "mlp": (lambda: zoo.build("mlp", (1, 12, 12), 5), (1, 12, 12)),
    "lenet5": (lambda: zoo.build("lenet5", (1, 12, 12), 5), (1, 12, 12)),
    "gram": (
        lambda: nn.Sequential(nn.Conv2d(8, 24, 3), nn.Tanh(), nn.Flatten(), nn.Linear(96, 5)),
        (8, 4, 4),
    ),
    "sequence": (
        lambda: nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Flatten(), nn.Linear(48, 5)),
        (3, 12),
    ),
}


@pytest.mark.parametrize("ghost", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_float32_is_close_to_float64(name: str, ghost: bool) -> None:
    make, shape = NETWORKS[name]
    net = make()
    x, y = RNG.standard_normal((16, *shape)).astype(np.float32), RNG.integers(0, 5, 16)
    total, norms = clipped_gradient(net, cross_entropy, x, y, 0.5, ghost=ghost)
    expected, wide = clipped_gradient(net.astype("float64"), cross_entropy, x.astype(float), y, 0.5)
    np.testing.assert_allclose(norms.numpy(), wide.numpy(), rtol=1e-5)
    for key, value in expected.items():
        largest = float(np.abs(value.numpy()).max())
        np.testing.assert_allclose(total[key].numpy(), value.numpy(), rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("name", ["mlp", "gram"])
def test_gradients_of_all_samples_are_never_in_memory(name: str) -> None:
    make, shape = NETWORKS[name]
    net, n = make(), 128
    x, y = RNG.standard_normal((n, *shape)).astype(np.float32), RNG.integers(0, 5, n)
    largest = n * 4 * max(p.size for p in net.parameters())
    peaks = []
    for ghost in (True, False):
        clipped_gradient(net, cross_entropy, x, y, 0.5, ghost=ghost)
        gc.collect()
        tracemalloc.start()
        try:
            clipped_gradient(net, cross_entropy, x, y, 0.5, ghost=ghost)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert peaks[0] < 0.6 * largest < largest < peaks[1]


def test_arrays_that_refuse_to_become_numpy() -> None:
    register()
    nets = [zoo.build("lenet5", (1, 12, 12), 5, rng=0) for _ in range(2)]
    for p in nets[1].parameters():
        p.data = StrictArray(p.data)
    x, y = RNG.random((6, 1, 12, 12), np.float32), RNG.integers(0, 5, 6)
    results = []
    for net, make in zip(nets, (np.asarray, StrictArray), strict=True):
        inputs = Tensor(make(x)), Tensor(make(y))
        total, norms = clipped_gradient(net, cross_entropy, *inputs, 0.5)
        each = module_sample_grads(net, cross_entropy, *inputs)
        assert all(type(t.data) is type(inputs[0].data) for t in [norms, *total.values(), *each.values()])
        results.append([t.numpy() for t in [norms, *total.values(), *each.values()]])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


class Doubled(nn.Module):
    """x times twice the parameter, in a way that no rule of ours knows."""

    def __init__(self) -> None:
        self.p = nn.Parameter(np.ones(3, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3) -> (n, 3)."""
        return x * (self.p + self.p)


def test_a_rule_for_a_layer_of_ones_own() -> None:
    net, x = nn.Sequential(Doubled()), RNG.standard_normal((4, 3)).astype(np.float32)
    before = module_sample_grads(net, squares, x, np.zeros(4))
    assert sampler_of(Doubled) is None
    calls: list[int] = []

    @grad_sampler(Doubled)
    def doubled(layer: Doubled, x: Tensor, g: Tensor) -> dict[str, SampleGrad]:
        calls.append(1)
        return {"p": Dense(x * g * 2.0)}

    try:
        after = module_sample_grads(net, squares, x, np.zeros(4))
        assert calls == [1]
        np.testing.assert_allclose(after["0.p"].numpy(), before["0.p"].numpy(), rtol=1e-5)
    finally:
        del SAMPLERS[Doubled]
        grad_sampler()(doubled)  # forgets what was resolved


def test_uses_of_one_weight_become_terms_of_one_sum() -> None:
    # As over the steps of a recurrent network: (t, t) matrices instead of gradients in memory.
    d, a = (Tensor(RNG.standard_normal((5, 1, k))) for k in (7, 9))
    one = OuterSum(d, a)
    both = added([one, OuterSum(a[:, :, :7], a)])
    assert isinstance(both, OuterSum) and "dense" not in vars(both)
    expected = np.einsum("nto,nti->noi", d.numpy() + a.numpy()[:, :, :7], a.numpy())
    np.testing.assert_allclose(both.square_norms().numpy(), (expected**2).sum(axis=(1, 2)), rtol=1e-12)
    assert "dense" not in vars(both)
    np.testing.assert_allclose(both.dense.numpy(), expected, rtol=1e-12)
