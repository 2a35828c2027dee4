"""Per-sample gradients the slow way: every sample as a batch of its own, by ordinary backward passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.tensor import Tensor, clipped_gradient, module_sample_grads, nn
from armour.tensor import per_sample as engine

RNG = np.random.default_rng(0)


def squares(out: Tensor, y: Any) -> Tensor:
    """(n,) for outputs of any shape, with every element weighted differently."""
    weights = np.linspace(0.5, 1.5, int(np.prod(out.shape[1:], dtype=int))).reshape((1, *out.shape[1:]))
    return ((out * out * weights).reshape((out.shape[0], -1)) if out.size else out.reshape((0, 1))).sum(
        axis=1
    )


def alone(module: nn.Module, loss: Any, x: Any, y: Any) -> dict[str, np.ndarray]:
    """Each sample as a batch of its own, by ordinary backward passes."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name, p in module.named_parameters() if p.requires_grad}
    for i in range(len(x)):
        module.zero_grad()
        loss(module(Tensor(x[i : i + 1])), y[i : i + 1]).sum().backward()
        for name, p in module.named_parameters():
            if p.requires_grad:
                rows[name].append(np.zeros(p.shape) if p.grad is None else p.grad.numpy())
    return {name: np.stack(r) for name, r in rows.items()}


def check(module: nn.Module, x: Any, y: Any = None, loss: Any = squares, by_rule: bool = True) -> None:
    """Gradients, norms and clipped sums, with and without ghost norms, against batches of one."""
    module.astype("float64")
    for p in module.parameters():
        p.data = RNG.standard_normal(p.shape) / max(1.0, float(np.prod(p.shape[1:]))) ** 0.5
    y = np.zeros(len(x), int) if y is None else y
    expected = alone(module, loss, x, y)
    module.zero_grad()
    looped: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        original = engine._one_by_one
        patch.setattr(engine, "_one_by_one", lambda *a: (looped.append(1), original(*a))[1])
        got = module_sample_grads(module, loss, x, y)
        assert bool(looped) != by_rule
        same(got, expected)
        norms = np.sqrt(sum((g**2).reshape((len(x), -1)).sum(axis=1) for g in expected.values()))
        bound = float(np.median(norms)) or 1.0
        factors = np.minimum(1, bound / np.maximum(norms, 1e-300))
        for ghost in (True, False):
            total, got_norms = clipped_gradient(module, loss, x, y, bound, ghost=ghost)
            np.testing.assert_allclose(got_norms.numpy(), norms, rtol=1e-10)
            same(total, {name: np.tensordot(factors, g, 1) for name, g in expected.items()})
    assert all(p.grad is None for p in module.parameters())  # nothing is left behind
    assert not any(t.requires_grad for t in [*got.values(), *total.values(), got_norms])


def same(got: dict[str, Tensor], expected: dict[str, np.ndarray]) -> None:
    assert list(got) == list(expected)
    for name, g in expected.items():
        scale = max(1.0, float(np.abs(g).max(initial=0)))
        np.testing.assert_allclose(got[name].numpy(), g, rtol=1e-10, atol=1e-11 * scale, err_msg=name)
