"""The part of a report that `armour.evaluate` writes: threat, attack by attack, sample by sample.

As in report_sections.py each record checks itself, because it may come from a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from armour.errors import InvalidArgument
from armour.report_sections import Rate

# One character for each sample and budget: it stands, it was misread without an attack, or the number of the
# attack that broke it in the order of the steps.
STANDS, MISREAD = ".", "x"
BROKEN_BY = "0123456789abcdefghijklmnopqrstuvwABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HASH = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreatInfo:
    """The threat model, as armour.Threat; epsilons in rising order."""

    norm: str
    epsilons: tuple[float, ...]
    knowledge: str
    queries: int | None = None
    goal: str = "untargeted"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackStep:
    """One attack of an evaluation, which goes on with what those before it have left.

    given, broken: inputs that it was run on and that it broke, at each epsilon; left: share still read right
    afterwards. gradients of the model are needed if access is "white-box". complete: False if time ran out.
    """

    name: str
    config: str
    access: Literal["white-box", "black-box"]
    given: tuple[int, ...]
    broken: tuple[int, ...]
    left: tuple[Rate, ...]
    queries: int = 0
    gradients: int = 0
    complete: bool = True

    def __post_init__(self) -> None:
        if not len(self.given) == len(self.broken) == len(self.left) > 0:
            raise InvalidArgument("expected counts of an attack at each epsilon")
        if min(*self.given, *self.broken) < 0:
            raise InvalidArgument("expected counts of an attack at or above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """What became of each sample: for paired comparison with another evaluation of the same samples.

    ids: the first half of each sample's sha256 (values and label). fate: for each epsilon one character a
    sample: "." stands, "x" was misread without an attack, else the number (0-9, a-w, A-Z) of the attack that
    broke it. distances: the smallest at which anything broke it, None if nothing did.
    """

    ids: tuple[str, ...]
    fate: tuple[str, ...]
    distances: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        if not all(_HASH.fullmatch(each) for each in self.ids):
            raise InvalidArgument("expected ids of samples as 32 hexadecimal digits")
        known = {STANDS, MISREAD, *BROKEN_BY}
        if any(len(row) != len(self.ids) or not set(row) <= known for row in self.fate):
            raise InvalidArgument(f"expected one fate for each of {len(self.ids)} samples")
        if len(self.distances) not in (0, len(self.ids)):
            raise InvalidArgument(f"expected one distance for each of {len(self.ids)} samples")
        if any(value is not None and value < 0 for value in self.distances):
            raise InvalidArgument("expected distances at or above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """One group of samples under attack, as ClassRow."""

    name: str
    clean: Rate
    robust: tuple[Rate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryCurve:
    """Share of inputs that an attack without gradients breaks within so many questions about each."""

    name: str
    epsilon: float
    queries: tuple[int, ...]
    broken: tuple[Rate, ...]

    def __post_init__(self) -> None:
        rising = all(b > a for a, b in pairwise(self.queries)) and self.queries[:1] >= (0,)
        if not rising or len(self.queries) != len(self.broken):
            raise InvalidArgument("expected a query curve of rising counts with one share each")


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceCurve:
    """Share of inputs that were broken at each distance or nearer, by a minimum-norm attack or by all.

    name: the attack, or "" where only the fixed budgets were tried. n: inputs; found: of them broken at all.
    median: of all n, None if fewer than half were broken. bins: edges, one more than counts.
    """

    name: str
    n: int
    found: int
    median: float | None
    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1 or any(b <= a for a, b in pairwise(self.edges)):
            raise InvalidArgument("expected a histogram of rising edges, one more than its counts")
        if min((0, *self.counts)) < 0 or sum(self.counts) > self.n or not 0 <= self.found <= self.n:
            raise InvalidArgument(f"expected a histogram of at most {self.n} inputs")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferRow:
    """Inputs made on another model: share that fools that model itself, and share that fools this one."""

    source: str
    epsilon: float
    itself: Rate
    target: Rate


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSection:
    """How the worst case per sample of the report's first attack section came about.

    preset: what the attacks were asked for by. masking: whether the checks show signs that gradients are
    masked, in `signs`; "not examined" for a model without gradients. complete: every attack came to its end;
    planned: samples that were meant to be evaluated.
    """

    threat: ThreatInfo
    preset: str
    steps: tuple[AttackStep, ...]
    outcomes: Outcomes
    masking: Literal["none", "signs", "not examined"] = "not examined"
    signs: tuple[str, ...] = ()
    groups: tuple[GroupRow, ...] = ()
    queries: tuple[QueryCurve, ...] = ()
    distances: DistanceCurve | None = None
    transfer: tuple[TransferRow, ...] = ()
    complete: bool = True
    planned: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.threat.epsilons)
        if not self.steps or any(len(step.given) != count for step in self.steps):
            raise InvalidArgument(f"expected at least one attack, with counts at {count} epsilons")
        if len(self.outcomes.fate) != count or any(len(row.robust) != count for row in self.groups):
            raise InvalidArgument(f"expected outcomes and groups at {count} epsilons")
        if (self.masking == "signs") != bool(self.signs):
            raise InvalidArgument("expected signs of masking where they are claimed, and nowhere else")
