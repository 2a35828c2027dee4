"""NonMaxSuppression: which boxes stand for all that overlap them."""

from __future__ import annotations

import numpy as np

from .rules import Call, rule

MAX_COMPARED = 1 << 28  # pairs of boxes


@rule("NonMaxSuppression")
def non_max_suppression(c: Call) -> np.ndarray:
    """(m, 3) triples of image, class and box, best first in each class; only of boxes that are known."""
    boxes, scores = c.known(0).astype(np.float64), c.known(1)
    n, count = boxes.shape[:2]
    if boxes.shape != (n, count, 4) or scores.shape != (n, scores.shape[1], count):
        raise c.damaged(f"has boxes {boxes.shape} with scores {scores.shape}")
    most = int(c.known(2).reshape(-1)[0]) if c.has(2) and c.known(2).size else 0
    overlap = float(c.known(3).reshape(-1)[0]) if c.has(3) and c.known(3).size else 0.0
    lowest = float(c.known(4).reshape(-1)[0]) if c.has(4) and c.known(4).size else -np.inf
    if scores.size * boxes.shape[1] > MAX_COMPARED:
        raise c.unsupported(f"a comparison of {scores.size:,} scores with {boxes.shape[1]:,} boxes")
    found = []
    for i, corners in enumerate(_corners(boxes, bool(c.attr("center_point_box", 0)))):
        for k, row in enumerate(scores[i]):
            found += [(i, k, j) for j in _kept(corners, row, min(most, len(row)), overlap, lowest)]
    return np.array(found, np.int64).reshape(-1, 3)


def _corners(boxes: np.ndarray, centred: bool) -> np.ndarray:
    """(..., 4) with the two small coordinates first."""
    a, b = boxes[..., :2], boxes[..., 2:]
    if centred:
        a, b = a - b / 2, a + b / 2
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], axis=-1)


def _kept(boxes: np.ndarray, scores: np.ndarray, most: int, overlap: float, lowest: float) -> list[int]:
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] > lowest]
    kept: list[int] = []
    while len(order) and len(kept) < most:
        best = int(order[0])
        kept.append(best)
        order = order[1:][_overlap(boxes[best], boxes[order[1:]]) <= overlap]
    return kept


def _overlap(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union."""
    sides = np.minimum(one[2:], others[:, 2:]) - np.maximum(one[:2], others[:, :2])
    common = np.prod(np.maximum(sides, 0.0), axis=-1)
    union = np.prod(one[2:] - one[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=-1) - common
    return np.where(union > 0, common / np.where(union > 0, union, 1.0), 0.0)
