"""The base of attacks that are limited by settings of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from armour.bounds import Bounds
from armour.errors import InvalidArgument

from .base import MinimizationAttack
from .budgets import Epsilon


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLimitsAttack(MinimizationAttack):
    """An attack that its own settings limit (angles, a patch, a file's spare bytes), not a distance.

    The norm only measures what it did. epsilons must be None.
    """

    @final
    def _budgets(
        self, epsilons: Epsilon | Sequence[Epsilon] | None, bounds: Bounds, size: int
    ) -> tuple[float, ...]:
        if epsilons is not None:
            raise InvalidArgument(
                f"expected no epsilons for {type(self).__name__}, limited by its own settings, got {epsilons}"
            )
        return (math.inf,)
