"""Per-sample gradients of one parameter, kept as what they are made of; and the registry of rules for them.

The gradient of sample i for a linear layer's weight is d_i a_i^T: its norm is |d_i| |a_i|, and a weighted sum
over the samples is one matrix product, so the (n, out, in) array need never exist. Each kind of layer
registers a function that gives such a factored form for its parameters (`grad_sampler`).
Goodfellow, 2015, https://arxiv.org/abs/1510.01799; Bu et al., 2022, https://arxiv.org/abs/2210.00038.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

from armour.tensor.core import Tensor
from armour.tensor.linalg import einsum, matmul
from armour.tensor.module import Module
from armour.tensor.shape import concat, reshape, transpose

LETTERS = "abcdefghijklm"


class SampleGrad(ABC):
    """The gradients of n samples for one parameter."""

    @cached_property
    def dense(self) -> Tensor:
        """All of them: (n, *parameter shape)."""
        return self._dense()

    @abstractmethod
    def _dense(self) -> Tensor: ...

    @abstractmethod
    def square_norms(self) -> Tensor:
        """(n,) squares of their Euclidean norms."""

    @abstractmethod
    def weighted(self, weights: Tensor) -> Tensor:
        """Their sum with weights (n,): the parameter's shape."""


class Dense(SampleGrad):
    """Gradients in memory. value: (n, *parameter shape), in any memory order."""

    def __init__(self, value: Tensor) -> None:
        self._value = value

    def _dense(self) -> Tensor:
        return self._value

    @cached_property
    def _squares(self) -> Tensor:
        own = "n" + LETTERS[: self._value.ndim - 1]
        return einsum(f"{own},{own}->n", self._value, self._value)

    def square_norms(self) -> Tensor:
        """One pass over the values."""
        return self._squares

    def weighted(self, weights: Tensor) -> Tensor:
        """One pass over the values."""
        own = LETTERS[: self._value.ndim - 1]
        return einsum(f"n,n{own}->{own}", weights, self._value)


class Outer(SampleGrad):
    """Gradients d_i a_i^T of a weight (out, in). d: (n, out); a: (n, in).

    left: d as gradients in memory, which it is for the bias, so that its norms are found once.
    """

    def __init__(self, d: Tensor, a: Tensor, left: Dense | None = None) -> None:
        self._d, self._a = d, a
        self._left = Dense(d) if left is None else left

    def _dense(self) -> Tensor:
        return einsum("no,ni->noi", self._d, self._a)

    def factors(self) -> tuple[Tensor, Tensor]:
        """d (n, 1, out) and a (n, 1, in), as a sum of one term."""
        n = self._d.shape[0]
        return reshape(self._d, (n, 1, self._d.shape[1])), reshape(self._a, (n, 1, self._a.shape[1]))

    def square_norms(self) -> Tensor:
        """|d|^2 |a|^2."""
        return self._left.square_norms() * einsum("ni,ni->n", self._a, self._a)

    def weighted(self, weights: Tensor) -> Tensor:
        """One matrix product."""
        return matmul(transpose(self._d * reshape(weights, (-1, 1)), (1, 0)), self._a)


class OuterSum(SampleGrad):
    """Gradients sum_t d_it a_it^T of a weight (out, in) used at t places. d: (n, t, out); a: (n, t, in)."""

    def __init__(self, d: Tensor, a: Tensor) -> None:
        self._d, self._a = d, a
        self._ghost = prefers_gram(d.shape[1], d.shape[2] * a.shape[2])

    def _dense(self) -> Tensor:
        return matmul(transpose(self._d, (0, 2, 1)), self._a)

    def factors(self) -> tuple[Tensor, Tensor]:
        """d (n, t, out) and a (n, t, in)."""
        return self._d, self._a

    def square_norms(self) -> Tensor:
        """sum_st (a_s . a_t)(d_s . d_t) by (t, t) matrices, or from the gradients if those are smaller."""
        if not self._ghost:
            return Dense(self.dense).square_norms()
        grams = [matmul(v, transpose(v, (0, 2, 1))) for v in (self._d, self._a)]
        return einsum("nst,nst->n", *grams)

    def weighted(self, weights: Tensor) -> Tensor:
        """One matrix product, or one pass over the gradients if they are in memory."""
        if not self._ghost:
            return Dense(self.dense).weighted(weights)
        n, t, out = self._d.shape
        scaled = reshape(self._d * reshape(weights, (n, 1, 1)), (n * t, out))
        return matmul(transpose(scaled, (1, 0)), reshape(self._a, (n * t, self._a.shape[2])))


def prefers_gram(places: int, weights: int) -> bool:
    """True if two (places, places) matrices take less memory than the gradient of that many weights."""
    return 2 * places * places < weights


def added(parts: list[SampleGrad]) -> SampleGrad:
    """The gradients of a parameter that is used several times: they add up before any norm is taken."""
    if len(parts) == 1:
        return parts[0]
    factors = [part.factors() for part in parts if isinstance(part, (Outer, OuterSum))]
    if len(factors) == len(parts):  # as in a recurrent network: more terms of one sum
        left, right = (concat(list(side), axis=1) for side in zip(*factors, strict=True))
        return OuterSum(left, right)
    total = parts[0].dense
    for part in parts[1:]:
        total = total + part.dense
    return Dense(total)


# -- rules ----------------------------------------------------------------------------------------------

# (layer, its input (n, ...), the gradient at its output) -> name of a parameter of its own -> gradients
Sampler = Callable[[Any, Tensor, Tensor], dict[str, SampleGrad]]
S = TypeVar("S", bound=Sampler)
SAMPLERS: dict[type[Module], Sampler] = {}
_resolved: dict[type[Module], Sampler | None] = {}


def grad_sampler(*layers: type[Module]) -> Callable[[S], S]:
    """Decorator: the function gives the per-sample gradients of these layer classes' parameters.

    It is called as (layer, x, g): x (n, ...) the layer's only input, g the gradient of the sum of all losses
    at its output. It returns a SampleGrad for each name of a parameter that the layer itself holds.
    """

    def register(sampler: S) -> S:
        for layer in layers:
            SAMPLERS[layer] = sampler
        _resolved.clear()
        return sampler

    return register


def sampler_of(layer: type[Module]) -> Sampler | None:
    """The rule of a layer class, or of a base class whose `forward` it has not changed; else None."""
    if layer not in _resolved:
        base = next((b for b in layer.__mro__ if b in SAMPLERS), None)
        own = base is not None and layer.forward is base.forward and layer.bprop is None
        _resolved[layer] = SAMPLERS[base] if base is not None and own else None
    return _resolved[layer]
