"""A model with defenses in front of it: again a model, that every attack can go back through."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from armour.checks import describe
from armour.contract import LossFn, Model, pulled_back
from armour.errors import InvalidArgument
from armour.rng import by_content, generator
from armour.tensor.core import Tensor, no_grad

from .input import InputDefense, parse


class Defended(Model):
    """The model, given what the defenses make of its inputs, in their order.

    defenses: InputDefenses, or text as on the command line ("bit-depth:bits=3"). Bounds, budgets and
    gradients are those of inputs before the defenses. A gradient is exact where a defense can be
    differentiated, and else what its `backward` says; preprocessing, counter and classes are the model's own.

    random: a defense draws. Each public call then draws anew: what a sample gets follows from the seed, the
    number of the call and the sample's own values, neither from its batch nor from its neighbours, so the
    same calls give the same answers. Evaluation sees that answers differ and averages gradients over
    draws (EOT).

    Raises InvalidArgument for what is no defense, or does not fit the model.
    """

    def __init__(
        self,
        model: Model,
        defenses: Sequence[InputDefense | str] | InputDefense | str,
        *,
        rng: int | np.random.Generator = 0,
    ) -> None:
        given = [defenses] if isinstance(defenses, (str, InputDefense)) else list(defenses)
        self.model, self.defenses = model, tuple(_checked(defense) for defense in given)
        if not self.defenses:
            raise InvalidArgument("expected at least one defense, got none; use the model itself")
        self._stand_before(model)
        if model.input_shape is not None:
            self.input_shape = self._taken(model.input_shape)
        self.name = f"{model.name} behind {' then '.join(map(str, self.defenses))}"
        self.provenance = {**model.provenance, "defenses": [str(d) for d in self.defenses]}
        self.remote = model.remote  # type: ignore[misc]  # as what is behind, not as the class
        self.seed, self.calls = int(generator(rng).integers(2**62)), 0

    @property
    def random(self) -> bool:
        """True if answers differ from call to call."""
        return any(defense.random for defense in self.defenses)

    @property
    def can_grad(self) -> bool:
        return self.model.can_grad

    @property
    def obstacle(self) -> str:
        return self.model.obstacle

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of the model's own and the defenses with all their settings."""
        parts = (self.model.fingerprint, [repr(defense) for defense in self.defenses], self.seed)
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def transformed(self, x: np.ndarray) -> np.ndarray:
        """What the model is given for x (n, *input_shape), with the draws of the call at hand."""
        with no_grad():
            return np.asarray(self._through(Tensor(x)).data)

    def check_input(self, x: np.ndarray) -> np.ndarray:
        """As Model.check_input. Every public call passes here once, and gets the number of its draws."""
        x = super().check_input(x)
        self.calls += 1
        return x

    def _fitting(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        for defense in self.defenses:
            defense.check(shape)
        return shape

    def _taken(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        for defense in reversed(self.defenses):
            shape = defense.taken(shape)
            defense.check(shape)
        return shape

    def _through(self, x: Tensor) -> Tensor:
        streams = by_content(np.random.default_rng([self.seed, self.calls]), x.data)
        for number, defense in enumerate(self.defenses):
            x = defense.apply(x, self.bounds, streams.child(number))
        return x

    def _inside(self, x: Tensor) -> np.ndarray:
        """The transformed array in the model's type; rounding may have put a value beside a bound."""
        if self.model.input_shape is None:
            self.model.input_shape = x.shape[1:]
        return self.model.bounds.clip(x.data)

    def _forward(self, x: np.ndarray) -> np.ndarray:
        with no_grad():
            given = self._inside(self._through(Tensor(x)))
        return self._seen(self.model._forward(given))

    def _pullback(self, x: np.ndarray, loss_fn: LossFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        leaf = Tensor(x, requires_grad=True)
        out = self._through(leaf)
        value, gradient, logits = self.model._pullback(self._inside(out), loss_fn)
        back = pulled_back(out, Tensor(gradient.astype(out.dtype, copy=False)), leaf)
        return value, np.asarray(back.data, np.float32), self._seen(logits)

    def _tapped(self, x: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return self._layers(x, self.model._tapped)

    def _summaries(self, x: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return self._layers(x, lambda given: self.model._summaries(given, names))

    def _layers(
        self, x: np.ndarray, ask: Callable[[np.ndarray], tuple[np.ndarray, dict[str, np.ndarray]]]
    ) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        with no_grad():
            logits, layers = ask(self._inside(self._through(Tensor(x))))
        return self._seen(logits), layers

    def _seen(self, logits: np.ndarray) -> np.ndarray:
        """The logits; the model may have learned only now how many classes it has."""
        self.num_classes = self.model.num_classes
        return logits


def _checked(defense: Any) -> InputDefense:
    if isinstance(defense, str):
        return parse(defense)
    if not isinstance(defense, InputDefense):
        raise InvalidArgument(f"expected an input defense or its text, got {describe('defense', defense)}")
    return defense
