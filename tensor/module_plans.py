"""A module's outputs, and its losses with parameter gradients, as captured plans: what training waits for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from armour.errors import CaptureError
from armour.tensor.backend import Array, get_xp
from armour.tensor.compiled import Compiled, plans_enabled
from armour.tensor.core import Tensor, backward_pass, no_grad
from armour.tensor.module import Module
from armour.tensor.signatures import signature
from armour.tensor.tiles import Tiled

log = logging.getLogger(__name__)


class Logits:
    """Call it with a batch (n, ...): the module's output as an array, tile by tile and without gradients.

    A module that cannot be captured runs operation by operation, which a warning says once.
    """

    def __init__(self, module: Module) -> None:
        self.module = module
        self._tiled: Tiled | None = Tiled(module, lambda: signature(module))

    def __call__(self, x: Array) -> Array:
        """The output (n, ...) for x (n, ...)."""
        if self._tiled is not None and plans_enabled():
            try:
                return self._tiled(x)[0]
            except CaptureError as error:
                _warn(error)
                self._tiled = None
        with no_grad():
            return self.module(Tensor(x)).data


class Gradients(NamedTuple):
    """Losses (n,), the gradient of their mean for each parameter by its name, and for the first input."""

    losses: Array
    parameters: dict[str, Array]
    input: Array | None = None


class ObjectiveGradients:
    """Call it with arrays: the losses that `objective` gives for them, and the gradients of their mean.

    objective: tensors of the arrays -> Tensor (n,), by way of the module; it may take gradients itself.
    by_input: the gradient for the first array is wanted too, from the same backward pass. The module runs in
    the mode that it is in; running statistics follow and dropout draws at each call. The results are the
    plan's own memory: use them before the next call. What cannot be captured runs operation by operation,
    which a warning says once.
    """

    def __init__(self, module: Module, objective: Callable[..., Tensor], *, by_input: bool = False) -> None:
        self.module, self.objective, self.by_input = module, objective, by_input
        self._compiled: Compiled | None = Compiled(self._run, lambda: signature(module))

    def __call__(self, *arrays: Array) -> Gradients:
        """Losses and gradients of one batch; arrays: (n, ...) each."""
        if self._compiled is not None and plans_enabled():
            try:
                losses, *gradients = self._compiled.plan(*arrays).run(*arrays)
            except CaptureError as error:
                _warn(error)
                self._compiled = None
            else:
                slope = gradients.pop(0) if self.by_input else None
                return Gradients(losses, dict(zip(self._names(), gradients, strict=True)), slope)
        values, *found = self._run(*map(Tensor, arrays))
        at = found.pop(0).data if self.by_input else None
        return Gradients(values.data, {name: t.data for name, t in found[0].items()}, at)

    def _names(self) -> list[str]:
        return [name for name, p in self.module.named_parameters() if p.requires_grad]

    def _run(self, *inputs: Tensor) -> tuple[Any, ...]:
        wanted = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        leaves: list[Tensor] = list(wanted.values())
        if self.by_input:
            inputs = (Tensor(inputs[0].data, requires_grad=True), *inputs[1:])
            leaves.insert(0, inputs[0])
        losses = self.objective(*inputs)
        mean = losses.mean()
        xp = get_xp(mean.data)
        one = Tensor(xp.ones_like(mean.data))
        pairs = backward_pass([mean], [one], leaves, create_graph=False, retain_graph=False)
        found = {id(t): g for t, g in pairs} if mean.requires_grad else {}

        def of(leaf: Tensor) -> Tensor:
            return found[id(leaf)] if id(leaf) in found else Tensor(xp.zeros_like(leaf.data))

        parameters = {name: of(p) for name, p in wanted.items()}
        return (losses, of(leaves[0]), parameters) if self.by_input else (losses, parameters)


class ParameterGradients:
    """Call it with a batch: losses (n,), and the gradient of their mean for each parameter by its name.

    loss: (output, labels) -> Tensor (n,). Otherwise as ObjectiveGradients.
    """

    def __init__(self, module: Module, loss: Callable[[Any, Any], Tensor]) -> None:
        self.module, self.loss = module, loss
        self._gradients = ObjectiveGradients(module, lambda x, y: loss(module(x), y))

    def __call__(self, x: Array, y: Array) -> tuple[Array, dict[str, Array]]:
        """Losses and gradients of one batch x (n, ...) with labels y (n,)."""
        return self._gradients(x, y)[:2]


def _warn(error: CaptureError) -> None:
    log.warning("the network runs operation by operation, which is slower: %s", error)
