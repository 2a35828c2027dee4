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

    def gradients(self, g: Tensor, axis: int) -> SampleGrad | None:
        """The parameter's per-sample gradients for the output's gradient g; None if no rule fits.

        axis: of the output, along which the samples are.
        """
        part = ROWS[self.node.op.name](self.index, self.node, self.output, g, axis)
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
        """Which parameters are used by which operations, in the order in which they were found."""
        return tuple((id(use.parameter), use.node.op.name, use.index) for use in self.uses)


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
        if sampler is not None:
            own = [v for v in vars(module).values() if isinstance(v, Tensor) and v.requires_grad]
            # A weight that was computed from others (a norm taken out, a low rank) has a history to follow.
            if not own or not all(id(v) in self.wanted for v in own):
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


_checked: weakref.WeakKeyDictionary[Module, dict[Any, tuple[int, ...]]] = weakref.WeakKeyDictionary()


def batch_axes(
    module: Module, inputs: Sequence[Tensor], run: Callable[[slice], Tensor], calls: Calls, reached: Reached
) -> tuple[int, ...] | None:
    """The axis of each use's output along which the samples are; None if that cannot be told.

    In layers it is the first, but for lengths that coincide. Where they do, and wherever operations use
    parameters directly, the module is run again on one sample by `run`: the axis that has become 1 long is
    the batch. What was found is kept for the next call with these shapes.
    """
    n = calls.n
    if n == 1 or not (calls.ambiguous or reached.uses):
        return (0,) * len(reached.uses) if all(u.output.shape[:1] == (n,) for u in reached.uses) else None
    key = (n, module.training, len(calls.calls), *(t.shape[1:] for t in inputs), reached.kinds())
    known = _checked.setdefault(module, {})
    if key in known:
        return known[key]
    probe = Calls(calls.wanted, 1)
    streams = module.rng_state()
    observers, state.observers = state.observers, []  # no part of the computation
    try:
        with watching(probe.watch):
            losses = run(slice(0, 1))
    finally:
        state.observers = observers
        module.load_rng_state(streams)
    if not calls.calls:
        probe.calls.clear()
    elif any(rows != 1 for rows in probe.leading):
        return None
    again = probe.reached(losses)
    if again.stray or again.kinds() != reached.kinds():
        return None
    axes = [
        _axis(ours.output.shape, theirs.output.shape, n)
        for ours, theirs in zip(reached.uses, again.uses, strict=True)
    ]
    if any(axis is None for axis in axes):
        return None
    known[key] = tuple(axis for axis in axes if axis is not None)
    return known[key]


def _axis(many: tuple[int, ...], one: tuple[int, ...], n: int) -> int | None:
    # The only axis in which the two differ, if it is as long as the batch.
    if len(many) != len(one):
        return None
    changed = [i for i, (a, b) in enumerate(zip(many, one, strict=True)) if a != b]
    return changed[0] if len(changed) == 1 and (many[changed[0]], one[changed[0]]) == (n, 1) else None
