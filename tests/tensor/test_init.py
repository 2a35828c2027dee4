"""Moments and ranges of the draws, orthogonality, and that the generator alone decides."""

import math

import numpy as np
import pytest

from armour.errors import InvalidArgument
from armour.tensor import init

SHAPE = (64, 32, 3, 3)


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize(
    ("draw", "std"),
    [
        (lambda **k: init.he(SHAPE, **k), math.sqrt(2 / (32 * 9))),
        (lambda **k: init.he(SHAPE, fan="out", **k), math.sqrt(2 / (64 * 9))),
        (lambda **k: init.he(SHAPE, slope=1.0, **k), math.sqrt(1 / (32 * 9))),
        (lambda **k: init.glorot(SHAPE, **k), math.sqrt(2 / (96 * 9))),
        (lambda **k: init.glorot(SHAPE, gain=2.0, **k), 2 * math.sqrt(2 / (96 * 9))),
    ],
)
def test_moments(draw, std, distribution):
    w = draw(rng=np.random.default_rng(0), distribution=distribution)
    assert w.dtype == np.float32 and w.shape == SHAPE
    # The standard error of the deviation is std / sqrt(2 n), with n = 18,432 values.
    assert abs(w.std() / std - 1) < 5 / math.sqrt(2 * w.size)
    assert abs(w.mean()) < 5 * std / math.sqrt(w.size)
    if distribution == "uniform":
        assert abs(w).max() <= std * math.sqrt(3) * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(5, 5), (3, 8), (8, 3), (4, 2, 3, 3), (40, 2, 3, 3)])
def test_orthogonal(shape):
    w = init.orthogonal(shape, rng=np.random.default_rng(1), gain=1.5)
    m = w.reshape(shape[0], -1) / 1.5
    gram = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    assert w.shape == shape and w.dtype == np.float32
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-5)


def test_orthogonal_signs_are_uniform():
    rng = np.random.default_rng(2)
    first = np.array([init.orthogonal((2, 2), rng=rng)[0, 0] for _ in range(400)])
    assert 150 < (first > 0).sum() < 250  # plain QR gives one sign only


def test_generator_decides():
    a, b = (init.he((4, 3), rng=np.random.default_rng(7)) for _ in range(2))
    assert (a == b).all()


def test_empty_and_wrong_shapes():
    rng = np.random.default_rng(0)
    assert init.he((0, 3), rng=rng).shape == (0, 3)
    assert init.orthogonal((3, 0), rng=rng).shape == (3, 0)
    for draw in (init.he, init.glorot, init.orthogonal):
        with pytest.raises(InvalidArgument, match="at least two axes"):
            draw((3,), rng=rng)
        with pytest.raises(TypeError):
            draw((3, 3))
    with pytest.raises(InvalidArgument, match="normal"):
        init.he((3, 3), rng=rng, distribution="norml")
