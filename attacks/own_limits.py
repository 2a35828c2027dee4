"""The base of attacks that are limited by settings of their own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armour.contract import Model
from armour.criteria import Criterion
from armour.errors import InvalidArgument
from armour.regions import F32
from armour.rng import Streams

from .base import MinimizationAttack
from .search import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLimitsAttack(MinimizationAttack):
    """An attack that its own settings limit (angles, a patch, a file's spare bytes), not a distance.

    The norm only measures what it did. epsilons must be None.
    """

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
        if budgets != (math.inf,):
            raise InvalidArgument(
                f"expected no epsilons for {type(self).__name__}, which its own settings limit, got {budgets}"
            )
        yield from MinimizationAttack.search(self, model, x, criterion, budgets, rng, due)
