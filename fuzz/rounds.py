"""What a round of fuzzing brings: failures found, inputs that the corpus keeps, and sums over a campaign."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .minimize import Case
from .recipe import Recipe
from .result import Failure
from .roots import Roots

LEVELS = ("invalid", "V0", "V1", "V2")  # names of validity levels -1 to 2


@dataclass(frozen=True, slots=True)
class Found:
    """A failure as the round found it, and minimised if it is the first of its class."""

    case: Case
    digest: str
    pair: str
    key: str
    confidence: float
    margin: float
    execution: int
    first: bool
    variant: int = 0
    fingerprint: int = 0
    minimised: Case | None = None
    severity: str = "medium"
    trouble: str = ""

    def failure(self, roots: Roots, replay: str) -> Failure:
        """It as users see it; replay: the command that shows it again."""
        case, small = self.case, self.minimised or self.case
        # Copies: what a round holds are rows of its whole batch, which would stay in memory with them.
        kept = {id(one): one.copy() for one in (case.x, case.ref, small.x, small.ref)}
        return Failure(
            id=self.digest[:12],
            oracle=case.oracle,
            true=case.label,
            predicted=case.predicted,
            root=case.recipe.root,
            source=int(roots.source[case.recipe.root]),
            recipe=str(case.recipe),
            minimised_recipe=str(small.recipe),
            validity=LEVELS[case.level + 1],
            pair=self.pair,
            key=self.key,
            families=small.recipe.families,
            confidence=self.confidence,
            margin=self.margin,
            execution=self.execution,
            root_image=roots.x[case.recipe.root],
            reference=kept[id(case.ref)],
            mutant=kept[id(case.x)],
            minimised=kept[id(small.x)],
            minimised_reference=kept[id(small.ref)],
            replay=replay,
            severity=self.severity,
            trouble=self.trouble,
        )


@dataclass(frozen=True, slots=True)
class Survivor:
    """An input that the corpus keeps: valid, no failure, and new in some way."""

    number: int
    recipe: Recipe
    x: np.ndarray
    ref: np.ndarray
    margin: float
    level: int
    gain: int
    niche: bool
    signature: int


@dataclass(frozen=True, slots=True)
class Round:
    """What one round brought.

    state: hex digest that depends on every round so far. island: whose round it is, None if there is but one.
    """

    number: int
    executions: int
    picks: list[int]
    found: list[Found]
    survivors: list[Survivor]
    state: str
    island: int | None = None


@dataclass(slots=True)
class Counters:
    """Sums over a campaign.

    triage, shrinking: inputs run to minimise; judging: by oracles. levels, failing: by validity level -1
    to 2; undone: mutations taken back.
    """

    rounds: int = 0
    executions: int = 0
    triage: int = 0
    shrinking: int = 0
    judging: int = 0
    undone: int = 0
    survivors: int = 0
    levels: list[int] = field(default_factory=lambda: [0] * 4)
    failing: list[int] = field(default_factory=lambda: [0] * 4)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Counters:
        """Counters as stored; ValueError or TypeError for values that none can have."""
        counters = cls(**values)
        numbers = [value for name, value in values.items() if name not in ("levels", "failing")]
        for levels in (counters.levels, counters.failing):
            if not isinstance(levels, list) or len(levels) != 4:
                raise ValueError("expected four counts, one of each level")
            numbers += levels
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError("expected counts at or above 0")
        return counters
