"""Rotations and translations: the worst of a grid, of random ones, or found by gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from armour.bounds import Bounds
from armour.checks import count, fraction, non_negative, one_of, positive
from armour.contract import Model
from armour.criteria import Criterion, Loss
from armour.errors import InvalidArgument, UnsupportedError
from armour.geometry import offsets, warp, warp_slopes
from armour.regions import F32
from armour.rng import Streams
from armour.tensor.core import Tensor, no_grad

from .base import ATTACKS
from .black_box import Asker, OwnLimitsScoreAttack
from .fgsm import check_loss
from .gradient import finite
from .own_limits import OwnLimitsAttack

Fill: TypeAlias = Literal["low", "edge"]
_DEGREE = np.float32(np.pi / 180)


@ATTACKS.register("spatial")
@dataclass(frozen=True, slots=True, kw_only=True)
class Spatial(OwnLimitsScoreAttack):
    """Rotations and translations of images, by the model's scores alone: a grid, or random tries.

    An image is turned about its centre and then shifted, sampled bilinearly. A grid is gone through from its
    smallest to its largest changes, without the one that changes nothing. A sample is left alone once it is
    broken; of one that is not, the transformation with the largest margin loss is handed back.

    rotation: most degrees each way. translation: furthest shift each way, as a share of the side, in [0, 1].
    method: "grid", or "random": `queries` draws, uniform in both.
    angles, shifts: values of the grid for the angle and for each of the two shifts.
    fill: what comes in from outside, the lower bound ("low", as in the paper) or the nearest pixel ("edge").
    queries: most transformations tried of each sample; a grid with more points than that is refused.
    norm: measures only. Raises UnsupportedError for inputs that are no images (c, h, w).
    Engstrom et al., 2019, https://arxiv.org/abs/1712.02779 (its grid has 31 angles and 5 shifts; its "worst
    of 10" is method="random", queries=10).
    """

    queries: int = 775
    rotation: float = 30.0
    translation: float = 0.1
    method: Literal["grid", "random"] = "grid"
    angles: int = 31
    shifts: int = 5
    fill: Fill = "low"

    def __post_init__(self) -> None:
        OwnLimitsScoreAttack.__post_init__(self)
        _check(self.rotation, self.translation, self.fill)
        one_of("method", self.method, ("grid", "random"))
        count("angles", self.angles)
        count("shifts", self.shifts)
        if self.method == "grid" and len(self.grid()) > self.queries:
            raise InvalidArgument(
                f"expected queries of at least the grid's {len(self.grid())} points, got {self.queries}; "
                'state fewer angles or shifts, or method="random"'
            )

    def grid(self) -> F32:
        """Points (m, 3): angle, shift down, shift right, as shares of their limits; the smallest first."""
        angles = _ends(self.angles if self.rotation else 1)
        shifts = _ends(self.shifts if self.translation else 1)
        points = np.stack(np.meshgrid(angles, shifts, shifts, indexing="ij"), axis=-1).reshape(-1, 3)
        size = np.abs(points)
        points = points[np.lexsort((size.sum(axis=1), size.max(axis=1)))]
        return points[points.any(axis=1)]

    def find(self, asker: Asker, x: F32, *, rng: Streams) -> F32:
        """As OwnLimitsScoreAttack.find."""
        view = _View(x, self.rotation, self.translation, self.fill, asker.model.bounds)
        points = self.grid() if self.method == "grid" else None
        best, value = x.copy(), np.full(len(x), -np.inf, np.float32)
        left = np.arange(len(x))
        for query in range(self.queries if points is None else len(points)):
            if points is None:
                place = rng[left].child(query).uniform((3,), -1, 1)
            else:
                place = np.broadcast_to(points[query], (len(left), 3))
            tried = view[left].moved(place)
            now, met = asker.scores(left, tried)
            better = met | (now > value[left])
            best[left[better]], value[left[better]] = tried[better], now[better]
            left = left[~met]
            if not left.size:
                break
        return best


@ATTACKS.register("spatial-pgd")
@dataclass(frozen=True, slots=True, kw_only=True)
class SpatialPGD(OwnLimitsAttack):
    """Rotations and translations found by gradients: projected ascent in the angle and the two shifts.

    The transformation is that of Spatial. Each step moves all three by `step_size` of their limits, as the
    signs of the gradient say, which goes through the bilinear sampling. Needs gradients. The loss has many
    peaks along these three numbers: the paper finds a grid far stronger, and so it is; this one is cheap.

    rotation, translation, fill: as for Spatial.
    steps: gradient evaluations per restart. step_size: as a share of the limits.
    restarts: runs from new random transformations, on the samples that are not broken yet.
    loss: "cross-entropy", "margin", "dlr", or a function (logits, labels) -> (n,).
    norm: measures only. Raises UnsupportedError if the model is a black box, and for inputs that are no
    images (c, h, w).
    Engstrom et al., 2019, https://arxiv.org/abs/1712.02779.
    """

    rotation: float = 30.0
    translation: float = 0.1
    fill: Fill = "low"
    steps: int = 20
    step_size: float = 0.1
    restarts: int = 5
    loss: str | Loss = "cross-entropy"

    def __post_init__(self) -> None:
        OwnLimitsAttack.__post_init__(self)
        _check(self.rotation, self.translation, self.fill)
        count("steps", self.steps)
        positive("step_size", self.step_size)
        count("restarts", self.restarts)
        check_loss(self.loss)

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run."""
        view = _View(x, self.rotation, self.translation, self.fill, model.bounds)
        best, value = x.copy(), np.full(len(x), -np.inf, np.float32)
        left = np.arange(len(x))
        for restart in range(self.restarts):
            rows, place = left, rng[left].child(restart).uniform((3,), -1, 1)
            for step in range(self.steps + 1):
                tried, goal = view[rows].moved(place), criterion[rows]
                objective = goal.objective(self.loss)
                if step < self.steps:
                    now, gradient, logits = model.gradient(tried, objective)
                else:
                    logits = model.logits(tried)
                    with no_grad():
                        now = objective(Tensor(logits)).numpy()
                met = goal(logits)
                better = met | (now > value[rows])
                best[rows[better]], value[rows[better]] = tried[better], now[better]
                left = np.setdiff1d(left, rows[met], assume_unique=True)
                if step == self.steps or met.all():
                    break
                slopes = view[rows[~met]].slopes(place[~met], finite(gradient[~met]))
                rows, place = rows[~met], place[~met]
                place = np.clip(place + np.float32(self.step_size) * np.sign(slopes), -1, 1)
            if not left.size:
                break
        return best


class _View:
    """Images (n, c, h, w) that can be turned and shifted, with a border of the lower bound if `fill` says so.

    Places are (n, 3): angle, shift down and shift right, as shares of their limits.
    """

    def __init__(self, x: F32, rotation: float, translation: float, fill: Fill, bounds: Bounds) -> None:
        if x.ndim != 4:
            raise UnsupportedError(f"expected images (n, c, h, w) to turn and shift, got inputs {x.shape}")
        # One pixel of border is enough: positions outside take the nearest one.
        self.pad = 1 if fill == "low" else 0
        frame = ((0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad))
        self.x = np.pad(x, frame, constant_values=bounds.low)
        h, w = x.shape[2:]
        self.limits = np.array([rotation * _DEGREE, translation * h, translation * w], np.float32)
        self.bounds = bounds

    def __getitem__(self, rows: np.ndarray) -> _View:
        part = object.__new__(_View)
        part.x, part.pad, part.limits, part.bounds = self.x[rows], self.pad, self.limits, self.bounds
        return part

    def moved(self, place: F32) -> F32:
        """The images, transformed."""
        rows, columns, _ = self._positions(place)
        out = warp(self.x, rows, columns)
        return np.clip(self._inner(out), *self.bounds)

    def slopes(self, place: F32, along: F32) -> F32:
        """(n, 3): how (along * moved(place)).sum() of each image changes with its place."""
        rows, columns, (cosine, sine) = self._positions(place)
        frame = ((0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad))
        by_row, by_column = warp_slopes(self.x, rows, columns, np.pad(along, frame))
        h, w = self.x.shape[2:]
        turn = by_row * (columns - np.float32((w - 1) / 2)) - by_column * (rows - np.float32((h - 1) / 2))
        down, right = by_column * sine - by_row * cosine, -by_row * sine - by_column * cosine
        return np.stack([part.sum(axis=(1, 2)) for part in (turn, down, right)], axis=1) * self.limits

    def _positions(self, place: F32) -> tuple[F32, F32, tuple[F32, F32]]:
        """Where each pixel comes from: the shift is undone first, then the turn. Also cosine and sine."""
        h, w = self.x.shape[2:]
        angle, down, right = (place * self.limits).T[:, :, None, None]
        cosine, sine = np.cos(angle), np.sin(angle)
        i, j = offsets(h, w, np)
        i, j = i - down, j - right
        rows = cosine * i + sine * j + np.float32((h - 1) / 2)
        columns = cosine * j - sine * i + np.float32((w - 1) / 2)
        return rows, columns, (cosine, sine)

    def _inner(self, out: F32) -> F32:
        return out[:, :, self.pad : out.shape[2] - self.pad, self.pad : out.shape[3] - self.pad]


def _ends(values: int) -> F32:
    """That many values from -1 to 1; 0 alone."""
    return np.linspace(-1, 1, values, dtype=np.float32) if values > 1 else np.zeros(1, np.float32)


def _check(rotation: float, translation: float, fill: str) -> None:
    non_negative("rotation", rotation)
    fraction("translation", translation)
    one_of("fill", fill, ("low", "edge"))
    if rotation == 0 == translation:
        raise InvalidArgument("expected a rotation or a translation above 0, got neither")
