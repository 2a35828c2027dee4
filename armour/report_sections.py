"""The parts of a report as frozen records; report.py puts them together, render.py shows them.

Counts are of samples or of executions, epsilons in input units of the stated norm, shares in [0, 1]. Each
record checks itself, because it may come from a file: what does not add up raises InvalidArgument.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal

from armour import stats
from armour.errors import InvalidArgument
from armour.thumbnails import Picture

# Left out of the file where nothing is said: files written before the field was there keep their hash.
OPTIONAL = {"optional": True}
LEVELS = ("V0", "V1", "V2", "V3", "V4")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """k of n with a 95 % interval: Wilson's, or the exact one-sided bound where k is 0 or n."""

    k: int
    n: int
    value: float
    low: float
    high: float
    method: Literal["wilson", "clopper-pearson"] = "wilson"

    def __post_init__(self) -> None:
        ok = 0 <= self.k <= self.n and self.n > 0 and abs(self.value - self.k / self.n) < 1e-9
        if not (ok and 0 <= self.low <= self.value <= self.high <= 1):
            raise InvalidArgument(
                f"expected a share k/n inside its interval, got {self.k}/{self.n} = {self.value:g} "
                f"in [{self.low:g}, {self.high:g}]"
            )

    @classmethod
    def of(cls, k: int, n: int) -> Rate:
        """The rate k/n with its interval; n must be above 0."""
        k, n = int(k), int(n)
        if n <= 0:
            raise InvalidArgument(f"expected at least one sample for a rate, got n={n}")
        if 0 < k < n:
            return cls(k=k, n=n, value=k / n, **stats.wilson(k, n)._asdict(), method="wilson")
        interval = stats.clopper_pearson(k, n, side="upper" if k == 0 else "lower")
        return cls(k=k, n=n, value=k / n, **interval._asdict(), method="clopper-pearson")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """The model under test. parameters: number of weights, if known. fingerprint: sha256 of graph and
    weights."""

    name: str
    fingerprint: str = ""
    input_shape: tuple[int, ...] = ()
    bounds: tuple[float, float] = (0.0, 1.0)
    num_classes: int = 0
    class_names: tuple[str, ...] = ()
    parameters: int | None = None
    can_grad: bool = True
    provenance: dict[str, str] = field(default_factory=dict)

    def label(self, index: int) -> str:
        """The name of a class, or its number; -1 stands for logits that are not finite."""
        if index == -1:
            return "not finite"
        return self.class_names[index] if 0 <= index < len(self.class_names) else str(index)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataInfo:
    """The samples used: how they were chosen, how many there are of each class, and their sha256."""

    name: str
    n: int
    selection: str = ""
    class_counts: tuple[int, ...] = ()
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRow:
    """One true class under attack: clean accuracy, and robust accuracy at each epsilon of the section."""

    label: int
    clean: Rate
    robust: tuple[Rate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Three pictures: the root, what became of it, and the difference, whose colours end at `largest`."""

    root: Picture
    mutant: Picture
    difference: Picture
    largest: float
    true: int
    predicted: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackSection:
    """One attack over a list of epsilons on one set of samples, `data`.

    name: short, for a sentence ("PGD-40"); config: all settings. headline: index of the epsilon the verdict
    is about. clean: accuracy on the same samples. robust: at each epsilon, after asking the model again.
    distances: median norm of the successful perturbations, None without one. access: what the attacker knew.
    """

    name: str
    config: str
    data: DataInfo
    norm: str
    epsilons: tuple[float, ...]
    headline: int
    clean: Rate
    robust: tuple[Rate, ...]
    distances: tuple[float | None, ...] = ()
    classes: tuple[ClassRow, ...] = ()
    access: Literal["white-box", "black-box"] = "white-box"
    adaptive: bool = False
    queries: int = 0
    gradients: int = 0
    seconds: float = 0.0
    examples: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        count = len(self.epsilons)
        if count == 0 or len(self.robust) != count or not 0 <= self.headline < count:
            raise InvalidArgument(
                f"expected one robust accuracy for each of {count} epsilons, and a headline"
            )
        if any(b <= a for a, b in pairwise(self.epsilons)) or self.epsilons[0] < 0:
            raise InvalidArgument("expected epsilons at or above 0 in rising order")
        if any(rate.n != self.clean.n for rate in self.robust) or len(self.distances) not in (0, count):
            raise InvalidArgument("expected every rate of an attack on the same samples")
        if any(len(row.robust) != count for row in self.classes):
            raise InvalidArgument(f"expected {count} robust accuracies for each class")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPoint:
    """What a campaign had found after `executions`; the other counts as in Campaign."""

    executions: int
    failures: int
    distinct: int
    classes: int
    roots: int
    coverage: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """What one schedule found.

    executions: mutated inputs judged and run. levels: executions by the highest validity level they reached;
    failing: the same for those that failed the oracle ("invalid" is below V0). At the required level and
    above: valid executions; failures (D0, different inputs), pairs (D1), classes (D2), variants (D3, None
    for a black box), distinct (root, predicted class), roots broken, and pair_counts, failures by
    "true>predicted". coverage: shares by criterion, a measure and never a verdict; measures:
    those that are no shares. correlation: of a criterion's growth in a round with the failures found in it,
    both per execution: rho, low, high, rounds. triage: executions spent on minimising, not part of
    `executions`.
    """

    schedule: str
    executions: int
    valid: int
    failures: int
    pairs: int
    classes: int
    distinct: int
    roots: int
    levels: dict[str, int] = field(default_factory=dict)
    failing: dict[str, int] = field(default_factory=dict)
    pair_counts: dict[str, int] = field(default_factory=dict)
    coverage: dict[str, float] = field(default_factory=dict)
    triage: int = 0
    seconds: float = 0.0
    curve: tuple[GrowthPoint, ...] = ()
    measures: dict[str, float] | None = field(default=None, metadata={"optional": True})
    correlation: dict[str, tuple[float, ...]] | None = field(default=None, metadata={"optional": True})
    variants: int | None = None

    def __post_init__(self) -> None:
        for counts in (self.levels, self.failing):
            if not set(counts) <= {"invalid", *LEVELS}:
                raise InvalidArgument(f"expected counts by {', '.join(LEVELS)}, got {sorted(counts)[:8]}")
        found = [self.valid, self.failures, self.pairs, self.classes, self.distinct, self.roots]
        found.append(self.variants or 0)
        by_level = (*self.levels.values(), *self.failing.values(), *self.pair_counts.values())
        least = min((*found, self.triage, *by_level))
        if least < 0 or max(found) > self.executions or self.failures > self.valid:
            raise InvalidArgument(f"expected counts of at most {self.executions} executions, got {found}")
        if any(not 0 <= share <= 1 for share in self.coverage.values()):
            raise InvalidArgument("expected coverage as shares in [0, 1]")
        if any(value < 0 for value in (self.measures or {}).values()):
            raise InvalidArgument("expected measures at or above 0")
        for one in (self.correlation or {}).values():
            if len(one) != 4 or not -1 <= one[1] <= one[0] <= one[2] <= 1:
                raise InvalidArgument("expected correlation as rho within (low, high), and rounds")
        if any(b.executions <= a.executions for a, b in pairwise(self.curve)):
            raise InvalidArgument("expected a growth curve of rising executions")


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureClass:
    """A D2 class: oracle, true and predicted label, operation families after minimisation, and its size."""

    key: str
    oracle: str
    true: int
    predicted: int
    families: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failure as the gallery shows it, minimised.

    recipe: the text that rebuilds it; operations: the same for people, without seeds and idle parameters.
    validity: level it reached. figures: measures by name. replay: the command that shows it again.
    severity: "high", "medium" or "info". trouble: why the model did not answer, if it did not.
    """

    id: str
    key: str
    oracle: str
    validity: str
    recipe: str
    replay: str
    example: Example
    operations: str = ""
    figures: dict[str, float] = field(default_factory=dict)
    severity: str = field(default="", metadata=OPTIONAL)
    trouble: str = field(default="", metadata=OPTIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzSection:
    """A fuzzing campaign beside stacked random at equal executions.

    level: validity level required of a failure; validator: what judged it. roots: seeds fuzzed; skipped:
    seeds that the model misread to begin with. classes: D2 classes, largest first. failures: one of each
    class, for as many classes as the report carries pictures of.
    """

    guided: Campaign
    data: DataInfo
    baseline: Campaign | None = None
    level: str = "V2"
    validator: str = ""
    roots: int = 0
    skipped: int = 0
    oracles: tuple[str, ...] = ("label-flip",)
    mutators: tuple[str, ...] = ()
    classes: tuple[FailureClass, ...] = ()
    failures: tuple[Failure, ...] = ()
    seed: int | None = None
    interrupted: bool = False
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise InvalidArgument(
                f"expected a validity level of {', '.join(LEVELS)}, got {self.level[:40]!r}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One rule of "do not fool yourself" (evaluation.md): id, what it asks, verdict, and why.

    advice: what to do about it. sign: what it says about gradient masking, if it points to that.
    """

    id: str
    title: str
    status: Literal["ok", "note", "warning", "error"]
    text: str
    advice: str = field(default="", metadata=OPTIONAL)
    sign: str = field(default="", metadata=OPTIONAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How the result came about: the command, its seed, and the commands that make it again in order."""

    command: str = ""
    seed: int | None = None
    reproduce: tuple[str, ...] = ()
    created: str = ""
