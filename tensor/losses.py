"""Losses per sample: each returns (n,), for row i the loss of sample i alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import Array, Namespace, asnumpy, get_xp
from armour.tensor.core import Tensor, lift
from armour.tensor.elementwise import abs as absolute
from armour.tensor.elementwise import exp, where
from armour.tensor.op import Case, Op, op
from armour.tensor.reduce import log_softmax, logsumexp, softmax
from armour.tensor.shape import take_along_axis
from armour.tensor.sorting import argsort

LABELS = np.array([2, 0, 2], dtype=np.int64)


def _one_hot(xp: Namespace, labels: Array, classes: int, dtype: str) -> Array:
    return (labels.reshape((-1, 1)) == xp.arange(classes, dtype=labels.dtype)).astype(dtype)


_one_hot_row: Op = op("one_hot", _one_hot, cases=(Case((LABELS,), {"classes": 4, "dtype": "float64"}),))


def one_hot(labels: Any, classes: int, dtype: Any = "float32") -> Tensor:
    """(n,) integer labels -> (n, classes), 1 at the label and 0 elsewhere."""
    return _one_hot_row(labels, classes=int(classes), dtype=np.dtype(dtype).name)


def _cross_entropy(xp: Namespace, logits: Array, labels: Array) -> Array:
    _check(logits.shape, labels)
    # Relative to the label's own logit and without its term, so that the small loss of a sure answer keeps
    # its digits: log(1 + sum of the others), or with the largest gap taken out of the sum.
    gaps = logits - xp.take_along_axis(logits, labels.reshape((-1, 1)), axis=1)
    top = xp.max(gaps, axis=1, keepdims=True)
    others = xp.exp(gaps - top) * ~_one_hot(xp, labels, logits.shape[1], "bool")
    return top[:, 0] + xp.log1p(xp.sum(others, axis=1) + xp.expm1(-top[:, 0]))


def _cross_entropy_slope(xp: Namespace, g: Array, logits: Array, labels: Array) -> Array:
    # The label's entry is p - 1, written as minus the sum of the others: p rounds to 1 from a logit gap of 17
    # on, and an attack on a sure answer would lose that part of its gradient.
    own = _one_hot(xp, labels, logits.shape[1], "bool")
    others = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    others /= xp.sum(others, axis=1, keepdims=True)
    others *= ~own
    others -= own * xp.sum(others, axis=1, keepdims=True)
    others *= g.reshape((-1, 1))
    return others


def _slope_g(gg: Tensor, r: Tensor, g: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    ones = Tensor(get_xp(g.data).ones_like(g.data))
    return (gg * _cross_entropy_grad(ones, logits, labels)).sum(axis=1)


def _slope_logits(gg: Tensor, r: Tensor, g: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    p = softmax(logits)
    weighted = p * gg
    return g.reshape((-1, 1)) * (weighted - p * weighted.sum(axis=1, keepdims=True))


_cross_entropy_grad: Op = op(
    "cross_entropy_grad",
    _cross_entropy_slope,
    (_slope_g, _slope_logits, None),
    cases=(Case(((3,), (3, 4), LABELS)), Case(((0,), (0, 4), LABELS[:0]))),
)
cross_entropy: Op = op(
    "cross_entropy",
    _cross_entropy,
    (lambda g, y, logits, labels: _cross_entropy_grad(g, logits, labels), None),
    cases=(Case(((3, 4), LABELS)), Case(((0, 4), LABELS[:0]))),
)


def _check(shape: tuple[int, ...], labels: Array) -> None:
    if len(shape) != 2 or labels.shape != shape[:1] or labels.dtype.kind not in "iu":
        raise InvalidArgument(
            f"expected logits (n, k) and integer labels (n,), got {shape} and {labels.shape} {labels.dtype}"
        )
    # A label below 0 would count from the end; as an unsigned number it is large.
    if labels.size and asnumpy(labels.astype("uint64").max()) >= shape[1]:
        raise InvalidArgument(
            f"expected labels from 0 to {shape[1] - 1}, got {asnumpy(labels).tolist()[:20]}"
        )


def logits_labels(logits: Any, labels: Any) -> tuple[Tensor, Tensor]:
    """logits (n, k) and labels (n,) as tensors; InvalidArgument if they do not fit each other."""
    x, y = lift([logits, labels])
    _check(x.shape, y.data)
    return x, y


def _others(x: Tensor, y: Tensor) -> Tensor:
    # The label's own logit is taken out, so that the largest of the others remains.
    return where(one_hot(y, x.shape[1], "bool"), float("-inf"), x)


def _own(x: Tensor, y: Tensor) -> Tensor:
    return take_along_axis(x, y.reshape((-1, 1)), 1).reshape((-1,))


def margin(logits: Any, labels: Any) -> Tensor:
    """Largest other logit minus the label's, (n,): above 0 means misclassified (Carlini and Wagner, 2017)."""
    x, y = logits_labels(logits, labels)
    return _others(x, y).max(axis=1) - _own(x, y)


def margins(logits: Array, labels: Array) -> Array:
    """The margin (n,) of arrays: the same numbers as `margin` gives, without a tensor."""
    _check(logits.shape, labels)
    rows = np.arange(len(logits))
    own, others = logits[rows, labels], logits.copy()
    others[rows, labels] = -np.inf
    return others.max(axis=1) - own


def soft_margin(logits: Any, labels: Any, temperature: Any = 1.0) -> Tensor:
    """The margin with a soft largest of the other logits, (n,): T log sum exp(z_j / T) - z_y over j != y.

    Every class that could win pulls, where the margin knows only the first. temperature: T above 0, a number
    or (n,), in logits; the margin is what remains as it goes to 0. With T = 1 its slope is the
    cross-entropy's, over the probability of the other classes.
    """
    x, y = logits_labels(logits, labels)
    x, heat = lift([x, temperature])
    gaps = (_others(x, y) - _own(x, y).reshape((-1, 1))) / heat.reshape((-1, 1))
    return logsumexp(gaps, axis=1) * heat.reshape((-1,))


def dlr(logits: Any, labels: Any) -> Tensor:
    """Difference of logits ratio, (n,), larger is worse for the model; needs at least 3 classes.

    -(z_y - max of the others) / (z_1 - z_3) with z_1 >= z_2 >= z_3 sorted; Croce and Hein, 2020,
    https://arxiv.org/abs/2003.01690. Unchanged by shifting and scaling the logits.
    """
    x, y = logits_labels(logits, labels)
    if x.shape[1] < 3:
        raise InvalidArgument(f"the DLR loss needs at least 3 classes, got logits {x.shape}; use margin")
    order = argsort(x)
    first, third = (take_along_axis(x, order[:, -i : x.shape[1] - i + 1], 1).reshape((-1,)) for i in (1, 3))
    return margin(x, y) / (first - third + 1e-12)


def targeted_dlr(logits: Any, labels: Any, targets: Any = None) -> Tensor:
    """Difference of logits ratio of the label y and a target t, (n,); at least 4 classes.

    -(z_y - z_t) / (z_1 - (z_3 + z_4) / 2) with z_1 >= z_2 >= ... sorted. targets: (n,) classes; None for the
    largest other one. Croce and Hein, 2020, https://arxiv.org/abs/2003.01690. Unchanged by shifting and
    scaling the logits.
    """
    x, y = logits_labels(logits, labels)
    if x.shape[1] < 4:
        raise InvalidArgument(
            f"the targeted DLR loss needs at least 4 classes, got logits {x.shape}; use dlr or margin"
        )
    if targets is None:
        gap = margin(x, y)
    else:
        _, t = logits_labels(x, targets)
        gap = _own(x, t) - _own(x, y)
    order = argsort(x)
    first, third, fourth = (
        take_along_axis(x, order[:, -i : x.shape[1] - i + 1], 1).reshape((-1,)) for i in (1, 3, 4)
    )
    return gap / (first - (third + fourth) * 0.5 + 1e-12)


def jitter(logits: Any, labels: Any, noise: Any = 0.0, scale: float = 10.0) -> Tensor:
    """Squared distance of the scaled, noisy answer from the label's one-hot vector, (n,).

    |softmax(scale * logits / |logits|_inf) + noise - one_hot|^2: the answer keeps its slope however sure the
    model is, and every class that could win has its part in it. noise: numbers that broadcast to (n, k).
    Schwinn et al., 2021, https://arxiv.org/abs/2105.10304, whose loss is the root of it; both rise the same
    way.
    """
    x, y = logits_labels(logits, labels)
    gap: Tensor = softmax(levelled(x, scale)) + noise - one_hot(y, x.shape[1], x.dtype)
    return (gap * gap).sum(axis=1)


def levelled(logits: Any, scale: float) -> Tensor:
    """Logits (n, k) whose largest absolute value is `scale`; rows of zeros stay so."""
    (x,) = lift([logits])
    level: Tensor = x * (scale / (absolute(x).max(axis=1, keepdims=True) + 1e-12))
    return level


def mse(prediction: Any, target: Any) -> Tensor:
    """Mean of squared differences over all axes but the first, (n,)."""
    a, b = lift([prediction, target])
    d = a - b
    return (d * d).reshape((d.shape[0], -1)).mean(axis=1) if d.ndim > 1 else d * d


def kl(logits: Any, reference_logits: Any) -> Tensor:
    """Kullback-Leibler divergence KL(softmax(reference) || softmax(logits)), (n,), in nats."""
    a, b = lift([logits, reference_logits])
    log_q, log_p = log_softmax(a), log_softmax(b)
    return (exp(log_p) * (log_p - log_q)).sum(axis=1)
