"""bfloat16, which NumPy lacks: the upper half of a float32."""

from __future__ import annotations

import numpy as np


def widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16 numbers, given as 16-bit whole numbers, as float32 of the same shape, exactly."""
    wide: np.ndarray = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return wide
