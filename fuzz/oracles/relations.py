"""What a relation expects of the outputs before and after a change, and relations as a file declares them.

    [[relation]]
    name = "mirror"                    # failures are filed under metamorphic-mirror
    change = "flip(axis=-1)"           # or a list, applied in order
    expect = "same-label"              # or close(tolerance=...), negated, ...
    labels = [0, 8]                    # optional: holds for inputs of these labels only
    every = 4                          # optional: one of so many executions is judged

One line says the same: `mirror[0,8]: flip(axis=-1) -> same-label / 4`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from armour import checks
from armour.errors import InvalidArgument
from armour.fuzz.execution import Outcome
from armour.registry import Registry

from .transforms import Call, changes

MAX_FILE = 1 << 20
MAX_RELATIONS = 64
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38}[A-Za-z0-9])?"
_LINE = re.compile(rf"({_NAME})(?:\[([0-9, ]*)\])?: (.+) -> ([^/]+?)(?: / ([0-9]{{1,9}}))?")

# outcomes before and after (n rows each), labels of the roots, numbers by name -> broken (n,) bool
Broken = Callable[..., np.ndarray]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must hold, its numbers with their defaults, and whether it is about what has changed at all."""

    broken: Broken
    defaults: Mapping[str, float | None]


EXPECTATIONS: Registry[Expectation] = Registry("expectation")


def expectation(name: str, **defaults: float | None) -> Callable[[Broken], Broken]:
    """Decorator: file the function, which says where the expectation is broken."""

    def add(function: Broken) -> Broken:
        EXPECTATIONS.register(name)(Expectation(function, defaults))
        return function

    return add


@expectation("same-label")
def _same(before: Outcome, after: Outcome, labels: np.ndarray) -> np.ndarray:
    """The label stays; as for label-flip, by at least 1e-4 in the logits."""
    gaps = after.gaps(np.maximum(before.predicted, 0))[np.arange(len(labels)), after.predicted]
    return np.asarray((after.predicted != before.predicted) & ((gaps <= -1) | (after.predicted < 0)))


@expectation("other-label")
def _other(before: Outcome, after: Outcome, labels: np.ndarray) -> np.ndarray:
    """The label changes."""
    return np.asarray(after.predicted == before.predicted)


@expectation("close", tolerance=1e-3)
def _close(before: Outcome, after: Outcome, labels: np.ndarray, tolerance: float) -> np.ndarray:
    """Every logit z stays within tolerance + tolerance |z|."""
    return ~_near(before.logits, after.logits, tolerance)


@expectation("negated", tolerance=1e-3)
def _negated(before: Outcome, after: Outcome, labels: np.ndarray, tolerance: float) -> np.ndarray:
    """Every logit changes its sign, within tolerance + tolerance |z|."""
    return ~_near(before.logits, -after.logits, tolerance)


@expectation("changes", tolerance=1e-6)
def _changes(before: Outcome, after: Outcome, labels: np.ndarray, tolerance: float) -> np.ndarray:
    """Some logit z changes by more than tolerance + tolerance |z|: what was changed matters."""
    return _near(before.logits, after.logits, tolerance)


@expectation("not-lower", label=-1.0, tolerance=1e-3)
def _not_lower(
    before: Outcome, after: Outcome, labels: np.ndarray, label: float, tolerance: float
) -> np.ndarray:
    """The probability of a label (-1: the root's) does not fall by more than the tolerance."""
    first, second = (probability(one, labels, label) for one in (before, after))
    return ~(second >= first - tolerance)


@expectation("not-higher", label=-1.0, tolerance=1e-3)
def _not_higher(
    before: Outcome, after: Outcome, labels: np.ndarray, label: float, tolerance: float
) -> np.ndarray:
    """The probability of a label (-1: the root's) does not rise by more than the tolerance."""
    first, second = (probability(one, labels, label) for one in (before, after))
    return ~(second <= first + tolerance)


def probability(outcome: Outcome, labels: np.ndarray, label: float = -1.0) -> np.ndarray:
    """(n,) float64: softmax probability of one label, or for -1 of each one's own; NaN if it has none."""
    classes = outcome.logits.shape[1]
    if label != int(label) or not -1 <= label < classes:
        raise InvalidArgument(f"expected a label in 0..{classes - 1}, or -1 for the root's, got {label:g}")
    own = labels if label < 0 else np.full(len(labels), int(label))
    with np.errstate(invalid="ignore", over="ignore"):
        shifted = np.exp((outcome.logits - outcome.logits.max(axis=1, keepdims=True)).astype(np.float64))
        return np.asarray(shifted[np.arange(len(own)), own] / shifted.sum(axis=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A declared relation; InvalidArgument for names that are none."""

    name: str
    change: tuple[Call, ...]
    expect: Call
    labels: tuple[int, ...] = ()
    every: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not re.fullmatch(_NAME, self.name):
            raise InvalidArgument(
                f"expected a relation's name of letters, digits and hyphens, got {str(self.name)[:40]!r}"
            )
        if not self.change:
            raise InvalidArgument(f"relation {self.name}: expected a change, got none")
        for call in self.change:
            changes(call)
        self.expect.filled(EXPECTATIONS.get(self.expect.name).defaults)
        checks.count("every", self.every)

    def __str__(self) -> str:
        only = f"[{','.join(map(str, self.labels))}]" if self.labels else ""
        rate = f" / {self.every}" if self.every > 1 else ""
        return f"{self.name}{only}: {'; '.join(map(str, self.change))} -> {self.expect}{rate}"

    @classmethod
    def parse(cls, text: str) -> Relation:
        """The relation that str() spells."""
        match = _LINE.fullmatch(text) if isinstance(text, str) and len(text) <= 4096 else None
        if match is None:
            raise InvalidArgument(
                f"expected a relation such as 'mirror: flip(axis=-1) -> same-label', got {str(text)[:60]!r}"
            )
        return cls(
            name=match[1],
            labels=tuple(int(one) for one in (match[2] or "").split(",") if one.strip()),
            change=tuple(Call.parse(part) for part in match[3].split(";")),
            expect=Call.parse(match[4]),
            every=int(match[5] or 1),
        )

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Relation:
        """From a table [[relation]] of a file."""
        unknown = sorted(set(table) - {"name", "change", "expect", "labels", "every"})
        if unknown or not {"name", "change", "expect"} <= set(table):
            raise InvalidArgument(
                "expected name, change and expect, and perhaps labels and every, got "
                f"{', '.join(map(str, unknown or sorted(table)))[:80]}"
            )
        change, labels = table["change"], table.get("labels", [])
        whole = isinstance(labels, list) and all(type(one) is int and one >= 0 for one in labels)
        if not whole or type(table.get("every", 1)) is not int:
            raise InvalidArgument(f"expected labels and every as whole numbers, got {str(labels)[:40]}")
        return cls(
            name=table["name"],
            change=tuple(Call.parse(one) for one in ([change] if isinstance(change, str) else list(change))),
            expect=Call.parse(table["expect"]),
            labels=tuple(labels),
            every=table.get("every", 1),
        )


def read_relations(path: Path) -> tuple[Relation, ...]:
    """The relations of a TOML file; InvalidArgument for anything that is none, with its number."""
    try:
        if path.stat().st_size > MAX_FILE:
            raise InvalidArgument(f"{path}: expected at most {MAX_FILE:,} bytes, got {path.stat().st_size:,}")
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgument(f"{path}: {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InvalidArgument(f"{path}: no TOML ({reason}); see armour.fuzz.oracles.relations") from error
    rows = tables.get("relation")
    if not isinstance(rows, list) or not rows or set(tables) != {"relation"}:
        raise InvalidArgument(
            f"{path}: expected tables [[relation]] and nothing else, got {', '.join(tables)[:60]}"
        )
    if len(rows) > MAX_RELATIONS:
        raise InvalidArgument(f"{path}: expected at most {MAX_RELATIONS} relations, got {len(rows)}")
    found = []
    for number, row in enumerate(rows, 1):
        try:
            found.append(Relation.of(row if isinstance(row, dict) else {}))
        except (InvalidArgument, TypeError) as error:
            raise InvalidArgument(f"{path}, relation {number}: {error}") from error
    names = [one.name for one in found]
    if len(set(names)) < len(names):
        raise InvalidArgument(f"{path}: expected relations of different names, got {', '.join(names)[:80]}")
    return tuple(found)


def _near(first: np.ndarray, second: np.ndarray, tolerance: float) -> np.ndarray:
    a, b = first.astype(np.float64), second.astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(a - b) <= tolerance + tolerance * np.abs(a)).all(axis=1))
