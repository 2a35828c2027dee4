"""Module, Parameter and Buffer: networks as objects whose attributes are found, not registered.

A module's parameters, buffers and sub-modules are its attributes (also inside lists and tuples), in the
order in which they were set; their names are the attribute names joined by dots, as in PyTorch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import numpy as np

from armour import rng as rngs
from armour.checks import describe
from armour.errors import CheckpointError
from armour.tensor.backend import asnumpy, get_xp, to_device
from armour.tensor.core import Tensor
from armour.tensor.custom import run_module
from armour.tensor.placeholders import initial as initial
from armour.tensor.placeholders import is_placeholder as is_placeholder
from armour.tensor.placeholders import skip_init as skip_init
from armour.tensor.signatures import changed
from armour.tensor.watch import STATE

Rng = int | np.random.Generator
T = TypeVar("T")


class Parameter(Tensor):
    """A tensor that training changes. The array is not copied, and optimisers change it in place."""

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(data, requires_grad)


class Buffer(Tensor):
    """A tensor without gradient that belongs to a module and is saved with it, such as running statistics."""

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(data)


class Handle:
    """What register_forward_hook returns; `remove()` takes the hook off again."""

    def __init__(self, module: Module, hook: Callable[..., Any]) -> None:
        self._module, self._hook = module, hook

    def remove(self) -> None:
        """Take the hook off."""
        self._module.forward_hooks = tuple(h for h in self._module.forward_hooks if h is not self._hook)


class Module:
    """A network or a part of one. Subclasses set parameters and sub-modules and define `forward`."""

    training: bool = True
    forward_hooks: tuple[Callable[..., Any], ...] = ()
    forward: Callable[..., Any]
    bprop: Callable[..., Any] | None = None
    """A subclass may define `bprop(self, *inputs, out, dout)`: the gradients for its inputs, in a tuple.

    out: what forward returned, one Tensor; dout: its gradient. With ((dx, ...), {"weight": dw}) parameters
    have gradients too, by name; without, they have none. Written in Tensor operations; see tensor.custom_vjp.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if vars(self).get(name) is not value:
            changed()
        object.__setattr__(self, name, value)

    def __call__(self, *inputs: Any, **keywords: Any) -> Any:
        forward = self.forward if self.bprop is None else self._with_bprop
        watcher = STATE.current
        if watcher is None:
            out = forward(*inputs, **keywords)
        else:
            out = watcher(self, forward, inputs, keywords)
        for hook in self.forward_hooks:
            replaced = hook(self, inputs, out)
            if replaced is not None:
                out = replaced
        return out

    def _with_bprop(self, *inputs: Any, **keywords: Any) -> Tensor:
        return run_module(self, inputs, keywords)

    def register_forward_hook(self, hook: Callable[[Module, tuple[Any, ...], Any], Any]) -> Handle:
        """Call `hook(module, inputs, output)` after each forward.

        What it returns, unless None, replaces the output.
        """

        def own(module: Module, inputs: tuple[Any, ...], output: Any) -> Any:
            return hook(
                module, inputs, output
            )  # a function of its own, so that a handle removes one registration

        self.forward_hooks = (*self.forward_hooks, own)
        return Handle(self, own)

    # -- what is inside ----------------

    def members(self) -> Iterator[tuple[str, Any]]:
        """(name, value) of attributes that are parameters, buffers or modules; those in lists `name.0`."""
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Buffer, Module)):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for i, item in enumerate(value):
                    if isinstance(item, (Parameter, Buffer, Module)):
                        yield f"{name}.{i}", item

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """(name, module) for this module (name "") and all inside it, each once, under its first name."""
        seen: set[int] = set()
        stack: list[tuple[str, Module]] = [("", self)]
        while stack:
            path, module = stack.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            inner = [(_join(path, n), v) for n, v in module.members() if isinstance(v, Module)]
            stack.extend(reversed(inner))

    def modules(self) -> Iterator[Module]:
        """This module and all inside it, each once."""
        return (module for _, module in self.named_modules())

    def is_leaf(self) -> bool:
        """True if there is no module inside."""
        return not any(isinstance(value, Module) for _, value in self.members())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name, parameter), each once, under its first name."""
        return _once((name, v) for name, v in self.named_tensors() if isinstance(v, Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """Parameters, each once."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """(name, buffer), each once, under its first name."""
        return _once((name, v) for name, v in self.named_tensors() if isinstance(v, Buffer))

    def named_tensors(self) -> Iterator[tuple[str, Parameter | Buffer]]:
        """(name, parameter or buffer) under every name, so a tensor that two modules share comes twice."""
        for path, module in self.named_modules():
            for name, value in module.members():
                if isinstance(value, (Parameter, Buffer)):
                    yield _join(path, name), value

    # -- state ----------------

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies, on the host, of all parameters and buffers by name (by both, if a tensor has two)."""
        return {name: np.array(asnumpy(value.data)) for name, value in self.named_tensors()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy arrays into parameters and buffers by name; they keep their own dtype and device.

        strict: every name must be on both sides. Otherwise names on one side alone are passed over.
        Raises CheckpointError, before anything is changed, for missing or unknown names (if strict), other
        shapes, or integers where floating-point numbers belong (and the reverse).
        """
        own = dict(self.named_tensors())
        if strict:
            _same_names(own, state)
        arrays: dict[str, np.ndarray] = {}
        for name in own.keys() & state.keys():
            arrays[name] = _fitting(name, own[name], state[name])
        for name, array in arrays.items():
            tensor = own[name]
            tensor.data = get_xp(tensor.data).array(array, dtype=tensor.dtype)

    def to(self, device: str) -> Self:
        """Move parameters, buffers and gradients to "cpu" or "cuda", in place; returns the module."""
        for _, tensor in self.named_tensors():
            tensor.data = to_device(tensor.data, device)
            tensor.grad = None if tensor.grad is None else tensor.grad.to(device)
        return self

    def astype(self, dtype: str) -> Self:
        """Cast floating parameters and buffers, in place ("float64" for checks); returns the module."""
        for _, tensor in self.named_tensors():
            if tensor.dtype.kind == "f":
                tensor.data = tensor.data.astype(dtype)
        return self

    # -- mode ----------------

    def train(self, mode: bool = True) -> Self:
        """Training mode, here and inside: batch statistics, dropout; returns the module."""
        for module in self.modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Evaluation mode, here and inside; returns the module."""
        return self.train(False)

    def requires_grad_(self, on: bool = True) -> Self:
        """Let gradients of all parameters be computed, or not; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad = bool(on)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.parameters():
            parameter.grad = None

    # -- randomness (dropout) ----------------

    def seed(self, rng: Rng) -> Self:
        """Give every module inside that draws random numbers a stream of its own; returns the module."""
        parent = rngs.generator(rng)
        for module in self.modules():
            if isinstance(getattr(module, "rng", None), np.random.Generator):
                module.rng = parent.spawn(1)[0]
        return self

    def rng_state(self) -> dict[str, dict[str, Any]]:
        """State of each random stream inside by module name, as JSON values: part of an exact resume."""
        return {path: dict(stream.bit_generator.state) for path, stream in self._streams().items()}

    def load_rng_state(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Continue the streams from what rng_state gave; CheckpointError if it does not fit."""
        own = self._streams()
        _same_names(own, state)
        for path, stream in own.items():
            try:
                stream.bit_generator.state = dict(state[path])
            except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
                raise CheckpointError(
                    f"the random state of {path!r} does not fit this module: {error}"
                ) from error

    def _streams(self) -> dict[str, np.random.Generator]:
        named = ((path, getattr(module, "rng", None)) for path, module in self.named_modules())
        return {path: stream for path, stream in named if isinstance(stream, np.random.Generator)}

    def extra_repr(self) -> str:
        """What the repr says inside the brackets, for a module without modules inside."""
        return ""

    def __repr__(self) -> str:
        inner = [f"({n}): {v!r}".replace("\n", "\n  ") for n, v in self.members() if isinstance(v, Module)]
        if not inner:
            return f"{type(self).__name__}({self.extra_repr()})"
        return f"{type(self).__name__}(\n  " + "\n  ".join(inner) + "\n)"


# -- contexts ----------------


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """Evaluation mode inside; each module's own mode is put back afterwards."""
    before = [(m, m.training) for m in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for inner, mode in before:
            inner.training = mode


_frozen: dict[int, tuple[Parameter, bool, int]] = {}
_frozen_lock = threading.Lock()


@contextmanager
def frozen(module: Module) -> Iterator[None]:
    """Inside, gradients of the module's parameters are never computed. Put backward inside too.

    Threads may freeze the same module at the same time: the last one to leave puts the flags back.
    """
    parameters = list(module.parameters())
    with _frozen_lock:
        for p in parameters:
            _, flag, holders = _frozen.get(id(p), (p, p.requires_grad, 0))
            _frozen[id(p)] = (p, flag, holders + 1)
            p.requires_grad = False
    try:
        yield
    finally:
        with _frozen_lock:
            for p in parameters:
                _, flag, holders = _frozen.pop(id(p))
                if holders > 1:
                    _frozen[id(p)] = (p, flag, holders - 1)
                else:
                    p.requires_grad = flag


def _fitting(name: str, own: Tensor, value: Any) -> np.ndarray:
    array = asnumpy(value.data if isinstance(value, Tensor) else value)
    if not isinstance(array, np.ndarray) or array.shape != own.shape:
        raise CheckpointError(f"expected shape {own.shape} for {name!r}, got {describe('value', array)}")
    if (array.dtype.kind == "f") != (own.dtype.kind == "f") or array.dtype.kind not in "fiub":
        raise CheckpointError(f"expected {own.dtype} for {name!r}, got dtype {array.dtype}")
    return array


def _same_names(own: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    missing, unknown = [n for n in own if n not in given], [n for n in given if n not in own]
    if missing or unknown:
        parts = [
            f"{kind} {_some(names)}" for kind, names in (("missing", missing), ("unknown", unknown)) if names
        ]
        raise CheckpointError(f"the names do not fit this network: {'; '.join(parts)}")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(repr(n if len(n) <= 80 else n[:77] + "...") for n in names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _once(named: Iterator[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    seen: set[int] = set()
    for name, value in named:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value
