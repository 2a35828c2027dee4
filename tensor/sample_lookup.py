"""Per-sample gradients of a table whose rows are looked up by number: embeddings."""

from __future__ import annotations

from functools import cached_property

from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor
from armour.tensor.elementwise import equal, less, where
from armour.tensor.linalg import einsum, matmul
from armour.tensor.sample_grads import Dense, SampleGrad, prefers_gram
from armour.tensor.scatter import segment_sum
from armour.tensor.shape import reshape, transpose


class LookUp(SampleGrad):
    """Gradients of a table (v, d). numbers: (n, t) rows looked up; g: (n, t, d) the gradient of each."""

    def __init__(self, numbers: Tensor, g: Tensor, rows: int) -> None:
        self._numbers, self._g, self._rows = numbers, g, rows

    @cached_property
    def _places(self) -> Tensor:
        # Numbers below 0 count from the end.
        return where(less(self._numbers, 0), self._numbers + self._rows, self._numbers)

    def _dense(self) -> Tensor:
        n, t, d = self._g.shape
        xp = get_xp(self._numbers.data)
        first = Tensor(xp.arange(n, dtype=self._numbers.dtype).reshape((n, 1)) * self._rows)
        tables = segment_sum(
            reshape(self._g, (n * t, d)), reshape(self._places + first, (n * t,)), n * self._rows
        )
        return reshape(tables, (n, self._rows, d))

    def square_norms(self) -> Tensor:
        """sum_st [the same row at s and t] (g_s . g_t): rows that a sample looks up twice interact."""
        n, t, d = self._g.shape
        if not prefers_gram(t, self._rows * d):
            return Dense(self.dense).square_norms()
        same = equal(reshape(self._places, (n, t, 1)), reshape(self._places, (n, 1, t)))
        gram = matmul(self._g, transpose(self._g, (0, 2, 1)))
        return einsum("nst,nst->n", gram, same.astype(gram.dtype))

    def weighted(self, weights: Tensor) -> Tensor:
        """Weighted gradients added up at their rows."""
        n, t, d = self._g.shape
        scaled = self._g * reshape(weights, (n, 1, 1))
        return segment_sum(reshape(scaled, (n * t, d)), reshape(self._places, (n * t,)), self._rows)
