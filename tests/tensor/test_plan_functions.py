"""Functions of several rows, random ones among them, as plans; streams that `seed` exchanges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.tensor import Tensor, compile, dropout, nn, random, value_and_grad
from tests.tensor.test_functions import COMPOSED, Z


def close(ours: Tensor, theirs: Tensor) -> None:
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)
    assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("name", COMPOSED)
def test_functions_of_several_rows_and_their_gradients_as_a_plan(name: str) -> None:
    def run(x: Tensor) -> tuple[Tensor, Tensor]:
        leaf = Tensor(x.data, requires_grad=True)
        y = COMPOSED[name](leaf)
        (y * y).sum().backward()
        assert leaf.grad is not None
        return y, leaf.grad

    captured = compile(run)
    for scale in (1.0, 0.5):
        x = (Z * scale).astype(np.float32)
        for ours, theirs in zip(captured(x), run(Tensor(x)), strict=True):
            close(ours, theirs)


def test_a_captured_function_draws_again_at_each_run() -> None:
    def drawing(rng: np.random.Generator) -> Any:
        def run(x: Tensor) -> tuple[Tensor, ...]:
            noise = random.normal((5,), x, 0.1, rng=rng)
            kept = random.bernoulli(random.uniform((5,), rng=rng), rng=rng)
            return noise, kept, random.categorical(x, 4, rng=rng)

        return run

    captured, plain = (drawing(np.random.default_rng(2)) for _ in range(2))
    captured, x, seen = compile(captured), np.linspace(-1.0, 1.0, 5, dtype=np.float32), []
    for _ in range(3):
        seen.append(captured(x))
        for ours, theirs in zip(seen[-1], plain(Tensor(x)), strict=True):
            close(ours, theirs)
    assert not np.array_equal(seen[0][0].numpy(), seen[1][0].numpy())


def test_a_network_with_other_streams_is_captured_anew() -> None:
    net, twin = (nn.Sequential(nn.Dropout(0.5, rng=7)) for _ in range(2))
    x = np.ones((4, 50), np.float32)
    captured = compile(net)
    for seed in (None, 11, 12):
        if seed is not None:
            net.seed(seed)
            twin.seed(seed)
        for _ in range(2):
            np.testing.assert_array_equal(captured(x).numpy(), twin(Tensor(x)).numpy())


def test_a_captured_gradient_uses_the_mask_of_its_forward_pass_and_draws_it_anew() -> None:
    def step(rng: np.random.Generator) -> Any:
        return value_and_grad(lambda w: (dropout(w * w, 0.5, rng=rng) * 3.0).sum())

    captured, plain = compile(step(np.random.default_rng(4))), step(np.random.default_rng(4))
    x, masks = np.linspace(1.0, 2.0, 40, dtype=np.float32), []
    for _ in range(3):
        value, slope = captured(x)
        for ours, theirs in zip((value, slope), plain(Tensor(x)), strict=True):
            close(ours, theirs)
        kept = slope.numpy() != 0.0
        assert value.numpy() == pytest.approx((x[kept] ** 2 * 6.0).sum(), rel=1e-5)
        masks.append(kept)
    assert (masks[0] != masks[1]).any() and (masks[1] != masks[2]).any()
