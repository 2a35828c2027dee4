"""One direction of a recurrent operator of ONNX, step by step in Tensor operations, with all its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor
from armour.tensor.recurrent import unstacked

from .rules import Call

Function = Callable[[Tensor], Tensor]
# Activations by name: how many numbers (alpha, beta) they take, the defaults, and the function of x and them.
ACTIVATIONS: dict[str, tuple[tuple[float, ...], Callable[..., Tensor]]] = {
    "relu": ((), T.relu),
    "tanh": ((), T.tanh),
    "sigmoid": ((), T.sigmoid),
    "softsign": ((), T.softsign),
    "softplus": ((), T.softplus),
    "elu": ((1.0,), lambda x, a: T.elu(x, alpha=a)),
    "leakyrelu": ((0.01,), lambda x, a: T.maximum(x, 0.0) + T.minimum(x, 0.0) * a),
    "thresholdedrelu": ((1.0,), lambda x, a: T.where(T.greater(x, a), x, T.zeros_like(x))),
    "affine": ((1.0, 0.0), lambda x, a, b: x * a + b),
    "scaledtanh": ((1.0, 1.0), lambda x, a, b: T.tanh(x * b) * a),
    "hardsigmoid": ((0.2, 0.5), lambda x, a, b: T.clip(x * a + b, 0.0, 1.0)),
}


def activations_of(c: Call, defaults: tuple[str, ...], directions: int) -> list[list[Function]]:
    """The functions of each direction; alphas and betas go to those that take them, in order."""
    names = list(c.attr("activations", None) or defaults * directions)
    alphas, betas = (list(c.attr(f"activation_{n}", None) or ()) for n in ("alpha", "beta"))
    if len(names) != len(defaults) * directions:
        raise c.damaged(f"has {len(names)} activations, expected {len(defaults) * directions}")
    functions: list[Function] = []
    for name in names:
        if name.lower() not in ACTIVATIONS:
            raise c.unsupported(f"the activation {ascii(name)[:40]}")
        numbers, function = ACTIVATIONS[name.lower()]
        settings = []
        for given, default in zip((alphas, betas), numbers, strict=False):
            settings.append(float(given.pop(0)) if given else default)
        functions.append(_bound(function, tuple(settings)))
    count = len(defaults)
    return [functions[i * count : (i + 1) * count] for i in range(directions)]


def _bound(function: Callable[..., Tensor], settings: tuple[float, ...]) -> Function:
    return lambda x: function(x, *settings)


class Direction:
    """Weights of one direction; call it with a sequence (length, n, features)."""

    def __init__(self, c: Call, kind: str, functions: list[Function], index: int) -> None:
        self.kind, self.functions = kind, functions
        self.w, self.r = T.getitem(c.x(1), index), T.getitem(c.x(2), index)
        self.hidden = self.r.shape[-1]
        rows = self.w.shape[0]
        self.bias = self.recalled_bias = None
        if c.has(3):
            both = T.getitem(c.x(3), index)
            self.bias, self.recalled_bias = both[:rows], both[rows:]
        self.lengths = c.x(4) if c.has(4) else None
        self.turned = bool(c.attr("layout", 0))
        self.states = tuple(self._state(c, i, index) for i in ((5, 6) if kind == "LSTM" else (5,)))
        self.peepholes = T.getitem(c.x(7), index) if kind == "LSTM" and c.has(7) else None
        self.clip = float(c.attr("clip", 0.0))
        self.coupled = bool(c.attr("input_forget", 0))
        self.after = bool(c.attr("linear_before_reset", 0))

    def _state(self, c: Call, i: int, index: int) -> Tensor | None:
        if not c.has(i):
            return None
        return T.getitem(c.x(i), (slice(None), index) if self.turned else index)

    def __call__(self, x: Tensor, backwards: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(outputs (length, n, hidden), last states); backwards starts where each sample's sequence ends."""
        n, zero = x.shape[1], None
        if any(s is None for s in self.states):
            zero = T.broadcast_to(T.cast(np.zeros((1, 1)), x.dtype.name), (n, self.hidden))
        state: tuple[Any, ...] = tuple(zero if s is None else s for s in self.states)
        given = T.matmul(x, T.transpose(self.w))
        given = given if self.bias is None else given + self.bias
        outputs = []
        parts = list(enumerate(unstacked(given)))
        for step, part in reversed(parts) if backwards else parts:
            new = self._step(part, state)
            out = new[0]
            if self.lengths is not None:
                inside = T.reshape(T.greater(self.lengths, step), (-1, 1))
                out = T.where(inside, out, T.zeros_like(out))
                new = tuple(T.where(inside, a, b) for a, b in zip(new, state, strict=True))
            state = new
            outputs.append(out)
        return T.stack(outputs[::-1] if backwards else outputs, 0), state

    def _step(self, given: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.kind == "GRU":
            return (self._gru(given, state[0]),)
        recalled = T.matmul(state[0], T.transpose(self.r))
        recalled = recalled if self.recalled_bias is None else recalled + self.recalled_bias
        gates = given + recalled
        if self.kind == "RNN":
            return (self.functions[0](self._clipped(gates)),)
        return self._lstm(gates, state[1])

    def _lstm(self, gates: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        f, g, h = self.functions
        i, o, forget, new = (self._part(gates, k) for k in range(4))
        p = None if self.peepholes is None else [self._vector(k) for k in range(3)]
        if p is not None:
            i, forget = i + p[0] * cell, forget + p[2] * cell
        i, new = f(self._clipped(i)), g(self._clipped(new))
        kept = 1.0 - i if self.coupled else f(self._clipped(forget))
        cell = kept * cell + i * new
        o = f(self._clipped(o if p is None else o + p[1] * cell))
        return o * h(cell), cell

    def _gru(self, given: Tensor, h: Tensor) -> Tensor:
        f, g = self.functions
        k = self.hidden
        r = T.transpose(self.r)
        both = T.matmul(h, r[:, : 2 * k])
        both = both if self.recalled_bias is None else both + self.recalled_bias[: 2 * k]
        both = f(self._clipped(given[:, : 2 * k] + both))
        update, reset = both[:, :k], both[:, k:]
        bias = None if self.recalled_bias is None else self.recalled_bias[2 * k :]
        if self.after:
            recalled = T.matmul(h, r[:, 2 * k :])
            recalled = reset * (recalled if bias is None else recalled + bias)
        else:
            recalled = T.matmul(reset * h, r[:, 2 * k :])
            recalled = recalled if bias is None else recalled + bias
        new = g(self._clipped(given[:, 2 * k :] + recalled))
        return (1.0 - update) * new + update * h

    def _clipped(self, gates: Tensor) -> Tensor:
        return T.clip(gates, -self.clip, self.clip) if self.clip > 0 else gates

    def _part(self, gates: Tensor, i: int) -> Tensor:
        return T.getitem(gates, (slice(None), slice(i * self.hidden, (i + 1) * self.hidden)))

    def _vector(self, i: int) -> Tensor:
        assert self.peepholes is not None
        return T.getitem(self.peepholes, slice(i * self.hidden, (i + 1) * self.hidden))
