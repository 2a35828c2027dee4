"""Seeds in two disjoint sides: failures of side A are trained on, side B is what is reported.

Mutants of one seed are siblings, so that a split of the mutants would let a model be tested on what it was
trained on. Seeds are split instead, and seeds that are the same or nearly the same stay on one side.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from armour import checks
from armour.errors import InvalidArgument

from .ledger import sha256

NEAR = 0.02  # root mean square difference, as a share of the span, up to which two seeds stay together
_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedSplit:
    """Which seeds are on which side.

    a, b: their indices, (n_a,) and (n_b,) int64, rising. digest: sha256 over the seeds of both sides. joined:
    seeds that another one like them holds on its side. known: seeds that are on side A because they are in
    the training data.
    """

    a: np.ndarray
    b: np.ndarray
    digest: str
    joined: int
    known: int


def split_seeds(
    x: np.ndarray,
    y: np.ndarray,
    *,
    part: float = 0.5,
    seed: int = 0,
    span: float = 1.0,
    training: Collection[str] = (),
) -> SeedSplit:
    """Split seeds x (n, *shape) with labels y (n,), each class by itself, about `part` of it to side A.

    A seed's place follows from the sha256 of its values and `seed`, not from its index. span: width of the
    bounds; seeds whose root mean square difference is at most 0.02 of it, directly or over others, are kept
    together. training: sha256 of inputs that are trained on anyway; seeds among them, and what is kept with
    them, are on side A. InvalidArgument unless both sides get a seed.
    """
    if not 0 < checks.fraction("part", part) < 1:
        raise InvalidArgument(f"expected part between 0 and 1, such as 0.5, got {part!r}")
    identity = [sha256(one) for one in x]
    group = _groups(x, NEAR * span)
    members: dict[int, list[int]] = {}
    for i, number in enumerate(group.tolist()):
        members.setdefault(number, []).append(i)
    # A group is where its first member is, in the order that the hashes give.
    keys = [hashlib.sha256(f"{seed}|{one}".encode()).hexdigest() for one in identity]
    ordered = sorted((min((keys[i], i) for i in own), own) for own in members.values())
    known = {number for number, own in members.items() if any(identity[i] in training for i in own)}
    a: list[int] = []
    seen = 0
    for label in np.unique(y).tolist():
        mine = [own for (_, lead), own in ordered if y[lead] == label]
        seen += sum(map(len, mine))
        # What rounding gives one class too much, the next gets less, so that classes of one are shared too.
        for own in sorted(mine, key=lambda own: int(group[own[0]]) not in known):
            if int(group[own[0]]) in known or len(a) + len(own) <= round(part * seen):
                a += own
    side = np.zeros(len(x), bool)
    side[a] = True
    if side.all() or not side.any():
        raise InvalidArgument(
            f"expected seeds for both sides, got {int(side.sum())} and {int((~side).sum())} of {len(x)} "
            f"({sum(len(members[number]) for number in known)} are in the training data); give more seeds"
        )
    text = "|".join(",".join(sorted(identity[i] for i in np.flatnonzero(mask))) for mask in (side, ~side))
    return SeedSplit(
        a=np.flatnonzero(side),
        b=np.flatnonzero(~side),
        digest=hashlib.sha256(text.encode()).hexdigest(),
        joined=len(x) - len(members),
        known=sum(len(members[number]) for number in known),
    )


def _groups(x: np.ndarray, near: float) -> np.ndarray:
    """(n,) int: the same number for seeds that are joined by a chain of near ones."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    pairs = list(_near(x.reshape(len(x), -1), near))
    rows, columns = (np.array([pair[k] for pair in pairs], np.int64) for k in (0, 1))
    graph = coo_matrix((np.ones(len(pairs), np.int8), (rows, columns)), shape=(len(x), len(x)))
    found: np.ndarray = connected_components(graph, directed=False)[1]
    return found


def _near(flat: np.ndarray, near: float) -> Iterator[tuple[int, int]]:
    """Pairs i < j of rows of flat (n, size) whose root mean square difference is at most `near`."""
    size = flat.shape[1]
    values = flat.astype(np.float64)
    squares = np.square(values).sum(axis=1)
    # The product finds candidates; its last bits depend on the machine, so each is measured again.
    slack = size * near * near * (1 + 1e-6) + 1e-9 * (float(squares.max(initial=0.0)) + 1)
    for start in range(0, len(flat), _BLOCK):
        block = slice(start, start + _BLOCK)
        apart = squares[block, None] + squares[None] - 2 * (values[block] @ values.T)
        for i, j in zip(*np.nonzero(apart <= slack), strict=True):
            first, second = start + int(i), int(j)
            if first < second and float(np.square(values[first] - values[second]).mean()) <= near * near:
                yield first, second
