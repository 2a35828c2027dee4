"""Embedding, attention and recurrent layers are PyTorch's, with its weights by its names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from armour import tensor
from armour.tensor import Tensor, nn
from tests.parity.torch_layers import compare, same_function, same_layer

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 3, 4))  # positions, samples, features


@pytest.mark.parametrize("padding_idx", [None, 2])
def test_embedding(padding_idx: int | None) -> None:
    indices = np.array([[0, 2, 6, 2], [3, 3, 3, 2]])
    same_layer(
        f"Embedding padding {padding_idx}",
        nn.Embedding(7, 3, padding_idx),
        torch.nn.Embedding(7, 3, padding_idx),
        indices,
    )


RECURRENT: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN": ("RNN", {}),
    "RNN relu": ("RNN", {"num_layers": 2, "nonlinearity": "relu"}),
    "RNN both ways": ("RNN", {"num_layers": 2, "bidirectional": True, "bias": False}),
    "LSTM": ("LSTM", {}),
    "LSTM both ways": ("LSTM", {"num_layers": 3, "bidirectional": True}),
    "LSTM batch first": ("LSTM", {"batch_first": True, "bias": False}),
    "GRU": ("GRU", {}),
    "GRU both ways": ("GRU", {"num_layers": 2, "bidirectional": True, "batch_first": True}),
    "GRU no bias": ("GRU", {"num_layers": 2, "bias": False}),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_layers(name: str) -> None:
    kind, settings = RECURRENT[name]
    ours, theirs = getattr(nn, kind)(4, 3, **settings), getattr(torch.nn, kind)(4, 3, **settings)
    same_layer(name, ours, theirs, X, first=True)
    # With states: all outputs and last states, and gradients of the first states.
    directions = 2 if settings.get("bidirectional") else 1
    n = X.shape[0 if settings.get("batch_first") else 1]
    shape = (settings.get("num_layers", 1) * directions, n, 3)
    start = [RNG.standard_normal(shape) for _ in range(2 if kind == "LSTM" else 1)]
    mine = [Tensor(s, requires_grad=True) for s in start]
    peers = [torch.from_numpy(s.copy()).requires_grad_() for s in start]
    out, last = ours.run(Tensor(X), tuple(mine))
    out_b, last_b = theirs(torch.from_numpy(X), tuple(peers) if kind == "LSTM" else peers[0])
    lasts = list(last_b) if kind == "LSTM" else [last_b]
    compare(f"{name} states", [out.numpy(), *(s.numpy() for s in last)], [out_b, *lasts])
    total, total_b = (out * out).sum(), (out_b * out_b).sum()
    for s, t in zip(last, lasts, strict=True):
        total, total_b = total + (s * s * s).sum(), total_b + (t * t * t).sum()
    total.backward()
    total_b.backward()
    compare(f"{name} states", [s.grad.numpy() for s in mine], [t.grad for t in peers])  # type: ignore[union-attr]


BOOLEAN = np.array([[True, False, True, True], [True, True, True, False], [False, True, False, True]])


@pytest.mark.parametrize("mask", ["none", "boolean", "numbers", "causal"])
def test_attention(mask: str) -> None:
    q, k, v = (RNG.standard_normal(s) for s in ((2, 2, 3, 4), (2, 2, 4, 4), (2, 2, 4, 5)))
    given = {"boolean": BOOLEAN, "numbers": RNG.standard_normal((3, 4))}.get(mask)
    ours = {"attn_mask": given, "is_causal": mask == "causal"}
    theirs = {"attn_mask": None if given is None else torch.from_numpy(given), "is_causal": mask == "causal"}
    same_function(
        f"attention, mask {mask}",
        lambda *t: tensor.scaled_dot_product_attention(*t, **ours),
        lambda *t: F.scaled_dot_product_attention(*t, **theirs),
        [q, k, v],
    )
    same_function(
        "attention, scale",
        lambda *t: tensor.scaled_dot_product_attention(*t, scale=0.3),
        lambda *t: F.scaled_dot_product_attention(*t, scale=0.3),
        [q, k, v],
    )


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_multihead_attention(batch_first: bool, bias: bool) -> None:
    def pair() -> tuple[nn.Module, torch.nn.Module]:
        return (
            nn.MultiheadAttention(6, 3, bias=bias, batch_first=batch_first),
            torch.nn.MultiheadAttention(6, 3, bias=bias, batch_first=batch_first),
        )

    def put(a: np.ndarray) -> np.ndarray:
        return a if batch_first else np.ascontiguousarray(a.transpose(1, 0, 2))

    q, k, v = (put(RNG.standard_normal(s)) for s in ((2, 3, 6), (2, 4, 6), (2, 4, 6)))
    same_layer("MultiheadAttention", *pair(), q, k, v, first=True)

    class Itself(torch.nn.Module):
        """Self-attention, by one input."""

        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: torch.Tensor) -> Any:
            """The output and the weights."""
            return self.inner(x, x, x, need_weights=True)

    class Own(nn.Module):
        """The same names."""

        def __init__(self, inner: nn.Module) -> None:
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            """The output."""
            return self.inner(x)  # type: ignore[no-any-return]

    ours, theirs = pair()
    same_layer("MultiheadAttention, itself", Own(ours), Itself(theirs), q, first=True)
    # Masks: True is where a query must not look.
    padding = np.array([[False, False, True, False], [False, False, False, True]])
    for attn in (~BOOLEAN[None].repeat(6, 0), ~BOOLEAN, RNG.standard_normal((3, 4))):
        numbers = np.where(padding, -np.inf, 0.0) if attn.dtype != bool else padding
        want = theirs(
            *map(torch.from_numpy, (q, k, v)),
            key_padding_mask=torch.from_numpy(numbers),
            attn_mask=torch.from_numpy(attn),
        )[0]
        out = ours(Tensor(q), Tensor(k), Tensor(v), Tensor(padding), Tensor(attn))
        compare("MultiheadAttention, masks", [out.numpy()], [want])


def test_causal_attention_is_the_mask() -> None:
    ours = nn.MultiheadAttention(4, 2, batch_first=True, is_causal=True).astype("float64")
    theirs = torch.nn.MultiheadAttention(4, 2, batch_first=True).double()
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})
    x = RNG.standard_normal((2, 5, 4))
    t = torch.from_numpy(x)
    want = theirs(t, t, t, attn_mask=torch.ones(5, 5, dtype=torch.bool).triu(1))[0]
    compare("MultiheadAttention, causal", [ours(Tensor(x)).numpy()], [want])
