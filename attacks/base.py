"""What all attacks share: the call, its checks, the repair of what an attack hands back, and its result.

A subclass writes `run`. Everything else happens here, once: types, labels, budgets, batches, clipping to
budget and bounds, and asking the model again. No attack reports its own success.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour.bounds import Bounds
from armour.checks import describe, one_of
from armour.contract import Model
from armour.criteria import Criterion, Misclassified
from armour.distances import Distance, Norm, distance, parse_epsilon
from armour.errors import ArmourError, InvalidArgument, UnsupportedError
from armour.events import OnEvent, emit
from armour.regions import F32, F64
from armour.registry import Registry
from armour.rng import Streams, by_content, generator

Epsilon: TypeAlias = float | str

ATTACKS: Registry[type[Attack]] = Registry("attack")


def get(name: str) -> type[Attack]:
    """The attack class of that name, without regard to case, hyphen and underscore."""
    return ATTACKS.get(name)


def names() -> list[str]:
    """Names of all attacks, sorted."""
    return ATTACKS.names()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackResult:
    """What an attack found, for each of k budgets and n inputs; k is at least 1.

    adv: float32 (k, n, ...), inside bounds and budget; where success is False, the attack's best try.
    success: (k, n), as the model answered when asked again. distance: (k, n) in `norm`. epsilons: (k,) in
    input units. finished: (n,) True where the attack came to its end: everywhere, but in the `partial` of an
    error that broke it off; elsewhere adv is the input itself.
    robust_accuracy: (k,) share of the finished inputs that do not succumb; clean_accuracy: that share of all
    inputs before the attack. Both are nan without inputs. queries, gradients: forward and backward passes,
    counted per input. seconds: wall time.
    attack: the attack with its settings.
    """

    adv: F32
    success: NDArray[np.bool_]
    distance: F64
    finished: NDArray[np.bool_]
    epsilons: F64
    robust_accuracy: F64
    clean_accuracy: float
    norm: Norm
    attack: str
    queries: int
    gradients: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack(ABC):
    """An attack is its settings: a frozen record. Vary it with dataclasses.replace.

    norm: the distance that limits or measures it, one of the class's `norms`.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2", "l1")
    needs_gradient: ClassVar[bool] = True

    norm: Norm = "linf"

    def __post_init__(self) -> None:
        one_of("norm", self.norm, self.norms)

    @property
    def distance(self) -> Distance:
        """The distance of `norm`."""
        return distance(self.norm)

    @final
    def attack(
        self,
        model: Model,
        x: ArrayLike,
        y: ArrayLike | Criterion,
        epsilons: Epsilon | Sequence[Epsilon] | None = None,
        *,
        rng: int | np.random.Generator = 0,
        on_event: OnEvent = None,
    ) -> AttackResult:
        """Attack each input within each budget. The model is not changed: interrupt it when you like.

        x: (n, ...) inside the model's bounds. y: (n,) labels to get away from, or a Criterion. epsilons: one
        or more budgets in input units, as numbers or text such as "8/255". rng: seed or Generator; the draws
        for an input depend on it and on the input alone, neither on its batch nor on its place. An input that
        already meets the criterion is returned as it is, with success True. Raises InvalidArgument for
        inputs, labels or budgets that do not fit the model, UnsupportedError if the model has no gradients
        and the attack needs them. An error or Ctrl-C in the middle has the result of the batches before it
        as its `partial`, with `finished` False for the rest.
        """
        started = time.perf_counter()
        self.check_model(model)
        x = model.check_input(np.asarray(x))
        criterion = y if isinstance(y, Criterion) else Misclassified(y)
        criterion.check(len(x), model.num_classes)
        budgets = self._budgets(epsilons, model.bounds, math.prod(x.shape[1:]))
        streams = by_content(generator(rng), x)
        queries, gradients = model.counter.queries, model.counter.gradients

        already = criterion(model.logits(x))
        criterion.check(len(x), model.num_classes)  # a wrapped function's number of classes is known only now
        adv = np.repeat(x[None], len(budgets), axis=0)
        success = np.repeat(already[None], len(budgets), axis=0)
        open_rows = np.flatnonzero(~already)
        done, total = int(already.sum()), len(x)
        finished = already.copy()

        def result() -> AttackResult:
            return AttackResult(
                adv=adv,
                success=success,
                distance=np.stack([self.distance.measure(x, row) for row in adv]),
                finished=finished,
                epsilons=np.asarray(budgets, dtype=np.float64),
                robust_accuracy=np.asarray([_share(~row[finished]) for row in success]),
                clean_accuracy=_share(~already),
                norm=self.norm,
                attack=repr(self),
                queries=model.counter.queries - queries,
                gradients=model.counter.gradients - gradients,
                seconds=time.perf_counter() - started,
            )

        emit(on_event, "attack", done, total)
        try:
            for first in range(0, len(open_rows), model.batch_size):
                rows = open_rows[first : first + model.batch_size]
                part, goal = x[rows], criterion[rows]
                found = self._search(model, part, goal, budgets, streams[rows])
                for k, epsilon in enumerate(budgets):
                    adv[k, rows] = self.distance.project(part, found[k], epsilon, model.bounds)
                    success[k, rows] = goal(model.logits(adv[k, rows]))
                finished[rows] = True
                done += len(rows)
                emit(on_event, "attack", done, total, broken=int(success[-1].sum()))
        except (ArmourError, KeyboardInterrupt) as error:
            # What was found cost queries: it goes with the error, without the batch at hand.
            adv[:, ~finished], success[:, ~finished] = x[~finished], False
            error.partial = result()  # type: ignore[union-attr]
            raise
        return result()

    __call__ = attack

    @abstractmethod
    def _budgets(
        self, epsilons: Epsilon | Sequence[Epsilon] | None, bounds: Bounds, size: int
    ) -> tuple[float, ...]:
        """The budgets (k,) to attack within, checked; size: values per input."""

    @abstractmethod
    def _search(
        self, model: Model, x: F32, criterion: Criterion, budgets: tuple[float, ...], rng: Streams
    ) -> Sequence[F32]:
        """One array like x for each budget. No x meets the criterion yet, and x is not empty."""

    def check_model(self, model: Model) -> None:
        """InvalidArgument for what is no Model; UnsupportedError if it lacks gradients that are needed."""
        if not isinstance(model, Model):
            raise InvalidArgument(
                f"expected an armour model, got {describe('model', model)}; use armour.wrap(model)"
            )
        if self.needs_gradient and not model.can_grad:
            others = [name for name, kind in ATTACKS.items() if not kind.needs_gradient]
            blind = ", ".join([*others, "`armour fuzz`"])
            raise UnsupportedError(
                f"{type(self).__name__} needs gradients, and {model.obstacle}; "
                f"what asks for outputs alone: {blind}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedBudgetAttack(Attack):
    """An attack that is given a budget; it runs once for each."""

    @abstractmethod
    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """Perturbed inputs like x (n, ...) within epsilon (above 0) of x and inside the model's bounds.

        Samples are independent; rng has one stream for each. Where the criterion cannot be met, the best try.
        """

    @final
    def _budgets(
        self, epsilons: Epsilon | Sequence[Epsilon] | None, bounds: Bounds, size: int
    ) -> tuple[float, ...]:
        if epsilons is None:
            raise InvalidArgument(
                f"expected epsilons for {type(self).__name__}, got None; state a budget: epsilons='8/255'"
            )
        several = not isinstance(epsilons, (str, float, int)) and np.ndim(epsilons) > 0
        values: Any = epsilons if several else [epsilons]
        if len(values) == 0:
            raise InvalidArgument("expected at least one epsilon, got an empty list")
        return tuple(check_epsilon(value, self.distance, bounds, size) for value in values)

    @final
    def _search(
        self, model: Model, x: F32, criterion: Criterion, budgets: tuple[float, ...], rng: Streams
    ) -> Sequence[F32]:
        # Streams advance as they are drawn from: each budget gets them as they were.
        return [self.run(model, x, criterion, epsilon, rng=rng[:]) if epsilon else x for epsilon in budgets]


def check_epsilon(epsilon: Epsilon, distance: Distance, bounds: Bounds, size: int) -> float:
    """The budget as a number; InvalidArgument if no two inputs of `size` values are that far apart."""
    value = parse_epsilon(epsilon)
    longest = distance.longest(size, bounds.span)
    if value <= longest:
        return value
    what = f"exceeds the span of the model's bounds {tuple(bounds)}"
    if distance.name != "linf":
        what = f"exceeds {longest:g}, the largest {distance} distance of {size} values in {tuple(bounds)}"
    hint = f"did you mean {value:g}/255?" if value / 255 <= longest else f"use a budget up to {longest:g}"
    raise InvalidArgument(f"epsilon={value:g} {what}; {hint}")


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else math.nan
