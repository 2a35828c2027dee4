"""What attacks by labels alone share: where they begin, and how they find the boundary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour.bounds import Bounds
from armour.regions import F32, F64, Array
from armour.rng import Streams

from .black_box import DecisionAttack, LabelAsker, Rows
from .starts import Starts

# (places (m,), at (m,)) -> inputs (m, ...): a path for each sample, of which `bracket` looks for one point.
Path: TypeAlias = Callable[[Rows, F64], F32]


@dataclass(frozen=True, slots=True, kw_only=True)
class WalkAttack(DecisionAttack):
    """An attack by labels alone that begins at some input that meets the criterion, and walks nearer.

    queries: as for DecisionAttack. starts: a Starts of inputs to begin from, or an array (m, ...) of them;
    each sample asks about a few of them, drawn by its stream. None: it begins from noise, which seldom meets
    a criterion that wants one class; a sample without luck stays as it is.
    """

    starts: Starts | None = None

    def __post_init__(self) -> None:
        DecisionAttack.__post_init__(self)
        object.__setattr__(self, "starts", Starts.of(self.starts))


_HALVINGS = 40  # more than float64 tells apart on any path
_TRIES = 8  # starts that a sample asks about at once
# Shares of the way from an input to noise; half of the way to an inverted image is grey, the same for all.
_LEVELS = (1.0, 0.6, 0.3)


def begin(asker: LabelAsker, rng: Streams, starts: Starts | None) -> Rows:
    """Ask about starts, or noise, until one meets the criterion; the samples (m,) for which one does.

    At most half of the queries. The asker's nearest is the nearest of them.
    """
    if starts is not None:
        starts.check(asker.x.shape[1:], asker.model.bounds)
    left = np.arange(len(asker.x))
    tries = 0
    while left.size:
        count = _TRIES if starts is not None else len(_LEVELS) * (6 if tries == 0 else 3)
        if tries and int(asker.used[left].max()) + count > asker.budget // 2:
            break
        for part in batches(len(left), count, asker.model.batch_size):
            rows = left[part]
            streams = rng[rows].child(tries)
            if starts is None:
                made = _noise(asker.x[rows], streams, asker.model.bounds, only_random=tries > 0)
            else:
                made = starts.x[streams.integers(len(starts.x), (count,))]
            asker.met(np.repeat(rows, count), made.reshape(-1, *asker.x.shape[1:]))
        left = left[np.isinf(asker.distance[left])]
        tries += 1
    return np.flatnonzero(np.isfinite(asker.distance))


def bracket(asker: LabelAsker, rows: Rows, path: Path, no: F64, yes: F64, width: F64) -> F64:
    """Halve between `no` and `yes` (m,) until they are nearer than `width`; the last that met, (m,).

    path: inputs at these places of `rows`. What lies at `yes` is known to meet the criterion.
    """
    no, yes = no.copy(), yes.copy()
    for _ in range(_HALVINGS):
        at = np.flatnonzero((np.abs(yes - no) > width) & (asker.left(rows) > 0))
        if not at.size:
            break
        middle = (no[at] + yes[at]) / 2
        met = asker.met(rows[at], path(at, middle))
        yes[at[met]], no[at[~met]] = middle[met], middle[~met]
    return yes


def straight(asker: LabelAsker, rows: Rows, adv: F32, width: float) -> None:
    """Halve on the way from adv (m, ...), which meet the criterion, to x; `width` is a share of that way."""
    x, toward = asker.x[rows], asker.norm.toward
    ends = np.zeros(len(rows)), np.ones(len(rows))
    bracket(asker, rows, lambda at, t: toward(x[at], adv[at], t), *ends, np.full(len(rows), width))


def batches(n: int, each: int, batch_size: int) -> Iterator[slice]:
    """Parts of n samples with `each` questions, so that one part fills a batch of the model."""
    size = max(1, batch_size // each)
    for first in range(0, n, size):
        yield slice(first, first + size)


def dot(a: Array, b: Array) -> Array:
    """(n,) inner products of the rows of two arrays (n, d)."""
    return np.asarray(np.einsum("nd,nd->n", a, b))


def images(x: NDArray[np.generic]) -> tuple[int, int, int]:
    """(c, h, w) of inputs (n, ...); anything but images is a column of values."""
    return x.shape[1:] if x.ndim == 4 else (1, int(np.prod(x.shape[1:])), 1)


def _noise(x: F32, streams: Streams, bounds: Bounds, only_random: bool) -> F32:
    """(n, tries, ...) inputs that are likely to have another label, the whole ones first."""
    c, h, w = images(x)
    low, high = np.float32(bounds.low), np.float32(bounds.high)
    kinds = [
        streams.uniform((c, h, w), float(low), float(high)),
        np.where(streams.uniform((c, h, w)) < 0.5, low, high),
        _cells(streams, (c, h, w), low, high),
    ]
    if not only_random:
        kinds += [low + high - x, np.full_like(x, low), np.full_like(x, high)]
    whole = np.stack([kind.reshape(x.shape) for kind in kinds], axis=1)
    parts = [whole if t == 1 else x[:, None] + np.float32(t) * (whole - x[:, None]) for t in _LEVELS]
    made: F32 = np.concatenate(parts, axis=1)
    return np.clip(made, low, high, out=made)


def _cells(streams: Streams, shape: tuple[int, int, int], low: np.float32, high: np.float32) -> F32:
    """Noise (n, c, h, w) of squares of one value: 2 to 8 to a side, each sample its own number."""
    c, h, w = shape
    side = 2 + streams.integers(7)
    values = streams.uniform((c, 8, 8), float(low), float(high))
    down, across = (np.arange(size) * side[:, None] // size for size in (h, w))
    n = np.arange(len(side))[:, None, None, None]
    made: F32 = values[n, np.arange(c)[:, None, None], down[:, None, :, None], across[:, None, None, :]]
    return made
