"""Per-sample gradients of layers that normalise: gamma's is the sum of g times the normalised input."""

from __future__ import annotations

from armour.errors import UnsupportedError
from armour.tensor import norm
from armour.tensor.core import Tensor
from armour.tensor.normalisation import GroupNorm, LayerNorm, _BatchNorm
from armour.tensor.reduce import sum as sum_of
from armour.tensor.sample_conv import sum_places
from armour.tensor.sample_grads import Dense, SampleGrad, grad_sampler


@grad_sampler(LayerNorm)
def layer_norm(layer: LayerNorm, x: Tensor, g: Tensor) -> dict[str, SampleGrad]:
    """x, g (n, ..., *normalized_shape)."""
    k = len(layer.normalized_shape)
    if x.ndim <= k:
        raise UnsupportedError(
            f"LayerNorm over {layer.normalized_shape} of an input {x.shape} mixes the samples; "
            "per-sample gradients need a batch axis in front"
        )
    product = g * norm.layer_norm(x, axes=tuple(range(-k, 0)), eps=layer.eps)
    axes = tuple(range(1, x.ndim - k))
    both = (sum_of(t, axis=axes) if axes else t for t in (product, g))
    return {name: Dense(t) for name, t in zip(("weight", "bias"), both, strict=True)}


@grad_sampler(GroupNorm)
def group_norm(layer: GroupNorm, x: Tensor, g: Tensor) -> dict[str, SampleGrad]:
    """x, g (n, c, ...)."""
    return _by_channel(g, norm.group_norm(x, layer.num_groups, eps=layer.eps))


@grad_sampler(_BatchNorm)
def batch_norm(layer: _BatchNorm, x: Tensor, g: Tensor) -> dict[str, SampleGrad]:
    """x, g (n, c, ...), in evaluation mode only: the batch's own statistics would mix the samples."""
    mean, var = layer.running_mean, layer.running_var
    normal = norm.batch_norm(x, mean=mean, var=var, eps=layer.eps)
    return _by_channel(g, normal)


def _by_channel(g: Tensor, normal: Tensor) -> dict[str, SampleGrad]:
    return {"weight": Dense(sum_places(g * normal)), "bias": Dense(sum_places(g))}
