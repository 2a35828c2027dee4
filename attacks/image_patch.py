"""A patch for each image by itself, which looks for its place too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from armour.checks import count, positive
from armour.contract import Model
from armour.criteria import Criterion, Loss
from armour.regions import F32
from armour.rng import Streams

from .base import ATTACKS
from .fgsm import check_loss
from .gradient import look, pull
from .own_limits import OwnLimitsAttack
from .patch import Place, Shape, check_patch, side_of


@ATTACKS.register("image-patch")
@dataclass(frozen=True, slots=True, kw_only=True)
class ImagePatch(OwnLimitsAttack):
    """A patch for each image by itself, which looks for its place too.

    It begins where a linear model would lose most to it, with the values that such a model would lose most
    to; further restarts begin at random places with random values. Each step moves each value of the patch
    by `step_size`, as the sign of its gradient says, and then tries the patch `stride` pixels further in a
    random direction, where it stays if the loss has grown. A sample is left alone once it is broken. Needs
    gradients.

    size: side (or diameter) as a share of the images' shorter side, in (0, 1]. shape: "square" or "disc".
    place: "search", or (down, right), in [0, 1], shares of the free room.
    steps: gradient evaluations per restart, with two queries more each that look for a place.
    step_size: as a share of the span of the bounds. restarts: runs, on the samples not broken yet.
    stride: pixels that a patch is moved at a time; 0 leaves it where it began.
    loss: "cross-entropy", "margin", "dlr", or a function (logits, labels) -> (n,).
    norm: measures only. Raises UnsupportedError if the model is a black box, and for inputs that are no
    images (c, h, w).
    Brown et al., 2017, https://arxiv.org/abs/1712.09665; the search for a place after Rao et al., 2020,
    https://arxiv.org/abs/2005.02313.
    """

    size: float = 0.3
    shape: Shape = "square"
    place: Literal["search"] | Place = "search"
    steps: int = 40
    step_size: float = 0.1
    restarts: int = 1
    stride: int = 1
    loss: str | Loss = "cross-entropy"

    def __post_init__(self) -> None:
        OwnLimitsAttack.__post_init__(self)
        check_patch(self, self.size, self.shape, self.place, "search")
        count("steps", self.steps)
        positive("step_size", self.step_size)
        count("restarts", self.restarts)
        count("stride", self.stride, 0)
        check_loss(self.loss)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run."""
        side = side_of(x, self.size)
        best, value = x.copy(), np.full(len(x), -np.inf, np.float32)
        left = np.arange(len(x))
        for restart in range(self.restarts):
            streams = rng[left].child(restart)
            place, patch = self._begun(model, x[left], criterion[left], side, restart, streams)
            left = self._climb(model, x, criterion, side, left, place, patch, streams, best, value)
            if not left.size:
                break
        return best

    def _begun(
        self, model: Model, x: F32, criterion: Criterion, side: int, restart: int, streams: Streams
    ) -> tuple[NDArray[np.int64], F32]:
        """The corner (n, 2) to begin from, and the values (n, c, side, side)."""
        n, c, h, w = x.shape
        room = np.array([h - side, w - side])
        low, high = model.bounds
        if self.place == "search":
            place = np.floor(streams.child(0).uniform((2,), dtype=np.float64) * (room + 1)).astype(np.int64)
        else:
            place = np.tile(np.rint(np.array(self.place) * room).astype(np.int64), (n, 1))
        if restart:
            return place, streams.child(1).uniform((c, side, side), low, high)
        _, gradient, _ = pull(model, x, criterion, criterion.objective(self.loss))
        if self.place == "search":
            gain = np.maximum(gradient * (high - x), gradient * (low - x)).sum(axis=1)
            sums = sliding_window_view(gain, side, axis=1).sum(axis=-1)
            sums = sliding_window_view(sums, side, axis=2).sum(axis=-1)
            first = sums.reshape(n, -1).argmax(axis=1)
            place = np.stack(np.divmod(first, w - side + 1), axis=1)
        seen, under = _window(gradient, place, side), _window(x, place, side)
        return place, np.where(seen > 0, np.float32(high), np.where(seen < 0, np.float32(low), under))

    def _climb(
        self,
        model: Model,
        x: F32,
        criterion: Criterion,
        side: int,
        rows: NDArray[np.int64],
        place: NDArray[np.int64],
        patch: F32,
        streams: Streams,
        best: F32,
        value: F32,
    ) -> NDArray[np.int64]:
        """One run on some rows; `best` and `value` are kept up to date. Returns the rows it did not break."""
        shown, (low, high) = _shown(self.shape, side), model.bounds
        length = np.float32(self.step_size * model.bounds.span)
        room = np.array(x.shape[2:]) - side
        held: list[NDArray[np.int64]] = []

        def keep(adv: F32, now: F32, met: NDArray[np.bool_]) -> None:
            better = met | (now > value[rows])
            best[rows[better]], value[rows[better]] = adv[better], now[better]

        for step in range(self.steps + 1):
            goal, adv = criterion[rows], _put(x[rows], place, patch, shown)
            objective = goal.objective(self.loss)
            if step == self.steps:
                now, met = look(model, adv, goal, objective)
                keep(adv, now, met)
                held.append(rows[~met])
                break
            now, gradient, met = pull(model, adv, goal, objective)
            keep(adv, now, met)
            stay = ~met
            rows, place, patch, streams = rows[stay], place[stay], patch[stay], streams[stay]
            if not rows.size:
                break
            patch += length * np.sign(_window(gradient[stay], place, side))
            np.clip(patch, low, high, out=patch)
            if self.place != "search" or not self.stride:
                continue
            # The patch as it is now, here and one stride away.
            way = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])[streams.child(step + 2).integers(4)]
            there = np.clip(place + self.stride * way, 0, room)
            goal = criterion[rows]
            values: list[F32] = []
            for at in (place, there):
                adv = _put(x[rows], at, patch, shown)
                now, met = look(model, adv, goal, goal.objective(self.loss))
                keep(adv, now, met)
                values.append(np.where(met, np.float32(np.inf), now))
            place = np.where((values[1] > values[0])[:, None], there, place)
        return np.concatenate([*held, np.zeros(0, np.int64)])


def _shown(shape: Shape, side: int) -> NDArray[np.bool_]:
    """(side, side): what is seen of the patch."""
    at = np.arange(side) - (side - 1) / 2
    if shape == "square":
        return np.ones((side, side), bool)
    return np.asarray(at[:, None] ** 2 + at**2 <= (side / 2) ** 2)


def _index(place: NDArray[np.int64], channels: int, side: int) -> tuple[NDArray[np.int64], ...]:
    at = np.arange(side)
    n = np.arange(len(place))[:, None, None, None]
    rows = (place[:, :1] + at)[:, None, :, None]
    return n, np.arange(channels)[:, None, None], rows, (place[:, 1:] + at)[:, None, None, :]


def _window(images: F32, place: NDArray[np.int64], side: int) -> F32:
    """(n, c, side, side): what lies under the patch."""
    found: F32 = images[_index(place, images.shape[1], side)]
    return found


def _put(x: F32, place: NDArray[np.int64], patch: F32, shown: NDArray[np.bool_]) -> F32:
    """x with a patch (n, c, side, side) on each, its corner at (n, 2)."""
    adv, at = x.copy(), _index(place, x.shape[1], patch.shape[-1])
    adv[at] = np.where(shown, patch, adv[at])
    return adv
