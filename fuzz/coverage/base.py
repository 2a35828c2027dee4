"""What all coverage criteria share: `update` gives the gain per sample, `value` what has been covered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np

from armour.errors import InvalidArgument
from armour.fuzz.sections import Values, columns, first_hits
from armour.registry import Registry

Form = Literal["share", "count", "ratio"]
Layers = dict[str, np.ndarray]


class Criterion(ABC):
    """A coverage criterion over the activations {layer: (n, units) or (n, channels, ...)} of a model.

    The first update, or `fit`, fixes the layers and their widths. form: what `value` is, a share in [0, 1], a
    count, or a ratio to the clean data's. monotone: `value` never falls. mergeable: the states of two runs
    can be joined, so that islands may use it. paired: `update` needs the activations of the originals too.
    layered: it looks at all layers, so that a black box, which has logits alone, cannot be measured by it.
    """

    form: ClassVar[Form] = "share"
    monotone: ClassVar[bool] = True
    mergeable: ClassVar[bool] = True
    paired: ClassVar[bool] = False
    layered: ClassVar[bool] = True
    # Attributes in which two of a kind must agree before they are merged.
    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self.layout: list[tuple[str, int]] | None = None

    @classmethod
    def fit(cls, clean: Values) -> Self:
        """One calibrated on the activations of clean data, the logits as the last layer."""
        made = cls()
        made._fix(columns(clean))
        return made

    def update(self, activations: Values, original: Values | None = None) -> np.ndarray:
        """Gain of each sample (n,) in their order; what two samples cover is credited to the first.

        int64 cells or points, float64 for a ratio; below 0 only where the criterion is not monotone. Samples
        that are not finite cover nothing. original: activations of what each sample was made from, for a
        paired criterion. Raises InvalidArgument for other layers than before.
        """
        parts = self._parts(activations)
        if not self.paired:
            return self._take(parts)
        if original is None:
            raise InvalidArgument("expected the activations of the originals as well, got None")
        before = self._parts(original)
        if len(_first(before)) != len(_first(parts)):
            raise InvalidArgument(
                f"expected as many originals as samples, got {len(_first(before))} and {len(_first(parts))}"
            )
        with np.errstate(invalid="ignore", over="ignore"):
            moved = {name: part - before[name] for name, part in parts.items()}
        return self._take(moved)

    @property
    @abstractmethod
    def value(self) -> float:
        """What has been covered, in the criterion's form."""

    @abstractmethod
    def _take(self, parts: Layers) -> np.ndarray:
        """The gain (n,) of samples whose layers (n, units) have been checked; of differences if paired."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """The state as arrays; what `fit` found out is no part of it."""

    @abstractmethod
    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take over what arrays() gave; ValueError or KeyError for what is no state of it."""

    def merge(self, other: Criterion) -> None:
        """Take in what another of the same kind, layers and settings has covered; it stays as it was.

        InvalidArgument if that is another kind, or if the criterion depends on the order of samples.
        """
        if not self.mergeable:
            raise InvalidArgument(
                f"{type(self).__name__} depends on the order of samples, so that two runs of it cannot be "
                "merged; use one island, or another criterion"
            )
        if type(self) is not type(other) or self.layout != other.layout:
            raise InvalidArgument(
                f"expected another {type(self).__name__} of the layers {self.layout}, got "
                f"{type(other).__name__} of {other.layout}"
            )
        for name in self.settings:
            if not np.array_equal(getattr(self, name), getattr(other, name)):
                raise InvalidArgument(f"expected two {type(self).__name__} of the same {name}")
        if self.layout is not None:
            self._join(other)

    @abstractmethod
    def _join(self, other: Any) -> None:
        """Merge the states of two that agree."""

    def _fix(self, parts: Layers) -> None:
        """Settle the layers and make room for them."""
        self.layout = [(name, part.shape[1]) for name, part in parts.items()]

    def _parts(self, activations: Values) -> Layers:
        if not activations:
            raise InvalidArgument(
                "expected activations of at least one layer, got none; a black box has no layers"
            )
        with np.errstate(invalid="ignore", over="ignore"):
            parts = columns(activations)
        if self.layout is None:
            self._fix(parts)
        layout = [(name, part.shape[1]) for name, part in parts.items()]
        if layout != self.layout:
            raise InvalidArgument(f"expected layers {self.layout}, got {layout}; use one criterion per model")
        return parts


class CellCriterion(Criterion):
    """Covers cells: a fixed number of them, each covered or not."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = np.zeros(0, bool)

    def hits(self, activations: Values) -> np.ndarray:
        """Cells hit by each sample, (n, m) int64 with -1 for none."""
        return self._hits(self._parts(activations))

    @property
    def value(self) -> float:
        """Share of all cells covered, 0 before the first update."""
        return float(self.seen.mean()) if self.seen.size else 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        return {"seen": self.seen}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        seen = arrays["seen"]
        if seen.dtype != bool or seen.shape != self.seen.shape:
            raise ValueError(f"expected seen as bool {self.seen.shape}, got {seen.dtype} {seen.shape}")
        self.seen = seen.copy()

    @abstractmethod
    def _cells(self, width: int) -> int:
        """How many cells there are for `width` neurons."""

    @abstractmethod
    def _hits(self, parts: Layers) -> np.ndarray:
        """Cells hit by each row, (n, m) int64 with -1 for none."""

    def _fix(self, parts: Layers) -> None:
        super()._fix(parts)
        self.seen = np.zeros(self._cells(sum(part.shape[1] for part in parts.values())), bool)

    def _take(self, parts: Layers) -> np.ndarray:
        return first_hits(self._hits(parts), self.seen)

    def _join(self, other: CellCriterion) -> None:
        self.seen |= other.seen


CRITERIA: Registry[type[Criterion]] = Registry("coverage criterion")


def joined(parts: Layers) -> np.ndarray:
    """(n, N): all layers side by side."""
    return np.concatenate(list(parts.values()), axis=1)


def shown(name: str, value: float) -> str:
    """A criterion's value for people: "61.2 %", a count, or a ratio."""
    form = CRITERIA.get(name).form if name in CRITERIA else "share"
    if form == "share":
        return f"{100 * value:.1f} %"
    return f"{value:,.0f}" if form == "count" else f"{value:.2f} times"


def _first(parts: Layers) -> np.ndarray:
    return next(iter(parts.values()))
