"""The slope of the boundary by labels alone: the mean of random directions, signed by the answers."""

from __future__ import annotations

import math

import numpy as np

from armour.distances import l2
from armour.regions import F32, rows
from armour.rng import Streams

from .black_box import LabelAsker, Rows
from .decision import batches

_BLOCK = 32  # probes of a sample that are drawn and asked together: the same at any batch size
_CELLS = 16  # a smooth probe has about so many squares to a side


def slope(
    asker: LabelAsker, at: Rows, rng: Streams, probes: Rows, radius: float, smooth: Rows | None = None
) -> F32:
    """The direction (m, ...) of length 1 in l2 into the region where the criterion is met, as estimated.

    at: (m,) samples, whose nearest inputs lie at the boundary. probes: (m,) questions about each. radius:
    their distance from there, as a share of the way to the input. smooth: (m,) every how many-th probe is one
    of a coarse grid, 0 for none; on images the slope is found sooner among those.
    """
    shape = asker.x.shape[1:]
    result = np.zeros((len(at), math.prod(shape)), np.float32)
    for part in batches(len(at), _BLOCK, asker.model.batch_size):
        here, wanted = at[part], probes[part]
        edge = rows(asker.nearest[here])[:, None]
        reach = (radius * l2.measure(asker.x[here], asker.nearest[here])).astype(np.float32)
        sums = np.zeros((len(here), 2, edge.shape[2]), np.float32)
        signs = np.zeros(len(here))
        for block in range(-(-int(wanted.max(initial=0)) // _BLOCK)):
            asked = np.arange(block * _BLOCK, (block + 1) * _BLOCK) < wanted[:, None]
            streams = rng[part].child(block)
            push = _directions(streams, shape)
            if smooth is not None and len(shape) == 3:
                every = smooth[part][:, None]
                chosen = (every > 0) & (np.arange(_BLOCK) % np.maximum(every, 1) == 0)
                push[chosen] = _squares(streams.child(0), shape)[chosen]
            push *= (reach[:, None] / np.sqrt(np.einsum("npd,npd->np", push, push)))[..., None]
            push += edge
            asker.clipped(push)
            who, which = np.nonzero(asked)
            met = asker.met(here[who], push[who, which].reshape(-1, *shape), keep=False)
            push -= edge
            sign = np.zeros(asked.shape, np.float32)
            sign[who, which] = np.where(met, 1, -1)
            sums += np.matmul(np.stack([sign, asked.astype(np.float32)], axis=1), push)
            signs += sign.sum(axis=1)
        # Without the mean of the answers, a point a little off the boundary would give the mean direction.
        mean = signs / np.maximum(wanted, 1)
        mean[np.abs(mean) == 1] = 0
        found = sums[:, 0] - mean[:, None].astype(np.float32) * sums[:, 1]
        result[part] = found / np.maximum(np.sqrt(np.einsum("nd,nd->n", found, found)), 1e-30)[:, None]
    return result.reshape(-1, *shape)


def _directions(streams: Streams, shape: tuple[int, ...]) -> F32:
    """(m, block, d) uniform in a cube: in many dimensions as good as on a sphere, and cheaper."""
    return streams.uniform((_BLOCK, math.prod(shape)), -1, 1)


def _squares(streams: Streams, shape: tuple[int, ...]) -> F32:
    """(m, block, d) of squares of one value each, at least two pixels to a side."""
    c, h, w = shape
    side = max(2, round(max(h, w) / _CELLS))
    cells = streams.uniform((_BLOCK, c, -(-h // side), -(-w // side)), -1, 1)
    whole = cells.repeat(side, axis=3).repeat(side, axis=4)[..., :h, :w]
    made: F32 = whole.reshape(len(streams), _BLOCK, c * h * w)
    return made
