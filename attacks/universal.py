"""Universal perturbations: one for all inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from armour.bounds import Bounds
from armour.checks import count, describe, one_of, positive
from armour.contract import Model
from armour.criteria import Criterion, Loss, Misclassified
from armour.errors import InvalidArgument
from armour.objective import Objective
from armour.regions import F32, Region
from armour.rng import Streams, by_content, generator

from .base import ATTACKS, FixedBudgetAttack
from .budgets import Epsilon, check_epsilon
from .clock import time_is_up
from .deepfool import DeepFool
from .fgsm import check_loss
from .gradient import finite, look

Version: TypeAlias = Literal["gradient", "deepfool"]


class Delta:
    """One perturbation for all inputs: a frozen float32 array like an input; a value, as Mask is.

    Raises InvalidArgument for anything but finite numbers.
    """

    __slots__ = ("array",)

    def __init__(self, array: ArrayLike) -> None:
        found = np.asarray(array)
        if found.dtype.kind not in "fiu" or not np.isfinite(found).all():
            raise InvalidArgument(f"expected finite numbers like one input, got {describe('delta', found)}")
        self.array: F32 = found.astype(np.float32)
        self.array.flags.writeable = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Delta) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash((self.array.shape, self.array.tobytes()))

    def __repr__(self) -> str:
        return f"Delta({self.array.shape}, largest {np.abs(self.array).max(initial=0):.6g})"


@ATTACKS.register("universal")
@dataclass(frozen=True, slots=True, kw_only=True)
class Universal(FixedBudgetAttack):
    """One perturbation that is added to every input.

    `fit` finds it on some inputs; with what it gives as `delta`, the attack tries it on others, on black
    boxes too. Without one the attack fits it on the very inputs that it is given, all of them at once.

    version: "gradient" steps along the mean gradient of a mini-batch, in which a sample that is lost already
    (objective above `cap`) has no part; "deepfool" goes through the inputs one by one and adds what DeepFool
    needs to fool the model on each that is not fooled yet, which is slow. After each pass over the inputs the
    perturbation is tried on all, and the best is kept: that which fools the most, and of several the one with
    the largest objective.
    steps: passes over the inputs. step_size: length of a step along a gradient, as a fraction of epsilon.
    batch: inputs in a mini-batch. loss: as for BIM. delta: as above, or None.
    Raises UnsupportedError if the model is a black box and there is no delta.
    Moosavi-Dezfooli et al., 2017, https://arxiv.org/abs/1610.08401 (version "deepfool"); Shafahi et al.,
    2020, https://arxiv.org/abs/1811.11304 ("gradient").
    """

    together: ClassVar[bool] = True

    steps: int = 20
    step_size: float = 0.1
    batch: int = 64
    cap: float = 9.0
    loss: str | Loss = "cross-entropy"
    version: Version = "gradient"
    delta: Delta | None = None

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        count("steps", self.steps)
        positive("step_size", self.step_size)
        count("batch", self.batch)
        positive("cap", self.cap)
        check_loss(self.loss)
        one_of("version", self.version, ("gradient", "deepfool"))
        if self.delta is not None and not isinstance(self.delta, Delta):
            object.__setattr__(self, "delta", Delta(self.delta))

    def check_model(self, model: Model) -> None:
        """As Attack.check_model; a perturbation that is known needs no gradients."""
        if self.delta is None or not isinstance(model, Model):
            FixedBudgetAttack.check_model(self, model)

    def fit(
        self,
        model: Model,
        x: ArrayLike,
        y: ArrayLike | Criterion,
        epsilon: Epsilon,
        rng: int | np.random.Generator = 0,
    ) -> Delta:
        """The perturbation within epsilon that fools the model on the most of these inputs.

        x: (n, ...) inputs; y: (n,) labels, or a Criterion. Inputs that meet the criterion as they are have no
        part. The arguments and what is raised are those of Attack.attack.
        """
        unknown = replace(self, delta=None)
        unknown.check_model(model)
        x = model.check_input(np.asarray(x))
        goal = y if isinstance(y, Criterion) else Misclassified(y)
        goal.check(len(x), model.num_classes)
        budget = check_epsilon(epsilon, self.distance, model.bounds, math.prod(x.shape[1:]))
        streams = by_content(generator(rng), x)
        at = np.flatnonzero(~goal(model.logits(x))) if len(x) else np.arange(0)
        if not at.size or budget == 0:
            return Delta(np.zeros(x.shape[1:], np.float32))
        return Delta(unknown._fitted(model, x[at], goal[at], budget, streams[at]))

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run, but that samples are not independent."""
        if self.delta is None:
            delta = self._fitted(model, x, criterion, epsilon, rng)
        elif self.delta.array.shape != x.shape[1:]:
            raise InvalidArgument(f"expected a delta of shape {x.shape[1:]}, got {self.delta.array.shape}")
        else:
            delta = self.delta.array
        return self.region(model, x, epsilon).project(x + delta)

    def _fitted(self, model: Model, x: F32, criterion: Criterion, epsilon: float, rng: Streams) -> F32:
        # The perturbation is searched for as a sample of its own, around 0.
        nought, span = np.zeros((1, *x.shape[1:]), np.float32), model.bounds.span
        room = self.distance.region(nought, epsilon, Bounds(-span, span))
        if self.mask is not None:
            room = room.masked(self.mask.like(nought))
        best, best_score = nought, (-1.0, -math.inf)
        objective = criterion.objective(self.loss)
        walk = self._by_deepfool if self.version == "deepfool" else self._by_gradients
        for delta in walk(model, room, x, criterion, rng):
            value, met = look(model, added(model, x, delta), criterion, objective)
            score = float(met.mean()), float(np.nan_to_num(value.astype(np.float64)).mean())
            if score > best_score:
                best, best_score = delta.copy(), score
            if met.all() or time_is_up():
                break
        found: F32 = best[0]
        return found

    def _passes(self, rng: Streams) -> Iterator[tuple[int, Any]]:
        """(number, all rows in a random order) for each pass: by a draw of each input's own."""
        for number in range(self.steps):
            yield number, np.argsort(rng.child(number).uniform(dtype=np.float64), kind="stable")

    def _by_gradients(
        self, model: Model, room: Region, x: F32, criterion: Criterion, rng: Streams
    ) -> Iterator[F32]:
        """The perturbation (1, ...) after each pass."""
        delta, objective = room.x.copy(), criterion.objective(self.loss)
        for _, order in self._passes(rng):
            for first in range(0, len(order), self.batch):
                rows = order[first : first + self.batch]
                slope = mean_slope(model, x[rows], delta, objective[rows], self.cap)
                delta = room.step(delta, slope, self.step_size)
            yield delta

    def _by_deepfool(
        self, model: Model, room: Region, x: F32, criterion: Criterion, rng: Streams
    ) -> Iterator[F32]:
        """The perturbation (1, ...) after each pass; each input's own step depends on those before it."""
        delta = room.x.copy()
        nearest = DeepFool(norm=self.norm, search_steps=0)
        for number, order in self._passes(rng):
            for row in order:
                goal, point = criterion[[row]], added(model, x[[row]], delta)
                if not goal(model.logits(point)).all():
                    found = nearest.run(model, point, goal, rng=rng[[row]].child(number))
                    delta = room.project(delta + (found - point))
            yield delta


def added(model: Model, x: F32, delta: F32) -> F32:
    """x (n, ...) with the perturbation, inside the bounds."""
    moved: F32 = model.bounds.clip(x + delta)
    return moved


def mean_slope(model: Model, x: F32, delta: F32, objective: Objective, cap: float) -> F32:
    """(1, ...) the gradient, by the perturbation, of the mean objective cut off at `cap`."""
    moved = x + delta
    value, gradient, _ = model.gradient(added(model, x, delta), objective)
    # Where the bounds cut the perturbation off, it makes no difference.
    low, high = (np.float32(end) for end in model.bounds)
    counted = (moved >= low) & (moved <= high) & (value < cap).reshape(-1, *(1,) * (x.ndim - 1))
    total = np.where(counted, finite(gradient), 0).sum(axis=0, dtype=np.float64, keepdims=True)
    return np.asarray(total / len(x), np.float32)
