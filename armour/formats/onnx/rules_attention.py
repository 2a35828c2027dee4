"""Attention and rotary positions as operators of ONNX (opset 23 and later)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor

from .rules import Call, rule
from .rules_array import check_size
from .values import dtype_of


@rule("Attention")
def attention(c: Call) -> list[Any]:
    """softmax(q k' scale + mask) v in several heads; with a cache, groups of heads, and further outputs.

    Inputs q, k, v are (n, heads, length, size), or (n, length, heads * size) with numbers of heads as
    attributes. Outputs: y, the keys and values with the past before them, and the product of q and k at the
    stage that qk_matmul_output_mode names. Vaswani et al., 2017, https://arxiv.org/abs/1706.03762.
    """
    x, flat = c.x(0), c.x(0).ndim == 3
    heads, shared = int(c.attr("q_num_heads", 0)), int(c.attr("kv_num_heads", 0))
    if flat and (heads < 1 or shared < 1):
        raise c.damaged("has no numbers of heads")
    q, k, v = (_split(c, i, n) if flat else c.x(i) for i, n in ((0, heads), (1, shared), (2, shared)))
    past = 0
    if c.has(4) and c.has(5):
        past = c.shape(4)[2]
        k, v = T.concat([c.x(4), k], 2), T.concat([c.x(5), v], 2)
    keys, values = k, v
    if q.ndim != 4 or k.ndim != 4 or q.shape[1] % k.shape[1] or k.shape[:3] != v.shape[:3]:
        raise c.damaged(f"has queries {q.shape}, keys {k.shape} and values {v.shape}")
    if q.shape[1] != k.shape[1]:
        k, v = (T.repeat(t, q.shape[1] // k.shape[1], 1) for t in (k, v))
    root = math.sqrt(float(c.attr("scale", 1.0 / math.sqrt(max(q.shape[3], 1)))))
    check_size(c, *q.shape[:3], k.shape[2])
    scores = T.matmul(q * root, T.transpose(k, (0, 1, 3, 2)) * root)
    mode, cap = int(c.attr("qk_matmul_output_mode", 0)), float(c.attr("softcap", 0.0))
    stages = {0: scores}
    scores = T.tanh(scores / cap) * cap if cap > 0 else scores
    if c.opset >= 24 or mode == 1:
        stages[1] = scores
    bias = _bias(c, q, k, past)
    scores = scores if bias is None else scores + bias
    stages[2] = scores
    precision = int(c.attr("softmax_precision", 0))
    wide = T.cast(scores, dtype_of(precision, f"node {c.node.shown}").name) if precision else scores
    share = _softmax(wide, bias)
    stages[3] = share
    y = T.matmul(T.cast(share, v.dtype.name), v)
    if flat:
        y = T.reshape(T.transpose(y, (0, 2, 1, 3)), (x.shape[0], x.shape[1], -1))
    if mode not in stages:
        raise c.damaged(f"asks for the products at stage {mode}")
    return [T.cast(y, x.dtype.name), keys, values, T.cast(stages[mode], x.dtype.name)]


def _split(c: Call, i: int, heads: int) -> Tensor:
    x = c.x(i)
    if x.shape[2] % heads:
        raise c.damaged(f"splits {x.shape[2]} features into {heads} heads")
    return T.transpose(T.reshape(x, (x.shape[0], x.shape[1], heads, -1)), (0, 2, 1, 3))


def _bias(c: Call, q: Tensor, k: Tensor, past: int) -> Any:
    """What is added to the products: 0, or minus infinity where a query must not look. None: nothing."""
    rows, columns = q.shape[2], k.shape[2]
    dtype, parts = q.dtype, []
    lengths = c.x(6) if c.has(6) else None
    if c.has(3):
        parts.append(_mask(c, dtype, columns))
    place: Any = np.arange(rows)[:, None] + past - np.arange(columns)
    left, right = int(c.attr("left_window_size", -1)), int(c.attr("right_window_size", -1))
    if lengths is not None:
        # The cache is filled up to a length for each sample: its last places are the queries'.
        first = T.reshape(T.cast(T.subtract(lengths, rows), "int64"), (-1, 1, 1, 1))
        place = T.add(first, place)
        seen = T.less(np.arange(columns), T.reshape(lengths, (-1, 1, 1, 1)))
        parts.append(_hidden(T.logical_not(seen), dtype))
    if c.attr("is_causal", 0):
        parts.append(_hidden(T.less(place, 0), dtype))
    if left >= 0:
        parts.append(_hidden(T.greater(place, left), dtype))
    if right >= 0:
        parts.append(_hidden(T.less(place, -right), dtype))
    total: Any = None
    for part in parts:
        total = part if total is None else T.add(total, part)
    return total


def _mask(c: Call, dtype: np.dtype[Any], columns: int) -> Tensor:
    mask = c.x(3)
    if mask.dtype.kind == "b":
        mask = _hidden(T.logical_not(mask), dtype)
    short = columns - mask.shape[-1]
    if short < 0:
        raise c.damaged(f"has a mask of {mask.shape[-1]} for {columns} keys")
    return T.pad(mask, [(0, 0)] * (mask.ndim - 1) + [(0, short)], -math.inf) if short else mask


def _hidden(where: Tensor, dtype: np.dtype[Any]) -> Tensor:
    return T.where(where, np.asarray(-np.inf, dtype), np.asarray(0.0, dtype))


def _softmax(scores: Tensor, bias: Any) -> Tensor:
    if bias is None:
        return T.softmax(scores, axis=-1)
    # A query that may look nowhere gets zeros, not NaN.
    nowhere = T.equal(T.max(bias, axis=-1, keepdims=True), -math.inf)
    share = T.softmax(T.where(nowhere, T.zeros_like(scores), scores), axis=-1)
    return T.where(nowhere, T.zeros_like(share), share)


@rule("RotaryEmbedding")
def rotary_embedding(c: Call) -> Tensor:
    """Pairs of features turned by angles that grow with the position. Su et al., 2021, arXiv 2104.09864."""
    x, flat = c.x(0), c.x(0).ndim == 3
    heads = int(c.attr("num_heads", 0))
    if flat and (heads < 1 or x.shape[2] % heads):
        raise c.damaged(f"splits {x.shape[-1]} features into {heads} heads")
    parts = T.reshape(x, (*x.shape[:2], heads, -1)) if flat else T.transpose(x, (0, 2, 1, 3))
    width = int(c.attr("rotary_embedding_dim", 0)) or parts.shape[3]
    cos, sin = (T.gather(c.x(i), c.x(3), 0) if c.has(3) else c.x(i) for i in (1, 2))
    if width % 2 or width > parts.shape[3] or cos.shape[-1] != width // 2 or cos.shape != sin.shape:
        raise c.damaged(f"turns {width} of {parts.shape[3]} features by angles {cos.shape}")
    cos, sin = T.expand_dims(cos, 2), T.expand_dims(sin, 2)
    pairs = bool(c.attr("interleaved", 0))
    first, second = (slice(0, width, 2), slice(1, width, 2)) if pairs else (
        slice(0, width // 2), slice(width // 2, width)
    )  # fmt: skip
    a, b = T.getitem(parts, (..., first)), T.getitem(parts, (..., second))
    turned = [cos * a - sin * b, sin * a + cos * b]
    if pairs:
        joined = T.reshape(T.stack(turned, -1), (*parts.shape[:3], width))
    else:
        joined = T.concat(turned, -1)
    if width < parts.shape[3]:
        joined = T.concat([joined, T.getitem(parts, (..., slice(width, None)))], -1)
    return T.reshape(joined, x.shape) if flat else T.transpose(joined, (0, 2, 1, 3))
