"""The coverage of a campaign by the criteria that it was asked for.

KMNC, NBC and SNAC are read off the section map that a campaign keeps anyway. All others are fitted to what
the model does with the roots, and see each valid execution once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from armour import checks
from armour.errors import InvalidArgument
from armour.fuzz.execution import Executor, Outcome
from armour.fuzz.sections import SectionMap
from armour.npz import under

from .base import CRITERIA, Criterion, Layers

DEFAULT = ("kmnc", "nbc", "snac")
_MAPPED = {"kmnc": "kmnc", "nbc": "boundary", "snac": "strong"}  # properties of a SectionMap
LOGITS = "logits"


def check_names(names: Sequence[str], islands: int = 1) -> tuple[str, ...]:
    """The criteria in the spelling of the registry, each once; InvalidArgument for what is none.

    islands: how many searches are to share them.
    """
    if isinstance(names, str):
        raise InvalidArgument(f"expected coverage as several names, got the text {names!r}")
    known = {name.lower().replace("_", "-"): name for name in CRITERIA}
    for name in names:
        if not isinstance(name, str) or name.lower().replace("_", "-") not in known:
            raise InvalidArgument(
                f"unknown coverage criterion {name!r}{checks.suggest(str(name).lower(), CRITERIA.names())}"
            )
    found = tuple(dict.fromkeys(known[name.lower().replace("_", "-")] for name in names))
    for name in found:
        if islands > 1 and name not in _MAPPED:
            kind = CRITERIA.get(name)
            why = "islands share sections only" if kind.mergeable else "it depends on the order of inputs"
            raise InvalidArgument(
                f"expected coverage of {', '.join(DEFAULT)} with {islands} islands, got {name}: {why}; use "
                f"one island, or ask afterwards: armour corpus coverage DIR --coverage {name}"
            )
    return found


class Roots:
    """What a model does with the roots, as criteria are fitted to it.

    outcome: of the roots (R of them); layout: (name, width) of the tapped layers. The logits come last, in
    place of the last layer where that is the same.
    """

    def __init__(self, outcome: Outcome, layout: Sequence[tuple[str, int]]) -> None:
        self.layout = list(layout)
        self.black_box = not layout
        if self.layout and self.layout[-1][1] == outcome.logits.shape[1]:
            last = outcome.neurons[:, -self.layout[-1][1] :]
            if np.array_equal(last, outcome.logits, equal_nan=True):
                self.layout.pop()
        self.outcome = outcome

    @classmethod
    def of(cls, outcome: Outcome, executor: Executor) -> Roots:
        """Of an executor that has run the roots."""
        return cls(outcome, executor.layout)

    def layers(self, outcome: Outcome) -> Layers:
        """The layers (n, units) of an outcome, and its logits."""
        parts, start = {}, 0
        for name, width in self.layout:
            parts[name] = outcome.neurons[:, start : start + width]
            start += width
        name = LOGITS
        while name in parts:
            name += "'"
        return {**parts, name: outcome.logits}

    def fit(self, name: str) -> Criterion:
        """The criterion, calibrated on the roots; InvalidArgument if a black box cannot be measured by it."""
        kind = CRITERIA.get(name)
        if kind.layered and self.black_box:
            able = ", ".join(each for each in CRITERIA if not CRITERIA.get(each).layered)
            raise InvalidArgument(
                f"expected a model with layers for coverage {name}, got a black box; of one, there are {able}"
            )
        try:
            return kind.fit(self.layers(self.outcome))
        except InvalidArgument as error:
            raise InvalidArgument(f"coverage {name} cannot be fitted to the seeds: {error}") from error


class Measures:
    """The criteria `names` over one campaign, whose section map is `sections`."""

    def __init__(self, names: Sequence[str], sections: SectionMap, roots: Roots | None) -> None:
        self.names = tuple(names)
        self.sections = sections
        self.roots = roots
        self.fitted: dict[str, Criterion] = {}
        for name in self.names:
            if name not in _MAPPED:
                if roots is None:
                    raise InvalidArgument(f"expected what the model does with the roots, for coverage {name}")
                self.fitted[name] = roots.fit(name)
        self._before = None
        if roots is not None and any(one.paired for one in self.fitted.values()):
            self._before = roots.layers(roots.outcome)

    def update(self, outcome: Outcome, valid: np.ndarray, root: np.ndarray) -> None:
        """Note the valid ones (n,) bool of n executions of descendants of `root` (n,)."""
        if not self.fitted or self.roots is None:
            return
        rows = np.flatnonzero(valid)
        layers = {name: part[rows] for name, part in self.roots.layers(outcome).items()}
        for one in self.fitted.values():
            original = None
            if one.paired and self._before is not None:
                original = {name: part[root[rows]] for name, part in self._before.items()}
            one.update(layers, original)

    def values(self) -> dict[str, float]:
        """Name -> value."""
        return {
            name: float(getattr(self.sections, _MAPPED[name])) if name in _MAPPED else self.fitted[name].value
            for name in self.names
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The state of those that are not in the section map."""
        return {
            f"{name}.{key}": array for name, one in self.fitted.items() for key, array in one.arrays().items()
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what arrays() gave; ValueError or KeyError for what is no state of it."""
        for name, one in self.fitted.items():
            own = under(arrays, f"{name}.")
            one.restore(own)
