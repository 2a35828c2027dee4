"""Pictures of bright squares and dimmer discs on a noisy ground, with their masks and boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIZE = 32
NAMES = ("square", "disc")


class Shapes(NamedTuple):
    """x: (n, 1, 32, 32) in (0, 1). masks: (n, 32, 32), 0 is the ground, then 1 + label. boxes: (n, 2, 4),
    left, top, right, bottom; labels: (n, 2), -1 for no object."""

    x: np.ndarray
    masks: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray


def draw(n: int, seed: int) -> Shapes:
    """n pictures of one or two objects, left and right."""
    rng = np.random.default_rng(seed)
    x = 0.25 + 0.1 * rng.random((n, 1, SIZE, SIZE))
    masks = np.zeros((n, SIZE, SIZE), np.int64)
    labels, boxes = rng.integers(0, 2, (n, 2)), np.zeros((n, 2, 4))
    labels[rng.random(n) < 0.4, 1] = -1
    i, j = np.indices((SIZE, SIZE)) + 0.5
    for k in range(2):
        radius = rng.uniform(4, 7, n)
        level = rng.uniform(0.8, 0.9, n) - 0.3 * labels[:, k]
        down, right = rng.uniform(8, 24, n), rng.uniform(8, 9, n) + 15 * k
        di, dj = (np.abs(a - b[:, None, None]) for a, b in ((i, down), (j, right)))
        reach = np.where((labels[:, k] == 0)[:, None, None], np.maximum(di, dj), np.hypot(di, dj))
        inside = (reach < radius[:, None, None]) & (labels[:, k] >= 0)[:, None, None]
        masks = np.where(inside, labels[:, k, None, None] + 1, masks)
        x[:, 0] = np.where(inside, level[:, None, None] + 0.1 * rng.random(x[:, 0].shape), x[:, 0])
        boxes[:, k] = np.stack([right - radius, down - radius, right + radius, down + radius], axis=1)
    return Shapes(np.clip(x, 0, 1).astype(np.float32), masks, boxes, labels)
