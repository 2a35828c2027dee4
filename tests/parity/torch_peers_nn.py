"""What PyTorch calls rows of networks beyond the basic ones, for test_torch_ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

PEERS: dict[str, Callable[..., Any]] = {}
# Rows that PyTorch has in no such form; test_torch_conv and its kind compare what is made of them.
ALONE = {"conv2d_sample_grad", "conv2d_sample_square", "overlap_add", "sliding_windows", "sum_places"}
