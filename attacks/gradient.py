"""Projected gradient ascent: the loop that PGD, BIM and their relatives share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from armour.contract import Model
from armour.criteria import Criterion, Loss
from armour.regions import F32, Region
from armour.tensor.core import Tensor, no_grad


def ascend(
    model: Model,
    region: Region,
    criterion: Criterion,
    start: F32,
    *,
    loss: str | Loss,
    steps: int,
    step_size: float,
) -> tuple[F32, NDArray[np.float32], NDArray[np.bool_]]:
    """Go up the criterion's objective from `start` (n, ...) inside the region.

    Each iterate costs a forward and a backward pass; the last one, after `steps` steps, a forward pass. A
    sample leaves as soon as an iterate meets the criterion. step_size: a fraction of epsilon. Returns for
    each sample the iterate that met the criterion, or else the one with the largest objective; that objective
    (n,); and whether it met it (n,).
    """
    best, best_value = start.copy(), np.full(len(start), -np.inf, np.float32)
    met = np.zeros(len(start), bool)
    rows, point = np.arange(len(start)), start
    for step in range(steps + 1):
        objective = criterion.objective(loss)
        if step < steps:
            value, gradient, logits = model.gradient(point, objective)
        else:
            logits = model.logits(point)
            with no_grad():
                value = objective(Tensor(logits)).numpy()
        now = criterion(logits)
        better = now | (value > best_value[rows])
        best[rows[better]] = point[better]
        best_value[rows[better]] = value[better]
        met[rows[now]] = True
        if step == steps or now.all():
            break
        if now.any():
            stay = ~now
            rows, point, gradient = rows[stay], point[stay], gradient[stay]
            region, criterion = region[stay], criterion[stay]
        point = region.step(point, finite(gradient), step_size)
    return best, best_value, met


def finite(gradient: F32) -> F32:
    """The gradient with 0 for NaN and the largest float for infinity; the same array if there are none."""
    return gradient if np.isfinite(gradient).all() else np.nan_to_num(gradient)
