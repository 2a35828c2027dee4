"""A module's outputs, and its losses with parameter gradients, as captured plans: what training waits for."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

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


class ParameterGradients:
    """Call it with a batch: losses (n,), and the gradient of their mean for each parameter by its name.

    loss: (output, labels) -> Tensor (n,). The module runs in the mode that it is in; running statistics
    follow and dropout draws at each call. The arrays are the plan's own memory: use them before the next
    call. A module that cannot be captured runs operation by operation, which a warning says once.
    """

    def __init__(self, module: Module, loss: Callable[[Any, Any], Tensor]) -> None:
        self.module, self.loss = module, loss
        self._compiled: Compiled | None = Compiled(self._run, lambda: signature(module))

    def __call__(self, x: Array, y: Array) -> tuple[Array, dict[str, Array]]:
        """Losses and gradients of one batch x (n, ...) with labels y (n,)."""
        if self._compiled is not None and plans_enabled():
            try:
                losses, *gradients = self._compiled.plan(x, y).run(x, y)
            except CaptureError as error:
                _warn(error)
                self._compiled = None
            else:
                return losses, dict(zip(self._names(), gradients, strict=True))
        values, found = self._run(Tensor(x), Tensor(y))
        return values.data, {name: t.data for name, t in found.items()}

    def _names(self) -> list[str]:
        return [name for name, p in self.module.named_parameters() if p.requires_grad]

    def _run(self, x: Tensor, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        wanted = {name: p for name, p in self.module.named_parameters() if p.requires_grad}
        losses = self.loss(self.module(x), y)
        mean = losses.mean()
        xp = get_xp(mean.data)
        one = Tensor(xp.ones_like(mean.data))
        pairs = backward_pass([mean], [one], list(wanted.values()), create_graph=False, retain_graph=False)
        found = {id(t): g for t, g in pairs} if mean.requires_grad else {}
        return losses, {
            name: found[id(p)] if id(p) in found else Tensor(xp.zeros_like(p.data))
            for name, p in wanted.items()
        }


def _warn(error: CaptureError) -> None:
    log.warning("the network runs operation by operation, which is slower: %s", error)
