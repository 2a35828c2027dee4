"""What belongs to the root of each item: the other seeds of its class, and the model's slopes there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from armour.errors import InvalidArgument
from armour.rng import Streams
from armour.tensor.backend import Array, get_xp

from .mutators import own_partner
from .roots import Roots
from .slopes import SlopesAt

_CHOICE = 7  # label of the child stream that chooses, apart from what a mutator draws


@dataclass(frozen=True, slots=True)
class Partners:
    """Of n items with these root numbers (n,) int64."""

    roots: Roots
    root: np.ndarray

    def slopes(self, items: Sequence[int]) -> SlopesAt:
        """The model's slopes at the roots of these items; InvalidArgument if they are not known."""
        if self.roots.slopes is None:
            raise InvalidArgument(
                "expected the slopes of the model at the seeds, which steps of this recipe go along, got "
                "none; replay it from the corpus it was found in"
            )
        return self.roots.slopes.at(self.root[np.asarray(items)])

    def of(self, items: Sequence[int], streams: Streams) -> Array:
        """Another root of the class for each item, like their inputs (m, *shape), chosen by its stream.

        An item whose class has no other root gets its own root, turned by half along the last axis.
        """
        root = self.root[np.asarray(items)]
        pools = self.roots.pools
        labels = pools[root]
        order, first, count = _by_class(pools)
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order)) - first[pools[order]]
        others = count[labels] - 1
        unit = streams.child(_CHOICE).uniform(dtype=np.float64)
        step = np.minimum(np.floor(unit * others), np.maximum(others - 1, 0)).astype(np.int64)
        # Counted on from the item itself, around its class.
        chosen = order[first[labels] + (place[root] + 1 + step) % count[labels]]
        x = self.roots.x[chosen]
        alone = np.flatnonzero(others == 0)
        if len(alone):
            x[alone] = own_partner(x[alone])
        return get_xp(x).asarray(x)


def has_partners(roots: Roots) -> bool:
    """Whether some class has two roots."""
    return len(np.unique(roots.pools)) < len(roots)


def _by_class(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Root numbers class by class, and for each class where it begins there and how many it has."""
    count = np.bincount(labels)
    first = np.cumsum(count) - count
    return np.argsort(labels, kind="stable"), first, count
