"""Made-up pictures for the tests of image functions."""

import numpy as np

from armour.bounds import Bounds

UNIT = Bounds(0, 1)


def images(n, shape, bounds=UNIT, seed=0):
    """Smooth blobs on a dark ground with some exact extremes, as pictures have them."""
    rng = np.random.default_rng(seed)
    c, h, w = shape
    i, j = np.mgrid[0:h, 0:w]
    centre = rng.uniform(0.3, 0.7, (n, c, 2, 1, 1))
    width = rng.uniform(0.1, 0.3, (n, c, 1, 1))
    square = (i / h - centre[:, :, 0]) ** 2 + (j / w - centre[:, :, 1]) ** 2
    unit = np.clip(1.4 * np.exp(-square / width**2) - 0.2 + 0.05 * rng.standard_normal((n, c, h, w)), 0, 1)
    return (unit * bounds.span + bounds.low).astype(np.float32)


def textures(n, size=32):
    """Colour images with detail at all scales, which every mutator finds something in."""
    rng = np.random.default_rng(4)
    x = np.zeros((n, 3, size, size))
    for cells in (2, 4, 8, 16, 32):
        coarse = rng.uniform(-1, 1, (n, 3, cells, cells))
        x += np.kron(coarse, np.ones((size // cells, size // cells))) / cells**0.5
    return np.clip(0.5 + 0.3 * x, 0, 1).astype(np.float32)
