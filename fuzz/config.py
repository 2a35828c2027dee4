"""Settings of a fuzzing campaign."""

from __future__ import annotations

from dataclasses import dataclass

from armour import checks
from armour.errors import InvalidArgument

from .coverage.measures import DEFAULT, check_names
from .kinds import KINDS
from .oracles.base import Oracle, parse
from .oracles.panel import chosen
from .rounds import LEVELS
from .schedules import SCHEDULES
from .selection import words

MOST_ISLANDS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzConfig:
    """Settings of a campaign; all of them are part of what a resumed corpus must agree with.

    schedule: "niche" or "random". validity: level a mutant must reach for a wrong label to count, "V0" to
    "V2". baseline: also run stacked random search, for comparison. sections: bins inside each neuron's
    profile. batch: rows of a forward pass, at most 16 of inputs of more than 16,384 values. round: inputs
    planned and judged at a time, once a run has got going; by default 1024, 512 for inputs of more than 1024
    values, fewer for large ones, or 32 for a remote model. inputs: "image", "array" or "whole" (whole numbers
    such as bytes), which mutators and validity levels depend on; "auto": images for (c, h, w), whole numbers
    where the model declares an integer input, arrays otherwise. mutators: which take part, such as
    "+grain,-fog" (fuzz/selection.py); by default all that are armour's own. coverage: criteria to report, of
    armour.fuzz.coverage; those that do not come with the section map cost time, and need one island. islands:
    searches side by side, each with a random stream of its own, that exchange what they find; how many
    processes run them changes nothing.

    oracles: further ones, NAME[:key=value,...], beside those that are always on. against: what the
    differential oracle compares with: "float16", "int8", "onnxruntime", or the name of a model in Fuzzer's
    `others`. relations: of the metamorphic oracle, one line each (armour.fuzz.oracles.relations).
    """

    schedule: str = "niche"
    validity: str = "V2"
    baseline: bool = True
    sections: int = 10
    batch: int = 128
    round: int | None = None
    inputs: str = "auto"
    mutators: str = ""
    coverage: tuple[str, ...] = DEFAULT
    oracles: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    islands: int = 1

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise InvalidArgument(
                f"unknown schedule {self.schedule!r}{checks.suggest(self.schedule, SCHEDULES.names())}"
            )
        checks.one_of("validity", self.validity, LEVELS[1:])
        checks.one_of("inputs", self.inputs, ("auto", *KINDS.names()))
        words(self.mutators)
        checks.count("sections", self.sections)
        checks.count("batch", self.batch)
        checks.count("islands", self.islands)
        if self.islands > MOST_ISLANDS:
            raise InvalidArgument(f"expected at most {MOST_ISLANDS} islands, got {self.islands}")
        object.__setattr__(self, "coverage", check_names(self.coverage, self.islands))
        if self.round is not None:
            checks.count("round", self.round)
        for name in ("oracles", "against", "relations"):
            if isinstance(getattr(self, name), str):
                raise InvalidArgument(f"expected {name} as several texts, got one: {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        # Spelt out, so that the same oracle is the same setting however it was written.
        object.__setattr__(self, "oracles", tuple(str(parse(text)) for text in self.oracles))
        chosen(self.oracles, self.against, self.relations)

    @property
    def required(self) -> int:
        """The validity level as a number, 0 to 2."""
        return LEVELS.index(self.validity) - 1

    @property
    def named(self) -> list[Oracle]:
        """The oracles that it names."""
        return chosen(self.oracles, self.against, self.relations)[0]
