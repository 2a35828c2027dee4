"""Per-sample gradients, checkpoints and anomaly detection together with captured plans."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import AnomalyError
from armour.tensor import (
    Tensor,
    checkpoint,
    clipped_gradient,
    compile,
    cross_entropy,
    detect_anomaly,
    grad,
    jvp,
    module_sample_grads,
    nn,
    zoo,
)

RNG = np.random.default_rng(0)


def attention() -> nn.Module:
    """A layer of attention made of operations on parameters, and a linear one."""

    class Attention(nn.Module):
        def __init__(self) -> None:
            self.w = nn.Parameter(RNG.standard_normal((12, 4)).astype(np.float32))
            self.last = nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            """(n, t, 4) -> (n, 5)."""
            q, k, v = (tensor.linalg.linear(x, self.w[i : i + 4]) for i in (0, 4, 8))
            return self.last((tensor.softmax(q @ k.transpose(0, 2, 1)) @ v).mean(axis=1))  # type: ignore[no-any-return]

    return Attention()


NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "mlp": (lambda: zoo.build("mlp", (1, 8, 8), 5), (1, 8, 8)),
    "lenet5": (lambda: zoo.build("lenet5", (1, 12, 12), 5), (1, 12, 12)),
    "resnet8": (lambda: zoo.build("resnet8", (3, 8, 8), 5).eval(), (3, 8, 8)),
    "group norm": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.SiLU(), nn.Flatten(), nn.Linear(64, 5)
        ),
        (2, 6, 6),
    ),
    "attention": (attention, (3, 4)),
    "attention as long as the batch": (attention, (6, 4)),
}


def close(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert list(ours) == list(theirs)
    for name, value in theirs.items():
        largest = max(float(np.abs(value.numpy()).max()), 1e-3)
        np.testing.assert_allclose(ours[name].numpy(), value.numpy(), rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("name", NETWORKS)
def test_one_plan_gives_what_the_operations_give(name: str) -> None:
    make, shape = NETWORKS[name]
    net = make()
    for _, buffer in net.named_buffers():
        buffer.data = RNG.uniform(0.5, 1.5, buffer.shape).astype(np.float32)
    clipped = compile(lambda x, y: clipped_gradient(net, cross_entropy, x, y, 0.7))
    each = compile(lambda x, y: module_sample_grads(net, cross_entropy, x, y))
    for n in (6, 6, 3):
        x, y = RNG.standard_normal((n, *shape)).astype(np.float32), RNG.integers(0, 5, n)
        expected, norms = clipped_gradient(net, cross_entropy, x, y, 0.7)
        total, found = clipped(x, y)
        close(total, expected)
        np.testing.assert_allclose(found.numpy(), norms.numpy(), rtol=1e-5)
        close(each(x, y), module_sample_grads(net, cross_entropy, x, y))
        for p in net.parameters():  # a step of training: the plan must see it
            p.data = p.data * np.float32(0.9)
    assert len(clipped) == len(each) == 2  # one for each batch size


def test_other_transforms_in_a_plan() -> None:
    x = RNG.standard_normal(5).astype(np.float32)
    slope = compile(lambda t: jvp(lambda u: tensor.sin(u) * u, t, t)[1])
    np.testing.assert_allclose(slope(x).numpy(), (np.cos(x) * x + np.sin(x)) * x, rtol=1e-4)
    kept = compile(grad(lambda t: checkpoint(lambda u: (tensor.sin(u) * u).sum(), t)))
    np.testing.assert_allclose(kept(x).numpy(), np.cos(x) * x + np.sin(x), rtol=1e-4, atol=1e-6)


def test_anomalies_are_found_in_what_is_compiled() -> None:
    logarithm = compile(tensor.log)
    assert np.isnan(logarithm(np.array([1.0, 2.0], np.float32)).numpy()).sum() == 0
    with detect_anomaly(), pytest.raises(AnomalyError, match="op log made 1 NaN"):
        logarithm(np.array([1.0, -2.0], np.float32))
