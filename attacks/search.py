"""The state of a search for adversarial inputs, and the loop that takes it on: attack by attack, in batches.

One attack is a search, and so is a row of attacks, each of which goes on with what the ones before it have
left: a sample that is broken within a budget is not attacked again within it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from armour.contract import Model
from armour.criteria import Criterion
from armour.events import OnEvent, emit
from armour.regions import F32, F64
from armour.rng import Streams

from .clock import Clock, deadline, time_is_up

if TYPE_CHECKING:
    from .base import Attack

# Numbers of queries at which the nearest input known is noted: four to an octave, to 100,000.
QUERY_GRID: NDArray[np.int64] = np.unique(np.round(2.0 ** np.arange(0, 16.8, 0.25)).astype(np.int64))
QUERY_GRID.flags.writeable = False


class Counted(NamedTuple):
    """What a search found, and what it cost.

    adv: (n, ...) inputs. spent: (n,) queries asked for each, or None if they are not counted one by one.
    curve: (g, n) distance of the nearest known after QUERY_GRID[g] queries, infinity for none; or None.
    """

    adv: F32
    spent: NDArray[np.int64] | None = None
    curve: F64 | None = None


class Found(NamedTuple):
    """What an attack hands back for one budget.

    budget: its index. at: (m,) places in the batch. adv: (m, ...) inputs. spent: (m,) queries that the attack
    asked for each of them, or None if it does not count them one by one. curve: (g, m) as in
    Counted, or None.
    """

    budget: int
    at: NDArray[np.int64]
    adv: F32
    spent: NDArray[np.int64] | None = None
    curve: F64 | None = None


class Search:
    """What is known about n inputs within k budgets.

    adv: float32 (k, n, ...); where nothing was found, the first attack's best try. success: (k, n), as the
    model answered. already: (n,) met before any attack. tried: (k, n) attacks that a sample has behind it.
    broken_by: (k, n) index of the attack that broke it, -1 if none did. spent: (k, n) queries of the attacks
    that count them. curve: (g, n) as in Counted, of the first attack. The draws for a sample depend on its
    stream alone. stopped: time ran out. answers: how often the model, if it answers at random, is asked
    whether an input meets the criterion; more than half of the answers must say so.
    nested: budgets are balls of one distance, so that what is broken within one is broken within each larger
    one too; while it is True, samples that are broken so are not attacked again.
    """

    nested = False

    def __init__(
        self,
        model: Model,
        x: F32,
        criterion: Criterion,
        budgets: tuple[float, ...],
        streams: Streams,
        answers: int = 1,
    ) -> None:
        self.model, self.x, self.criterion = model, x, criterion
        self.budgets, self.streams, self.answers, self.stopped = budgets, streams, answers, False
        shape = (len(budgets), len(x))
        self.already: NDArray[np.bool_] = self.met(criterion, x)
        self.adv = np.repeat(x[None], len(budgets), axis=0)
        self.success = np.repeat(self.already[None], len(budgets), axis=0)
        self.tried = np.zeros(shape, np.int16)
        self.broken_by = np.full(shape, -1, np.int16)
        self.spent = np.zeros(shape, np.int64)
        self.curve = np.where(self.already, 0.0, np.full((len(QUERY_GRID), 1), np.inf))

    @property
    def finished(self) -> NDArray[np.bool_]:
        """(n,) where at least the first attack has come to its end within every budget."""
        return self.already | (self.success | (self.tried > 0)).all(axis=0)

    def run(
        self,
        attacks: Sequence[Attack],
        *,
        on_event: OnEvent = None,
        until: float | None = None,
        after_batch: Callable[[], None] | None = None,
    ) -> bool:
        """Run the attacks that are still due; True if all came to their end.

        until: time.monotonic() at which to stop. What the batch at hand has broken by then is kept; whatever
        else is in it stays due. after_batch: called when the arrays of this search hold the result of one
        more batch. An exception leaves them as they were before its batch.
        """
        self.stopped = False
        with deadline(until) as clock:
            self._run(attacks, on_event, clock, after_batch)
        return not self.stopped

    def _run(
        self,
        attacks: Sequence[Attack],
        on_event: OnEvent,
        clock: Clock | None,
        after_batch: Callable[[], None] | None,
    ) -> None:
        self._emit(on_event, attacks, "")
        for number, attack in enumerate(attacks):
            streams = self.streams.child(number) if number else self.streams
            due = ~self.success & (self.tried == number)
            rows = np.flatnonzero(due.any(axis=0))
            size = max(1, len(rows)) if attack.together else self.model.batch_size
            for first in range(0, len(rows), size):
                self.stopped = self.stopped or time_is_up()
                if self.stopped:
                    return
                at = rows[first : first + size]
                self.stopped = self._batch(attack, number, at, due[:, at], streams[at], clock)
                if after_batch is not None:
                    after_batch()
                self._emit(on_event, attacks, type(attack).__name__)

    def _batch(
        self,
        attack: Attack,
        number: int,
        at: NDArray[np.int64],
        due: NDArray[np.bool_],
        streams: Streams,
        clock: Clock | None,
    ) -> bool:
        """Run one attack on one batch; True if time ran out in the middle of it."""
        part, goal = self.x[at], self.criterion[at]
        made = []
        for found in attack.search(self.model, part, goal, self.budgets, streams, due):
            adv = attack.repaired(self.model, part[found.at], found.adv, self.budgets[found.budget])
            met = self.met(goal[found.at], adv)
            made.append((found, adv, met))
            if self.nested:  # the attack looks at what is due when it comes to the next budget
                due[np.array(self._larger(found.budget), int)[:, None], found.at[met]] = False
        # Nothing is kept before all budgets of the batch are through.
        for (k, place, _, spent, curve), adv, met in made:
            here = at[place]
            kept = met | (number == 0)
            self.adv[k, here[kept]] = adv[kept]
            self.success[k, here] = met
            self.broken_by[k, here[met]] = number
            if spent is not None:
                self.spent[k, here] += spent
            if curve is not None and number == 0:
                self.curve[:, here] = curve
        stopped = clock is not None and clock.rang
        for k in range(len(self.budgets)):
            here = at[due[k]]
            self.tried[k, here[self.success[k, here]] if stopped else here] = number + 1
        if self.nested:
            self.share(at)
        return stopped

    def met(self, criterion: Criterion, x: F32) -> NDArray[np.bool_]:
        """Whether the criterion is met (n,): by more than half of the answers."""
        votes = criterion(self.model.logits(x)).astype(np.int64)
        for _ in range(self.answers - 1):
            votes += criterion(self.model.logits(x))
        return np.asarray(2 * votes > self.answers)

    def share(self, at: NDArray[np.int64] | slice = slice(None)) -> None:
        """Take what is broken within a budget for each larger one too, of these samples."""
        for k in np.argsort(self.budgets, kind="stable"):
            for j in self._larger(int(k)):
                new = np.flatnonzero(self.success[k, at] & ~self.success[j, at])
                rows = np.arange(len(self.x))[at][new]
                for array in (self.adv, self.success, self.broken_by):
                    array[j, rows] = array[k, rows]

    def _larger(self, budget: int) -> list[int]:
        """The budgets larger than this one."""
        return [j for j, epsilon in enumerate(self.budgets) if epsilon > self.budgets[budget]]

    def _emit(self, on_event: OnEvent, attacks: Sequence[Attack], text: str) -> None:
        if on_event is None:
            return
        through = np.where(self.success, len(attacks), self.tried).min(axis=0, initial=len(attacks))
        done, total = int(through.sum()), len(self.x) * len(attacks)
        text = text if len(attacks) > 1 else ""
        emit(on_event, "attack", done, total, text, broken=int(self.success[-1].sum()))
