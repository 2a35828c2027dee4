"""What PyTorch calls rows of networks beyond the basic ones, for test_torch_ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F


def _activation_grad(g: Any, x: Any, kind: str, **attrs: Any) -> Any:
    leaf = x if x.requires_grad else x.clone().requires_grad_()
    functions: dict[str, Callable[..., Any]] = {
        "clip": lambda x, low, high: torch.clamp(x, min=low, max=high),
        "elu": F.elu,
        "gelu": F.gelu,
        "leaky_relu": lambda x, slope: F.leaky_relu(x, negative_slope=slope),
        "silu": F.silu,
        "softplus": lambda x: F.softplus(x, threshold=1000),
        **{name: PEERS[name] for name in ("gelu_tanh", "hardsigmoid", "hardswish", "hardtanh")},
    }
    (out,) = torch.autograd.grad(functions[kind](leaf, **attrs), leaf, g, create_graph=True)
    return out + leaf * 0.0  # straight pieces have no second derivative, not even one of 0


PEERS: dict[str, Callable[..., Any]] = {
    "activation_grad": _activation_grad,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "hardsigmoid": lambda x: F.relu6(x + 3.0) / 6.0,  # its own gradient has a sixth of float32 in it
    "hardswish": F.hardswish,
    "hardtanh": lambda x, low, high: F.hardtanh(x, min_val=low, max_val=high),
    "mish": F.mish,
}
# Rows that PyTorch has in no such form; test_torch_conv and its kind compare what is made of them.
ALONE = {
    *("add_pixels", "read_pixels"),
    *("conv2d_sample_grad", "conv2d_sample_square", "inverse_deviation", "overlap_add", "sliding_windows"),
    *("standardise", "standardise_grad", "sum_places"),
}
