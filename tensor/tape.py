"""The tape: what is recorded, and the iterative backward pass over it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor.op import OPS, Op

if TYPE_CHECKING:
    from armour.tensor.core import Tensor


class State(threading.local):
    """Per thread: whether operations are recorded, who may refuse one, and who is told of each."""

    def __init__(self) -> None:
        self.recording = True
        self.guards: list[Callable[..., None]] = []  # (row, arrays, attrs), before it runs
        self.observers: list[Callable[..., None]] = []
        self.readers: list[Callable[[Any], None]] = []  # a tensor whose numbers leave the engine
        self.effects: list[Callable[..., None]] = []  # (function, tensors), instead of carrying it out
        self.later: list[Callable[[Any], Any]] = []  # make the input that is known only between two stages
        # Applies backward rules, if someone wants to see what they give: (row, index, g, y, inputs, attrs).
        self.pull: Callable[..., Any] | None = None


state = State()


def grad_enabled() -> bool:
    """False inside no_grad()."""
    return state.recording


@contextmanager
def no_grad() -> Iterator[None]:
    """Operations inside record nothing, so they keep no inputs alive."""
    with recording(False):
        yield


@contextmanager
def recording(on: bool) -> Iterator[None]:
    """Operations inside record what they do, or do not; `no_grad` is recording(False)."""
    before = state.recording
    state.recording = on
    try:
        yield
    finally:
        state.recording = before


def effect(function: Callable[..., None], *tensors: Tensor) -> None:
    """Call `function` with the arrays of tensors for what it does to the world (running statistics).

    A recorded computation repeats it at each run instead, with the numbers of that run.
    """
    if state.effects:
        state.effects[-1](function, tensors)
    else:
        function(*(t.data for t in tensors))


def observers() -> list[Callable[..., None]]:
    """Functions told of each op as (row, inputs, attrs, output), for tracing. One list per thread."""
    return state.observers


class Node:
    """What made a tensor: the row of the op table, its inputs and its attributes."""

    __slots__ = ("attrs", "inputs", "op")

    def __init__(self, op: Op, inputs: tuple[Tensor, ...], attrs: dict[str, Any]) -> None:
        self.op, self.inputs, self.attrs = op, inputs, attrs


def backward_pass(
    outputs: Sequence[Tensor],
    cotangents: Sequence[Tensor],
    targets: Sequence[Tensor] | None,
    create_graph: bool,
    retain_graph: bool,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Walk the tape once from the outputs; yields (tensor, gradient) for leaves, or for `targets` if given.

    Only the part of the tape that leads to a target is walked. Without retain_graph each step's history is
    released as soon as its gradient has been passed on, so activations are freed while the pass runs.
    """
    wanted = None if targets is None else {id(t) for t in targets}
    order, useful = _order(outputs, wanted)
    pending: dict[int, Tensor] = {}
    # Sums that nobody else refers to may be added to in place, unless someone watches the operations.
    own: set[int] = set()
    pull = state.pull
    plain = not (create_graph or state.guards or state.observers or pull)
    for out, g in zip(outputs, cotangents, strict=True):
        pending[id(out)] = pending[id(out)] + g if id(out) in pending else g
    with recording(create_graph):
        while order:
            tensor = order.pop()
            gradient = pending.pop(id(tensor), None)
            if gradient is None:
                continue
            if own:
                own.discard(id(gradient))
            node = tensor.node
            if node is None if wanted is None else id(tensor) in wanted:
                yield tensor, gradient
            if node is None:
                continue
            row, inputs, attrs = node.op, node.inputs, node.attrs
            rules = row.vjp
            if row is _RELEASED:
                raise InvalidArgument(
                    "the history was released by an earlier backward; pass retain_graph=True there"
                )
            if create_graph and row.once:
                raise UnsupportedError(f"op {row.name} cannot be differentiated twice")
            for i, parent in enumerate(inputs):
                key = id(parent)
                if key not in useful:
                    continue
                if pull is None:
                    rule = rules[i] if type(rules) is tuple else None
                    if rule is not None and not attrs:  # most rules, without another call in between
                        part = rule(gradient, tensor, *inputs)
                    else:
                        part = row.input_vjp(i, gradient, tensor, inputs, attrs)
                else:
                    part = pull(row, i, gradient, tensor, inputs, attrs)
                if part is None:
                    continue
                array, like = part.data, parent.data
                if array.shape != like.shape:
                    part = unbroadcast(part, parent.shape)
                    array = part.data
                if array.dtype is not like.dtype and array.dtype != like.dtype and like.dtype.kind == "f":
                    part = part.astype(like.dtype)  # a float32 input beside a float64 one
                    array = part.data
                known = pending.get(key)
                if known is None:
                    pending[key] = part
                elif plain and id(known) in own:
                    total = known.data
                    total += array
                else:
                    joined = pending[key] = known + part
                    own.add(id(joined))
            if not retain_graph:
                tensor.node = _RELEASED_NODE


def unbroadcast(gradient: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The gradient summed over the axes along which an input of that shape was broadcast."""
    if gradient.shape == shape:
        return gradient
    extra = gradient.ndim - len(shape)
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(shape) if n == 1 and gradient.shape[i + extra] != 1
    )
    if axes:
        gradient = gradient.sum(axis=axes, keepdims=True)
    if gradient.shape == shape:
        return gradient
    if extra > 0 or gradient.size == math.prod(shape):
        return gradient.reshape(shape)
    return OPS["broadcast_to"](gradient, shape=shape)  # a rule may return a gradient smaller than its input


def _order(outputs: Sequence[Tensor], wanted: set[int] | None) -> tuple[list[Tensor], set[int]]:
    """Tensors, inputs before what is made of them; and the ids of those that lead to a wanted tensor."""
    order: list[Tensor] = []
    useful: set[int] = set()
    seen: dict[int, bool] = {}  # True once its inputs are on the stack
    stack = [t for t in outputs if t.requires_grad]
    while stack:
        tensor = stack[-1]
        key = id(tensor)
        node = tensor.node
        if key in seen:
            stack.pop()
            if not seen[key]:
                continue
            seen[key] = False
            if (
                wanted is None
                or key in wanted
                or (node is not None and any(id(p) in useful for p in node.inputs))
            ):
                order.append(tensor)
                useful.add(key)
            continue
        seen[key] = True
        if node is not None:
            for parent in node.inputs:
                if parent.requires_grad and id(parent) not in seen:
                    stack.append(parent)
    return order, useful


_RELEASED = Op("released", lambda xp: None)
_RELEASED_NODE = Node(_RELEASED, (), {})
