"""The least noise, blur or loss of contrast that fools: strengths searched by labels alone."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from armour.blur import gaussian_blur
from armour.bounds import Bounds
from armour.checks import count
from armour.distances import Norm
from armour.noise import gaussian_noise, impulse_noise, uniform_noise
from armour.regions import F32, F64
from armour.rng import Streams

from .base import ATTACKS
from .black_box import DecisionAttack, LabelAsker, Rows
from .decision import batches, bracket, images

# (samples (m,), strengths (m,)) -> inputs (m, ...)
Made: TypeAlias = Callable[[Rows, F64], F32]

_GRID = np.asarray([1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0])  # strengths asked about at once
_LESS = 0.95  # share of the least strength known that a further draw must undercut
_WIDTH = 0.02  # how finely a strength is searched, as a share of itself


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionAttack(DecisionAttack):
    """The least strength in (0, 1] of one kind of corruption at which a sample meets the criterion.

    A draw is tried at a few strengths at once, and the least that fools is halved down. Each further draw is
    tried just below the least strength known, and searched only if it fools there: one query if it does not.

    queries: as for DecisionAttack. draws: most draws for each sample; a corruption without chance has one.
    """

    random: ClassVar[bool] = True

    norm: Norm = "l2"
    draws: int = 100

    def __post_init__(self) -> None:
        DecisionAttack.__post_init__(self)
        count("draws", self.draws)

    @abstractmethod
    def corrupted(self, x: F32, strength: F32, streams: Streams, bounds: Bounds) -> F32:
        """x (n, c, h, w) at that strength (n,) in [0, 1], inside the bounds; the draw is the streams'."""

    def find(self, asker: LabelAsker, x: F32, *, rng: Streams) -> None:
        """As DecisionAttack.find."""
        least = np.full(len(x), np.inf)
        at = np.arange(len(x))
        for draw in range(self.draws if self.random else 1):
            at = at[asker.left(at) > 0]
            if not at.size:
                break
            streams = rng.child(draw)

            def made(rows: Rows, strength: F64, streams: Streams = streams) -> F32:
                shown = x[rows].reshape(len(rows), *images(x))
                out = self.corrupted(shown, strength.astype(np.float32), streams[rows], asker.model.bounds)
                return out.reshape(-1, *x.shape[1:])

            first = at[np.isinf(least[at])]
            for part in batches(len(first), len(_GRID), asker.model.batch_size):
                rows = np.repeat(first[part], len(_GRID))
                strength = np.tile(_GRID, len(first[part]))
                met = asker.met(rows, made(rows, strength)).reshape(-1, len(_GRID))
                hit = met.any(axis=1)
                found = met.argmax(axis=1)[hit]
                who, low = first[part][hit], np.where(found > 0, _GRID[found - 1], 0.0)
                least[who] = self._search(asker, who, made, low, _GRID[found])
            again = np.setdiff1d(at, first)
            tried = _LESS * least[again]
            met = asker.met(again, made(again, tried))
            who = again[met]
            least[who] = self._search(asker, who, made, tried[met] / 2, tried[met])

    def _search(self, asker: LabelAsker, who: Rows, made: Made, low: F64, high: F64) -> F64:
        return bracket(asker, who, lambda at, t: made(who[at], t), low, high, _WIDTH * high)


@ATTACKS.register("salt-and-pepper")
@dataclass(frozen=True, slots=True, kw_only=True)
class SaltAndPepper(CorruptionAttack):
    """Salt and pepper: the least share of values that, sent to the bounds at random, fools the model.

    queries, draws: as for CorruptionAttack.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0", "l1", "l2")

    def corrupted(self, x: F32, strength: F32, streams: Streams, bounds: Bounds) -> F32:
        """As CorruptionAttack.corrupted: a share of the values."""
        made: F32 = impulse_noise(x, strength, streams, bounds)
        return made


@ATTACKS.register("gaussian-noise")
@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianNoise(CorruptionAttack):
    """Gaussian noise: the least standard deviation, up to the span of the bounds, that fools the model.

    queries, draws: as for CorruptionAttack.
    """

    def corrupted(self, x: F32, strength: F32, streams: Streams, bounds: Bounds) -> F32:
        """As CorruptionAttack.corrupted: a standard deviation, as a share of the span."""
        made: F32 = gaussian_noise(x, strength, streams, bounds)
        return made


@ATTACKS.register("uniform-noise")
@dataclass(frozen=True, slots=True, kw_only=True)
class UniformNoise(CorruptionAttack):
    """Uniform noise: the least amplitude, up to the span of the bounds, that fools the model.

    queries, draws: as for CorruptionAttack.
    """

    norm: Norm = "linf"

    def corrupted(self, x: F32, strength: F32, streams: Streams, bounds: Bounds) -> F32:
        """As CorruptionAttack.corrupted: an amplitude, as a share of the span."""
        made: F32 = uniform_noise(x, strength, streams, bounds)
        return made


@ATTACKS.register("blur")
@dataclass(frozen=True, slots=True, kw_only=True)
class Blur(CorruptionAttack):
    """Gaussian blur: the least width, up to a quarter of the longer side, that fools the model.

    Anything but images is blurred as a column of values.

    queries: as for CorruptionAttack; draws plays no part.
    """

    random: ClassVar[bool] = False

    def corrupted(self, x: F32, strength: F32, streams: Streams, bounds: Bounds) -> F32:
        """As CorruptionAttack.corrupted: a standard deviation, as a share of a quarter of the longer side."""
        made: F32 = gaussian_blur(x, strength * np.float32(max(x.shape[2:]) / 4), bounds)
        return made


@ATTACKS.register("contrast")
@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast(CorruptionAttack):
    """Loss of contrast: the least share of the way to the middle of the bounds that fools the model.

    queries: as for CorruptionAttack; draws plays no part.
    """

    random: ClassVar[bool] = False

    def corrupted(self, x: F32, strength: F32, streams: Streams, bounds: Bounds) -> F32:
        """As CorruptionAttack.corrupted: a share of the way."""
        middle = np.float32((bounds.low + bounds.high) / 2)
        return np.asarray(x + strength[:, None, None, None] * (middle - x), np.float32)
