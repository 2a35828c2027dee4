"""Made-up inputs of every kind, and what mutators need besides them, for the contract of mutators."""

from __future__ import annotations

from typing import Any

import numpy as np
from pictures import images

from armour.bounds import Bounds
from armour.fuzz.mutators import get
from armour.fuzz.schema import build
from armour.fuzz.slopes import FEATURES, TOWARD, Slopes, SlopesAt
from armour.fuzz.table import Table
from armour.fuzz.tokens import Pairs, Tokens
from armour.fuzz.words import Words

WHOLE = ("whole", "bytes", "tokens")
# Where each kind of inputs lives in the tests that look at one shape.
HOME = {"image": (3, 17, 23), "tabular": (12,)}
TABLE = [
    {"name": "age", "kind": "integer", "low": 0, "high": 120},
    {"name": "income", "kind": "numeric", "low": 0},
    {"name": "loan", "kind": "numeric", "low": 0, "missing": 999},
    {"name": "sex", "kind": "category", "values": [0, 1, 2]},
    {"name": "job", "kind": "one-hot", "width": 4},
    {"name": "code", "kind": "fixed"},
    {"index": 9},
]
RULES = [{"rule": "2*loan <= income + 10"}]


def kind_of(name: str) -> str:
    """The kind that a mutator is first of all for."""
    return get(name).inputs[0]


def bounds_of(name: str) -> list[Bounds]:
    """Bounds that inputs of a mutator may have."""
    kind = kind_of(name)
    if kind == "tabular":
        return [Bounds(-1000, 1000)]
    if kind in WHOLE:
        return [Bounds(0, 255), Bounds(0, 256)] if kind == "bytes" else [Bounds(0, 255), Bounds(-2, 30)]
    return [Bounds(0, 1), Bounds(0, 255), Bounds(-1, 1)]


def shape_of(name: str) -> tuple[int, ...]:
    """A shape of inputs of a mutator."""
    return HOME.get(kind_of(name), (2, 53))


def inputs(name: str, n: int, shape: tuple[int, ...], bounds: Bounds) -> np.ndarray:
    """(n, *shape) of the kind that the mutator is for."""
    kind = kind_of(name)
    if kind == "image":
        return images(n, shape, bounds)
    if kind == "tabular":
        return rows(n)
    rng = np.random.default_rng(3)
    if kind in WHOLE:
        # Padding at the end, as sequences have it.
        x = rng.integers(max(bounds.low, 1), min(bounds.high, 255) + 1, (n, *shape)).astype(np.float32)
        x[..., -3:] = max(bounds.low, 0)
        return x
    x = np.clip(0.5 + 0.2 * rng.standard_normal((n, *shape)), 0, 1)
    return (x * bounds.span + bounds.low).astype(np.float32)


def rows(n: int) -> np.ndarray:
    """(n, 12) rows of a table as TABLE describes it."""
    rng = np.random.default_rng(9)
    x = np.zeros((n, 12), np.float32)
    x[:, 0] = rng.integers(18, 90, n)
    x[:, 1] = rng.gamma(4, 20, n)
    x[:, 2] = np.where(rng.random(n) < 0.2, 999, x[:, 1] * rng.random(n) * 0.4)
    x[:, 3] = rng.integers(0, 3, n)
    x[np.arange(n), 4 + rng.integers(0, 4, n)] = 1
    x[:, 8] = 7
    x[:, 9:] = rng.standard_normal((n, 3))
    return x


def table() -> Table:
    """What TABLE says."""
    return Table(build(TABLE, RULES, rows(200)))


def extra(name: str, x: np.ndarray) -> Any:
    """What the mutator must be given besides x (n, *shape)."""
    needs, (n, *shape) = get(name).needs, x.shape
    rng = np.random.default_rng(4)
    if needs == "slopes":
        parts = [rng.integers(-1, 2, (7, count, *shape)) for count in (TOWARD, 1)]
        parts[1] *= 127
        parts.append(rng.integers(-127, 128, (7, FEATURES, *shape)))
        return SlopesAt(Slopes(*(part.astype(np.int8) for part in parts)), np.arange(n) % 7)
    if needs == "words":
        return Words.of([b"GET", b"\x00\xff", b"x", b"a longer word"])
    if needs in ("synonyms", "spellings", "unknown", "padding"):
        pairs = Pairs.of({t: {t ^ 1, t ^ 2, t ^ 4} for t in range(1, 256) if t % 5}, 260)
        return Tokens(unknown=3, padding=0, fixed=np.array([1, 2]), synonyms=pairs, spellings=pairs)
    return table() if needs else None


def part(extra: Any, group: list[int]) -> Any:
    """What belongs to some of the items alone."""
    return SlopesAt(extra.slopes, extra.root[group]) if isinstance(extra, SlopesAt) else extra
