"""Which samples are evaluated when not all are: chosen by seed, in the proportions of the classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def stratified_order(labels: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.int64]:
    """All indices (n,), in a random order whose every beginning has nearly the proportions of the classes.

    The first 1,000 are part of the first 2,000: more samples extend an evaluation and never redraw it.
    """
    shuffled = rng.permutation(len(labels))
    ordered = labels[shuffled]
    # Member i of a class of m sits at (i + its class's offset) / m of the whole.
    position = np.empty(len(labels))
    for label in np.unique(ordered):
        members = np.flatnonzero(ordered == label)
        position[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.asarray(shuffled[np.argsort(position, kind="stable")], dtype=np.int64)
