"""What PyTorch calls rows of networks beyond the basic ones, for test_torch_ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F

PEERS: dict[str, Callable[..., Any]] = {
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
