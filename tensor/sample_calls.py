"""Which layers a forward pass called and which operations used parameters, and whether the batch led each."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any

from armour.errors import UnsupportedError
from armour.tensor.core import Tensor
from armour.tensor.module import Module
from armour.tensor.normalisation import _BatchNorm
from armour.tensor.sample_grads import SampleGrad, Sampler, sampler_of
from armour.tensor.sample_rows import ROWS, View, shows
from armour.tensor.tape import Node, state
from armour.tensor.watch import STATE, watching


@dataclass(eq=False)
class Call:
    """One call of a layer with a rule: its input (n, ...), and its output, at which backward stops."""

    layer: Module
    sampler: Sampler
    input: Tensor
    output: Tensor


@dataclass(eq=False)
class Use:
    """One use of a parameter by an operation, as it is or shown in another form, outside of such layers."""

    parameter: Tensor
    views: tuple[tuple[Node, tuple[int, ...]], ...]  # from the operation to the parameter
    node: Node
    index: int
    output: Tensor

    def gradients(self, g: Tensor) -> SampleGrad | None:
        """The parameter's per-sample gradients for the output's gradient g; None if no rule fits."""
        row = self.node.op
        part = ROWS[row.name](self.index, self.node, g, self.output)
        for node, shape in self.views:
            part = None if part is None else View(part, node.op, node.attrs, shape)
        return part


@dataclass(eq=False)
class Reached:
    """What losses depend on: layer calls, uses by operations, ids of parameters used without a rule."""

    calls: list[Call]
    uses: list[Use]
    stray: set[int]

    def kinds(self) -> tuple[Any, ...]:
        """Which parameters are used by which operations, in some fixed order."""
        return tuple(sorted((id(use.parameter), use.node.op.name, use.index) for use in self.uses))


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

    def reached(self, losses: Tensor) -> Reached:
        """How the losses depend on the parameters."""
        known = {id(call.output): call for call in self.calls}
        found = Reached([], [], set())
        seen: set[int] = set()
        stack = [losses]
        while stack:
            tensor = stack.pop()
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            call = known.get(id(tensor))
            if call is not None:
                found.calls.append(call)
                stack.append(call.input)
            elif id(tensor) in self.wanted:
                found.stray.add(id(tensor))
            elif tensor.node is not None:
                node = tensor.node
                for i, t in enumerate(node.inputs):
                    if not t.requires_grad:
                        continue
                    use = self._use(t, i, tensor) if node.op.name in ROWS else None
                    if use is None:
                        stack.append(t)
                    else:
                        found.uses.append(use)
        return found

    def _use(self, shown: Tensor, index: int, output: Tensor) -> Use | None:
        # A use, if what goes in is a parameter or shows one.
        views: list[tuple[Node, tuple[int, ...]]] = []
        t = shown
        while id(t) not in self.wanted:
            if t.node is None or not shows(t.node.op, t.node.attrs):
                return None
            (parent,) = t.node.inputs
            views.append((t.node, parent.shape))
            t = parent
        assert output.node is not None
        return Use(t, tuple(views), output.node, index, output)


_checked: weakref.WeakKeyDictionary[Module, set[Any]] = weakref.WeakKeyDictionary()


def separable(
    module: Module, inputs: Sequence[Tensor], run: Callable[[slice], Tensor], calls: Calls, reached: Reached
) -> bool:
    """True if the first axis of whatever was noted is the batch.

    Lengths that coincide can hide another order. Where they may (in layers), and wherever operations use
    parameters directly, the module is run again on one sample by `run`, and everything must then have one
    row. What was found is kept for the next call with these shapes.
    """
    if calls.n == 1 or not (calls.ambiguous or reached.uses):
        return all(use.output.shape[:1] == (calls.n,) for use in reached.uses)
    key = (calls.n, module.training, *(t.shape[1:] for t in inputs), reached.kinds())
    known = _checked.setdefault(module, set())
    if key in known:
        return True
    probe = Calls(calls.wanted, 1)
    streams = module.rng_state()
    observers, state.observers = state.observers, []  # no part of the computation
    try:
        with watching(probe.watch):
            again = probe.reached(run(slice(0, 1)))
    finally:
        state.observers = observers
        module.load_rng_state(streams)
    rows = [use.output.shape[:1] for use in reached.uses]
    ones = [*((n,) for n in probe.leading), *(use.output.shape[:1] for use in again.uses)]
    if again.stray or again.kinds() != reached.kinds():
        return False
    if any(r != (calls.n,) for r in rows) or any(r != (1,) for r in ones):
        return False
    known.add(key)
    return True
