"""Fingerprints of how a network saw an input, for telling the variants of a failure class (D3) apart.

A fingerprint is a SimHash (Charikar, 2002, doi:10.1145/509907.509965) of the coarse sections that the neurons
of one layer fall into: two inputs that share a fraction s of them differ in about 64 arccos(s) / pi bits.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

SECTIONS = 8  # coarse sections of a neuron
NEAR = 6  # bits by which the fingerprints of one variant may differ
_ROWS = 16  # inputs whose bits are summed at once: of a wide layer these are megabytes


def fingerprints(sections: np.ndarray) -> np.ndarray:
    """(n,) uint64 of coarse sections (n, N) in 0..7, one for each neuron; 0 for N = 0."""
    signs = _signs(sections.shape[1])
    neurons = np.arange(sections.shape[1])
    found = np.zeros(len(sections), np.uint64)
    weights = np.uint64(1) << np.arange(64, dtype=np.uint64)
    for start in range(0, len(sections), _ROWS):
        part = sections[start : start + _ROWS].astype(np.intp)
        bits = signs[neurons, part].sum(axis=1, dtype=np.int64) > 0
        found[start : start + _ROWS] = np.where(bits, weights, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    return found


def nearest(fingerprint: int, known: np.ndarray) -> int:
    """Place of the first of `known` (m,) uint64 within NEAR bits of the fingerprint, -1 if there is none."""
    near = np.flatnonzero(np.bitwise_count(known ^ np.uint64(fingerprint)) <= NEAR)
    return int(near[0]) if len(near) else -1


@lru_cache(maxsize=8)
def _signs(neurons: int) -> np.ndarray:
    """(N, 8, 64) int8 of -1 and 1: a function of the place alone, so that runs compare."""
    with np.errstate(over="ignore"):
        word = np.arange(1, neurons * SECTIONS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)  # splitmix64
        word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        word ^= word >> np.uint64(31)
    bits = (word[:, None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    return (bits.astype(np.int8) * 2 - 1).reshape(neurons, SECTIONS, 64)
