"""What a model asks of its network, captured as plans: logits, layers, and gradients of objectives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from armour.contract import LossFn, input_gradient, pulled_back
from armour.errors import CaptureError
from armour.objective import Objective
from armour.tensor.backend import Array, get_xp
from armour.tensor.core import Tensor, no_grad, wrap
from armour.tensor.module import Module, frozen
from armour.tensor.recording import later
from armour.tensor.signatures import signature
from armour.tensor.tiles import Tiled
from armour.tensor.watch import capture

OBJECTIVES = 8  # plans of whole objectives that are kept, of those used last


class Planned:
    """The plans of one network. forward: differentiable logits of a batch; module: where its weights are.

    key: what `forward` depends on besides the module. Raises CaptureError, at the first call, if the network
    cannot be captured.
    """

    def __init__(
        self, module: Module, forward: Callable[[Tensor], Tensor], key: Callable[[], Any] = lambda: None
    ) -> None:
        self.module, self.forward, self.key = module, forward, key
        self._logits = self._tiled(self._run_logits)
        self._taps = self._tiled(self._run_taps)
        self._staged = self._tiled(self._run_staged)
        self._summaries: dict[tuple[str, ...], Tiled] = {}
        self._objectives: OrderedDict[Any, Tiled | None] = OrderedDict()

    def logits(self, x: Array) -> Array:
        """(n, k) logits of x (n, ...)."""
        return self._logits(x)[0]

    def tapped(self, x: Array) -> tuple[Array, dict[str, Array]]:
        """Logits, and the output (n, ...) of every leaf layer by its name."""
        out, *layers = self._taps.lent(x)
        names = self._taps.result(x)[1]
        return out, dict(zip(names, layers, strict=True))

    def summaries(self, x: Array, names: Sequence[str]) -> tuple[Array, dict[str, Array]]:
        """Logits, and of these layers the units (n, units) or the means of the channels (n, channels)."""
        key = tuple(names)
        if key not in self._summaries:
            self._summaries.clear()  # one choice of layers is in use at a time
            self._summaries[key] = self._tiled(self._summarised(key))
        out, *layers = self._summaries[key](x)
        return out, dict(zip(key, layers, strict=True))

    def pullback(self, x: Array, loss: LossFn) -> tuple[Array, Array, Array]:
        """Loss (n,), its gradient like x, and the logits (n, k).

        An Objective is captured as a whole; any other function of the logits runs between two stages.
        """
        if type(loss) is Objective:
            whole = self._objective(loss)
            if whole is not None:
                try:
                    data: Sequence[Array] = (loss.labels, *loss.data)
                    if type(x) is not np.ndarray:
                        data = [get_xp(x).asarray(array) for array in data]
                    logits, value, gradient = whole(x, *data)
                    return value, gradient, logits
                except CaptureError:
                    self._objectives[loss.function, loss.direction] = None
        return self._between(x, loss)

    def _between(self, x: Array, loss: LossFn) -> tuple[Array, Array, Array]:
        parts: list[Array] = []

        def slope(own: LossFn, found: Array) -> Array:
            top = Tensor(found, requires_grad=True)
            value = own(top)
            parts.append(value.data)
            return input_gradient(value, top).data

        if isinstance(loss, Objective):
            logits, gradient = self._staged.staged(x, lambda rows, out: slope(loss[rows], out[0]))
        else:
            logits, gradient = self._staged.held(x, lambda out: slope(loss, out[0]))
        value = parts[0] if len(parts) == 1 else get_xp(parts[0]).concatenate(parts)
        return value, gradient, logits

    def _objective(self, loss: Objective) -> Tiled | None:
        key = loss.function, loss.direction
        if key not in self._objectives:
            self._objectives[key] = self._tiled(self._whole(loss))
            if len(self._objectives) > OBJECTIVES:
                self._objectives.popitem(last=False)
        self._objectives.move_to_end(key)
        return self._objectives[key]

    # -- what is captured ----------------

    def _tiled(self, function: Callable[..., Any]) -> Tiled:
        return Tiled(function, lambda: (signature(self.module), self.key()))

    def _run_logits(self, x: Tensor) -> Tensor:
        with no_grad():
            return self.forward(x)

    def _run_taps(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with no_grad(), capture(self.module) as layers:
            out = self.forward(x)
        return out, {name: wrap(array) for name, array in layers.items()}

    def _summarised(self, names: tuple[str, ...]) -> Callable[..., Any]:
        def run(x: Tensor) -> tuple[Tensor, ...]:
            with no_grad(), capture(self.module) as layers:
                out = self.forward(x)
                found = [wrap(layers[name]) for name in names]
                return out, *(t if t.ndim == 2 else t.mean(axis=tuple(range(2, t.ndim))) for t in found)

        return run

    def _run_staged(self, x: Tensor) -> tuple[Tensor, Tensor]:
        leaf = Tensor(x.data, requires_grad=True)
        with frozen(self.module):
            out = self.forward(leaf)
            return out, pulled_back(out, later(out), leaf)

    def _whole(self, loss: Objective) -> Callable[..., Any]:
        objective = Objective(loss.function, loss.labels[:0], loss.direction)

        def run(x: Tensor, labels: Tensor, *data: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            leaf = Tensor(x.data, requires_grad=True)
            with frozen(self.module):
                out = self.forward(leaf)
                value = objective.of(out, labels, *data)
                return out, value, input_gradient(value, leaf)

        return run
