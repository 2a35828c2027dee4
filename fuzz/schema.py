"""What the columns of a table mean: kinds, ranges, missing values, and what must hold between them.

A schema is stated in TOML, in part or whole, and what it leaves open is inferred from the seeds:

    [[column]]                  # one for each value of an input, in order, or by index = 3
    name = "age"
    kind = "integer"            # numeric, integer, category, one-hot, fixed
    low = 0
    high = 120
    missing = -1                # the number that stands for "not known"

    [[column]]
    name = "colour"
    kind = "one-hot"
    width = 3                   # values side by side, of which one is 1 and the others 0

    [[constraint]]
    rule = "2*loan + rent <= income"
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from armour.checks import suggest
from armour.errors import InvalidArgument

KINDS = ("numeric", "integer", "category", "one-hot", "fixed")
_MOST_COLUMNS, _MOST_RULES, _MOST_VALUES = 1 << 16, 64, 4096
_FEW = 20  # different whole values of seeds up to which a column of them may be one of categories
_KEYS = frozenset({"name", "kind", "index", "width", "low", "high", "missing", "values"})
_TERM = re.compile(r"([+-]?)\s*(?:(\d+(?:\.\d*)?)\s*\*\s*)?([A-Za-z_][\w.-]*|\d+(?:\.\d*)?)\s*")
_RULE = re.compile(r"(.+?)(<=|>=|==)(.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One feature: `width` values from place `at` on; more than one only for "one-hot".

    low, high: the range of the seeds, or as stated (a mutant outside is invalid at V0); spread: standard
    deviation of the seeds, above 0; values: of a category, sorted; missing: the number for "not known".
    """

    name: str
    kind: str
    at: int
    width: int = 1
    low: float = 0.0
    high: float = 1.0
    spread: float = 1.0
    low_stated: bool = False
    high_stated: bool = False
    values: tuple[float, ...] = ()
    missing: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """sum of factors times the values at these places <= bound, or == bound; text: as it was stated."""

    places: tuple[int, ...]
    factors: tuple[float, ...]
    bound: float
    equal: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The columns, in order, and the constraints between them; size: values in an input."""

    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    size: int = field(default=0)

    def text(self) -> str:
        """As JSON, which `parse` reads."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def parse(cls, text: str, size: int) -> Schema:
        """What text() wrote, for inputs of `size` values; InvalidArgument for anything else."""
        try:
            found = json.loads(text)
            columns = tuple(
                Column(**{**one, "values": tuple(map(float, one["values"]))}) for one in found["columns"]
            )
            rules = tuple(
                Rule(
                    places=tuple(int(p) for p in one["places"]),
                    factors=tuple(float(f) for f in one["factors"]),
                    bound=float(one["bound"]),
                    equal=bool(one["equal"]),
                    text=str(one["text"]),
                )
                for one in found["rules"]
            )
            return cls(columns=columns, rules=rules, size=size).checked()
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = " ".join(str(error).split())[:120]
            raise InvalidArgument(
                f"expected a schema as armour writes it, got other text ({reason})"
            ) from None

    def checked(self) -> Schema:
        """This schema; InvalidArgument if its columns do not cover an input or its numbers make no sense."""
        place = 0
        for column in self.columns:
            numbers = (column.low, column.high, column.spread, *column.values)
            good = column.kind in KINDS and column.at == place and column.width >= 1
            good = good and (column.width == 1) == (column.kind != "one-hot")
            good = (
                good and bool(np.isfinite(numbers).all()) and column.low <= column.high and column.spread > 0
            )
            good = good and (column.kind != "category" or 0 < len(column.values) <= _MOST_VALUES)
            if not good or (column.missing is not None and not np.isfinite(column.missing)):
                raise InvalidArgument(
                    f"column {column.name[:40]!r}: expected one of {', '.join(KINDS)}, finite numbers, low "
                    f"at most high and the next place {place}, got kind {column.kind!r}, low {column.low}, "
                    f"high {column.high}, place {column.at}, width {column.width}"
                )
            place += column.width
        if place != self.size or len(self.rules) > _MOST_RULES:
            raise InvalidArgument(
                f"expected columns of {self.size} values in all and at most {_MOST_RULES} constraints, got "
                f"{place} and {len(self.rules)}"
            )
        for rule in self.rules:
            inside = (
                all(0 <= p < self.size for p in rule.places) and len(rule.places) == len(rule.factors) > 0
            )
            if not inside or not np.isfinite([*rule.factors, rule.bound]).all() or 0 in rule.factors:
                raise InvalidArgument(
                    f"constraint {rule.text[:60]!r}: expected columns with factors, got others"
                )
        return self


def infer(x: np.ndarray) -> Schema:
    """What the seeds x (n, size) say of themselves, with no ranges stated.

    Constant columns are fixed; neighbouring columns of 0 and 1 that sum to 1 in every seed are one-hot; two
    whole values make a category; whole numbers are integers; all else is numeric.
    """
    return build([], [], x)


def build(
    stated: Sequence[Mapping[str, Any]], constraints: Sequence[Mapping[str, Any]], x: np.ndarray
) -> Schema:
    """The schema of seeds x (n, size) from the [[column]] and [[constraint]] tables of a TOML file."""
    size = x.shape[1]
    if size > _MOST_COLUMNS:
        raise InvalidArgument(f"expected at most {_MOST_COLUMNS:,} columns, got {size:,}")
    given: dict[int, Mapping[str, Any]] = {}
    place = 0
    for number, one in enumerate(stated, 1):
        at, width = _place(one, number, place)
        if at < place or at + width > size:
            raise InvalidArgument(
                f"column {number} of the schema: expected a place in {place}..{size - width}, got {at}; "
                f"inputs have {size} values"
            )
        given[at] = one
        place = at + width
    if stated and place < size and not any("index" in one for one in stated):
        raise InvalidArgument(
            f"expected columns for all {size} values of an input, got {place}; add columns, or say which "
            "they are with index = N"
        )
    columns: list[Column] = []
    at = 0
    # A group of columns that nothing is said about is looked at together, for one-hot groups.
    while at < size:
        if at in given:
            columns.append(_stated(given[at], at, x))
            at += columns[-1].width
            continue
        end = min((k for k in given if k > at), default=size)
        columns += _inferred(x[:, at:end], at)
        at = end
    names = {column.name: column for column in columns}
    if len(names) < len(columns):
        raise InvalidArgument("expected columns of different names in the schema, got one name twice")
    rules = tuple(_rule(one, names) for one in constraints)
    return Schema(columns=tuple(columns), rules=rules, size=size).checked()


def _place(one: Mapping[str, Any], number: int, place: int) -> tuple[int, int]:
    if not isinstance(one, Mapping) or set(one) - _KEYS:
        wrong = sorted(map(str, set(one) - _KEYS))[0] if isinstance(one, Mapping) else "no table"
        raise InvalidArgument(f"column {number} of the schema: unknown key {wrong!r}{suggest(wrong, _KEYS)}")
    kind = one.get("kind")
    if kind is not None and kind not in KINDS:
        raise InvalidArgument(
            f"column {number} of the schema: unknown kind {kind!r}{suggest(str(kind), KINDS)}"
        )
    at, width = one.get("index", place), one.get("width", 1)
    if not all(isinstance(v, int) and not isinstance(v, bool) and v >= 0 for v in (at, width)) or width < 1:
        raise InvalidArgument(f"column {number} of the schema: expected whole numbers as index and width")
    if (width > 1) != (kind == "one-hot"):
        raise InvalidArgument(
            f"column {number} of the schema: expected width = 2 or more for one-hot, 1 otherwise, got {width}"
        )
    return at, width


def _stated(one: Mapping[str, Any], at: int, x: np.ndarray) -> Column:
    width = int(one.get("width", 1))
    values = x[:, at : at + width].astype(np.float64)
    name = str(one.get("name", f"c{at}"))
    try:
        missing = None if one.get("missing") is None else float(one["missing"])
        known = values[values != missing] if missing is not None else values
        known = known if known.size else values
        low, high = float(one.get("low", known.min())), float(one.get("high", known.max()))
        listed = tuple(sorted(float(v) for v in one.get("values", ())))
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"column {name[:40]!r}: expected numbers as low, high, missing and values; write missing values "
            "as a number, since inputs must be finite"
        ) from None
    kind = str(one.get("kind") or _kind_of(known))
    if kind == "category" and not listed:
        listed = tuple(np.unique(known).tolist())
    outside = (known < low) | (known > high)
    if kind == "category":
        outside |= ~np.isin(known, listed)
    elif kind == "integer":
        outside |= known != np.rint(known)
    elif kind == "one-hot":
        outside = (~np.isin(values, (0, 1))).any(axis=1) | (values.sum(axis=1) != 1)
    if outside.any():
        raise InvalidArgument(
            f"column {name[:40]!r}: expected seeds as the schema says ({kind}, {low:g} to {high:g}), "
            f"got {int(outside.sum())} that are not; correct the schema or the seeds"
        )
    return Column(
        name=name,
        kind=kind,
        at=at,
        width=width,
        low=low,
        high=high,
        spread=_spread(known, low, high),
        low_stated="low" in one,
        high_stated="high" in one,
        values=listed if kind == "category" else (),
        missing=missing,
    )


def _kind_of(values: np.ndarray) -> str:
    different = np.unique(values)
    if len(different) < 2:
        return "fixed"
    if (values == np.rint(values)).all():
        return "category" if len(different) == 2 else "integer"
    return "numeric"


def _inferred(x: np.ndarray, start: int) -> list[Column]:
    columns: list[Column] = []
    binary = np.asarray(np.isin(x, (0, 1)).all(axis=0))
    at = 0
    while at < x.shape[1]:
        width = _one_hot(x, at, binary)
        values = x[:, at : at + width].astype(np.float64)
        kind = "one-hot" if width > 1 else _kind_of(values)
        low, high = float(values.min()), float(values.max())
        columns.append(
            Column(
                name=f"c{start + at}",
                kind=kind,
                at=start + at,
                width=width,
                low=low,
                high=high,
                spread=_spread(values, low, high),
                values=tuple(np.unique(values).tolist()) if kind == "category" else (),
            )
        )
        at += width
    return columns


def _one_hot(x: np.ndarray, at: int, binary: np.ndarray) -> int:
    """Columns from `at` on that make up a one-hot group, or 1."""
    total = np.zeros(len(x))
    for end in range(at, x.shape[1]):
        if not binary[end]:
            return 1
        total = total + x[:, end]
        if (total > 1).any():
            return 1
        if (total == 1).all():
            return end + 1 - at
    return 1


def _spread(values: np.ndarray, low: float, high: float) -> float:
    return max(float(values.std()), 0.01 * (high - low), 1e-6)


def _rule(one: Mapping[str, Any], names: Mapping[str, Column]) -> Rule:
    """`2*a + b <= c + 3` as one sum on the left; no code is evaluated."""
    text = str(one.get("rule", "")) if isinstance(one, Mapping) else ""
    match = _RULE.fullmatch(text.strip()) if len(text) < 1000 else None
    if match is None:
        raise InvalidArgument(
            f'expected a constraint such as rule = "2*loan + rent <= income", got {text[:60]!r}'
        )
    left, sign, right = match.groups()
    if sign == ">=":
        left, right = right, left
    factors: dict[int, float] = {}
    bound = 0.0
    for side, direction in ((left, 1.0), (right, -1.0)):
        for factor, name in _terms(side, text):
            if name is None:
                bound -= direction * factor
            elif name not in names or names[name].width > 1:
                raise InvalidArgument(
                    f"constraint {text[:60]!r}: unknown column {name[:40]!r}{suggest(name, list(names))}"
                )
            else:
                at = names[name].at
                factors[at] = factors.get(at, 0.0) + direction * factor
    kept = {at: factor for at, factor in factors.items() if factor}
    return Rule(
        places=tuple(kept), factors=tuple(kept.values()), bound=bound, equal=sign == "==", text=text.strip()
    )


def _terms(side: str, text: str) -> list[tuple[float, str | None]]:
    found: list[tuple[float, str | None]] = []
    at, side = 0, side.strip()
    while at < len(side):
        match = _TERM.match(side, at)
        if match is None or (found and not match[1]):
            raise InvalidArgument(
                f"constraint {text[:60]!r}: expected sums of columns, got {side[at : at + 30]!r}"
            )
        sign, factor, name = match.groups()
        value = (-1.0 if sign == "-" else 1.0) * float(factor or 1)
        number = name[0].isdigit()
        found.append((value * float(name), None) if number else (value, name))
        at = match.end()
    if not found:
        raise InvalidArgument(f"constraint {text[:60]!r}: expected something on both sides")
    return found
