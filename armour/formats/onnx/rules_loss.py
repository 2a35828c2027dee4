"""Losses, which networks exported from training end in."""

from __future__ import annotations

from typing import Any

import armour.tensor as T
from armour.tensor.core import Tensor

from .rules import Call, rule


@rule("NegativeLogLikelihoodLoss")
def negative_log_likelihood(c: Call) -> Tensor:
    """Of log-probabilities (n, classes, ...) for labels (n, ...)."""
    return _loss(c, c.x(0))


@rule("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(c: Call) -> list[Tensor]:
    """Of scores (n, classes, ...) for labels (n, ...), and the log-probabilities."""
    logs = T.log_softmax(c.x(0), axis=1)
    return [_loss(c, logs), logs]


def _loss(c: Call, logs: Tensor) -> Tensor:
    labels = T.cast(c.x(1), "int64")
    if logs.ndim < 2 or labels.shape != (logs.shape[0], *logs.shape[2:]):
        raise c.damaged(f"has labels {labels.shape} for {logs.shape}")
    ignored: Any = c.attr("ignore_index", None)
    kept: Any = None
    if ignored is not None:
        kept = T.not_equal(labels, int(ignored))
        labels = T.where(kept, labels, 0)
    if not c.run.building and labels.size:
        values = labels.numpy()
        if values.min() < 0 or values.max() >= logs.shape[1]:
            raise c.damaged(f"has labels that are none of {logs.shape[1]} classes")
    picked = T.take_along_axis(logs, T.expand_dims(labels, 1), 1)
    losses = T.negative(T.reshape(picked, labels.shape))
    weights: Any = T.gather(c.x(2), labels, 0) if c.has(2) else None
    if kept is not None:
        inside = T.cast(kept, logs.dtype.name)
        weights = inside if weights is None else T.multiply(weights, inside)
    losses = losses if weights is None else T.multiply(losses, weights)
    how = c.attr("reduction", "mean")
    if how == "none":
        return losses
    if how == "sum" or (how == "mean" and weights is None):
        return T.sum(losses) if how == "sum" else T.mean(losses)
    if how != "mean":
        raise c.damaged(f"reduces its losses by {ascii(how)[:40]}")
    return T.divide(T.sum(losses), T.sum(weights))
