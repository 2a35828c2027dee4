"""Linear maps along one axis by a small matrix of constants: what resizing and uneven pooling are made of."""

from __future__ import annotations

import math

import numpy as np

from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, wrap
from armour.tensor.linalg import matmul
from armour.tensor.shape import reshape


def constant(like: Tensor, values: np.ndarray) -> Tensor:
    """Numbers as a tensor of `like`'s floating dtype, where `like` is."""
    dtype = like.dtype if like.dtype.kind == "f" else np.dtype(np.float32)
    return wrap(get_xp(like.data).asarray(values.astype(dtype)))


def along_axis(x: Tensor, axis: int, matrix: np.ndarray) -> Tensor:
    """x with the elements along `axis` replaced by `matrix` (out, in) times them."""
    axis %= x.ndim
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    m, n = math.prod(before), math.prod(after)
    if n == 1:
        flat = matmul(reshape(x, (m, x.shape[axis])), constant(x, np.ascontiguousarray(matrix.T)))
    else:
        flat = matmul(constant(x, matrix), reshape(x, (m, x.shape[axis], n)))
    return reshape(flat, (*before, matrix.shape[0], *after))
