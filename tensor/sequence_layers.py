"""Leaf layers for sequences: embedding, positions, and attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from armour import rng as rngs
from armour.checks import count, fraction
from armour.errors import InvalidArgument
from armour.tensor import init, linalg, lookup
from armour.tensor.attention import scaled_dot_product_attention
from armour.tensor.core import Tensor
from armour.tensor.elementwise import where
from armour.tensor.layers import Layer, Linear, bias_of, leaf
from armour.tensor.module import Parameter, Rng, initial
from armour.tensor.resample import constant
from armour.tensor.shape import getitem, reshape, transpose


@leaf
class Embedding(Layer):
    """Rows of weight (num_embeddings, embedding_dim) by integers; -> (..., embedding_dim).

    padding_idx: a row that is 0 at the start and has no gradient. Initialised from the standard normal.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None, *, rng: Rng = 0
    ) -> None:
        self.num_embeddings = count("num_embeddings", num_embeddings)
        self.embedding_dim = count("embedding_dim", embedding_dim)
        self.padding_idx = None if padding_idx is None else count("padding_idx", padding_idx, 0)
        if self.padding_idx is not None and self.padding_idx >= self.num_embeddings:
            raise InvalidArgument(f"expected padding_idx below {num_embeddings}, got {padding_idx}")
        shape, stream = (self.num_embeddings, self.embedding_dim), rngs.generator(rng)

        def normal() -> np.ndarray:
            values = stream.standard_normal(shape, dtype=np.float32)
            if self.padding_idx is not None:
                values[self.padding_idx] = 0
            return values

        self.weight = Parameter(initial(shape, normal))

    def forward(self, x: Tensor) -> Tensor:
        """Integers (...) -> (..., embedding_dim)."""
        return lookup.embedding(x, self.weight, self.padding_idx)


@leaf
class PositionalEncoding(Layer):
    """x plus sines and cosines of the position: x (n, l, d), or (l, n, d) if not batch_first.

    Vaswani et al., 2017, https://arxiv.org/abs/1706.03762.
    """

    def __init__(self, batch_first: bool = True) -> None:
        self.batch_first = bool(batch_first)

    def forward(self, x: Tensor) -> Tensor:
        """(n, l, d) -> the same shape."""
        if x.ndim != 3:
            raise InvalidArgument(f"PositionalEncoding expects x of three axes, got shape {x.shape}")
        waves = lookup.sinusoids(x.shape[1 if self.batch_first else 0], x.shape[2])
        return x + constant(x, waves if self.batch_first else waves[:, None])


@leaf
class MultiheadAttention(Layer):
    """Attention in `num_heads` parts of the features, between linear maps; weights named as in PyTorch.

    Called with (query, key, value), or with the query alone for self-attention, (l, n, e) or, if batch_first,
    (n, l, e). Gives the output alone: the weights of attention are not returned. is_causal: a query sees
    keys up to its own position. dropout: part of the weights of attention set to 0 in training, by `rng`.
    Vaswani et al., 2017, https://arxiv.org/abs/1706.03762.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
        is_causal: bool = False,
        *,
        rng: Rng = 0,
    ) -> None:
        self.embed_dim, self.num_heads = count("embed_dim", embed_dim), count("num_heads", num_heads)
        if self.embed_dim % self.num_heads:
            raise InvalidArgument(f"expected num_heads={num_heads} to divide embed_dim={embed_dim}")
        self.dropout, self.batch_first = fraction("dropout", dropout), bool(batch_first)
        self.is_causal = bool(is_causal)
        self.rng = rngs.generator(rng)
        size = (3 * self.embed_dim, self.embed_dim)
        self.in_proj_weight = Parameter(initial(size, lambda: init.glorot(size, rng=self.rng)))
        self.in_proj_bias = bias_of(bias, 3 * self.embed_dim)
        self.out_proj = Linear(self.embed_dim, self.embed_dim, bias, rng=self.rng)

    def config(self) -> dict[str, Any]:
        names = ("embed_dim", "num_heads", "dropout", "batch_first", "is_causal")
        return {name: getattr(self, name) for name in names} | {"bias": self.in_proj_bias is not None}

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        attn_mask: Tensor | None = None,
    ) -> Tensor:
        """query (n, l, e), key and value (n, s, e) -> (n, l, e), or with the first two axes exchanged.

        key_padding_mask (n, s), attn_mask (l, s) or (n * num_heads, l, s): booleans are True where a query
        must not look, numbers are added; both as in PyTorch.
        """
        key = query if key is None else key
        value = key if value is None else value
        if any(t.ndim != 3 or t.shape[-1] != self.embed_dim for t in (query, key, value)):
            raise InvalidArgument(
                f"MultiheadAttention expects three axes with {self.embed_dim} features last, "
                f"got {query.shape}, {key.shape}, {value.shape}"
            )
        q, k, v = self._projected(query, key, value)
        mask = None
        if attn_mask is not None:
            mask = _added(attn_mask, q)
            if mask.ndim == 3:
                mask = reshape(mask, (mask.shape[0] // self.num_heads, self.num_heads, *mask.shape[1:]))
        if key_padding_mask is not None:
            padding = _added(key_padding_mask, q)
            padding = reshape(padding, (padding.shape[0], 1, 1, padding.shape[1]))
            mask = padding if mask is None else mask + padding
        part = self.dropout if self.training else 0.0
        heads = scaled_dot_product_attention(q, k, v, mask, part, self.is_causal, rng=self.rng)
        n, _, length, _ = heads.shape
        order = (0, 2, 1, 3) if self.batch_first else (2, 0, 1, 3)
        shape = (n, length) if self.batch_first else (length, n)
        joined = reshape(transpose(heads, order), (*shape, self.embed_dim))
        return self.out_proj(joined)  # type: ignore[no-any-return]

    def _projected(self, query: Tensor, key: Tensor, value: Tensor) -> list[Tensor]:
        e = self.embed_dim
        if query is key is value:
            whole = linalg.linear(query, self.in_proj_weight, self.in_proj_bias)
            parts = [getitem(whole, (..., slice(i * e, (i + 1) * e))) for i in range(3)]
        else:
            rows = [slice(i * e, (i + 1) * e) for i in range(3)]
            parts = []
            for part, t in zip(rows, (query, key, value), strict=True):
                bias = None if self.in_proj_bias is None else getitem(self.in_proj_bias, part)
                parts.append(linalg.linear(t, getitem(self.in_proj_weight, part), bias))
        return [self._heads(part) for part in parts]

    def _heads(self, t: Tensor) -> Tensor:
        a, b = t.shape[:2]
        split = reshape(t, (a, b, self.num_heads, self.embed_dim // self.num_heads))
        return transpose(split, (0, 2, 1, 3) if self.batch_first else (1, 2, 0, 3))


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask as numbers to add: booleans are minus infinity where they are True."""
    if mask.dtype.kind != "b":
        return mask
    zero = constant(like, np.zeros(()))
    return where(mask, constant(like, np.full((), -math.inf)), zero)
