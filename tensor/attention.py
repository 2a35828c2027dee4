"""Attention: weighted means of values, by how much queries agree with keys."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, lift, wrap
from armour.tensor.elementwise import where
from armour.tensor.linalg import matmul
from armour.tensor.norm import dropout
from armour.tensor.reduce import softmax
from armour.tensor.shape import transpose


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    *,
    rng: np.random.Generator | None = None,
) -> Tensor:
    """softmax(query key^T * scale + mask) value: (..., l, d), (..., s, d), (..., s, e) -> (..., l, e).

    attn_mask: broadcasts to (..., l, s); booleans are True where a query may look, numbers are added.
    is_causal: query i may look at keys 0 to i. scale: 1 / sqrt(d) if not given. dropout_p: part of the
    weights set to 0, by `rng`. A query that may look nowhere gives NaN, as in PyTorch.
    Vaswani et al., 2017, https://arxiv.org/abs/1706.03762.
    """
    q, k, v = lift([query, key, value])
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise InvalidArgument(
            f"attention expects (..., l, d), (..., s, d) and (..., s, e), got {q.shape}, {k.shape}, {v.shape}"
        )
    factor = 1.0 / math.sqrt(max(q.shape[-1], 1)) if scale is None else float(scale)
    swapped = transpose(k, (*range(k.ndim - 2), k.ndim - 1, k.ndim - 2))
    scores = matmul(q * factor, swapped)
    if is_causal:
        scores = where(_causal(scores), scores, -math.inf)
    if attn_mask is not None:
        (mask,) = lift([attn_mask])
        scores = where(mask, scores, -math.inf) if mask.dtype.kind == "b" else scores + mask
    weights = softmax(scores, -1)
    if dropout_p > 0:
        if rng is None:
            raise InvalidArgument("expected rng for dropout_p above 0, got none")
        weights = dropout(weights, dropout_p, rng=rng)
    return matmul(weights, v)


def _causal(scores: Tensor) -> Tensor:
    seen = np.tril(np.ones(scores.shape[-2:], bool))
    return wrap(get_xp(scores.data).asarray(seen))
