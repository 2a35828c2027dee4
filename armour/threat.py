"""What an attacker may do and wants: stated before anything is evaluated, and part of every verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from armour.checks import count, one_of
from armour.distances import Norm, parse_epsilon
from armour.errors import InvalidArgument

NORMS: tuple[Norm, ...] = ("linf", "l2", "l1", "l0")
KNOWLEDGE = ("white-box", "black-box", "labels-only")
GOALS = ("untargeted", "targeted")
MAX_EPSILONS = 64

Knowledge: TypeAlias = Literal["white-box", "black-box", "labels-only"]
Goal: TypeAlias = Literal["untargeted", "targeted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Threat:
    """A threat model: how far an attacker may change an input, what he knows, and what he wants.

    norm: "linf", "l2", "l1" or "l0", the distance that limits him. epsilons: one or more budgets in input
    units, as numbers or text such as "8/255"; the verdict is about the first, the curve about all. knowledge:
    "white-box" (everything, gradients too), "black-box" (scores alone) or "labels-only". queries: most
    questions about one input for an attacker without gradients; None for as many as the attacks ask by
    default. goal: "untargeted" (any wrong class) or "targeted" (a class he chose). Raises InvalidArgument.
    """

    norm: Norm = "linf"
    epsilons: tuple[float, ...]
    knowledge: Knowledge = "white-box"
    queries: int | None = None
    goal: Goal = "untargeted"

    def __init__(
        self,
        *,
        epsilons: float | str | Sequence[float | str],
        norm: str = "linf",
        knowledge: str = "white-box",
        queries: int | None = None,
        goal: str = "untargeted",
    ) -> None:
        one_of("norm", norm, NORMS)
        one_of("knowledge", knowledge, KNOWLEDGE)
        one_of("goal", goal, GOALS)
        values = {
            "norm": norm,
            "epsilons": _budgets(epsilons),
            "knowledge": knowledge,
            "queries": None if queries is None else count("queries", queries),
            "goal": goal,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def rising(self) -> tuple[float, ...]:
        """The budgets from the smallest to the largest."""
        return tuple(sorted(self.epsilons))

    @property
    def headline(self) -> int:
        """The place of the first stated budget among the rising ones."""
        return self.rising.index(self.epsilons[0])


def _budgets(epsilons: float | str | Sequence[float | str]) -> tuple[float, ...]:
    given = [epsilons] if isinstance(epsilons, (str, float, int)) else list(epsilons)
    if not 0 < len(given) <= MAX_EPSILONS:
        raise InvalidArgument(
            f"expected 1 to {MAX_EPSILONS} epsilons, got {len(given)}; state a budget such as '8/255'"
        )
    values = [float(parse_epsilon(value)) for value in given]
    if min(values) <= 0:
        raise InvalidArgument(
            f"expected epsilons above 0, got {min(values):g}; accuracy without an attack is always measured"
        )
    return tuple(dict.fromkeys(values))
