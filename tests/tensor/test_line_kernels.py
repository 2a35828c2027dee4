"""Input gradients by lines are those of one sample at a time, which go by columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from armour.tensor.kernels.line_kernels import input_grad_by_lines, pays
from armour.tensor.kernels.numpy_kernels import conv2d_input_grad

SMALL = st.integers(1, 4)


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(8, 10),
    channels=st.tuples(SMALL, SMALL),
    kernel=st.tuples(SMALL, SMALL),
    padding=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    out=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 99),
)
def test_as_one_sample_at_a_time(
    n: int, channels: Any, kernel: Any, padding: Any, out: Any, seed: int
) -> None:
    size = tuple(o + k - 1 - 2 * p for o, k, p in zip(out, kernel, padding, strict=True))
    assume(min(size) > 0)
    rng = np.random.default_rng(seed)
    g, w = rng.standard_normal((n, channels[0], *out)), rng.standard_normal((*channels, *kernel))
    attrs: Any = (size, (1, 1), padding, (1, 1), 1)
    single = np.concatenate([conv2d_input_grad(np, g[i : i + 1], w, *attrs) for i in range(n)])
    found = input_grad_by_lines(np, g, w, (size[0], size[1]), padding)
    np.testing.assert_allclose(found, single, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(conv2d_input_grad(np, g, w, *attrs), single, rtol=1e-12, atol=1e-12)


def test_which_shapes_go_by_lines() -> None:
    lenet = ((32, 16, 10, 10), (16, 6, 5, 5), (14, 14), (0, 0))
    assert pays(*lenet)
    assert pays((32, 6, 28, 28), (6, 1, 5, 5), (28, 28), (2, 2))
    assert not pays((1, *lenet[0][1:]), *lenet[1:])  # too few samples for the matrix
    assert not pays((32, 16, 32, 32), (16, 3, 3, 3), (32, 32), (1, 1))  # too many multiplications
    assert not pays(
        (32, 6, 28, 28), (6, 1, 5, 5), (29, 28), (2, 2)
    )  # an input that the output does not cover
