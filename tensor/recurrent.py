"""Recurrent layers: RNN, LSTM and GRU, in several layers and both directions, with PyTorch's weight names.

The inputs' part of all steps is one matrix product; the loop over time is Python's, over rows of the op
table. A layer's call gives the sequence of outputs alone, since a layer of a stored network has one output;
`run` takes and gives states too.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from armour import rng as rngs
from armour.checks import count, fraction, one_of
from armour.errors import InvalidArgument
from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, wrap
from armour.tensor.elementwise import relu, sigmoid, tanh
from armour.tensor.layers import Layer, leaf
from armour.tensor.linalg import linear
from armour.tensor.module import Parameter, Rng, initial
from armour.tensor.norm import dropout
from armour.tensor.shape import concat, getitem, reshape, stack, transpose

State = tuple[Tensor, ...]  # each (n, hidden): (h,) or, of an LSTM, (h, c)


class _Recurrent(Layer):
    gates: int
    states = 1
    # The next states of (given, recalled, states): the gates' parts (n, gates * hidden) by input and by h.
    _step: Callable[[Tensor, Tensor, State], State]

    def _set_up(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bias: bool,
        batch_first: bool,
        dropout: float,
        bidirectional: bool,
        rng: Rng,
    ) -> None:
        self.input_size, self.hidden_size = (
            count("input_size", input_size),
            count("hidden_size", hidden_size),
        )
        self.num_layers, self.bias, self.batch_first = (
            count("num_layers", num_layers),
            bool(bias),
            bool(batch_first),
        )
        self.dropout, self.bidirectional = fraction("dropout", dropout), bool(bidirectional)
        self.rng = rngs.generator(rng)
        bound = 1.0 / math.sqrt(self.hidden_size)
        rows = self.gates * self.hidden_size

        def uniform(*shape: int) -> Parameter:
            return Parameter(
                initial(shape, lambda: self.rng.uniform(-bound, bound, shape).astype(np.float32))
            )

        directions = ("", "_reverse") if self.bidirectional else ("",)
        for layer in range(self.num_layers):
            width = self.input_size if layer == 0 else self.hidden_size * len(directions)
            for suffix in directions:
                setattr(self, f"weight_ih_l{layer}{suffix}", uniform(rows, width))
                setattr(self, f"weight_hh_l{layer}{suffix}", uniform(rows, self.hidden_size))
                if self.bias:
                    setattr(self, f"bias_ih_l{layer}{suffix}", uniform(rows))
                    setattr(self, f"bias_hh_l{layer}{suffix}", uniform(rows))

    def forward(self, x: Tensor) -> Tensor:
        """(l, n, input_size), or (n, l, ...) if batch_first -> (l, n, hidden_size * directions) alike."""
        return self.run(x)[0]

    def run(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """(outputs, last states), from the states given or zeros.

        state: (h,) or, of an LSTM, (h, c), each (num_layers * directions, n, hidden_size), as in PyTorch: the
        directions of the first layer come first.
        """
        if x.ndim != 3 or x.shape[2] != self.input_size or not x.shape[1 if self.batch_first else 0]:
            raise InvalidArgument(
                f"{type(self).__name__} expects a sequence of three axes, {self.input_size} features last, "
                f"got shape {x.shape}"
            )
        sequence = transpose(x, (1, 0, 2)) if self.batch_first else x
        directions = ("", "_reverse") if self.bidirectional else ("",)
        last: list[State] = []
        for layer in range(self.num_layers):
            if layer and self.dropout and self.training:
                sequence = dropout(sequence, self.dropout, rng=self.rng)
            outputs = []
            for suffix in directions:
                start = self._start(sequence, state, len(last))
                out, end = self._direction(sequence, f"l{layer}{suffix}", start)
                outputs.append(out)
                last.append(end)
            sequence = outputs[0] if len(outputs) == 1 else concat(outputs, 2)
        ends = tuple(stack([end[i] for end in last]) for i in range(self.states))
        return transpose(sequence, (1, 0, 2)) if self.batch_first else sequence, ends

    def _start(self, sequence: Tensor, state: State | None, index: int) -> State:
        n = sequence.shape[1]
        if state is None:
            zeros = wrap(get_xp(sequence.data).zeros((n, self.hidden_size), sequence.dtype))
            return (zeros,) * self.states
        shape = (self.num_layers * (2 if self.bidirectional else 1), n, self.hidden_size)
        if len(state) != self.states or any(s.shape != shape for s in state):
            raise InvalidArgument(
                f"{type(self).__name__} expects {self.states} states of shape {shape}, got "
                f"{[s.shape for s in state]}"
            )
        return tuple(getitem(s, index) for s in state)

    def _direction(self, sequence: Tensor, name: str, state: State) -> tuple[Tensor, State]:
        w, u = getattr(self, f"weight_ih_{name}"), getattr(self, f"weight_hh_{name}")
        b = getattr(self, f"bias_ih_{name}") if self.bias else None
        c = getattr(self, f"bias_hh_{name}") if self.bias else None
        steps = unstacked(linear(sequence, w, b))
        backwards = name.endswith("_reverse")
        outputs = []
        for part in reversed(steps) if backwards else steps:
            state = self._step(part, linear(state[0], u, c), state)
            outputs.append(state[0])
        return stack(outputs[::-1] if backwards else outputs), state

    def _part(self, gates: Tensor, i: int) -> Tensor:
        h = self.hidden_size
        return getitem(gates, (slice(None), slice(i * h, (i + 1) * h)))


def unstacked(sequence: Tensor) -> list[Tensor]:
    """Slices of the first axis.

    By halving: the gradient of one slice is an array as large as what it came from, so that slices of the
    whole would cost the square of the length.
    """
    length = sequence.shape[0]
    if length == 1:
        return [reshape(sequence, sequence.shape[1:])]
    half = length // 2
    return [*unstacked(getitem(sequence, slice(0, half))), *unstacked(getitem(sequence, slice(half, length)))]


@leaf
class RNN(_Recurrent):
    """h' = f(W x + b + U h + c), f tanh or relu. Elman, 1990."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = 0,
    ) -> None:
        self.nonlinearity = one_of("nonlinearity", nonlinearity, ("tanh", "relu"))
        self._set_up(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng)

    def _step(self, given: Tensor, recalled: Tensor, state: State) -> State:
        return ((tanh if self.nonlinearity == "tanh" else relu)(given + recalled),)


@leaf
class LSTM(_Recurrent):
    """Long short-term memory: gates in the order input, forget, cell, output.

    dropout: between layers, in training. Hochreiter and Schmidhuber, 1997.
    """

    gates, states = 4, 2

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = 0,
    ) -> None:
        self._set_up(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng)

    def _step(self, given: Tensor, recalled: Tensor, state: State) -> State:
        gates = given + recalled
        opened = sigmoid(gates)
        cell = tanh(self._part(gates, 2))
        c = self._part(opened, 1) * state[1] + self._part(opened, 0) * cell
        return self._part(opened, 3) * tanh(c), c


@leaf
class GRU(_Recurrent):
    """Gated recurrent unit: gates in the order reset, update, new. Cho et al., 2014, arXiv 1406.1078."""

    gates = 3

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        rng: Rng = 0,
    ) -> None:
        self._set_up(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, rng)

    def _step(self, given: Tensor, recalled: Tensor, state: State) -> State:
        reset = sigmoid(self._part(given, 0) + self._part(recalled, 0))
        update = sigmoid(self._part(given, 1) + self._part(recalled, 1))
        new = tanh(self._part(given, 2) + reset * self._part(recalled, 2))
        return (new + update * (state[0] - new),)
