"""Functions and modules with a backward of their own.

A call of such a function is one step of the tape and of every tracer: its values come from `forward`, its
gradient from `backward`, which is written in Tensor operations, so that derivatives of derivatives are those
of the backward.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace
from armour.tensor.core import Tensor, apply, lift, wrap
from armour.tensor.op import Op
from armour.tensor.tape import no_grad, state

Forward = Callable[..., Any]
Backward = Callable[..., Any]
PREFIX = "custom:"  # of the names of such steps; no row of the table has one


class CustomVjp:
    """A function of tensors whose gradient is `backward`; what `custom_vjp` makes."""

    def __init__(self, forward: Forward, backward: Backward | None = None) -> None:
        if not callable(forward) or not (backward is None or callable(backward)):
            raise InvalidArgument("expected functions forward(*inputs) and backward(g, y, *inputs)")
        self._forward, self._backward = forward, backward
        self.__name__ = str(getattr(forward, "__name__", type(forward).__name__))
        self.__doc__ = getattr(forward, "__doc__", None)

    def backward(self, rule: Backward) -> Backward:
        """Decorator that sets the rule: (g, y, *inputs, **keywords) -> a gradient for each input.

        g: the gradient of the output y, of its shape. None stands for no gradient. A function of one input
        may return a tensor alone.
        """
        self._backward = rule
        return rule

    def __call__(self, *inputs: Any, **keywords: Any) -> Tensor:
        if self._backward is None:
            raise InvalidArgument(
                f"{self.__name__} has no backward yet; set one with @{self.__name__}.backward"
            )
        if not inputs:
            raise InvalidArgument(f"{self.__name__} expects at least one tensor to differentiate for")
        return run(self.__name__, self._forward, self._backward, lift(inputs), keywords)

    def __repr__(self) -> str:
        return f"<custom_vjp {self.__name__}>"


def custom_vjp(forward: Forward, backward: Backward | None = None) -> CustomVjp:
    """A function that computes `forward` and is differentiated by `backward`, also as a decorator.

    forward: (*inputs, **keywords) -> Tensor, in Tensor operations. backward: (g, y, *inputs, **keywords) ->
    one gradient for each input (None: none), each of the input's shape or one that broadcasts to it, in
    Tensor operations. Arguments given by position are tensors, arrays or numbers; by keyword, settings.
    A gradient of the gradient is the derivative of `backward`. Rounding that passes gradients straight
    through (Bengio, Leonard and Courville, 2013, https://arxiv.org/abs/1308.3432):

    >>> from armour.tensor import Tensor, custom_vjp, floor, grad
    >>> @custom_vjp
    ... def rounded(x):
    ...     return floor(x + 0.5)
    >>> @rounded.backward
    ... def straight_through(g, y, x):
    ...     return g
    >>> rounded(Tensor([0.2, 1.7])).numpy().tolist()
    [0.0, 2.0]
    >>> grad(lambda x: (rounded(x) * rounded(x)).sum())(Tensor([0.2, 1.7])).numpy().tolist()
    [0.0, 4.0]

    Raises InvalidArgument if forward returns no Tensor, or backward too few or too many gradients.
    """
    return CustomVjp(forward, backward)


def run(
    name: str, forward: Forward, backward: Backward, inputs: Sequence[Tensor], keywords: dict[str, Any]
) -> Tensor:
    """One call as one step: an Op of its own, in no table, that lives as long as the step."""
    step = Op(PREFIX + name, _values(name, forward), _Rule(name, backward))
    return apply(step, inputs, keywords)


def _values(name: str, forward: Forward) -> Callable[..., Array]:
    def values(xp: Namespace, *arrays: Array, **keywords: Any) -> Array:
        with no_grad(), _unobserved():
            out = forward(*(wrap(a) for a in arrays), **keywords)
        if not isinstance(out, Tensor):
            raise InvalidArgument(f"expected {name} to return one Tensor, got {type(out).__name__}")
        return out.data

    return values


@contextmanager
def _unobserved() -> Iterator[None]:
    # Who watches operations sees the call as a whole, not what it is made of.
    kept = state.observers[:]
    state.observers.clear()
    try:
        yield
    finally:
        state.observers[:] = kept


class _Rule:
    """The vjp of one call: `backward` runs once for all inputs, and each takes its part."""

    def __init__(self, name: str, backward: Backward) -> None:
        self.name, self.function = name, backward
        self.seen: Callable[[], Tensor | None] = lambda: None
        self.parts: list[Tensor | None] = []
        self.recorded, self.left = False, set[int]()

    def __call__(self, i: int, g: Tensor, y: Tensor, *inputs: Tensor, **keywords: Any) -> Tensor | None:
        if self.seen() is not g or self.recorded is not state.recording or i not in self.left:
            self.parts = _gradients(self.name, self.function(g, y, *inputs, **keywords), inputs)
            self.seen, self.recorded, self.left = weakref.ref(g), state.recording, set(range(len(inputs)))
        self.left.discard(i)
        part, self.parts[i] = self.parts[i], None
        return part


def _gradients(name: str, found: Any, inputs: Sequence[Tensor]) -> list[Tensor | None]:
    if len(inputs) == 1 and not isinstance(found, (tuple, list)):
        found = (found,)
    if not isinstance(found, (tuple, list)) or len(found) != len(inputs):
        got = f"{len(found)} of them" if isinstance(found, (tuple, list)) else type(found).__name__
        raise InvalidArgument(
            f"expected the backward of {name} to return {len(inputs)} gradients in a tuple, one for each "
            f"input (None for none), got {got}"
        )
    return [None if g is None else lift([g])[0] for g in found]


# -- modules ----------------


def run_module(module: Any, inputs: Sequence[Any], keywords: dict[str, Any]) -> Tensor:
    """A call of a module that defines `bprop`: its gradient is what bprop says.

    The module's parameters are inputs of the step too, so that bprop may give gradients for them.
    """
    named = dict(module.named_parameters())
    tensors, kind = lift(inputs), type(module).__name__
    n = len(tensors)

    def forward(*given: Tensor) -> Any:
        return module.forward(*given[:n], **keywords)

    def backward(g: Tensor, y: Tensor, *given: Tensor) -> list[Any]:
        found: Any = module.bprop(*given[:n], out=y, dout=g)
        others: dict[str, Any] = {}
        if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict):
            found, others = found
        for key in others:
            if key not in named:
                raise InvalidArgument(f"bprop of {kind} gives a gradient for {key!r}, which is no parameter")
        return [*_gradients(kind, found, given[:n]), *(others.get(name) for name in named)]

    return run(kind, forward, backward, (*tensors, *named.values()), {})
