"""Functions made of several rows give PyTorch's values and gradients in float64, to 1e-10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from armour import tensor
from armour.tensor import Tensor

RNG = np.random.default_rng(5)
X, Y = RNG.standard_normal((4, 6, 5)), RNG.standard_normal((4, 6, 5))
IMAGES = RNG.standard_normal((2, 8, 3, 4))
SQUARE = RNG.standard_normal((3, 4, 4)) + 3.0 * np.eye(4)
COLUMNS = RNG.standard_normal((3, 4, 2))
UNIT = RNG.uniform(0.05, 0.95, (4, 6, 5))
LOGITS, LABELS = RNG.standard_normal((7, 5)), RNG.integers(0, 5, 7)
TIES = RNG.integers(0, 3, (5, 8)).astype(float)
INDEX = RNG.integers(0, 6, (4, 3, 5))
PLACES = RNG.permutation(24).reshape(8, 3)[:, :2] % 4
FLAT = torch.from_numpy(LABELS)


def mean(values: Any) -> Any:
    return values.flatten(1).mean(1)


def named(name: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
    """Our function of that name with further arguments."""
    return lambda *xs: getattr(tensor, name)(*xs, *args, **kwargs)


# name -> (ours, PyTorch's, float64 inputs)
PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[Any]]] = {
    # losses
    "l1": (tensor.l1, lambda a, b: mean(F.l1_loss(a, b, reduction="none")), [X, Y]),
    "huber": (
        named("huber", 0.7),
        lambda a, b: mean(F.huber_loss(a, b, reduction="none", delta=0.7)),
        [X, Y],
    ),
    "smooth_l1": (
        named("smooth_l1", 0.7),
        lambda a, b: mean(F.smooth_l1_loss(a, b, reduction="none", beta=0.7)),
        [X, Y],
    ),
    "sigmoid_cross_entropy": (
        tensor.sigmoid_cross_entropy,
        lambda z, t: mean(F.binary_cross_entropy_with_logits(z, t, reduction="none")),
        [X, UNIT],
    ),
    "binary_cross_entropy": (
        tensor.binary_cross_entropy,
        lambda p, t: mean(F.binary_cross_entropy(p, t, reduction="none")),
        [UNIT, np.round(UNIT[::-1] * 4) / 4],
    ),
    "nll": (
        lambda z: tensor.nll(tensor.log_softmax(z), LABELS),
        lambda z: F.nll_loss(z.log_softmax(1), FLAT, reduction="none"),
        [LOGITS],
    ),
    "soft_cross_entropy": (
        tensor.soft_cross_entropy,
        lambda z, p: F.cross_entropy(z, p, reduction="none"),
        [LOGITS, np.abs(LOGITS[::-1])],
    ),
    "hinge": (
        lambda z: tensor.hinge(z, LABELS, 0.8),
        lambda z: F.multi_margin_loss(z, FLAT, margin=0.8, reduction="none"),
        [LOGITS],
    ),
    "cosine_similarity": (named("cosine_similarity", 1), lambda a, b: F.cosine_similarity(a, b, 1), [X, Y]),
    # lengths and spreads
    "std": (
        named("std", (0, 2), ddof=1),
        lambda x: x.std((0, 2)),
        [X],
    ),
    **{
        f"vector_norm {p}": (
            named("vector_norm", p, (0, 2)),
            lambda x, p=p: torch.linalg.vector_norm(x, p, (0, 2)),
            [X],
        )
        for p in (0.5, 1, 1.5, 2, 3, float("inf"), float("-inf"))
    },
    "vector_norm of all": (tensor.vector_norm, torch.linalg.vector_norm, [X]),
    "vector_norm of zeros": (
        named("vector_norm", 2.0, 1),
        lambda x: torch.linalg.vector_norm(x, 2, 1),
        [0 * TIES],
    ),
    "normalize": (named("normalize", 3.0, 1), lambda x: F.normalize(x, 3.0, 1), [X]),
    "xlogy": (tensor.xlogy, torch.xlogy, [np.where(X > 0.7, 0.0, X), UNIT]),
    "xlog1py": (tensor.xlog1py, torch.special.xlog1py, [np.where(X > 0.7, 0.0, X), UNIT - 0.5]),
    "segment_sum": (
        lambda x: tensor.segment_sum(x, INDEX[0, 0, :4], 6),
        lambda x: torch.zeros(6, 6, 5, dtype=x.dtype).index_add(0, torch.from_numpy(INDEX[0, 0, :4]), x),
        [X],
    ),
    "lerp": (tensor.lerp, torch.lerp, [X, Y, UNIT]),
    # order
    "sort": (named("sort", 1), lambda x: x.sort(1).values, [X]),
    "sort downwards": (named("sort", 0, True), lambda x: x.sort(0, descending=True).values, [X]),
    "sort of ties": (named("sort", 1), lambda x: x.sort(stable=True, dim=1).values, [TIES]),
    "topk": (lambda x: tensor.topk(x, 3, 1)[0], lambda x: x.topk(3, 1).values, [X]),
    "topk smallest": (lambda x: tensor.topk(x, 2, 0, False)[0], lambda x: x.topk(2, 0, False).values, [X]),
    "kthvalue": (lambda x: tensor.kthvalue(x, 2, 1)[0], lambda x: x.kthvalue(2, 1).values, [X]),
    "quantile": (named("quantile", 0.3, 1), lambda x: x.quantile(0.3, 1), [X]),
    "median of an odd number": (named("median", 2), lambda x: x.median(2).values, [X]),
    "cummax": (lambda x: tensor.cummax(x, 1)[0], lambda x: x.cummax(1).values, [X]),
    "cummax of ties": (lambda x: tensor.cummax(x, 1)[0], lambda x: x.cummax(1).values, [TIES]),
    "cummin of ties": (lambda x: tensor.cummin(x, 0)[0], lambda x: x.cummin(0).values, [TIES]),
    "cumprod with zeros": (named("cumprod", 1), lambda x: x.cumprod(1), [TIES - 1.0]),
    "prod with zeros": (named("prod", 1), lambda x: x.prod(1), [TIES - 1.0]),
    # arrays
    "expand and squeeze": (
        lambda x: tensor.squeeze(tensor.expand_dims(x, (0, 2)), 0),
        lambda x: x[None, :, None][0],
        [X],
    ),
    "moveaxis": (named("moveaxis", (0, 1), (-1, 0)), lambda x: x.movedim((0, 1), (-1, 0)), [X]),
    "split": (lambda x: tensor.split(x, (1, 5), 1)[1], lambda x: x.split((1, 5), 1)[1], [X]),
    "chunk": (lambda x: tensor.chunk(x, 4, 1)[2], lambda x: x.chunk(4, 1)[2], [X]),
    "unstack": (lambda x: tensor.unstack(x, 1)[2], lambda x: x.unbind(1)[2], [X]),
    "pixel shuffle": (named("depth_to_space", 2, "crd"), lambda x: F.pixel_shuffle(x, 2), [IMAGES]),
    "pixel unshuffle": (
        named("space_to_depth", 2, "crd"),
        lambda x: F.pixel_unshuffle(x, 2),
        [IMAGES[..., :2, :]],
    ),
    "scatter_add": (
        lambda x, v: tensor.scatter_add_along_axis(x, INDEX, v, 1),
        lambda x, v: x.scatter_add(1, torch.from_numpy(INDEX), v),
        [X, Y[:, :3]],
    ),
    "index_add": (
        lambda x, v: tensor.index_add(x, INDEX[0, :, 0], v, 1),
        lambda x, v: x.index_add(1, torch.from_numpy(INDEX[0, :, 0]), v),
        [X, Y[:, :3]],
    ),
    "scatter_nd_add": (
        lambda x, v: tensor.scatter_nd_add(x, PLACES, v),
        lambda x, v: x.index_put(tuple(torch.from_numpy(PLACES).T), v, accumulate=True),
        [X, RNG.standard_normal((8, 5))],
    ),
    "diag_embed": (named("diag_embed", 1), lambda x: torch.diag_embed(x, 1), [X]),
    "diagonal": (named("diagonal", -1), lambda x: x.diagonal(-1, -2, -1), [X]),
    "trace": (tensor.trace, lambda x: x.diagonal(0, -2, -1).sum(-1), [SQUARE]),
    "meshgrid": (
        lambda a, b: tensor.meshgrid(a, b)[1],
        lambda a, b: torch.meshgrid(a, b, indexing="ij")[1],
        [X[0, 0], Y[0, 0]],
    ),
    # linear systems
    "solve of one vector": (tensor.solve, torch.linalg.solve, [SQUARE[0], COLUMNS[0, :, 0]]),
    "solve_triangular": (
        tensor.solve_triangular,
        lambda a, b: torch.linalg.solve_triangular(a.tril(), b, upper=False),
        [SQUARE, COLUMNS],
    ),
    "slogdet": (lambda a: tensor.slogdet(a)[1], lambda a: torch.linalg.slogdet(a).logabsdet, [SQUARE]),
    "cholesky of a product": (
        lambda a: tensor.cholesky(a @ tensor.swapaxes(a, -1, -2)),
        lambda a: torch.linalg.cholesky(a @ a.mT),
        [SQUARE],
    ),
    "outer": (tensor.outer, lambda a, b: a[..., None] * b[..., None, :], [X, Y]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_values_and_gradients(name: str) -> None:
    function, peer, arrays = PAIRS[name]
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    y, z = function(*ours), peer(*theirs)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-10)
    seed = np.random.default_rng(3).standard_normal(y.shape)
    y.backward(seed)
    z.backward(torch.from_numpy(seed))
    for s, t in zip(ours, theirs, strict=True):
        found, expected = (np.zeros(s.shape) if g is None else g.numpy() for g in (s.grad, t.grad))
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["smooth_l1", "cumprod with zeros", "vector_norm 2", "slogdet", "sort"])
def test_hessian_vector_products(name: str) -> None:
    function, peer, arrays = PAIRS[name]
    first, rest = arrays[0], [np.array(a) for a in arrays[1:]]
    v = np.random.default_rng(4).standard_normal(first.shape)

    def scalar(call: Any, x: Any, others: Any) -> Any:
        y = call(x, *others)
        return (y * y).sum()

    found = tensor.hvp(lambda t: scalar(function, t, [Tensor(r) for r in rest]), first, v).numpy()
    _, expected = torch.autograd.functional.hvp(
        lambda t: scalar(peer, t, [torch.from_numpy(r) for r in rest]),
        torch.from_numpy(first.copy()),
        torch.from_numpy(v),
    )
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-8, atol=1e-9)
