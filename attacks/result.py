"""What an attack hands back, whatever attack it was."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armour.distances import Norm
from armour.regions import F32, F64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AttackResult:
    """What an attack found, for each of k budgets and n inputs; k is at least 1.

    adv: float32 (k, n, ...), inside bounds and budget; where success is False, the attack's best try.
    success: (k, n), as the model answered when asked again. distance: (k, n) in `norm`. epsilons: (k,) in
    input units, infinity for an attack that was given none. finished: (n,) True where the attack came to its
    end (a row of attacks: its first): everywhere, but in the `partial` of an error that broke it off and
    where its time ran out; elsewhere adv is the input itself, or what had been tried by then.
    stopped: its time ran out before it came to its end (AutoAttack's `seconds`).
    robust_accuracy: (k,) share of the finished inputs that do not succumb, or of all inputs if it was
    stopped, so that it stays an upper bound; clean_accuracy: that share of all inputs before the attack. Both
    are nan without inputs, and under a criterion that does not speak of
    classes (criteria.Custom): that share is `withstood`. criterion: what success means.
    queries, gradients: forward and backward passes of the whole call, counted per input. spent: (k, n)
    queries that the search asked for each input by itself, 0 for attacks that use gradients; the first look
    at an input and the one that verifies it come on top.
    broken_by: (k, n) index into `components` of the attack that broke it, -1 where none did or none had to.
    components: the attacks that ran, in order. left_out: those of the row that this model or criterion does
    not allow, and why, a line for each. seconds: wall time. attack: the attack with its settings.
    query_grid, curve: (g,) numbers of queries, and (g, n) the distance of the nearest success known when the
    search had asked so many about an input, infinity as long as there was none; None for attacks that do not
    look for the nearest by counted queries.
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
    criterion: str = "Misclassified()"
    stopped: bool = False
    queries: int
    gradients: int
    seconds: float
    spent: NDArray[np.int64]
    broken_by: NDArray[np.int16]
    components: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    query_grid: NDArray[np.int64] | None = None
    curve: F64 | None = None

    @property
    def withstood(self) -> F64:
        """(k,) share of the inputs in robust_accuracy that do not meet the criterion, whatever it is of."""
        rows = ~self.success if self.stopped else ~self.success[:, self.finished]
        return rows.mean(axis=1) if rows.size else np.full(len(rows), np.nan)
