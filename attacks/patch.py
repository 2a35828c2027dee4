"""A patch for all images: a small picture that is laid over any of them, anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from armour.checks import count, describe, fraction, non_negative, one_of, positive
from armour.contract import Model
from armour.criteria import Criterion
from armour.errors import InvalidArgument, UnsupportedError
from armour.geometry import warp
from armour.regions import F32, F64
from armour.rng import Streams, by_content, generator

from .base import ATTACKS
from .gradient import finite, look
from .own_limits import OwnLimitsAttack

Shape: TypeAlias = Literal["square", "disc"]
Place: TypeAlias = tuple[float, float]
_CHECKS = 10  # times in a search that a patch is tried on fixed draws
_DEGREE = np.float32(np.pi / 180)


@ATTACKS.register("patch")
@dataclass(frozen=True, slots=True, kw_only=True)
class Patch(OwnLimitsAttack):
    """One patch for all inputs of a call, that works wherever it is laid.

    The patch begins in the middle of the bounds. Each step lays it on every image, `eot` times at places,
    angles and sizes drawn anew for each image (expectation over transformations), adds up the gradients of
    the cross-entropy, and moves each value of the patch by `step_size`. What is handed back is laid at one
    more draw for each image; the patch is the one that did best on some fixed draws. Needs gradients.
    `fit` gives the patch itself, and `lay` lays it on other images.

    size: side (or diameter) as a share of the images' shorter side, in (0, 1]. shape: "square" or "disc".
    place: "random", anywhere inside the image; or (down, right), in [0, 1], shares of the free room, where
    the patch then lies straight and in its full size.
    rotation: most degrees each way. scale: smallest size, as a share of `size`; both with a random place.
    steps: of the search. step_size: as a share of the span of the bounds. eot: draws for each step.
    norm: measures only. Raises UnsupportedError if the model is a black box, and for inputs that are no
    images (c, h, w).
    Brown et al., 2017, https://arxiv.org/abs/1712.09665.
    """

    together: ClassVar[bool] = True

    size: float = 0.3
    shape: Shape = "square"
    place: Literal["random"] | Place = "random"
    rotation: float = 20.0
    scale: float = 0.8
    steps: int = 100
    step_size: float = 0.05
    eot: int = 2

    def __post_init__(self) -> None:
        OwnLimitsAttack.__post_init__(self)
        check_patch(self, self.size, self.shape, self.place, "random")
        count("steps", self.steps)
        positive("step_size", self.step_size)
        non_negative("rotation", self.rotation)
        positive("scale", fraction("scale", self.scale))
        count("eot", self.eot)

    def fit(self, model: Model, x: ArrayLike, y: ArrayLike | Criterion, *, rng: int = 0) -> F32:
        """The patch (c, side, side), inside the bounds; what `shape` leaves out of it is never seen."""
        self.check_model(model)
        x = model.check_input(np.asarray(x))
        criterion = self._criterion(model, y)
        criterion.check(len(x), model.num_classes)
        return self._fitted(model, x, criterion, by_content(generator(rng), x))

    def lay(self, x: ArrayLike, patch: F32, *, rng: int = 0) -> F32:
        """x (n, c, h, w) with the patch on each, at a place drawn for it."""
        x = np.asarray(x, np.float32)
        side = side_of(x, self.size)
        if patch.shape != (x.shape[1], side, side):
            raise InvalidArgument(
                f"expected a patch {(x.shape[1], side, side)} for such images, got {describe('patch', patch)}"
            )
        return self._layout(x, by_content(generator(rng), x)).put(x, patch)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run."""
        patch = self._fitted(model, x, criterion, rng.child(0))
        return self._layout(x, rng.child(1)).put(x, patch)

    def _fitted(self, model: Model, x: F32, criterion: Criterion, rng: Streams) -> F32:
        side, (low, high) = side_of(x, self.size), model.bounds
        patch = np.full((x.shape[1], side, side), (low + high) / 2, np.float32)
        step_size = np.float32(self.step_size * model.bounds.span)
        objective = criterion.objective()
        draws = self.eot if self.place == "random" else 1
        fixed = [self._layout(x, rng.child(k)) for k in range(draws)]
        best, record = patch, (-1.0, -np.inf)
        for step in range(1, self.steps + 1):
            total = np.zeros(patch.shape)
            for k in range(draws):
                layout = self._layout(x, rng.child(draws * step + k))
                _, gradient, _ = model.gradient(layout.put(x, patch), objective)
                total += layout.gathered(finite(gradient))
            patch = np.clip(patch + step_size * np.sign(total).astype(np.float32), low, high)
            if step == self.steps or step % max(1, self.steps // _CHECKS) == 0:
                score = _score(model, criterion, [layout.put(x, patch) for layout in fixed])
                if score > record:
                    best, record = patch, score
        return best

    def _layout(self, x: F32, streams: Streams) -> _Layout:
        """Where the patch lies on each image: drawn, or fixed."""
        n = len(x)
        if self.place != "random":
            down, right = np.tile(np.array(self.place, np.float32), (n, 1)).T
            straight, whole = np.zeros(n, np.float32), np.ones(n, np.float32)
            return _Layout(x, self.size, self.shape, down, right, straight, whole)
        down, right, turn, size = streams.uniform((4,)).T
        degrees = np.float32(self.rotation) * (2 * turn - 1)
        return _Layout(x, self.size, self.shape, down, right, degrees, self.scale + (1 - self.scale) * size)


class _Layout:
    """Where a patch lies on each of n images.

    down, right: (n,) in [0, 1], shares of the room that the patch has. degrees, scale: (n,) its turn
    (counter-clockwise) and its size.
    """

    def __init__(
        self, x: F32, size: float, shape: Shape, down: F32, right: F32, degrees: F32, scale: F32
    ) -> None:
        h, w = x.shape[2:]
        self.side = side = side_of(x, size)
        middle = np.float32((side - 1) / 2)
        # Upright it would be inside the image, at whole pixels; what turning moves out is cut off.
        room = scale * side
        i, j = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)
        i = i - (np.rint(down * (h - room)) + (room - 1) / 2)[:, None, None]
        j = j - (np.rint(right * (w - room)) + (room - 1) / 2)[:, None, None]
        angle = (degrees * _DEGREE)[:, None, None]
        cosine, sine = np.cos(angle), np.sin(angle)
        rows = (cosine * i + sine * j) / scale[:, None, None]
        columns = (cosine * j - sine * i) / scale[:, None, None]
        half = np.float32(side / 2)
        if shape == "disc":
            self.shown = rows**2 + columns**2 <= half**2
        else:
            self.shown = (rows >= -half) & (rows < half) & (columns >= -half) & (columns < half)
        self.rows = np.clip(rows + middle, 0, side - 1)
        self.columns = np.clip(columns + middle, 0, side - 1)

    def put(self, x: F32, patch: F32) -> F32:
        """x with the patch (c, side, side) on it."""
        canvas = np.zeros_like(x)
        canvas[:, :, : self.side, : self.side] = patch
        laid = np.clip(warp(canvas, self.rows, self.columns), patch.min(), patch.max())
        return np.where(self.shown[:, None], laid, x)

    def gathered(self, gradient: F32) -> F64:
        """(c, side, side): how (gradient * put(x, patch)).sum() over all images changes with the patch."""
        side, channels = self.side, gradient.shape[1]
        at = np.flatnonzero(self.shown)
        rows, columns = self.rows.reshape(-1)[at], self.columns.reshape(-1)[at]
        top = np.minimum(rows.astype(np.int64), max(side - 2, 0))
        left = np.minimum(columns.astype(np.int64), max(side - 2, 0))
        down, right = rows - top, columns - left
        below, beside = np.minimum(top + 1, side - 1), np.minimum(left + 1, side - 1)
        pulls = gradient.transpose(1, 0, 2, 3).reshape(channels, -1)[:, at]
        total = np.zeros((channels, side * side))
        for row, column, weight in (
            (top, left, (1 - down) * (1 - right)),
            (top, beside, (1 - down) * right),
            (below, left, down * (1 - right)),
            (below, beside, down * right),
        ):
            for channel, along in zip(total, pulls, strict=True):
                channel += np.bincount(row * side + column, along * weight, side * side)
        return total.reshape(channels, side, side)


def side_of(x: F32, size: float) -> int:
    """The side of a patch in pixels; UnsupportedError for inputs that are no images."""
    if x.ndim != 4:
        raise UnsupportedError(f"expected images (n, c, h, w) to lay a patch on, got inputs {x.shape}")
    return max(1, round(size * min(int(length) for length in x.shape[2:])))


def check_patch(attack: OwnLimitsAttack, size: float, shape: str, place: str | Place, free: str) -> None:
    """Check settings that patches share, and make a tuple of the place; free: the one that is not fixed."""
    positive("size", fraction("size", size))
    one_of("shape", shape, ("square", "disc"))
    if isinstance(place, str):
        one_of("place", place, (free,))
        return
    if np.shape(place) != (2,):
        raise InvalidArgument(
            f"expected place={free!r} or (down, right), shares in [0, 1], got {describe('place', place)}"
        )
    object.__setattr__(attack, "place", tuple(fraction("place", share) for share in place))


def _score(model: Model, criterion: Criterion, batches: list[F32]) -> tuple[float, float]:
    """How well inputs do: the share that meets the criterion, then the mean objective."""
    asked = [look(model, adv, criterion, criterion.objective()) for adv in batches]
    values = np.nan_to_num(np.stack([value for value, _ in asked]).astype(np.float64), nan=-1e30)
    return float(np.mean([met for _, met in asked])), float(values.mean())
