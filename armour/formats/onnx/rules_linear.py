"""Matrix products, einsum, and products of quantised numbers."""

from __future__ import annotations

import string

import numpy as np

import armour.tensor as T
from armour.errors import CheckpointError
from armour.tensor.core import Tensor

from .halves import in_single
from .rules import Call, rule


@rule("Gemm")
@in_single
def gemm(c: Call) -> Tensor:
    """alpha A B + beta C; a layer if B and C are known and C is a bias."""
    alpha, beta = float(c.attr("alpha", 1.0)), float(c.attr("beta", 1.0))
    left, right = bool(c.attr("transA", 0)), bool(c.attr("transB", 0))
    a = c.x(0)
    a = T.transpose(a) if left else a
    if c.fixed(1) and (not c.has(2) or c.fixed(2)) and a.dtype == np.float32:
        w = c.known(1) if right else c.known(1).T
        w = w if alpha == 1 else w * np.float32(alpha)
        bias = c.known(2) if c.has(2) else None
        if bias is None or (bias.size in (1, w.shape[0]) and bias.shape[:-1] in ((), (1,))):
            if bias is not None:
                bias = np.broadcast_to(bias.reshape(-1), (w.shape[0],)) * np.float32(beta)
            config = {"in_features": w.shape[1], "out_features": w.shape[0], "bias": bias is not None}
            return c.layer("Linear", config, {"weight": w, "bias": bias})(a)  # type: ignore[no-any-return]
    b = T.transpose(c.x(1)) if right else c.x(1)
    out = T.matmul(a, b)
    out = out if alpha == 1 else out * alpha
    if c.has(2) and beta:
        out = out + (c.x(2) if beta == 1 else c.x(2) * beta)
    return T.cast(out, c.dtype().name)


@rule("MatMul")
@in_single
def matmul(c: Call) -> Tensor:
    """A layer if the second factor is a known matrix; a bias added right after belongs to it."""
    a = c.x(0)
    if c.fixed(1) and c.known(1).ndim == 2 and a.ndim >= 2 and a.dtype == np.float32:
        w = c.known(1).T
        bias = c.known(2) if c.has(2) else None  # put there by fuse.py
        config = {"in_features": w.shape[1], "out_features": w.shape[0], "bias": bias is not None}
        return c.layer("Linear", config, {"weight": w, "bias": bias})(a)  # type: ignore[no-any-return]
    return T.matmul(a, c.x(1))


@rule("Einsum")
def einsum(c: Call) -> Tensor:
    """Einstein's sum of any number of tensors: with "...", repeated letters and an implied output."""
    tensors = c.xs()
    left, arrow, out = c.attr("equation").replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise CheckpointError(
            f"node {c.node.shown} has {len(tensors)} inputs for {len(terms)} terms; get the file again"
        )
    spare = [s for s in string.ascii_uppercase if s not in left]
    most = max(
        (t.ndim - len(s.replace("...", "")) for s, t in zip(terms, tensors, strict=True) if "..." in s),
        default=0,
    )
    dots = "".join(spare[:most])
    terms = [
        s.replace("...", dots[len(dots) - (t.ndim - len(s.replace("...", ""))) :] if "..." in s else "")
        for s, t in zip(terms, tensors, strict=True)
    ]
    if not arrow:
        once = [s for s in sorted(set("".join(terms))) if "".join(terms).count(s) == 1 and s not in dots]
        out = dots + "".join(once)
    pairs = [_diagonals(s, t) for s, t in zip(terms, tensors, strict=True)]
    terms, tensors = [s for s, _ in pairs], [t for _, t in pairs]
    return T.einsum(f"{','.join(terms)}->{out.replace('...', dots)}", *tensors)


def _diagonals(term: str, x: Tensor) -> tuple[str, Tensor]:
    """The tensor where letters that come twice are taken along the diagonal."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            a = term.index(letter)
            b = term.index(letter, a + 1)
            x = T.diagonal(T.moveaxis(T.moveaxis(x, a, -1), b - 1, -1))
            term = "".join(s for i, s in enumerate(term) if i not in (a, b)) + letter
    return term, x


@rule("Det")
def det(c: Call) -> Tensor:
    """Determinants of square matrices."""
    return T.det(c.x())
