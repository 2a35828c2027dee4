"""Op table, losses, pooling ties and random small graphs give PyTorch's values and gradients in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from armour import tensor
from armour.tensor import OPS, Tensor
from armour.tensor.op import Case, Op
from tests.parity import torch_peers_nn
from tests.parity.array_peers import ARRAY_ALONE, ARRAY_PEERS
from tests.tensor.test_op_table import cases, differentiable, samples


def _axis(x: Any, axis: Any) -> Any:
    return tuple(range(x.ndim)) if axis is None else axis


def _take(x: Any, index: Any) -> Any:
    # PyTorch has no slices with a negative step.
    parts = index if isinstance(index, tuple) else (index,)
    at = 0
    for part in parts:
        if isinstance(part, slice) and (part.step or 1) < 0:
            x = x.flip(at)
        at += 0 if part is None else 1
    forward = tuple(
        slice(None, None, -p.step)
        if isinstance(p, slice) and (p.step or 1) < 0
        else torch.as_tensor(p)
        if isinstance(p, np.ndarray)
        else p
        for p in parts
    )
    return x[forward]


def _transpose_of(fn: Callable[[Any], Any], g: Any, shape: Any) -> Any:
    leaf = torch.zeros(shape, dtype=g.dtype, requires_grad=True)
    (out,) = torch.autograd.grad(fn(leaf), leaf, g, create_graph=True)
    return out


def _pad(x: Any, widths: Any, value: float) -> Any:
    return F.pad(x, [v for pair in reversed(widths) for v in pair], value=value)


# What PyTorch calls each row. Rows without a counterpart are listed below and tested through those with one.
PEERS: dict[str, Callable[..., Any]] = {
    name: getattr(torch, name)
    for name in [
        *(
            "add",
            "subtract",
            "multiply",
            "divide",
            "negative",
            "abs",
            "exp",
            "log",
            "log1p",
            "expm1",
            "sqrt",
            "sin",
        ),
        *(
            "cos",
            "tanh",
            "sigmoid",
            "relu",
            "sign",
            "floor",
            "maximum",
            "minimum",
            "where",
            "less",
            "less_equal",
        ),
        *("greater", "greater_equal", "not_equal", "reshape", "matmul", "erf"),
    ]
} | {
    "argmax": torch.argmax,
    "avg_pool2d": lambda x, kernel, stride: F.avg_pool2d(x, kernel_size=kernel, stride=stride),
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, size=shape),
    "cast": lambda x, dtype: x.to(getattr(torch, dtype)),
    "clip": lambda x, low, high: x if low is None and high is None else torch.clamp(x, low, high),
    "concat": lambda *xs, axis: torch.cat(xs, axis),
    "conv2d": lambda x, w, b=None, **attrs: F.conv2d(x, w, b, **attrs),
    "conv2d_input_grad": lambda g, w, size, groups, **attrs: _transpose_of(
        lambda x: F.conv2d(x, w, groups=groups, **attrs), g, (g.shape[0], w.shape[1] * groups, *size)
    ),
    "conv2d_weight_grad": lambda x, g, kernel, groups, **attrs: _transpose_of(
        lambda w: F.conv2d(x, w, groups=groups, **attrs), g, (g.shape[1], x.shape[1] // groups, *kernel)
    ),
    "cross_entropy": lambda x, y: F.cross_entropy(x, y, reduction="none"),
    "cumsum": torch.cumsum,
    "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "elu": F.elu,
    "equal": torch.eq,
    "flip": lambda x, axis: torch.flip(x, (axis,) if isinstance(axis, int) else axis),
    "gelu": F.gelu,
    "getitem": _take,
    "leaky_relu": lambda x, slope: F.leaky_relu(x, negative_slope=slope),
    "linear": F.linear,
    "log_softmax": lambda x, axis: torch.log_softmax(x, dim=axis),
    "logsumexp": lambda x, axis, keepdims: torch.logsumexp(x, _axis(x, axis), keepdims),
    "max": lambda x, axis, keepdims: torch.amax(x, _axis(x, axis), keepdims),
    "max_pool2d": lambda x, kernel, stride: F.max_pool2d(x, kernel_size=kernel, stride=stride),
    "mean": lambda x, axis, keepdims: torch.mean(x, _axis(x, axis), keepdims),
    "min": lambda x, axis, keepdims: torch.amin(x, _axis(x, axis), keepdims),
    "one_hot": lambda y, classes, dtype: F.one_hot(y, classes).to(getattr(torch, dtype)),
    "pad": _pad,
    "power": torch.pow,
    "silu": F.silu,
    "softmax": lambda x, axis: torch.softmax(x, dim=axis),
    "softplus": lambda x: F.softplus(x, threshold=1000),
    "stack": lambda *xs, axis: torch.stack(xs, axis),
    "sum": lambda x, axis, keepdims: torch.sum(x, _axis(x, axis), keepdims),
    "take_along_axis": lambda x, i, axis: torch.take_along_dim(x, i, dim=axis),
    "transpose": lambda x, axes: torch.permute(x, dims=axes),
    "var": lambda x, axis, keepdims, ddof=0: torch.var(x, _axis(x, axis), correction=ddof, keepdim=keepdims),
    **ARRAY_PEERS,
}
ALONE = {
    *("alias", "avg_unpool2d", "cross_entropy_grad", "dropout", "getitem_grad", "max_pick2d", "max_share"),
    *("max_unpool2d", "relu_grad", "take_along_axis_grad"),
    *("conv2d_sample_grad", "conv2d_sample_square", "sum_places"),  # compared in test_opacus.py
    *ARRAY_ALONE,
}
PEERS |= torch_peers_nn.PEERS
ALONE |= torch_peers_nn.ALONE
# Empty examples that PyTorch warns about or cannot differentiate.
UNLIKE = {"conv2d_input_grad-2", "conv2d_weight_grad-2", "var-3"}


def shared() -> list[Any]:
    return [p for p in cases() if p.values[0].name in PEERS and p.id not in UNLIKE]


def test_every_row_is_compared_or_listed() -> None:
    from_nn = {
        "batch_norm_eval",
        "batch_norm_input_grad",
        "batch_norm_sums",
        "batch_norm_train",
        "batch_statistics",
        "scale_channels",
        "scale_shift",
    }  # test_torch_nn compares the layers made of them
    assert set(OPS) - set(PEERS) - from_nn <= ALONE
    assert not ALONE & set(PEERS)


@pytest.mark.parametrize(("row", "case"), shared())
def test_values_and_gradients(row: Op, case: Case) -> None:
    inputs = samples(row, case)
    wanted = differentiable(row, inputs)
    ours = [Tensor(a, requires_grad=i in wanted) for i, a in enumerate(inputs)]
    theirs = [torch.from_numpy(np.array(a)).requires_grad_(i in wanted) for i, a in enumerate(inputs)]
    y, z = row(*ours, **case.attrs), PEERS[row.name](*theirs, **case.attrs)
    assert y.shape == tuple(z.shape)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-10)
    if not wanted:
        return
    seed = np.random.default_rng(3).standard_normal(y.shape)
    y.backward(seed)
    grads = torch.autograd.grad(z, [theirs[i] for i in wanted], torch.from_numpy(seed))
    for i, g in zip(wanted, grads, strict=True):
        np.testing.assert_allclose(ours[i].grad.numpy(), g.numpy(), rtol=1e-10, atol=1e-10)


# -- ties, bends and NaN --------------------------------------------------------------------------------

LATTICE = np.array([-np.inf, -1.0, -0.0, 0.0, 0.5, 1.0, np.inf, np.nan])


@pytest.mark.parametrize("name", ["relu", "abs", "clip", "leaky_relu", "elu", "silu", "softplus", "floor"])
def test_bends_and_nan(name: str) -> None:
    attrs = {"clip": {"low": 0.0, "high": 1.0}, "leaky_relu": {"slope": 0.1}, "elu": {"alpha": 1.0}}.get(
        name, {}
    )
    with np.errstate(invalid="ignore"):
        x, leaf = Tensor(LATTICE, requires_grad=True), torch.from_numpy(LATTICE.copy()).requires_grad_()
        y, z = OPS[name](x, **attrs), PEERS[name](leaf, **attrs)
        np.testing.assert_array_equal(y.numpy(), z.detach().numpy())
        if y.requires_grad and name in ("relu", "abs", "clip", "leaky_relu"):
            y.backward(np.ones(y.shape))
            z.backward(torch.ones_like(z))
            known = slice(None) if name in ("relu", "clip") else ~np.isnan(LATTICE)
            np.testing.assert_array_equal(x.grad.numpy()[known], leaf.grad.numpy()[known])


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_ties_and_nan_of_pairs(name: str) -> None:
    a, b = (v.ravel() for v in np.meshgrid(LATTICE, LATTICE))
    ours = [Tensor(v, requires_grad=True) for v in (a, b)]
    theirs = [torch.from_numpy(v.copy()).requires_grad_() for v in (a, b)]
    y, z = OPS[name](*ours), PEERS[name](*theirs)
    np.testing.assert_array_equal(y.numpy(), z.detach().numpy())
    y.backward(np.ones(y.shape))
    z.backward(torch.ones_like(z))
    number = ~(np.isnan(a) | np.isnan(b))
    for s, t in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(s.grad.numpy()[number], t.grad.numpy()[number])


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_of_reductions(name: str) -> None:
    x = np.random.default_rng(0).integers(0, 3, (20, 6)).astype(float)
    t, leaf = Tensor(x, requires_grad=True), torch.from_numpy(x.copy()).requires_grad_()
    getattr(t, name)(axis=1).sum().backward()
    getattr(torch, "a" + name)(leaf, 1).sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), leaf.grad.numpy(), rtol=1e-15)


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 0)])
def test_max_pooling_with_ties(kernel: int, stride: int, padding: int) -> None:
    x = np.random.default_rng(0).integers(0, 3, (3, 2, 9, 8)).astype(float)
    t, leaf = Tensor(x, requires_grad=True), torch.from_numpy(x.copy()).requires_grad_()
    y, z = tensor.max_pool2d(t, kernel, stride, padding), F.max_pool2d(leaf, kernel, stride, padding)
    np.testing.assert_array_equal(y.numpy(), z.detach().numpy())
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(g)
    z.backward(torch.from_numpy(g))
    np.testing.assert_allclose(t.grad.numpy(), leaf.grad.numpy(), rtol=1e-14)
    mean = tensor.avg_pool2d(x, kernel, stride, padding).numpy()
    np.testing.assert_allclose(mean, F.avg_pool2d(leaf, kernel, stride, padding).detach().numpy(), rtol=1e-14)


def test_max_pooling_keeps_nan() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6))
    x[0, 0, 1, 1] = x[1, 2, 4, 5] = np.nan
    np.testing.assert_array_equal(
        tensor.max_pool2d(x, 2).numpy(), F.max_pool2d(torch.from_numpy(x), 2).numpy()
    )


# -- norms and losses -----------------------------------------------------------------------------------

RNG = np.random.default_rng(7)
IMAGES, WEIGHT, BIAS = RNG.standard_normal((4, 6, 3, 5)), RNG.uniform(0.5, 1.5, 6), RNG.standard_normal(6)
LOGITS, LABELS = RNG.standard_normal((5, 4)), np.array([0, 3, 2, 2, 1])

COMPOSED: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[Any]]] = {
    "batch_norm": (
        tensor.batch_norm,
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        [IMAGES, WEIGHT, BIAS],
    ),
    "batch_norm of rows": (
        tensor.batch_norm,
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        [IMAGES[:, :, 0, 0], WEIGHT, BIAS],
    ),
    "batch_norm in evaluation": (
        lambda x, w, b: tensor.batch_norm(x, w, b, BIAS[::-1].copy(), WEIGHT[::-1].copy()),
        lambda x, w, b: F.batch_norm(x, *(torch.from_numpy(v[::-1].copy()) for v in (BIAS, WEIGHT)), w, b),
        [IMAGES, WEIGHT, BIAS],
    ),
    "layer_norm": (
        lambda x, w, b: tensor.layer_norm(x, w, b, axes=(1, 2, 3)),
        lambda x, w, b: F.layer_norm(x, (6, 3, 5), w, b),
        [IMAGES, RNG.standard_normal((6, 3, 5)), RNG.standard_normal((6, 3, 5))],
    ),
    "group_norm": (
        lambda x, w, b: tensor.group_norm(x, 3, w, b),
        lambda x, w, b: F.group_norm(x, 3, w, b),
        [IMAGES, WEIGHT, BIAS],
    ),
    "global_avg_pool2d": (tensor.global_avg_pool2d, lambda x: x.mean((2, 3)), [IMAGES]),
    "global_max_pool2d": (tensor.global_max_pool2d, lambda x: x.amax((2, 3)), [IMAGES]),
    "mse": (tensor.mse, lambda a, b: ((a - b) ** 2).mean((1, 2, 3)), [IMAGES, IMAGES[::-1].copy()]),
    "kl": (
        tensor.kl,
        lambda a, b: F.kl_div(a.log_softmax(1), b.log_softmax(1), reduction="none", log_target=True).sum(1),
        [LOGITS, LOGITS[::-1].copy()],
    ),
    "margin": (
        lambda z: tensor.margin(z, LABELS),
        lambda z: (
            z.masked_fill(F.one_hot(torch.from_numpy(LABELS), 4).bool(), -torch.inf).amax(1)
            - z.gather(1, torch.from_numpy(LABELS)[:, None])[:, 0]
        ),
        [LOGITS],
    ),
}


@pytest.mark.parametrize("name", sorted(COMPOSED))
def test_norms_and_losses(name: str) -> None:
    fn, peer, arrays = COMPOSED[name]
    ours = [Tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    y, z = fn(*ours), peer(*theirs)
    np.testing.assert_allclose(y.numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-10)
    seed = np.random.default_rng(3).standard_normal(y.shape)
    y.backward(seed)
    z.backward(torch.from_numpy(seed))
    for s, t in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(s.grad.numpy(), t.grad.numpy(), rtol=1e-9, atol=1e-10)
