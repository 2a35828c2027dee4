"""What all attacks share: the call, its checks, the repair of what an attack hands back, and its result.

A subclass writes `run`. Everything else happens here, once: types, labels, budgets, batches, clipping to
budget and bounds, and asking the model again. No attack reports its own success.
"""

from __future__ import annotations

import math
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from armour.bounds import Bounds
from armour.checks import describe, one_of, positive
from armour.contract import Model
from armour.criteria import Criterion, Misclassified
from armour.distances import Distance, Norm, distance
from armour.errors import ArmourError, InvalidArgument, UnsupportedError
from armour.events import OnEvent
from armour.grid import Grid, OnGrid
from armour.regions import F32, Region
from armour.registry import Registry
from armour.rng import Streams, by_content, generator

from .budgets import Epsilon, check_epsilons
from .clock import moment_in, time_is_up
from .gradient import labels_of
from .mask import Mask
from .result import AttackResult
from .search import QUERY_GRID, Counted, Found, Search
from .state import SearchState

# What to try first where there are no gradients: by scores, and by labels.
_FIRST_BLIND = ("square", "hop-skip-jump")

ATTACKS: Registry[type[Attack]] = Registry("attack")


def get(name: str) -> type[Attack]:
    """The attack class of that name, without regard to case, hyphen and underscore."""
    return ATTACKS.get(name)


def names() -> list[str]:
    """Names of all attacks, sorted."""
    return ATTACKS.names()


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack(ABC):
    """An attack is its settings: a frozen record. Vary it with dataclasses.replace.

    norm: the distance that limits or measures it, one of the class's `norms`.
    needs_gradient: it takes input gradients. together: it looks at all inputs of a call at once, so that what
    it finds for one depends on the others. keeps_curve: its results tell how near it was after how many
    queries. through_classes: it goes by the labels' logits, so that the criterion must have labels.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("linf", "l2", "l1")
    needs_gradient: ClassVar[bool] = True
    together: ClassVar[bool] = False
    keeps_curve: ClassVar[bool] = False
    through_classes: ClassVar[bool] = False

    norm: Norm = "linf"

    def __post_init__(self) -> None:
        one_of("norm", self.norm, self.norms)

    def __str__(self) -> str:
        """The settings, without those that are None."""
        settings = ((field.name, getattr(self, field.name)) for field in fields(self))
        shown = ", ".join(f"{name}={value!r}" for name, value in settings if value is not None)
        return f"{type(self).__name__}({shown})"

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
        state: str | os.PathLike[str] | None = None,
    ) -> AttackResult:
        """Attack each input within each budget. The model is not changed: interrupt it when you like.

        x: (n, ...) inside the model's bounds. y: (n,) labels to get away from, or a Criterion. epsilons: one
        or more budgets in input units, as numbers or text such as "8/255"; a minimum-norm attack needs none.
        rng: seed or Generator; the draws for an input depend on it and on the input alone, neither on its
        batch nor on its place. state: a file that keeps what is finished, batch by batch; the same call with
        the same file goes on from there, to the same result. An input that already meets the criterion is
        returned as it is, with success True. Raises InvalidArgument for inputs, labels or budgets that do not
        fit the model, or a state of another attack; UnsupportedError if the attack needs gradients or
        labels and there are none. An error or Ctrl-C in the middle has the result of the batches before it as
        its `partial`, with `finished` False for the rest.
        """
        started, limit = time.perf_counter(), self._seconds()
        until = None if limit is None else moment_in(limit)
        self.check_model(model)
        x = model.check_input(np.asarray(x))
        criterion = self._criterion(model, y)
        criterion.check(len(x), model.num_classes)
        if self.through_classes:
            labels_of(criterion)
        budgets = self._budgets(epsilons, model.bounds, math.prod(x.shape[1:]))
        streams = by_content(generator(rng), x)
        queries, gradients = model.counter.queries, model.counter.gradients

        search = Search(model, x, criterion, budgets, streams, self._answers())
        criterion.check(len(x), model.num_classes)  # a wrapped function's number of classes is known only now
        parts = self.components(model, criterion)
        kept = None if state is None else SearchState(state, search, parts)

        def spent() -> tuple[int, int, float]:
            before = (0, 0, 0.0) if kept is None else kept.before
            return (
                before[0] + model.counter.queries - queries,
                before[1] + model.counter.gradients - gradients,
                before[2] + time.perf_counter() - started,
            )

        # Only what is asked of classes has an accuracy.
        right = _share if criterion.of_classes else _none

        def result() -> AttackResult:
            asked, pulled, seconds = spent()
            finished = search.finished
            return AttackResult(
                adv=search.adv,
                success=search.success,
                distance=np.stack([self.distance.measure(x, row) for row in search.adv]),
                finished=finished,
                epsilons=np.asarray(budgets, dtype=np.float64),
                robust_accuracy=np.asarray(
                    [right(~row if search.stopped else ~row[finished]) for row in search.success]
                ),
                clean_accuracy=right(~search.already),
                norm=self.norm,
                attack=str(self),
                criterion=repr(criterion),
                stopped=search.stopped,
                queries=asked,
                gradients=pulled,
                seconds=seconds,
                spent=search.spent,
                broken_by=search.broken_by,
                components=tuple(str(part) for part in parts),
                left_out=self.left_out(model, criterion),
                query_grid=QUERY_GRID if self.keeps_curve else None,
                curve=search.curve if self.keeps_curve else None,
            )

        def save() -> None:
            if kept is not None:
                kept.save(*spent())

        try:
            search.run(
                parts,
                on_event=on_event,
                until=until,
                after_batch=None if kept is None else lambda: kept.save_now_and_then(*spent()),
            )
        except (ArmourError, KeyboardInterrupt) as error:
            # What was found cost queries: it goes with the error, without the batch at hand.
            save()
            error.partial = result()  # type: ignore[union-attr]
            raise
        save()
        return result()

    __call__ = attack

    def _criterion(self, model: Model, y: ArrayLike | Criterion) -> Criterion:
        """What y is or stands for; UnsupportedError if it is of classes and the model is not."""
        if model.output_shape is not None and not (isinstance(y, Criterion) and not y.of_classes):
            raise UnsupportedError(
                f"{model.name} gives arrays {model.output_shape}, not classes, so there is no label to get "
                "away from; say what is wanted by criteria.Custom(success, loss, shape=model.output_shape)"
            )
        return y if isinstance(y, Criterion) else Misclassified(y)

    def components(self, model: Model, criterion: Criterion | None = None) -> tuple[Attack, ...]:
        """The attacks this one is made of for that model and criterion (None: one of labels), in order.

        A simple attack is its own only one.
        """
        return (self,)

    def left_out(self, model: Model, criterion: Criterion | None = None) -> tuple[str, ...]:
        """What it is made of elsewhere and not for that model and criterion, and why: one line for each."""
        return ()

    def _seconds(self) -> float | None:
        """After how long to stop with what is there; None for an attack that runs to its end."""
        return None

    def _answers(self) -> int:
        """How often the model is asked whether an input meets the criterion; more than half must say so."""
        return 1

    @abstractmethod
    def _budgets(
        self, epsilons: Epsilon | Sequence[Epsilon] | None, bounds: Bounds, size: int
    ) -> tuple[float, ...]:
        """The budgets (k,) to attack within, checked; size: values per input."""

    @abstractmethod
    def search(
        self,
        model: Model,
        x: F32,
        criterion: Criterion,
        budgets: tuple[float, ...],
        rng: Streams,
        due: NDArray[np.bool_],
    ) -> Iterator[Found]:
        """What is found for the inputs that are due (k, n) within each budget; every input is due in one.

        No input meets the criterion yet, and x (n, ...) is not empty.
        """

    def repaired(self, model: Model, x: F32, adv: F32, epsilon: float) -> F32:
        """`adv` (n, ...) inside bounds and budget; what an attack of ours hands back is so already."""
        return self.distance.project(x, adv, epsilon, model.bounds)

    def check_model(self, model: Model) -> None:
        """InvalidArgument for what is no Model; UnsupportedError if it lacks gradients that are needed."""
        if not isinstance(model, Model):
            raise InvalidArgument(
                f"expected an armour model, got {describe('model', model)}; use armour.wrap(model)"
            )
        if self.needs_gradient and not model.can_grad:
            others = [n for n, kind in ATTACKS.items() if not kind.needs_gradient and self.norm in kind.norms]
            others.sort(key=lambda name: (name not in _FIRST_BLIND, name))
            blind = ", ".join([*others, "`armour fuzz`"])
            raise UnsupportedError(
                f"{type(self).__name__} needs gradients, and {model.obstacle}; "
                f"what asks for outputs alone: {blind}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedBudgetAttack(Attack):
    """An attack that is given a budget; it runs once for each.

    mask: booleans that broadcast to one input, True where it may change; None for everywhere. grid: length of
    the steps that values come in, from the lower bound on, such as 1 for whole numbers; inputs must lie on
    the grid, results do, and the model is asked at its points alone. None for any number.
    """

    mask: Mask | None = None
    grid: float | None = None

    def __post_init__(self) -> None:
        Attack.__post_init__(self)
        object.__setattr__(self, "mask", Mask.of(self.mask))
        if self.grid is not None:
            positive("grid", self.grid)

    @abstractmethod
    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """Perturbed inputs like x (n, ...) within epsilon (above 0) of x and inside the model's bounds.

        Samples are independent; rng has one stream for each. Where the criterion cannot be met, the best try.
        """

    def region(self, model: Model, x: F32, epsilon: float) -> Region:
        """Where the attack may go: within epsilon of x, inside the bounds, changed where the mask allows."""
        region = self.distance.region(x, epsilon, model.bounds)
        region = region if self.mask is None else region.masked(self.mask.like(x))
        return region if self.grid is None else Grid(self.grid, model.bounds).region(region)

    def counted(
        self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams
    ) -> tuple[F32, NDArray[np.int64] | None]:
        """`run`, and the queries (n,) asked for each input if the attack counts them."""
        return self.run(model, x, criterion, epsilon, rng=rng), None

    @final
    def _budgets(
        self, epsilons: Epsilon | Sequence[Epsilon] | None, bounds: Bounds, size: int
    ) -> tuple[float, ...]:
        if epsilons is None:
            raise InvalidArgument(
                f"expected epsilons for {type(self).__name__}, got None; state a budget: epsilons='8/255'"
            )
        return check_epsilons(epsilons, self.distance, bounds, size)

    def search(
        self,
        model: Model,
        x: F32,
        criterion: Criterion,
        budgets: tuple[float, ...],
        rng: Streams,
        due: NDArray[np.bool_],
    ) -> Iterator[Found]:
        """As Attack.search."""
        if self.grid is not None:
            grid = Grid(self.grid, model.bounds)
            grid.check(x)
            model = OnGrid(model, grid)
        for k, epsilon in enumerate(budgets):
            at = np.flatnonzero(due[k])
            if not at.size:
                continue
            part, goal = (x, criterion) if at.size == len(x) else (x[at], criterion[at])
            if epsilon == 0:
                yield Found(k, at, part)
                continue
            if time_is_up():
                return
            # Streams advance as they are drawn from: each budget gets them as they were.
            yield Found(k, at, *self.counted(model, part, goal, epsilon, rng=rng[at]))

    def repaired(self, model: Model, x: F32, adv: F32, epsilon: float) -> F32:
        """As Attack.repaired; what the mask forbids is undone too, and what is off the grid is rounded."""
        if self.mask is not None:
            adv = np.where(self.mask.like(x), adv, x)
        adv = Attack.repaired(self, model, x, adv, epsilon)
        return (
            adv if self.grid is None else Grid(self.grid, model.bounds).fitted(x, adv, self.distance, epsilon)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimizationAttack(Attack):
    """An attack that looks for the nearest input that meets the criterion; it runs once for all budgets.

    Budgets are optional: with them, success is to have found one within each.
    """

    @abstractmethod
    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """The nearest inputs like x (n, ...) found that meet the criterion, inside the model's bounds.

        Samples are independent; rng has one stream for each. Where none was found, the best try.
        """

    def counted(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> Counted:
        """`run`, and what it cost if the attack counts that."""
        return Counted(self.run(model, x, criterion, rng=rng))

    def _budgets(
        self, epsilons: Epsilon | Sequence[Epsilon] | None, bounds: Bounds, size: int
    ) -> tuple[float, ...]:
        return (math.inf,) if epsilons is None else check_epsilons(epsilons, self.distance, bounds, size)

    def search(
        self,
        model: Model,
        x: F32,
        criterion: Criterion,
        budgets: tuple[float, ...],
        rng: Streams,
        due: NDArray[np.bool_],
    ) -> Iterator[Found]:
        """As Attack.search."""
        yield from by_budget(self.counted(model, x, criterion, rng=rng[:]), due)


def by_budget(made: Counted, due: NDArray[np.bool_]) -> Iterator[Found]:
    """One search's result for each budget, with the inputs that are due (k, n) in it."""
    adv, spent, curve = made
    for k, wanted in enumerate(due):
        at = np.flatnonzero(wanted)
        if at.size:
            cost = None if spent is None else spent[at]
            yield Found(k, at, adv[at], cost, None if curve is None else curve[:, at])


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else math.nan


def _none(mask: NDArray[np.bool_]) -> float:
    return math.nan
