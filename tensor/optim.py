"""Optimisers: SGD with momentum, Adam, AdamW. The rate is the attribute `lr`, which a schedule may set.

Formulas and defaults are PyTorch's. Updates happen in place; move a module to its device before making the
optimiser. `state_dict()` holds plain arrays by name, so it can be stored without pickle, and continuing from
it gives exactly the numbers of an uninterrupted run.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from armour.checks import describe, non_negative, positive
from armour.errors import CheckpointError, InvalidArgument
from armour.tensor.backend import Array, Namespace, asnumpy, get_xp
from armour.tensor.core import Tensor
from armour.tensor.module import Parameter

State = dict[str, Array]


class Optimizer(ABC):
    """Base: which parameters, when they are updated, and the state each of them has.

    params: parameters, or (name, parameter) pairs; names ("0", "1", ... without) name the state's arrays.
    """

    slots: tuple[str, ...]

    def __init__(self, params: Iterable[Parameter] | Iterable[tuple[str, Parameter]], lr: float) -> None:
        self.params = _named(params)
        self.lr = non_negative("lr", lr)
        self.state: dict[str, State] = {}
        self.steps: dict[str, int] = dict.fromkeys(self.params, 0)

    def step(self, grads: Sequence[Any] | Mapping[str, Any] | None = None) -> None:
        """Update every parameter that has a gradient.

        grads: in the order of the parameters, or by their names; `parameter.grad` if left out. A parameter
        whose gradient is None keeps its value and its state. Raises InvalidArgument if a shape does not fit.
        """
        for (name, parameter), grad in zip(self.params.items(), self._gradients(grads), strict=True):
            if grad is None:
                continue
            array = grad.data if isinstance(grad, Tensor) else grad
            if getattr(array, "shape", None) != parameter.shape:
                raise InvalidArgument(
                    f"expected a gradient of shape {parameter.shape} for parameter {name!r}, "
                    f"got {describe('gradient', array)}"
                )
            xp = get_xp(parameter.data)
            state = self.state.get(name)
            if state is None:
                state = self.state[name] = {slot: xp.zeros_like(parameter.data) for slot in self.slots}
            self.steps[name] += 1
            self._update(xp, parameter.data, array, state, self.steps[name])

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for parameter in self.params.values():
            parameter.grad = None

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of everything a later run needs to continue exactly: "lr", "steps.NAME", "SLOT.NAME"."""
        out = {"lr": np.array(self.lr, np.float64)}
        for name, steps in self.steps.items():
            out[f"steps.{name}"] = np.array(steps, np.int64)
        for name, state in self.state.items():
            out |= {f"{slot}.{name}": np.array(asnumpy(array)) for slot, array in state.items()}
        return out

    def load_state_dict(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state_dict of the same optimiser; CheckpointError if it does not fit."""
        lr = _scalar(state, "lr", "f")
        steps = {name: int(_scalar(state, f"steps.{name}", "iu")) for name in self.params}
        if not (math.isfinite(lr) and lr >= 0) or any(not 0 <= s < 2**53 for s in steps.values()):
            raise CheckpointError("the optimiser's state has a rate or a step below 0")
        loaded: dict[str, State] = {}
        expected = {"lr", *(f"steps.{name}" for name in self.params)}
        for name, parameter in self.params.items():
            if not steps[name]:
                continue
            loaded[name] = {}
            for slot in self.slots:
                key = f"{slot}.{name}"
                expected.add(key)
                array = state.get(key)
                if (
                    not isinstance(array, np.ndarray)
                    or array.shape != parameter.shape
                    or array.dtype.kind != "f"
                ):
                    raise CheckpointError(
                        f"the optimiser's state needs {key!r} with shape {parameter.shape}, "
                        f"got {describe('value', array)}"
                    )
                loaded[name][slot] = get_xp(parameter.data).array(array, dtype=parameter.dtype)
        unknown = sorted(set(state) - expected)
        if unknown:
            raise CheckpointError(
                f"the optimiser's state has {unknown[0][:80]!r}, which does not fit this optimiser"
            )
        self.lr, self.steps, self.state = lr, steps, loaded

    @abstractmethod
    def _update(self, xp: Namespace, value: Array, grad: Array, state: State, steps: int) -> None:
        """Change `value` and `state` in place; `steps` counts from 1."""

    def _gradients(self, grads: Sequence[Any] | Mapping[str, Any] | None) -> Sequence[Any]:
        if grads is None:
            return [parameter.grad for parameter in self.params.values()]
        if isinstance(grads, Mapping):
            unknown = set(grads) - set(self.params)
            if unknown:
                raise InvalidArgument(f"gradients for unknown parameters: {', '.join(sorted(unknown)[:5])}")
            return [grads.get(name) for name in self.params]
        if len(grads) != len(self.params):
            raise InvalidArgument(f"expected {len(self.params)} gradients, one a parameter, got {len(grads)}")
        return grads


class SGD(Optimizer):
    """Gradient descent; velocity = momentum * velocity + gradient, and the step is lr * velocity.

    nesterov: the step is lr * (gradient + momentum * velocity). weight_decay: that much of the parameter is
    added to its gradient. Sutskever et al., 2013, https://proceedings.mlr.press/v28/sutskever13.html.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[tuple[str, Parameter]],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        self.momentum = non_negative("momentum", momentum)
        self.weight_decay = non_negative("weight_decay", weight_decay)
        self.nesterov = bool(nesterov)
        if self.nesterov and not self.momentum:
            raise InvalidArgument("expected momentum above 0 with nesterov=True, got momentum=0")
        self.slots = ("velocity",) if self.momentum else ()

    def _update(self, xp: Namespace, value: Array, grad: Array, state: State, steps: int) -> None:
        if self.weight_decay:
            grad = grad + value * self.weight_decay
        if self.momentum:
            velocity = state["velocity"]
            velocity *= self.momentum
            velocity += grad
            grad = grad + velocity * self.momentum if self.nesterov else velocity
        value -= grad * self.lr


class Adam(Optimizer):
    """Steps of about lr: mean of the gradient over the root of its mean square, both debiased.

    betas: how much of the running means is kept each step. weight_decay: that much of the parameter is added
    to its gradient. Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980.
    """

    slots = ("mean", "square")
    decoupled = False

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[tuple[str, Parameter]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr)
        self.betas = (float(betas[0]), float(betas[1]))
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InvalidArgument(f"expected two numbers in [0, 1), got {describe('betas', betas)}")
        self.eps, self.weight_decay = positive("eps", eps), non_negative("weight_decay", weight_decay)

    def _update(self, xp: Namespace, value: Array, grad: Array, state: State, steps: int) -> None:
        if self.weight_decay and self.decoupled:
            value *= 1.0 - self.lr * self.weight_decay
        elif self.weight_decay:
            grad = grad + value * self.weight_decay
        (b1, b2), mean, square = self.betas, state["mean"], state["square"]
        mean += (grad - mean) * (1.0 - b1)
        square *= b2
        scratch = xp.empty_like(value)
        xp.multiply(grad, grad, out=scratch)
        scratch *= 1.0 - b2
        square += scratch
        xp.sqrt(square, out=scratch)
        scratch *= 1.0 / math.sqrt(1.0 - b2**steps)
        scratch += self.eps
        xp.divide(mean, scratch, out=scratch)
        scratch *= self.lr / (1.0 - b1**steps)
        value -= scratch


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: parameters shrink by lr * weight_decay each step.

    Loshchilov and Hutter, 2019, https://arxiv.org/abs/1711.05101.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[tuple[str, Parameter]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


def _named(params: Iterable[Any]) -> dict[str, Parameter]:
    named: dict[str, Parameter] = {}
    for i, item in enumerate(params):
        name, parameter = item if isinstance(item, tuple) and len(item) == 2 else (str(i), item)
        if not isinstance(parameter, Parameter):
            raise InvalidArgument(
                f"expected parameters of a module, got {describe(f'params[{i}]', parameter)}"
            )
        if name in named or any(parameter is known for known in named.values()):
            raise InvalidArgument(f"parameter {name!r} is there twice; give each one once")
        named[name] = parameter
    if not named:
        raise InvalidArgument("expected at least one parameter, got none")
    return named


def _scalar(state: Mapping[str, Any], key: str, kinds: str) -> Any:
    value = state.get(key)
    if not isinstance(value, np.ndarray) or value.shape != () or value.dtype.kind not in kinds:
        raise CheckpointError(f"the optimiser's state needs a number {key!r}, got {describe('value', value)}")
    return value.item()
