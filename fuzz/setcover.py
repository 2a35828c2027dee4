"""Greedy set cover: few rows that hit every cell that all of them hit."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np


def cover(hits: np.ndarray, seen: np.ndarray, forced: Sequence[int] = ()) -> list[int]:
    """Numbers of rows to keep, in their order, so that with `seen` they hit all cells that hits do.

    hits: (n, m) cells of each row, all different in a row, -1 for none. seen: (cells,) bool, covered already
    (written to). forced: rows that are kept in any case. The row that hits the most cells not yet covered
    comes next, the first in order on ties; that takes at most ln(m) + 1 times as many rows as are needed
    (Chvatal, 1979, https://doi.org/10.1287/moor.4.3.233). Gains only fall, so a row is counted again only
    when it comes to the top.
    """
    kept = set(forced)
    for i in sorted(kept):
        seen[hits[i][hits[i] >= 0]] = True
    fresh = ((hits >= 0) & ~seen[hits]).sum(axis=1)
    heap = [(-int(fresh[i]), i) for i in np.flatnonzero(fresh).tolist() if i not in kept]
    heapq.heapify(heap)
    while heap:
        _, i = heapq.heappop(heap)
        cells = hits[i][hits[i] >= 0]
        entry = (-int((~seen[cells]).sum()), i)
        if entry[0] == 0:
            continue
        if heap and heap[0] < entry:
            heapq.heappush(heap, entry)
            continue
        seen[cells] = True
        kept.add(i)
    return sorted(kept)
