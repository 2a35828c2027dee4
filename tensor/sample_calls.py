"""Which layers a forward pass called, and whether each saw the batch along its first axis."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any

from armour.errors import UnsupportedError
from armour.tensor.core import Tensor, no_grad
from armour.tensor.module import Module
from armour.tensor.normalisation import _BatchNorm
from armour.tensor.sample_grads import Sampler, sampler_of
from armour.tensor.tape import state
from armour.tensor.watch import STATE, watching


@dataclass(eq=False)
class Call:
    """One call of a layer with a rule: its input (n, ...), and its output, at which backward stops."""

    layer: Module
    sampler: Sampler
    input: Tensor
    output: Tensor


class Calls:
    """Calls of layers with a rule and a parameter of interest. `watch` is a module watcher.

    wanted: ids of the parameters; n: samples in the batch.
    """

    def __init__(self, wanted: Set[int], n: int) -> None:
        self.wanted, self.n = wanted, n
        self._before = STATE.current
        self._deep = 0
        self.calls: list[Call] = []
        self.leading: list[int] = []
        self.ambiguous = False

    def watch(
        self, module: Module, forward: Callable[..., Any], inputs: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Any:
        """Call the module and note it."""
        if isinstance(module, _BatchNorm) and module.training:
            raise UnsupportedError(
                f"{module!r} in training normalises over the batch, so a sample has no gradient of its own; "
                "call eval() on it, or use GroupNorm"
            )
        sampler = None if self._deep else sampler_of(type(module))
        if sampler is not None and not any(id(v) in self.wanted for _, v in module.members()):
            sampler = None
        self._deep += sampler is not None
        try:
            if self._before is None:
                out = forward(*inputs, **keywords)
            else:
                out = self._before(module, forward, inputs, keywords)
        finally:
            self._deep -= sampler is not None
        if sampler is not None and not keywords and len(inputs) == 1:
            self._note(module, sampler, inputs[0], out)
        return out

    def _note(self, module: Module, sampler: Sampler, x: Any, out: Any) -> None:
        if not isinstance(x, Tensor) or not isinstance(out, Tensor) or out is x or x.ndim < 2:
            return
        self.leading.append(x.shape[0])
        if x.shape[0] != self.n or out.shape[:1] != x.shape[:1]:
            return
        # Where another axis is as long as the batch, the batch may be that one: (time, samples, features).
        if self.n > 1 and any(k and k % self.n == 0 for k in x.shape[1:]):
            self.ambiguous = True
        self.calls.append(Call(module, sampler, x, out))

    def reached(self, losses: Tensor) -> tuple[list[Call], set[int]]:
        """(calls that the losses depend on, ids of parameters that they depend on in some other way)."""
        known = {id(call.output): call for call in self.calls}
        found: list[Call] = []
        stray: set[int] = set()
        seen: set[int] = set()
        stack = [losses]
        while stack:
            tensor = stack.pop()
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            call = known.get(id(tensor))
            if call is not None:
                found.append(call)
                stack.append(call.input)
            elif id(tensor) in self.wanted:
                stray.add(id(tensor))
            elif tensor.node is not None:
                stack.extend(t for t in tensor.node.inputs if t.requires_grad)
        return found, stray


_checked: weakref.WeakKeyDictionary[Module, set[Any]] = weakref.WeakKeyDictionary()


def separable(module: Module, inputs: Sequence[Tensor], calls: Calls) -> bool:
    """True if the first axis of every noted layer input is the batch.

    Only lengths that coincide can hide another order, so only then is the module run again, on one sample,
    where each layer must see one row; what was found is kept for the next call with these shapes.
    """
    if not calls.ambiguous:
        return True
    key = (calls.n, *(t.shape[1:] for t in inputs))
    known = _checked.setdefault(module, set())
    if key in known:
        return True
    probe = Calls(calls.wanted, 1)
    streams = module.rng_state()
    observers, state.observers = state.observers, []  # no part of the computation
    try:
        with no_grad(), watching(probe.watch):
            module(*(t[:1] for t in inputs))
    finally:
        state.observers = observers
        module.load_rng_state(streams)
    if any(rows != 1 for rows in probe.leading):
        return False
    known.add(key)
    return True
