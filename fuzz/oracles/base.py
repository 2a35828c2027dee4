"""What an oracle is, what it gets to see, and the registry of them.

An oracle says when what a model did with a mutant is a failure. It is a frozen dataclass whose fields are its
settings; `bind` prepares it for one model and gives a pure function of a batch. `NAME:key=value,...` spells
one, in a configuration and on the command line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np

from armour import checks
from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.fuzz.execution import Executor, Outcome
from armour.fuzz.roots import Roots
from armour.model import Model
from armour.registry import Registry

Severity = Literal["high", "medium", "info"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "info")
O = TypeVar("O", bound="type[Oracle]")  # noqa: E741


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What an oracle is bound to: the model and its executor, the roots, and others to compare with."""

    model: Model
    executor: Executor
    roots: Roots
    bounds: Bounds
    others: Mapping[str, Model] = field(default_factory=dict)


@dataclass(slots=True)
class Meter:
    """Counts the inputs that oracles ran on their own account."""

    count: int = 0


@dataclass(frozen=True, slots=True)
class Seen:
    """What n executions show.

    x: (n, *shape) float32. root: (n,) int64, number of each one's root. labels: (n,) int64, the roots'.
    outcome: what the model did with x. Further passes, which an oracle may ask for, are counted in `meter`.
    """

    x: np.ndarray
    root: np.ndarray
    labels: np.ndarray
    outcome: Outcome
    place: Place
    meter: Meter = field(default_factory=Meter)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows: np.ndarray) -> Seen:
        return Seen(
            self.x[rows], self.root[rows], self.labels[rows], self.outcome[rows], self.place, self.meter
        )

    @property
    def origin(self) -> np.ndarray:
        """(n, *shape): the roots themselves."""
        return np.asarray(self.place.roots.x[self.root])

    @property
    def origin_gaps(self) -> np.ndarray:
        """(n, k) int64: the gaps of the roots, as in Outcome.gaps."""
        return np.asarray(self.place.roots.gaps[self.root])

    def run(self, x: np.ndarray, executor: Executor | None = None, *, pad: bool = True) -> Outcome:
        """What the model, or another behind its own executor, does with x (m, *shape).

        Layers are not read. pad: to batches of fixed shapes.
        """
        self.meter.count += len(x)
        return (executor or self.place.executor).run(x, taps=False, pad=pad)


@dataclass(frozen=True, slots=True)
class Verdict:
    """hit: (n,) bool. label: (n,) int64 that failures are filed under; the model's own by default."""

    hit: np.ndarray
    label: np.ndarray | None = None


Judge = Callable[[Seen], "Verdict | np.ndarray"]


class Oracle:
    """A named judgement; subclasses are frozen dataclasses of settings, registered under a name.

    severity: of a hit. needs_validity: a hit counts only at or above the required validity level. asks: runs
    further inputs, so only what would count is judged. reads_layers: needs outcomes with layers. raises:
    names no failure of its own, but makes those it hits as severe as it is. general: what specific oracles
    may say better. A setting `every`, if it has one, lets a campaign judge one of so many
    executions.
    """

    __slots__ = ()
    name: ClassVar[str]
    severity: ClassVar[Severity] = "medium"
    needs_validity: ClassVar[bool] = True
    asks: ClassVar[bool] = False
    reads_layers: ClassVar[bool] = False
    raises: ClassVar[bool] = False
    general: ClassVar[bool] = False

    @property
    def key(self) -> str:
        """What failures are filed under: letters, digits and hyphens."""
        return self.name

    @property
    def isolates(self) -> bool:
        """True if the model must run in a process of its own."""
        return False

    def bind(self, place: Place) -> Judge:
        """The judgement on this model: a pure function, whatever rows are judged together.

        UnsupportedError, in one line, if the model is none that it can judge.
        """
        return self.judge

    def judge(self, seen: Seen) -> Verdict | np.ndarray:
        """Which of n executions are failures. Subclasses write this, or `bind` if they must prepare first."""
        return self.bind(seen.place)(seen)

    def __str__(self) -> str:
        values = [(one.name, getattr(self, one.name)) for one in fields(self)]  # type: ignore[arg-type]
        return self.name + (":" + ",".join(f"{k}={_spelt(v)}" for k, v in values) if values else "")


ORACLES: Registry[type[Oracle]] = Registry("oracle")


def register(name: str) -> Callable[[O], O]:
    """Decorator: file an oracle under `name`."""

    def add(cls: O) -> O:
        cls.name = name
        ORACLES.register(name)(cls)
        return cls

    return add


def parse(text: str) -> Oracle:
    """The oracle that NAME[:key=value,...] spells; InvalidArgument for what is none."""
    name, _, rest = text.partition(":")
    cls = ORACLES.get(name.strip())
    known = {one.name: one for one in fields(cls)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, sign, value = (piece.strip() for piece in part.partition("="))
        key = key.replace("-", "_")
        if not sign or key not in known:
            expected = ", ".join(f"{one}=..." for one in known) or "no settings"
            raise InvalidArgument(f"oracle {cls.name}: expected {expected}, got {part[:40]!r}")
        values[key] = _value(cls.name, key, str(known[key].type), value)
    missing = [n for n, one in known.items() if one.default is MISSING and n not in values]
    if missing:
        wanted = ",".join(f"{one}=..." for one in missing)
        raise InvalidArgument(f"oracle {cls.name} needs {wanted}, as in --oracle {cls.name}:{wanted}")
    return cls(**values)


def blamed(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(n,) int64: the answer to file a failure under: the first, or the second if the first is right."""
    return np.asarray(np.where(first != labels, first, second))


def _value(name: str, key: str, kind: str, text: str) -> Any:
    try:
        if kind == "bool":
            return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}[
                text.lower()
            ]
        return {"int": int, "float": float, "str": str}[kind](text)
    except (KeyError, ValueError):
        described = checks.describe(key, text)
        raise InvalidArgument(f"oracle {name}: expected {key} as {kind}, got {described}") from None


def _spelt(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
