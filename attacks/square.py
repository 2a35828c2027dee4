"""Square: random search over square windows, by scores alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from armour.checks import fraction
from armour.regions import F32, Region
from armour.rng import Streams

from .base import ATTACKS
from .black_box import Asker, ScoreAttack
from .clock import time_is_up
from .windows import as_images, bump, places, window

# Of 10,000 queries, those after which the windows' share of the image is halved.
_HALVED = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
_OVER = 2.0  # lengths of epsilon that the bumps of an l1 start have before they are projected
_SHY = 1 - 5e-7  # float32 rounding seldom takes a point that much inside the ball out of it


@ATTACKS.register("square")
@dataclass(frozen=True, slots=True, kw_only=True)
class Square(ScoreAttack):
    """Square attack: random search that needs no gradients.

    linf: it starts from vertical stripes at the ends of the budget. Each further query moves one square
    window of each sample, at a random place, to the ends of the budget, every channel to one of them. l2 and
    l1: it starts from a grid of bumps. Each query takes what a window and a second one hold of the budget,
    and what is unspent, and puts it into the first as a bump upon what was there. A query is kept if the
    objective has grown. Windows shrink as the queries are used up. A sample is left alone once it is broken.
    Inputs that are no images are taken for a column of pixels. Only asks for scores; a model that gives
    labels alone shows it no way.

    queries, loss: as for ScoreAttack. window: share of the image that the first windows cover, in (0, 1].
    start: True begins from stripes or bumps, False from x.
    Andriushchenko et al., 2020, https://arxiv.org/abs/1912.00049; for l1 Croce and Hein, 2021,
    https://arxiv.org/abs/2103.01208.
    """

    window: float = 0.8
    start: bool = True

    def __post_init__(self) -> None:
        ScoreAttack.__post_init__(self)
        fraction("window", self.window)

    def find(self, asker: Asker, x: F32, epsilon: float, *, rng: Streams) -> F32:
        """As ScoreAttack.find."""
        region = self.region(asker.model, x, epsilon)
        found = x.copy()
        if self.start:
            found = (_stripes if self.norm == "linf" else _grid)(region, rng.child(0))
        value, met = asker.scores(np.arange(len(x)), found, self.loss)
        left = np.flatnonzero(~met)
        best, value, region, rng = found[left], value[left], region[left], rng[left]
        for query in range(1, self.queries):
            if not left.size or time_is_up():
                break
            # In l1 small windows find little: they come no sooner where there are fewer queries.
            of = query if self.norm == "l1" else query * 10_000 // self.queries
            share = self.window / 2.0 ** sum(of > at for at in _HALVED)
            move = _moved if self.norm == "linf" else _shifted
            tried = move(best, region, rng.child(query), share)
            score, met = asker.scores(left, tried, self.loss)
            better = met | (score > value)
            best[better], value[better] = tried[better], score[better]
            if met.any():
                found[left[met]], stay = best[met], ~met
                left, best, value, region, rng = left[stay], best[stay], value[stay], region[stay], rng[stay]
        found[left] = best
        return found


def _moved(best: F32, region: Region, streams: Streams, share: float) -> F32:
    """linf: one window of each sample at the ends of the budget."""
    adv = best.copy()
    shape = as_images(adv).shape
    where = streams.uniform((2,), dtype=np.float64)
    at = places(shape, window(shape, share), where[:, 0], where[:, 1])
    up = (streams.uniform((shape[1],)) < 0.5)[:, :, None, None]
    low, high = region.low.reshape(-1)[at], region.high.reshape(-1)[at]
    flat = adv.reshape(-1)
    moved = np.where(up, high, low)
    # A window that is there already would be a query for nothing: the other end then.
    same = (moved == flat[at]).all(axis=(1, 2, 3), keepdims=True)
    flat[at] = np.where(same, np.where(up, low, high), moved)
    return adv


def _stripes(region: Region, streams: Streams) -> F32:
    """Vertical stripes at the ends of the budget; one draw for each channel and column."""
    n, channels, height, width = as_images(region.x).shape
    shape = (channels, height, 1) if width == 1 else (channels, 1, width)
    up = streams.uniform(shape) < 0.5
    up = np.broadcast_to(up, (n, channels, height, width)).reshape(region.x.shape)
    return np.where(up, region.high, region.low)


def _shifted(best: F32, region: Region, streams: Streams, share: float) -> F32:
    """l2 and l1: the budget of two windows, and the unspent, as a bump in the first."""
    delta = np.subtract(best, region.x)
    n, channels, *_ = shape = as_images(delta).shape
    size = window(shape, share, least=3, odd=True)
    where = streams.uniform((5,), dtype=np.float64)
    first, second = (places(shape, size, where[:, i], where[:, i + 1]) for i in (0, 2))
    signs = np.where(streams.uniform((channels,)) < 0.5, np.float32(-1), np.float32(1))[:, :, None, None]
    measure, power = region.distance.norm, 1 if region.distance.name == "l1" else 2

    def lengths(part: F32) -> NDArray[np.float64]:
        return measure(part.reshape(n * channels, -1)).reshape(n, channels, 1, 1)

    flat = delta.reshape(-1)
    spent = measure(delta.reshape(n, -1))
    old = flat[first]
    flat[first] = 0
    budget = lengths(old) ** power + lengths(flat[second]) ** power
    flat[second] = 0
    unspent = np.maximum(region.epsilon**power - spent**power, 0)[:, None, None, None]
    budget = (budget + unspent / channels) ** (1 / power)
    if power == 1:
        budget *= channels
    new = _bumps(where[:, 4] < 0.5, size, region) * signs + _unit(old, lengths(old))
    flat[first] = _unit(new, lengths(new)) * budget.astype(np.float32)
    return _within(delta, region)


def _grid(region: Region, streams: Streams) -> F32:
    """Five by five bumps that spend the budget."""
    delta = np.zeros_like(region.x)
    images = as_images(delta)
    _, channels, height, width = images.shape
    tall, wide = max(height // 5, 1), max(width // 5, 1)
    down, right = min(height // tall, 5), min(width // wide, 5)
    signs = np.where(streams.uniform((down, right, channels)) < 0.5, np.float32(-1), np.float32(1))
    turned = streams.uniform((down, right)) < 0.5
    top, left = (height - down * tall) // 2, (width - right * wide) // 2
    for i in range(down):
        for j in range(right):
            bumps = _bumps(turned[:, i, j], (tall, wide), region) * signs[:, i, j, :, None, None]
            images[:, :, top + i * tall : top + (i + 1) * tall, left + j * wide : left + (j + 1) * wide] = (
                bumps
            )
    return _within(_stretched(delta, region, _OVER if region.distance.name == "l1" else 1.0), region)


def _bumps(turned: NDArray[np.bool_], size: tuple[int, int], region: Region) -> F32:
    """(n, 1, tall, wide) bumps, some lying on their side."""
    tall, wide = size
    norm = region.distance.name
    return np.where(turned[:, None, None], bump(wide, tall, norm).T, bump(tall, wide, norm))[:, None]


def _unit(values: F32, lengths: NDArray[np.float64]) -> F32:
    """Values over their lengths; zeros stay."""
    unit: F32 = values * (1 / np.where(lengths > 0, lengths, np.inf)).astype(np.float32)
    return unit


def _within(delta: F32, region: Region) -> F32:
    """x + delta inside the region: for l2 stretched to its budget first."""
    if region.distance.name == "l2":
        delta = _stretched(delta, region, _SHY)
    delta += region.x
    return region.project(delta)


def _stretched(delta: F32, region: Region, times: float) -> F32:
    """`delta` so that its length is so many epsilons, in place; zeros stay."""
    length = region.distance.norm(delta.reshape(len(delta), -1))
    scale = region.epsilon * times / np.where(length > 0, length, np.inf)
    delta *= scale.astype(np.float32).reshape(-1, *(1,) * (delta.ndim - 1))
    return delta
