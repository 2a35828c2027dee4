"""checkpoint: forget what a function computed, and compute it again when its gradient is asked for."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor.autodiff import at_depth, depth
from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, backward_pass, grad_enabled
from armour.tensor.module import Module
from armour.tensor.op import Op
from armour.tensor.tape import Node, state
from armour.tensor.watch import STATE, watching

CLOSE = 1e-3  # of the largest output: what devices that add in any order may differ by


def checkpoint(fn: Callable[..., Any], *args: Any) -> Tensor:
    """fn(*args), keeping nothing of what happens inside: backward runs `fn` again.

    Memory for the activations of `fn` is exchanged for one more forward pass. Gradients are the same for
    arguments, for parameters and for whatever else `fn` uses, to any order and inside other transforms.

    fn: a function or module of tensor operations that returns one Tensor. Random streams that operations draw
    from (dropout, armour.tensor.random), and NumPy Generators among `args`, are wound back for the second
    run, so that masks are the same, and left as they were; running statistics move once. Raises
    UnsupportedError in backward if the second run gives other values all the same, as with numbers that fn
    draws by itself from a Generator that only a closure holds.
    Chen et al., 2016, https://arxiv.org/abs/1604.06174.

    >>> x = Tensor([1.0, 3.0], requires_grad=True)
    >>> checkpoint(lambda t: (t * t * t).sum(), x).backward()
    >>> x.grad.numpy().tolist()
    [3.0, 27.0]
    """
    if not grad_enabled():
        return _one(fn(*args))
    return _Run(fn, args).first()


def _one(out: Any) -> Tensor:
    if not isinstance(out, Tensor):
        raise InvalidArgument(
            f"expected a function that returns one Tensor to checkpoint, got {type(out).__name__}"
        )
    return out


class _Run:
    """One checkpointed call: its first run, and its gradient by another one."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._fn, self._args = fn, args
        self._depth, self._outer = depth(), STATE.current
        self._made: dict[int, weakref.ref[Tensor]] = {}
        self._sources: dict[int, Tensor] = {}
        self._streams: list[tuple[np.random.Generator, Any]] = _states(args)
        self._calls: list[tuple[Module, Any]] = []  # modules with a random stream, and its state before
        self._buffers: dict[int, Tensor] = {}
        self._latest: tuple[Tensor, bool, list[Tensor | None]] | None = None

    def first(self) -> Tensor:
        """The output, with all tensors that the function used for its inputs on the tape."""
        state.observers.append(self._forget)
        state.guards.append(self._note_streams)
        try:
            with watching(self._first_call):
                out = _one(self._fn(*self._args))
        finally:
            state.observers.remove(self._forget)
            state.guards.remove(self._note_streams)
        if out.requires_grad and self._is_made(out):
            out.node = Node(Op("checkpoint", _no_forward, self._rule), tuple(self._sources.values()), {})
        self._made.clear()
        return out

    def _forget(self, row: Op, inputs: tuple[Tensor, ...], attrs: dict[str, Any], out: Tensor) -> None:
        # Inputs that nothing in here made are the function's sources. Without their nodes tensors keep
        # nothing alive; those inside an inner transform are needed by it.
        for t in inputs:
            if t.requires_grad and not self._is_made(t):
                self._sources[id(t)] = t
        if out.requires_grad:
            self._made[id(out)] = weakref.ref(out)
            if depth() == self._depth:
                out.node = None

    def _is_made(self, t: Tensor) -> bool:
        known = self._made.get(id(t))
        return known is not None and known() is t

    # -- random streams and statistics ----------------

    def _note_streams(self, row: Op, arrays: Any, attrs: dict[str, Any]) -> None:
        # Rows that draw hold their stream among their attributes; here it has not been drawn from yet.
        for stream, was in _states(tuple(attrs.values())):
            if all(stream is not known for known, _ in self._streams):
                self._streams.append((stream, was))

    def _first_call(
        self, module: Module, forward: Callable[..., Any], inputs: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:

        def noted(*given: Any, **named: Any) -> Any:
            stream = vars(module).get("rng")
            if isinstance(stream, np.random.Generator):
                self._calls.append((module, stream.bit_generator.state))
            for _, member in module.members():
                if not isinstance(member, Module) and not member.requires_grad:
                    self._buffers[id(member)] = member
            return forward(*given, **named)

        if self._outer is None:
            return noted(*inputs, **keywords)
        return self._outer(module, noted, inputs, keywords)

    @contextmanager
    def _as_before(self) -> Iterator[None]:
        """Streams wound back to where they were in the first run, and everything as it is now afterwards."""
        streams = [(m.rng, m.rng.bit_generator.state) for m, _ in self._calls]  # type: ignore[attr-defined]
        streams += [(stream, stream.bit_generator.state) for stream, _ in self._streams]
        buffers = [(b, b.data) for b in self._buffers.values()]
        for stream, was in self._streams:
            stream.bit_generator.state = was
        calls = iter(self._calls)

        def again(
            module: Module, forward: Callable[..., Any], inputs: tuple[Any, ...], keywords: dict[str, Any]
        ) -> Any:
            if isinstance(vars(module).get("rng"), np.random.Generator):
                known, was = next(calls, (None, None))
                if known is not module:
                    raise UnsupportedError("a checkpointed function called other modules the second time")
                module.rng.bit_generator.state = was  # type: ignore[attr-defined]
            return forward(*inputs, **keywords)

        try:
            with watching(again):
                yield
        finally:
            for stream, now in streams:
                stream.bit_generator.state = now
            for buffer, data in buffers:
                buffer.data = data

    # -- backward ----------------

    def _rule(self, i: int, g: Tensor, y: Tensor, *inputs: Tensor) -> Tensor | None:
        create = grad_enabled()
        if self._latest is None or self._latest[0] is not g or self._latest[1] != create:
            self._latest = (g, create, self._gradients(g, y, inputs, create))
        return self._latest[2][i]

    def _gradients(
        self, g: Tensor, y: Tensor, sources: tuple[Tensor, ...], create: bool
    ) -> list[Tensor | None]:
        # What the sources were made of is no business of this function's: cut off, they are leaves.
        nodes = [t.node for t in sources]
        for t in sources:
            t.node = None
        try:
            with at_depth(self._depth), self._as_before():
                out = _one(self._fn(*self._args))
            _same(out, y)
            found = {id(t): part for t, part in backward_pass([out], [g], sources, create, create)}
        finally:
            for t, node in zip(sources, nodes, strict=True):
                t.node = node
        return [found.get(id(t)) for t in sources]


def _no_forward(xp: Any, *arrays: Any) -> Any:
    raise UnsupportedError("a checkpoint is not an operation of its own; call checkpoint(fn, *args)")


def _states(args: tuple[Any, ...]) -> list[tuple[np.random.Generator, Any]]:
    return [(a, a.bit_generator.state) for a in args if isinstance(a, np.random.Generator)]


def _same(again: Tensor, first: Tensor) -> None:
    a, b = again.data, first.data
    xp = get_xp(b)
    if a.shape == b.shape and a.dtype == b.dtype:
        if bool(xp.array_equal(a, b, equal_nan=True)):
            return
        worst = float(xp.asarray(abs(a - b)).max().item())
        if worst <= CLOSE * float(abs(b).max().item()):
            return
    raise UnsupportedError(
        "the second run of a checkpointed function gave other values than the first; it must depend on its "
        "arguments and parameters only, and random streams must belong to modules or be arguments"
    )
