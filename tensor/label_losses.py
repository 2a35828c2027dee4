"""Further losses against labels or probabilities, per sample: each returns (n,).

cross_entropy, margin, dlr and kl are in losses.py.
"""

from __future__ import annotations

from typing import Any

from armour.checks import positive
from armour.errors import InvalidArgument
from armour.tensor.backend import errstate
from armour.tensor.core import Tensor
from armour.tensor.elementwise import relu, softplus, where
from armour.tensor.losses import logits_labels, one_hot
from armour.tensor.measures import xlog1py, xlogy
from armour.tensor.reduce import log_softmax
from armour.tensor.regression_losses import both, per_sample
from armour.tensor.shape import take_along_axis


def nll(log_probabilities: Any, labels: Any) -> Tensor:
    """Minus the log probability of the label. log_probabilities: (n, k). labels: (n,) from 0 to k - 1."""
    x, y = logits_labels(log_probabilities, labels)
    return -take_along_axis(x, y.reshape((-1, 1)), 1).reshape((-1,))


def soft_cross_entropy(logits: Any, probabilities: Any) -> Tensor:
    """Cross-entropy in nats of softmax(logits) (n, k) against target probabilities (n, k)."""
    z, p = both("soft_cross_entropy", logits, probabilities)
    if z.ndim != 2:
        raise InvalidArgument(f"soft_cross_entropy expects logits (n, k), got {z.shape}")
    return -(p * log_softmax(z)).sum(axis=1)


def hinge(logits: Any, labels: Any, gap: float = 1.0) -> Tensor:
    """How far the label's logit fails to be above each other one by `gap`, summed, divided by k.

    The multi-class hinge loss of Weston and Watkins, 1999. logits: (n, k). labels: (n,).
    """
    gap = positive("gap", gap)
    z, y = logits_labels(logits, labels)
    own = take_along_axis(z, y.reshape((-1, 1)), 1)
    others = where(one_hot(y, z.shape[1], "bool"), 0.0, relu(z - own + gap))
    return others.sum(axis=1) * (1.0 / z.shape[1])


def sigmoid_cross_entropy(logits: Any, targets: Any) -> Tensor:
    """Binary cross-entropy of sigmoid(logits) (n, ...) against targets in [0, 1], mean over all but n.

    Written with softplus of both signs, so that sure answers keep the digits of their small losses and
    gradients.
    """
    z, t = both("sigmoid_cross_entropy", logits, targets)
    return per_sample(t * softplus(-z) + (1.0 - t) * softplus(z))


def binary_cross_entropy(probabilities: Any, targets: Any) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)), mean over all axes but the first.

    probabilities, targets: p and t, in [0, 1], of one shape (n, ...). Infinite where p is 0 or 1 and t
    says otherwise; sigmoid_cross_entropy of the logits never is.
    """
    p, t = both("binary_cross_entropy", probabilities, targets)
    with errstate(divide="ignore"):
        return -per_sample(xlogy(t, p) + xlog1py(1.0 - t, -p))
