"""Embedding, positions, attention and recurrent layers against definitions written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.errors import InvalidArgument
from armour.tensor import Tensor, nn
from armour.tensor.gradcheck import check_grads
from armour.tensor.lookup import sinusoids
from armour.tensor.recurrent import unstacked

RNG = np.random.default_rng(0)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def test_embedding_rows_and_the_gradient_of_padding() -> None:
    weight = Tensor(RNG.standard_normal((5, 3)), requires_grad=True)
    indices = np.array([[1, 4], [1, 0]])
    out = tensor.embedding(indices, weight, 4)
    np.testing.assert_array_equal(out.numpy(), weight.numpy()[indices])
    out.sum().backward()
    assert weight.grad is not None
    assert weight.grad.numpy()[:, 0].tolist() == [1.0, 2.0, 0.0, 0.0, 0.0]
    check_grads(lambda w: tensor.embedding(indices, w) ** 2.0, weight.numpy(), order=2, rng=RNG)
    for bad in (np.array([5]), np.array([1.5])):
        with pytest.raises(InvalidArgument):
            tensor.embedding(bad, weight)


def test_sinusoids() -> None:
    waves = sinusoids(50, 6)
    for p, i in ((0, 0), (7, 2), (49, 4)):
        angle = p / 10000 ** (i / 6)
        np.testing.assert_allclose(waves[p, i : i + 2], [np.sin(angle), np.cos(angle)], atol=1e-12)
    assert sinusoids(3, 5).shape == (3, 5) and (sinusoids(3, 5) == sinusoids(3, 5)[:, :5]).all()


def test_attention_is_a_weighted_mean() -> None:
    q, k, v = (RNG.standard_normal(s) for s in ((3, 4), (5, 4), (5, 2)))
    scores = np.exp(q @ k.T / 2.0)
    want = (scores / scores.sum(1, keepdims=True)) @ v
    np.testing.assert_allclose(tensor.scaled_dot_product_attention(q, k, v).numpy(), want, rtol=1e-12)
    only = np.zeros((3, 5), bool)
    only[:, 2] = True
    out = tensor.scaled_dot_product_attention(q, k, v, only).numpy()
    np.testing.assert_allclose(out, np.broadcast_to(v[2], (3, 2)), rtol=1e-12)
    check_grads(lambda *t: tensor.scaled_dot_product_attention(*t, is_causal=True), q, k, v, order=2, rng=RNG)
    dropped = tensor.scaled_dot_product_attention(q, k, np.ones((5, 2)), dropout_p=0.5, rng=RNG).numpy()
    assert abs(dropped - 1).max() > 1e-3
    with pytest.raises(InvalidArgument, match="expected rng"):
        tensor.scaled_dot_product_attention(q, k, v, dropout_p=0.5)
    with pytest.raises(InvalidArgument, match="attention expects"):
        tensor.scaled_dot_product_attention(q, k[:, :3], v)


def test_causal_attention_does_not_see_the_future() -> None:
    layer = nn.MultiheadAttention(4, 2, batch_first=True, is_causal=True)
    x = RNG.standard_normal((1, 6, 4)).astype(np.float32)
    changed = x.copy()
    changed[:, 3:] += 1
    a, b = layer(Tensor(x)).numpy(), layer(Tensor(changed)).numpy()
    np.testing.assert_array_equal(a[:, :3], b[:, :3])
    assert (a[:, 3:] != b[:, 3:]).any()


def test_dropout_in_training_alone() -> None:
    layer = nn.MultiheadAttention(4, 2, 0.5, batch_first=True)
    x = Tensor(RNG.standard_normal((2, 3, 4)).astype(np.float32))
    assert (layer(x).numpy() != layer(x).numpy()).any()
    layer.eval()
    assert (layer(x).numpy() == layer(x).numpy()).all()
    lstm = nn.LSTM(4, 3, 2, dropout=0.5)
    assert (lstm(x).numpy() != lstm(x).numpy()).any()


def test_lstm_by_its_equations() -> None:
    layer = nn.LSTM(3, 2).astype("float64")
    x, h, c = RNG.standard_normal((4, 1, 3)), np.zeros((1, 2)), np.zeros((1, 2))
    w, u, b, d = (
        getattr(layer, f"{name}_l0").data for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    outputs = []
    for step in x:
        i, f, g, o = np.split(step @ w.T + b + h @ u.T + d, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    out, (last_h, last_c) = layer.run(Tensor(x))
    np.testing.assert_allclose(out.numpy(), np.array(outputs), rtol=1e-12)
    np.testing.assert_allclose(last_h.numpy()[0], h, rtol=1e-12)
    np.testing.assert_allclose(last_c.numpy()[0], c, rtol=1e-12)
    # In two parts, the second from the first one's states.
    first, state = layer.run(Tensor(x[:2]))
    second, _ = layer.run(Tensor(x[2:]), state)
    np.testing.assert_allclose(np.concatenate([first.numpy(), second.numpy()]), out.numpy(), rtol=1e-12)


def test_gradients_of_states() -> None:
    layer = nn.GRU(3, 2, 2, bidirectional=True).astype("float64")
    x, h = RNG.standard_normal((3, 2, 3)), RNG.standard_normal((4, 2, 2))
    check_grads(lambda a, b: layer.run(a, (b,))[1][0], x, h, order=2, rng=RNG)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8])
def test_slices_by_halving(length: int) -> None:
    x = RNG.standard_normal((length, 2))
    t = Tensor(x, requires_grad=True)
    parts = unstacked(t)
    assert len(parts) == length and all((p.numpy() == r).all() for p, r in zip(parts, x, strict=True))
    sum((p * float(i + 1) for i, p in enumerate(parts)), start=Tensor(np.zeros(2))).sum().backward()
    assert t.grad is not None
    assert t.grad.numpy()[:, 0].tolist() == [float(i + 1) for i in range(length)]


def test_weights_have_pytorchs_names() -> None:
    names = set(nn.LSTM(3, 2, 2, bidirectional=True).state_dict())
    assert "weight_hh_l1_reverse" in names and "bias_ih_l0" in names and len(names) == 16
    assert set(nn.MultiheadAttention(4, 2).state_dict()) == {
        "in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.MultiheadAttention(5, 2), "divide"),
        (lambda: nn.Embedding(3, 2, 3), "padding_idx below 3"),
        (lambda: nn.RNN(3, 2, nonlinearity="gelu"), "nonlinearity"),
        (lambda: nn.LSTM(3, 2)(Tensor(np.zeros((2, 1, 4)))), "3 features last"),
        (lambda: nn.LSTM(3, 2)(Tensor(np.zeros((0, 1, 3)))), "3 features last"),
        (lambda: nn.LSTM(3, 2).run(Tensor(np.zeros((2, 1, 3))), (Tensor(np.zeros((1, 1, 2))),)), "2 states"),
        (lambda: nn.MultiheadAttention(4, 2)(Tensor(np.zeros((2, 4)))), "three axes"),
        (lambda: nn.PositionalEncoding()(Tensor(np.zeros((2, 4)))), "three axes"),
    ],
)
def test_what_does_not_fit_is_said(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make()
