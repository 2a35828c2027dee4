"""Randomness: explicit generators, and one counter-based stream per item.

`generator` turns what a user passes as `rng` into a Generator, once, at a public entry point. `Streams` holds
one independent stream per sample or per fuzzing pick and draws from all of them at once, so that a result
depends neither on the batch an item sat in nor on which of its neighbours have already left.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armour.checks import describe
from armour.errors import InvalidArgument

# SplitMix64 (Steele, Lea and Flood, 2014, https://doi.org/10.1145/2714064.2660195): the increment and the two
# multipliers of its output function.
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def generator(rng: int | np.integer | np.random.Generator) -> np.random.Generator:
    """A Generator from an int seed (0 is a seed) or from a Generator, which is returned as it is."""
    if isinstance(rng, np.random.Generator):
        return rng
    if isinstance(rng, (int, np.integer)) and not isinstance(rng, bool) and rng >= 0:
        return np.random.default_rng(int(rng))
    raise InvalidArgument(
        f"expected an int at or above 0 or a numpy.random.Generator, got {describe('rng', rng)}"
    )


def per_item(rng: np.random.Generator, n: int) -> Streams:
    """`n` independent streams; item i's does not depend on n (a longer batch keeps its draws)."""
    root = np.uint64(rng.integers(0, 2**63, dtype=np.int64))
    with np.errstate(over="ignore"):
        return Streams(_mix(root + _mix(np.arange(1, n + 1, dtype=np.uint64) * _GAMMA)))


def by_content(rng: np.random.Generator, x: NDArray[np.generic]) -> Streams:
    """One stream for each row of `x`, chosen by the row's own bytes.

    A row has the same draws alone, in any batch and at any place in it, so that work can be split and
    reordered; equal rows have equal draws.
    """
    rows = np.ascontiguousarray(x)
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    keys = np.frombuffer(digests, dtype="<u8").astype(np.uint64)
    root = np.uint64(rng.integers(0, 2**63, dtype=np.int64))
    with np.errstate(over="ignore"):
        return Streams(_mix(keys ^ _mix(root + _GAMMA)))


class Streams:
    """One counter-based random stream per item.

    keys: (n,) uint64, one per item. Drawing advances only the streams drawn from: `streams[active]` is a
    view-like copy whose items continue where they were.
    """

    __slots__ = ("keys", "offset")

    def __init__(self, keys: NDArray[np.uint64], offset: int = 0) -> None:
        self.keys = np.asarray(keys, dtype=np.uint64)
        self.offset = offset

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: Any) -> Streams:
        return Streams(self.keys[index], self.offset)

    def child(self, label: int) -> Streams:
        """Streams independent of these and of other labels' (one per restart, step or mutation)."""
        with np.errstate(over="ignore"):
            return Streams(_mix(self.keys ^ _mix(np.uint64(label + 1) * _MIX1)))

    def bits(self, shape: tuple[int, ...] = ()) -> NDArray[np.uint64]:
        """(n, *shape) uniform 64-bit words; the next draw continues after these."""
        size = math.prod(shape)
        with np.errstate(over="ignore"):
            counters = np.arange(self.offset + 1, self.offset + size + 1, dtype=np.uint64) * _GAMMA
            words = _mix(self.keys[:, None] + counters)
        self.offset += size
        return words.reshape((len(self.keys), *shape))

    def uniform(
        self, shape: tuple[int, ...] = (), low: float = 0.0, high: float = 1.0, dtype: Any = np.float32
    ) -> NDArray[np.floating]:
        """(n, *shape) uniform in [low, high); a float32 takes half a word, a float64 a whole one."""
        size = math.prod(shape)
        if dtype is np.float32:
            # As int32, which converts to float32 several times faster than unsigned or longer integers.
            unit = (self._halves((size + 1) // 2) >> np.uint32(8)).view(np.int32)[:, :size].astype(dtype)
            unit *= dtype(2.0**-24)
        else:
            unit = (self.bits((size,)) >> np.uint64(11)).astype(dtype)
            unit *= dtype(2.0**-53)
        unit *= dtype(high - low)
        unit += dtype(low)
        return unit.reshape((len(self.keys), *shape))

    def normal(self, shape: tuple[int, ...] = (), dtype: Any = np.float32) -> NDArray[np.floating]:
        """(n, *shape) standard normal, by Box and Muller from one 64-bit word each pair of values."""
        size = math.prod(shape)
        count = (size + 1) // 2
        halves = self._halves(count)
        # 32 bits each: the first number in (0, 1], so the logarithm is finite.
        radius = halves[:, 1::2].astype(dtype)
        radius += dtype(1)
        radius *= dtype(2.0**-32)
        np.log(radius, out=radius)
        radius *= dtype(-2)
        np.sqrt(radius, out=radius)
        angle = halves[:, 0::2].astype(dtype)
        angle *= dtype(2 * math.pi * 2.0**-32)
        both = np.empty((len(self.keys), 2, count), dtype=dtype)
        np.cos(angle, out=both[:, 0])
        np.sin(angle, out=both[:, 1])
        both *= radius[:, None]
        return both.reshape(len(self.keys), 2 * count)[:, :size].reshape((len(self.keys), *shape))

    def integers(self, high: int, shape: tuple[int, ...] = ()) -> NDArray[np.int64]:
        """(n, *shape) uniform in 0..high-1 (the bias is below high / 2**53)."""
        return np.asarray(np.floor(self.uniform(shape, dtype=np.float64) * high), dtype=np.int64)

    def _halves(self, count: int) -> NDArray[np.uint32]:
        """(n, 2 count) 32-bit words: the low and the high half of each of `count` 64-bit ones."""
        words = self.bits((count,)).astype("<u8", copy=False)
        return words.view("<u4")


def _mix(z: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * _MIX1
        z = (z ^ (z >> np.uint64(27))) * _MIX2
        return z ^ (z >> np.uint64(31))  # type: ignore[return-value]
