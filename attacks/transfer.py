"""Attacks by way of another model: what is made for a surrogate is tried on the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour.bounds import Bounds
from armour.checks import describe
from armour.contract import Model
from armour.criteria import Criterion, Loss, Misclassified
from armour.errors import InvalidArgument
from armour.regions import F32, F64
from armour.rng import Streams, by_content, generator

from .base import ATTACKS, Attack, FixedBudgetAttack, MinimizationAttack
from .black_box import Asker, ScoreAttack
from .budgets import Epsilon, check_epsilon
from .clock import time_is_up
from .mi_fgsm import MIFGSM
from .own_limits import OwnLimitsAttack


@ATTACKS.register("transfer")
@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(ScoreAttack):
    """Craft on a surrogate, whose gradients are known, and ask the target whether it falls for it.

    A fixed-budget attack goes on after it has fooled the surrogate, to its last step: what just fools one
    model seldom fools another. The target is asked once for each attempt, and gives no gradients.

    surrogate: the model that is attacked in the target's place. Inputs are given to it in its own bounds.
    using: a fixed-budget or minimum-norm attack; it is used in the norm, and with the mask, of this one.
    queries: attempts, each with draws of its own; an attempt that has come out like the one before is not
    asked about. loss: by which of several failed attempts the best is kept.
    Raises InvalidArgument without a surrogate, or if it takes other inputs.
    Papernot et al., 2016, https://arxiv.org/abs/1605.07277.
    """

    queries: int = 1
    loss: str | Loss = "margin"
    surrogate: Model | None = None
    using: Attack = field(default=MIFGSM())

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        if self.surrogate is not None and not isinstance(self.surrogate, Model):
            raise InvalidArgument(
                f"expected an armour model, got {describe('surrogate', self.surrogate)}; "
                "use armour.wrap(model)"
            )
        check_using(self.using)
        replace(self.using, norm=self.norm)

    def __str__(self) -> str:
        """As Attack.__str__, with the fingerprint of the surrogate."""
        text = ScoreAttack.__str__(self)
        if self.surrogate is None:
            return text
        known = f"{self.surrogate.name} {self.surrogate.fingerprint[:12]}"
        return text.replace(repr(self.surrogate), known)

    def check_model(self, model: Model) -> None:
        """As Attack.check_model; InvalidArgument without a surrogate that takes the same inputs."""
        ScoreAttack.check_model(self, model)
        self._surrogate(model)

    def _surrogate(self, model: Model) -> Model:
        if self.surrogate is None:
            raise InvalidArgument(
                "expected a surrogate to craft on, got None; state surrogate=a_model (armour attack: --set "
                "surrogate=FILE)"
            )
        self.using.check_model(self.surrogate)
        for what in ("input_shape", "num_classes"):
            own, wanted = getattr(self.surrogate, what), getattr(model, what)
            if None not in (own, wanted) and own != wanted:
                raise InvalidArgument(f"expected a surrogate with {what}={wanted}, as the model, got {own}")
        return self.surrogate

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        surrogate = self._surrogate(asker.model)
        using: Any = replace(self.using, norm=self.norm)
        if isinstance(using, FixedBudgetAttack):
            using = replace(using, mask=self.mask)
        region = self.region(asker.model, x, epsilon)
        best, last = x.copy(), x.copy()
        value, left = np.full(len(x), -np.inf, np.float32), np.arange(len(x))
        for attempt in range(self.queries):
            goal, streams = asker.criterion[left], rng[left].child(attempt)
            made = craft(surrogate, using, x[left], goal, epsilon, asker.model.bounds, streams)
            tried = region[left].project(made)
            fresh = (tried != last[left]).reshape(len(left), -1).any(axis=1)
            if attempt == 0:
                fresh[:] = True
            last[left] = tried
            rows = left[fresh]
            if not rows.size:
                break
            now, met = asker.scores(rows, tried[fresh], self.loss)
            better = met | (now > value[rows])
            best[rows[better]], value[rows[better]] = tried[fresh][better], now[better]
            left = np.setdiff1d(left, rows[met], assume_unique=True)
            if not left.size or time_is_up():
                break
        return best


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransferMatrix:
    """How much of what is made for one model fools another.

    rates: (m, m) share of the inputs that, made for model i, model j gets wrong; nan without inputs. n: the
    inputs, those that all models get right. names: (m,). attack: the attack with its settings. epsilon: in
    input units.
    """

    rates: F64
    n: int
    names: tuple[str, ...]
    attack: str
    epsilon: float


def transfer_matrix(
    models: Sequence[Model],
    x: ArrayLike,
    y: ArrayLike,
    attack: Attack,
    epsilon: Epsilon,
    rng: int | np.random.Generator = 0,
) -> TransferMatrix:
    """Attack each model and try what was found on all of them, its maker included.

    models: at least one; all with the same bounds. x: (n, ...) inputs; y: (n,) labels. attack: a fixed-budget
    or minimum-norm attack, used as attacks.Transfer does. Only inputs that all models get right count.
    Raises InvalidArgument for models with different bounds, and what Attack.attack raises.
    """
    check_using(attack)
    if not models or any(model.bounds != models[0].bounds for model in models):
        found = ", ".join(str(tuple(model.bounds)) for model in models) or "none"
        raise InvalidArgument(f"expected models with the same bounds, got {found}")
    for model in models:
        attack.check_model(model)
    data = models[0].check_input(np.asarray(x))
    criterion = Misclassified(y)
    criterion.check(len(data), models[0].num_classes)
    right = np.ones(len(data), bool)
    for model in models:
        right &= ~criterion(model.logits(data))
    data, goal = data[right], criterion[right]
    budget = check_epsilon(epsilon, attack.distance, models[0].bounds, int(np.prod(data.shape[1:])))
    streams = by_content(generator(rng), data)
    rates = np.full((len(models), len(models)), np.nan)
    for i, maker in enumerate(models if len(data) else ()):
        adv = craft(maker, attack, data, goal, budget, maker.bounds, streams[:])
        for j, other in enumerate(models):
            rates[i, j] = goal(other.logits(adv)).mean()
    names = tuple(model.name for model in models)
    return TransferMatrix(rates=rates, n=len(data), names=names, attack=str(attack), epsilon=budget)


def craft(
    surrogate: Model,
    attack: Attack,
    x: F32,
    criterion: Criterion,
    epsilon: float,
    bounds: Bounds,
    rng: Streams,
) -> F32:
    """Inputs like x (n, ...) within epsilon of it, made to fool the surrogate; all in `bounds`.

    A fixed-budget attack takes all its steps, and what it gives is the iterate with the largest objective.
    """
    own = surrogate.check_input(carried(x, bounds, surrogate.bounds))
    made, goal = own.copy(), criterion
    rows = np.arange(len(x))
    if isinstance(attack, FixedBudgetAttack):
        goal = Unmet(criterion)
    else:  # which looks for the nearest input that fools, and is not for those that do so themselves
        rows = rows[~criterion(surrogate.logits(own))]
    budget = epsilon * surrogate.bounds.span / bounds.span
    size = len(rows) if attack.together else surrogate.batch_size
    for first in range(0, len(rows), max(size, 1)):
        at = rows[first : first + size]
        due = np.ones((1, len(at)), bool)
        for found in attack.search(surrogate, own[at], goal[at], (budget,), rng[at], due):
            here = at[found.at]
            made[here] = attack.repaired(surrogate, own[here], found.adv, budget)
    return carried(made, surrogate.bounds, bounds)


def carried(x: F32, old: Bounds, new: Bounds) -> F32:
    """Inputs in one range of values as inputs in another; x itself if the two are the same."""
    return x if old == new else new.clip((x - old.low) * (new.span / old.span) + new.low)


class Unmet(Criterion):
    """A criterion that nothing meets: its labels and direction are another's, so that an attack goes on."""

    def __init__(self, criterion: Criterion) -> None:
        self.criterion = criterion
        self.labels, self.direction = criterion.labels, criterion.direction

    def __call__(self, logits: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
        return np.zeros(len(logits), bool)

    def __getitem__(self, index: Any) -> Unmet:
        return Unmet(self.criterion[index])


def check_using(attack: Attack) -> None:
    """InvalidArgument for what cannot craft within a budget."""
    if not isinstance(attack, (FixedBudgetAttack, MinimizationAttack)) or isinstance(attack, OwnLimitsAttack):
        raise InvalidArgument(
            f"expected a fixed-budget or minimum-norm attack to craft with, got {describe('attack', attack)}"
        )
