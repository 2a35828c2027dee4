"""When a run ends: rules over counts, judged between rounds.

All rules but the time are of integer counts, so the same campaign ends in the same place wherever it runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from armour import checks, stats
from armour.errors import InvalidArgument

EXECUTIONS = 20_000  # the budget if no rule is given
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Standing:
    """What rules are judged by: counts of the guided search.

    classes: failure classes (D2); once: those of them that one failing input has shown; latest: executions
    when the newest class was found, 0 if there is none.
    """

    executions: int
    valid: int
    failures: int
    classes: int
    once: int
    latest: int

    @property
    def residual(self) -> float:
        """Good-Turing estimate of the probability that the next execution shows a new class: once / n.

        Böhme, STADS, 2018, https://doi.org/10.1145/3210309. A guided search does not sample alike all the
        time, which biases it.
        """
        return self.once / self.executions if self.executions else 1.0

    @property
    def residual_bound(self) -> float:
        """Its exact 95 % upper bound (Clopper-Pearson, one-sided), as if executions were independent."""
        return upper(self.once, self.executions)

    @property
    def failure_bound(self) -> float:
        """The same bound for the share of valid mutants that fail: 0.30 % after 0 of 1,000."""
        return upper(min(self.failures, self.valid), self.valid)


def upper(k: int, n: int) -> float:
    """The one-sided 95 % Clopper-Pearson bound above k of n; 1 if n is 0."""
    return stats.clopper_pearson(k, n, CONFIDENCE, side="upper").high if n else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StopRules:
    """When to stop; whichever comes first. None: not by this.

    executions: of the guided search in all, those before a resume included. seconds: of this call.
    until_class: failure classes (D2) found. plateau: executions since the newest class. residual_risk: the
    95 % upper bound of the Good-Turing estimate falls below it, in (0, 1). None at all: 20,000 executions.
    InvalidArgument for what is no count, time or share.
    """

    executions: int | None = None
    seconds: float | None = None
    until_class: int | None = None
    plateau: int | None = None
    residual_risk: float | None = None

    def __post_init__(self) -> None:
        for name in ("executions", "until_class", "plateau"):
            if getattr(self, name) is not None:
                checks.count(name, getattr(self, name))
        if self.seconds is not None:
            checks.positive("seconds", self.seconds)
        risk = self.residual_risk
        if risk is not None and not 0 < risk < 1:
            raise InvalidArgument(f"expected a residual risk between 0 and 1, such as 1e-4, got {risk}")

    @property
    def budget(self) -> int | None:
        """Executions in all, with the default."""
        given = (self.seconds, self.until_class, self.plateau, self.residual_risk)
        return (
            EXECUTIONS if self.executions is None and all(one is None for one in given) else self.executions
        )

    def reached(self, now: Standing, seconds: float, *, judged: bool) -> str | None:
        """The name of the rule that ends the run here, if any.

        judged: whether this is a point at which counts are judged, which all runs of this campaign pass.
        """
        if self.budget is not None and now.executions >= self.budget:
            return "executions"
        if judged and now.executions:
            if self.until_class is not None and now.classes >= self.until_class:
                return "until-class"
            if self.plateau is not None and now.executions - now.latest >= self.plateau:
                return "plateau"
            if self.residual_risk is not None and now.residual_bound < self.residual_risk:
                return "residual-risk"
        return "seconds" if self.seconds is not None and seconds >= self.seconds else None

    def said(self, rule: str | None, now: Standing) -> str:
        """Why the run ended, in words."""
        if rule == "executions":
            return f"{now.executions:,} executions were to be made"
        if rule == "seconds":
            return f"{self.seconds:g} seconds are over"
        if rule == "until-class":
            return f"{now.classes:,} failure classes were found (until {self.until_class:,})"
        if rule == "plateau":
            return f"no new failure class in the last {now.executions - now.latest:,} executions"
        if rule == "residual-risk":
            return (
                f"the next execution shows a new failure class with a probability below "
                f"{now.residual_bound:.2g} (95 %, Good-Turing; adaptive sampling biases it)"
            )
        return "interrupted"
