"""Projected gradient ascent: the loop that PGD, BIM and their relatives share, and what one step asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour.contract import Model
from armour.criteria import Criterion, Loss
from armour.errors import UnsupportedError
from armour.objective import Objective
from armour.regions import F32, Region

from .clock import time_is_up

Rows: TypeAlias = NDArray[np.int64]
# (rows, step) -> what the loss takes for each of these samples besides labels.
Data: TypeAlias = Callable[[Rows, int], tuple[NDArray[Any], ...]]


class Way(Protocol):
    """Chooses what direction a step takes. It may keep an account of each sample, by its row.

    elsewhere: it takes gradients of its own, at other points than the iterate, which is then only looked at.
    """

    elsewhere: bool

    def __call__(
        self, rows: Rows, step: int, point: F32, gradient: F32, objective: Objective, region: Region
    ) -> F32:
        """Like `point` (m, ...): Region.step goes along it. gradient: that at `point`, 0 if `elsewhere`."""


def ascend(
    model: Model,
    region: Region,
    criterion: Criterion,
    start: F32,
    *,
    loss: str | Loss,
    steps: int,
    step_size: float,
    eot: int = 1,
    way: Way | None = None,
    data: Data | None = None,
) -> tuple[F32, NDArray[np.float32], NDArray[np.bool_]]:
    """Go up the criterion's objective from `start` (n, ...) inside the region.

    Each iterate costs a forward and a backward pass; the last one, after `steps` steps, a forward pass. A
    sample leaves as soon as an iterate meets the criterion. step_size: a fraction of epsilon. eot: passes for
    each iterate, as in `pull`. way: the direction of each step, in place of the gradient. data: what the
    loss takes besides labels. Returns for each sample the iterate that met the criterion, or else the one
    with the largest objective; that objective (n,); and whether it met it (n,).
    """
    best, best_value = start.copy(), np.full(len(start), -np.inf, np.float32)
    met = np.zeros(len(start), bool)
    rows, point = np.arange(len(start)), start
    for step in range(steps + 1):
        objective = criterion.objective(loss, *(() if data is None else data(rows, step)))
        if step == steps or (way is not None and way.elsewhere):
            (value, now), gradient = look(model, point, criterion, objective, eot), np.zeros_like(point)
        else:
            value, gradient, now = pull(model, point, criterion, objective, eot)
        better = now | (value > best_value[rows])
        best[rows[better]] = point[better]
        best_value[rows[better]] = value[better]
        met[rows[now]] = True
        if step == steps or now.all() or time_is_up():
            break
        if now.any():
            stay = ~now
            rows, point, gradient = rows[stay], point[stay], gradient[stay]
            region, criterion, objective = region[stay], criterion[stay], objective[stay]
        if way is not None:
            gradient = way(rows, step, point, gradient, objective, region)
        point = region.step(point, gradient, step_size)
    return best, best_value, met


def pull(
    model: Model, point: F32, criterion: Criterion, objective: Objective, eot: int = 1
) -> tuple[F32, F32, NDArray[np.bool_]]:
    """The objective (n,) at `point` (n, ...), its finite gradient, and whether the criterion is met (n,).

    eot: passes whose objectives and gradients are averaged, for a model that answers at random (expectation
    over transformations; Athalye et al., 2018, https://arxiv.org/abs/1802.00420). The criterion is then met
    where each of the answers meets it, so that no lucky answer ends a search.
    """
    value, gradient, logits = model.gradient(point, objective)
    gradient, met = finite(gradient), criterion(logits)
    if eot > 1:
        for _ in range(eot - 1):
            more, slope, logits = model.gradient(point, objective)
            value, gradient, met = value + more, gradient + finite(slope), met & criterion(logits)
        value, gradient = value / np.float32(eot), gradient / np.float32(eot)
    return value, gradient, met


def look(
    model: Model, point: F32, criterion: Criterion, objective: Objective, eot: int = 1
) -> tuple[F32, NDArray[np.bool_]]:
    """As `pull`, without the gradient: forward passes alone."""
    total, met = np.zeros(len(point), np.float32), np.ones(len(point), bool)
    for _ in range(eot):
        logits = model.logits(point)
        total += objective.values(logits)
        met &= criterion(logits)
    return total / np.float32(eot), met


def finite(gradient: F32) -> F32:
    """The gradient with 0 for NaN and the largest float for infinity; the same array if there are none."""
    return gradient if np.isfinite(gradient).all() else np.nan_to_num(gradient)


def set_aside(logits: NDArray[Any], labels: Rows) -> NDArray[Any]:
    """A copy of logits (n, k) in which those of the labels (n,) are minus infinity."""
    others = logits.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    return others


def other_classes(logits: NDArray[Any], labels: Rows) -> Rows:
    """(n, k - 1) the classes but the label, the likeliest first; those of NaN are the last."""
    order = np.argsort(-logits, axis=1, kind="stable")
    others: Rows = order[order != labels[:, None]].reshape(len(logits), -1)
    return others


def labels_of(criterion: Criterion) -> Rows:
    """The criterion's labels (n,); UnsupportedError for one that has none, such as criteria.Custom."""
    labels = criterion.labels
    if labels is None:
        raise UnsupportedError(
            f"the attack goes through classes, and {criterion} has no labels; use one that climbs its loss, "
            "such as pgd, apgd-ce or square, or combine it with Misclassified"
        )
    return labels
