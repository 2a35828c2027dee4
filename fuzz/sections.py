"""Neuron coverage by section ids: which part of its seen range does each neuron's value fall into?

A neuron is a unit of a dense layer or a channel of a convolution (its spatial mean). Its profile [low,
high] is the range it takes on seed data, cut into k equal sections; every execution hits exactly one of the
sections 0..k+1 per neuron (0: below the profile, k+1: above it), so ids are stored and no bitmaps. Coverage
is reported and used to decide what a corpus keeps; it is never a verdict (raising it was measured not to
find more failures).

Ma et al., DeepGauge, 2018, https://arxiv.org/abs/1803.07519.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from armour import checks
from armour.errors import InvalidArgument
from armour.summaries import units

from .simhash import SECTIONS

_CHUNK = 1 << 15  # values at a time, so that the steps between stay in the cache
Values: TypeAlias = Mapping[str, Any]


def neurons(activations: Values) -> np.ndarray:
    """(n, N) float: one column per dense unit or channel, layers in their order; NaN passes through.

    activations: layer -> (n, units) or (n, channels, ...).
    """
    if not activations:
        raise InvalidArgument(
            "expected activations of at least one layer, got none; a black box has no layers"
        )
    return np.concatenate(list(columns(activations).values()), axis=1)


def columns(activations: Values) -> dict[str, np.ndarray]:
    """Layer -> (n, units or channels): the columns of each layer in `neurons`."""
    return {name: units(name, np.asarray(values)) for name, values in activations.items()}


def by_sample(activations: Values, n: int, *, alone: bool) -> dict[str, np.ndarray]:
    """The layers that say something of each of n samples, as (n, units) or (n, channels, ...).

    alone: the model runs one sample at a time. Then a layer whose first axis is a sample's steps, (n * steps,
    channels, ...), becomes (n, channels, steps, ...); otherwise nobody knows which row is whose, and such a
    layer is left out, as are those without an axis of units.
    """
    found: dict[str, np.ndarray] = {}
    for name, given in activations.items():
        values = np.asarray(given)
        if values.ndim < 2 or not n or len(values) % n:
            continue
        if len(values) == n:
            found[name] = values
        elif alone:
            found[name] = np.swapaxes(values.reshape(n, len(values) // n, *values.shape[1:]), 1, 2)
    return found


def distinct_layers(activations: Values, x: np.ndarray) -> list[str]:
    """Layers whose output is neither the layer before it in another shape nor the scaled input.

    x: (n, ...) inputs of the model. Such layers are flatten, identity and dropout; a unit of theirs is no
    neuron.
    """
    kept: list[str] = []
    previous = scaled = _standard(x)
    for name, values in activations.items():
        flat = np.asarray(values).reshape(len(values), -1)
        same = flat.shape == previous.shape and np.array_equal(flat, previous, equal_nan=True)
        if not same and flat.shape == scaled.shape:
            same = np.allclose(_standard(flat.reshape(x.shape)), scaled, atol=1e-3)
        if not same:
            kept.append(name)
        previous = flat
    return kept


def _standard(x: np.ndarray) -> np.ndarray:
    """(n, size): x (n, c, ...) with mean 0 and standard deviation 1 in each channel."""
    axes = (0, *range(2, x.ndim))
    with np.errstate(invalid="ignore", over="ignore"):
        centred = x - x.mean(axis=axes, keepdims=True)
        scaled: np.ndarray = centred / (centred.std(axis=axes, keepdims=True) + 1e-12)
    return scaled.reshape(len(x), -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The range of each neuron on seed data.

    low, high: (N,) float32; neurons that were never finite have low = high = 0.
    """

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def fit(cls, values: np.ndarray) -> Profile:
        """From neuron values (n, N) of n >= 1 seeds; non-finite values are left out."""
        if values.ndim != 2 or len(values) == 0:
            raise InvalidArgument(
                f"expected neuron values (n, N) with n >= 1, got {checks.describe('values', values)}"
            )
        finite = np.isfinite(values)
        low = np.where(finite, values, np.inf).min(axis=0)
        high = np.where(finite, values, -np.inf).max(axis=0)
        seen = finite.any(axis=0)
        return cls(
            low=np.where(seen, low, 0).astype(np.float32), high=np.where(seen, high, 0).astype(np.float32)
        )


def sections(values: np.ndarray, low: np.ndarray, high: np.ndarray, k: int) -> np.ndarray:
    """Section ids (n, N) int16 in 0..k+1: 0 below the profile, 1..k inside it, k+1 above it.

    The top of the profile belongs to section k. A neuron with low = high has the one inner section 1. NaN
    counts as above the profile.
    """
    span = np.asarray(high - low)
    dead = span <= 0
    ids = np.empty(values.shape, np.int16)
    width = np.where(dead, 1, span)
    rows = max(1, _CHUNK // max(1, values.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):
        for start in range(0, len(values), rows):
            part, own = values[start : start + rows], ids[start : start + rows]
            inner = np.asarray(part - low)
            inner *= k
            inner /= width
            np.floor(inner, out=inner)
            np.maximum(inner, 0, out=inner)
            np.minimum(inner, k - 1, out=inner)
            inner[:, dead] = 0
            inner[inner != inner] = 0  # NaN, which has no section of its own
            inner += 1
            below = part < low
            np.copyto(own, inner, casting="unsafe")
            np.copyto(own, 0, where=below)
            np.copyto(own, k + 1, where=~((part <= high) | below))
    return ids


def first_hits(hits: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(n,) int64: cells that row i of `hits` (n, m; -1 means none) is the first to hit.

    Rows are taken in order, so a cell hit by two rows is credited to the earlier one. The cells are marked in
    `seen` (cells,) bool.
    """
    gain = np.zeros(len(hits), np.int64)
    rows, places = np.nonzero((hits >= 0) & ~seen[hits])
    if len(rows):
        cells, first = np.unique(hits[rows, places], return_index=True)
        np.add.at(gain, rows[first], 1)
        seen[cells] = True
    return gain


class SectionMap:
    """Which sections have been hit, and how often: the coverage state of a fuzzing campaign.

    profile: per-neuron range. k: sections inside it. counts: (N, k + 2) uint32 hits per section (saturating
    is not needed below four thousand million executions). Merging two maps is the OR of `seen` and the sum
    of `counts`.
    """

    def __init__(self, profile: Profile, k: int) -> None:
        self.profile = profile
        self.k = checks.count("k", k)
        self.neurons = len(profile.low)
        self.counts = np.zeros((self.neurons, self.k + 2), np.uint32)
        self._coarser = np.arange(self.k + 2, dtype=np.int64) * SECTIONS // (self.k + 2)
        self._base = np.arange(self.neurons, dtype=np.int64) * (self.k + 2)
        # Odd multipliers of the signature: a fixed function of the place, so that signatures compare across
        # runs.
        with np.errstate(over="ignore"):
            order = np.arange(1, self.neurons + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            self._multipliers = (order ^ (order >> np.uint64(29))) | np.uint64(1)

    def ids(self, values: np.ndarray) -> np.ndarray:
        """Section ids (n, N) int16 of neuron values (n, N)."""
        return sections(values, self.profile.low, self.profile.high, self.k)

    def update(self, ids: np.ndarray, counted: np.ndarray | None = None) -> np.ndarray:
        """Gain (n,) int64: sections that each row is the first to hit, in row order.

        counted: (n,) bool rows to look at.
        """
        flat = ids.astype(np.int64) + self._base
        if counted is not None:
            flat = flat[counted]
        seen = self.counts.reshape(-1) > 0
        gain = first_hits(flat, seen)
        self.counts.reshape(-1)[:] += np.bincount(flat.reshape(-1), minlength=seen.size).astype(np.uint32)
        if counted is None:
            return gain
        result = np.zeros(len(ids), np.int64)
        result[counted] = gain
        return result

    def coarse(self, ids: np.ndarray) -> np.ndarray:
        """Section ids (n, N) coarsened to 0..7."""
        coarsened: np.ndarray = self._coarser[ids]
        return coarsened

    def signatures(self, ids: np.ndarray) -> np.ndarray:
        """(n,) uint64: a hash of the ids coarsened to 8 sections."""
        hashes = np.empty(len(ids), np.uint64)
        table = self._coarser.astype(np.uint64) + np.uint64(1)
        rows = max(1, _CHUNK // max(1, ids.shape[1]))
        with np.errstate(over="ignore"):
            for start in range(0, len(ids), rows):
                words = table[ids[start : start + rows]]
                words *= self._multipliers
                words.sum(axis=1, dtype=np.uint64, out=hashes[start : start + rows])
        return hashes

    @property
    def kmnc(self) -> float:
        """Share of the k sections inside the profiles that have been hit."""
        return float((self.counts[:, 1:-1] > 0).mean()) if self.neurons else 0.0

    @property
    def boundary(self) -> float:
        """Share of the two sections outside each profile that have been hit (NBC)."""
        return float((self.counts[:, [0, -1]] > 0).mean()) if self.neurons else 0.0

    @property
    def strong(self) -> float:
        """Share of the sections above the profiles that have been hit (SNAC)."""
        return float((self.counts[:, -1] > 0).mean()) if self.neurons else 0.0
