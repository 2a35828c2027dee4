"""VNN-LIB properties: read, write, and counterexamples, for complete verifiers beside an exported network.

The subset that the verification competition's files use: real constants X_i (inputs) and Y_j (outputs),
bounds of inputs, and linear inequalities of outputs, joined by `and` and `or`
(https://www.vnnlib.org, https://arxiv.org/abs/2212.10376). A property describes the *violation*: a network
holds it if no input of the box gives outputs that meet one of its cases.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour import checks
from armour.bounds import Bounds
from armour.errors import FormatError, InvalidArgument
from armour.files import write_text

MAX_BYTES = 32 << 20
MAX_NAMES = 1 << 22  # inputs or outputs
MAX_CASES = 10_000
MAX_CELLS = 1 << 22  # numbers in all cases together
MAX_DEPTH = 32

Expression: TypeAlias = "str | list[Expression]"
_TOKEN = re.compile(r";[^\n]*|[()]|[^\s();]+", re.ASCII)
_NAME = re.compile(r"([XY])_(0|[1-9]\d{0,8})", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One way to violate a property: outputs y (k,) with weights @ y <= limits, for all m rows.

    weights: (m, k) float64. limits: (m,) float64.
    """

    weights: NDArray[np.float64]
    limits: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Property:
    """A box of inputs, flattened, and the cases of outputs that violate the property.

    low, high: (d,) float64. cases: at least one; the property is violated where any of them is met.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    cases: tuple[Case, ...]

    @property
    def outputs(self) -> int:
        """The number of outputs k."""
        return int(self.cases[0].weights.shape[1])

    def contains(self, x: np.ndarray) -> NDArray[np.bool_]:
        """(n,) True where x (n, ...) lies in the box, to the last digit."""
        flat = np.asarray(x, np.float64).reshape(len(x), -1)
        return np.asarray(((flat >= self.low) & (flat <= self.high)).all(axis=1))

    def violated(self, outputs: np.ndarray) -> NDArray[np.bool_]:
        """(n,) True where outputs (n, k) meet one of the cases, to the last digit."""
        y = np.asarray(outputs, np.float64)
        met = [(y @ case.weights.T <= case.limits).all(axis=1) for case in self.cases]
        return np.asarray(np.logical_or.reduce(met))


def robustness(
    x: np.ndarray, y: int, epsilon: float, *, classes: int, bounds: Bounds | tuple[float, float] = (0.0, 1.0)
) -> Property:
    """The property of one sample x (any shape): all of its linf ball, inside the bounds, has the class y.

    Rounded outwards in float64, so that the box holds every such input. Raises InvalidArgument.
    """
    k, low_high = checks.count("classes", classes, 2), Bounds.of(bounds)
    if not 0 <= y < k:
        raise InvalidArgument(f"expected a label in 0..{k - 1}, got {y}")
    epsilon = checks.non_negative("epsilon", epsilon)
    flat = np.asarray(x, np.float64).reshape(-1)
    if not np.isfinite(flat).all():
        raise InvalidArgument("expected finite inputs, got NaN or infinity")
    low = np.maximum(np.nextafter(flat - epsilon, -np.inf), low_high.low)
    high = np.minimum(np.nextafter(flat + epsilon, np.inf), low_high.high)
    if (low > high).any():
        raise InvalidArgument(f"expected inputs inside the bounds {tuple(low_high)}, got others; clip them")
    cases = []
    for other in (j for j in range(k) if j != y):
        weights = np.zeros((1, k))
        weights[0, y], weights[0, other] = 1.0, -1.0
        cases.append(Case(weights=weights, limits=np.zeros(1)))
    return Property(low=low, high=high, cases=tuple(cases))


def read(path: str | Path) -> Property:
    """The property of a file; FormatError, in one line, for what is outside the subset or its limits."""
    path = Path(path)
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FormatError(f"expected a property of at most {MAX_BYTES:,} bytes in {path}, got {size:,}")
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"expected a VNN-LIB property in {path}, which cannot be read: {error}") from error
    try:
        return parse(text)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error


def parse(text: str) -> Property:
    """The property in a VNN-LIB text; FormatError as for `read`."""
    counts = {"X": 0, "Y": 0}
    asserts: list[Expression] = []
    for command in _expressions(text):
        match command:
            case ["declare-const", str(name), "Real"]:
                kind, index = _named(name)
                if index != counts[kind]:
                    raise FormatError(f"expected {kind}_{counts[kind]} to be declared next, got {name}")
                counts[kind] += 1
                if index >= MAX_NAMES:
                    raise FormatError(f"expected at most {MAX_NAMES:,} constants, got more")
            case ["assert", body]:
                asserts.append(body)
            case ["set-logic", str()] | ["check-sat"] | ["exit"]:
                pass
            case _:
                raise FormatError(f"expected declare-const NAME Real or assert, got {_shown(command)}")
    if not counts["X"] or not counts["Y"]:
        raise FormatError("expected constants X_0... and Y_0... to be declared, got none of one kind")
    return _property(asserts, counts["X"], counts["Y"])


def write(path: str | Path, prop: Property, *, comment: str = "") -> None:
    """Write the property, whole or not at all; numbers come back from `read` to the last digit."""
    lines = [f"; {part}" for part in comment.encode("ascii", "replace").decode().splitlines()]
    lines += [f"(declare-const X_{i} Real)" for i in range(len(prop.low))]
    lines += [f"(declare-const Y_{j} Real)" for j in range(prop.outputs)]
    for i, (low, high) in enumerate(zip(prop.low.tolist(), prop.high.tolist(), strict=True)):
        lines += [f"(assert (>= X_{i} {_number(low)}))", f"(assert (<= X_{i} {_number(high)}))"]
    lines.append("(assert (or")
    for case in prop.cases:
        rows = (
            f"(<= {_sum(w)} {_number(limit)})"
            for w, limit in zip(case.weights.tolist(), case.limits.tolist(), strict=True)
        )
        lines.append(f"  (and {' '.join(rows)})")
    write_text(path, "\n".join([*lines, "))"]) + "\n")


def write_counterexample(path: str | Path, prop: Property, x: np.ndarray, outputs: np.ndarray) -> None:
    """Write input x and outputs (k,) as the competition does: `sat`, then ((X_0 value) ... (Y_0 value) ...).

    Raises InvalidArgument unless x lies in the box and the outputs violate the property.
    """
    flat = np.asarray(x, np.float64).reshape(1, -1)
    y = np.asarray(outputs, np.float64).reshape(1, -1)
    if flat.shape[1] != len(prop.low) or y.shape[1] != prop.outputs:
        raise InvalidArgument(
            f"expected {len(prop.low)} inputs and {prop.outputs} outputs, "
            f"got {flat.shape[1]} and {y.shape[1]}"
        )
    if not prop.contains(flat)[0] or not prop.violated(y)[0]:
        raise InvalidArgument("expected a counterexample, got an input outside the box or outputs that hold")
    pairs = [f"(X_{i} {value!r})" for i, value in enumerate(flat[0].tolist())]
    pairs += [f"(Y_{j} {value!r})" for j, value in enumerate(y[0].tolist())]
    write_text(path, "sat\n(" + "\n".join(pairs) + ")\n")


def _expressions(text: str) -> list[list[Expression]]:
    """The bracketed expressions of a text, without recursion and no deeper than MAX_DEPTH."""
    top: list[Expression] = []
    stack = [top]
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "(":
            if len(stack) > MAX_DEPTH:
                raise FormatError(f"expected brackets at most {MAX_DEPTH} deep, got more")
            inner: list[Expression] = []
            stack[-1].append(inner)
            stack.append(inner)
        elif token == ")":
            if len(stack) == 1:
                raise FormatError("expected balanced brackets, got one ) too many")
            stack.pop()
        elif not token.startswith(";"):
            stack[-1].append(token)
    if len(stack) > 1:
        raise FormatError(f"expected balanced brackets, got {len(stack) - 1} that are never closed")
    found = []
    for item in top:
        if isinstance(item, str):
            raise FormatError(f"expected commands in brackets, got {_shown(item)}")
        found.append(item)
    return found


def _property(asserts: list[Expression], inputs: int, outputs: int) -> Property:
    low, high = np.full(inputs, -np.inf), np.full(inputs, np.inf)
    cases: list[list[tuple[dict[int, float], float]]] = [[]]
    for body in asserts:
        terms = _terms(body)
        if _speaks_of_inputs(terms):
            for rows in terms[0] if len(terms) == 1 else _mixed(body):
                _bound(rows, low, high, body)
            continue
        # A conjunction of disjunctions: every pair of cases.
        if len(cases) * len(terms) > MAX_CASES:
            raise FormatError(f"expected at most {MAX_CASES:,} cases of outputs, got more")
        size = len(terms) * sum(map(len, cases)) + len(cases) * sum(map(len, terms))
        if size * outputs > MAX_CELLS:
            raise FormatError(f"expected at most {MAX_CELLS:,} numbers in the cases of outputs, got more")
        plain = [[(weights, limit) for _, weights, limit in case] for case in terms]
        cases = [[*before, *case] for before in cases for case in plain]
    if cases == [[]]:
        raise FormatError("expected a condition of the outputs, got none")
    if not (np.isfinite(low) & np.isfinite(high)).all():
        i = int(np.flatnonzero(~(np.isfinite(low) & np.isfinite(high)))[0])
        raise FormatError(
            f"expected a lower and an upper bound of each input, got none of one kind for X_{i}"
        )
    if (low > high).any():
        raise FormatError(f"expected low <= high, got an empty range for X_{int(np.argmax(low > high))}")
    return Property(low=low, high=high, cases=tuple(_case(case, outputs) for case in cases))


Row: TypeAlias = tuple[str, dict[int, float], float]


def _case(rows: list[tuple[dict[int, float], float]], outputs: int) -> Case:
    weights, limits = np.zeros((len(rows), outputs)), np.zeros(len(rows))
    for i, (row, limit) in enumerate(rows):
        if max(row) >= outputs:
            raise FormatError(f"expected outputs below Y_{outputs}, got Y_{max(row)}, which is not declared")
        weights[i, list(row)], limits[i] = list(row.values()), limit
    return Case(weights=weights, limits=limits)


def _terms(body: Expression) -> list[list[Row]]:
    """The cases of `or` of `and` of inequalities; each part may be missing."""
    match body:
        case ["or", *parts] if parts:
            return [_rows(part) for part in parts]
        case _:
            return [_rows(body)]


def _rows(body: Expression) -> list[Row]:
    match body:
        case ["and", *parts] if parts:
            return [_inequality(part) for part in parts]
        case _:
            return [_inequality(body)]


def _inequality(body: Expression) -> Row:
    """(kind, weights, limit) of sum <= limit."""
    match body:
        case [("<=" | ">=") as sign, left, right]:
            kinds: set[str] = set()
            weights: dict[int, float] = {}
            constant = 0.0
            for side, factor in ((left, 1.0), (right, -1.0)):
                for name, value in _linear(side):
                    value *= factor if sign == "<=" else -factor
                    if name is None:
                        constant += value
                        continue
                    kinds.add(name[0])
                    weights[name[1]] = weights.get(name[1], 0.0) + value
            if len(kinds) != 1:
                raise FormatError(f"expected an inequality of inputs or of outputs, got {_shown(body)}")
            if not all(map(math.isfinite, (constant, *weights.values()))):
                raise FormatError(f"expected finite numbers, got {_shown(body)}")
            return kinds.pop(), weights, -constant + 0.0
        case _:
            raise FormatError(f"expected (<= a b) or (>= a b), got {_shown(body)}")


def _linear(body: Expression, factor: float = 1.0) -> list[tuple[tuple[str, int] | None, float]]:
    """(name or None for a constant, coefficient) of a sum; its depth is limited by the reader."""
    match body:
        case str():
            if _NUMBER.fullmatch(body):
                return [(None, factor * float(body))]
            return [(_named(body), factor)]
        case ["+", *parts] if parts:
            return [term for part in parts for term in _linear(part, factor)]
        case ["-", part]:
            return _linear(part, -factor)
        case ["-", first, *parts] if parts:
            return _linear(first, factor) + [term for part in parts for term in _linear(part, -factor)]
        case ["*", str(number), part] if _NUMBER.fullmatch(number):
            return _linear(part, factor * float(number))
        case _:
            raise FormatError(f"expected a linear expression, got {_shown(body)}")


def _speaks_of_inputs(terms: list[list[Row]]) -> bool:
    kinds = {kind for case in terms for kind, _, _ in case}
    if len(kinds) > 1:
        raise FormatError(
            "expected conditions of inputs and of outputs in asserts of their own, got one of both"
        )
    return kinds == {"X"}


def _mixed(body: Expression) -> list[Row]:
    raise FormatError(f"expected one box of inputs, got several: {_shown(body)}; split the file by box")


def _bound(row: Row, low: np.ndarray, high: np.ndarray, body: Expression) -> None:
    """Narrow the box by a * X_i <= limit."""
    _, weights, limit = row
    (index, weight), *more = weights.items()
    if more or weight == 0 or index >= len(low):
        raise FormatError(f"expected a bound of one declared input, got {_shown(body)}")
    if weight > 0:
        high[index] = min(high[index], limit / weight)
    else:
        low[index] = max(low[index], limit / weight)


def _named(name: str) -> tuple[str, int]:
    found = _NAME.fullmatch(name)
    if found is None:
        raise FormatError(f"expected a number, X_i or Y_j, got {_shown(name)}")
    return found[1], int(found[2])


def _number(value: float) -> str:
    return repr(float(value))


def _sum(weights: list[float]) -> str:
    terms = [f"(* {_number(w)} Y_{j})" for j, w in enumerate(weights) if w]
    if not terms:
        return "(* 0.0 Y_0)"
    return terms[0] if len(terms) == 1 else f"(+ {' '.join(terms)})"


def _shown(body: Expression) -> str:
    text = (
        body
        if isinstance(body, str)
        else f"({' '.join(p if isinstance(p, str) else '(...)' for p in body[:4])})"
    )
    return repr(text if len(text) <= 60 else text[:57] + "...")
