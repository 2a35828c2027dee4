"""crash and hang: the model raises, its process dies, or it does not answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from armour import checks

from .base import Oracle, Seen, Severity, register


@register("crash")
@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(Oracle):
    """The model raised an exception, or its process was killed.

    isolate: run it in a process of its own, which alone survives a signal; the default where the oracle is
    named, not where it is only on because it always is.
    """

    severity: ClassVar[Severity] = "high"
    needs_validity: ClassVar[bool] = False

    isolate: bool = True

    @property
    def isolates(self) -> bool:
        return self.isolate

    def judge(self, seen: Seen) -> np.ndarray:
        trouble = seen.outcome.trouble
        return np.asarray((trouble != "") & ~np.char.startswith(trouble, HUNG))


@register("hang")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hang(Oracle):
    """No answer within `factor` times the median of a batch, and not within `least` seconds either.

    The one judgement that rests on the clock: `least` is there so that a busy machine is no hang.
    """

    severity: ClassVar[Severity] = "high"
    needs_validity: ClassVar[bool] = False

    factor: float = 10.0
    least: float = 1.0

    def __post_init__(self) -> None:
        checks.positive("factor", self.factor)
        checks.positive("least", self.least)

    @property
    def isolates(self) -> bool:
        return True

    def judge(self, seen: Seen) -> np.ndarray:
        return np.asarray(np.char.startswith(seen.outcome.trouble, HUNG))


HUNG = "no answer"  # what the trouble of a hang begins with
