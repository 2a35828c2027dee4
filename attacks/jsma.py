"""JSMA: few values moved to their bounds, one or two at a time, by their saliency."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from armour.checks import fraction, one_of, positive
from armour.contract import Model
from armour.criteria import Criterion
from armour.distances import Norm
from armour.errors import InvalidArgument
from armour.objective import Objective
from armour.regions import F32, F64, rows
from armour.rng import Streams
from armour.tensor.core import Tensor
from armour.tensor.shape import take_along_axis

from .base import ATTACKS, MinimizationAttack
from .gradient import finite, labels_of, set_aside
from .retreat import surely

# Pairs are looked for among so many moves that are best for the target, against the others, and for both.
_SHORTLIST = 16


@ATTACKS.register("jsma")
@dataclass(frozen=True, slots=True, kw_only=True)
class JSMA(MinimizationAttack):
    """Jacobian-based saliency map attack: the fewest values, each moved as far as it may, a step at a time.

    A move's saliency is what it adds to the target's logit times what it takes from the sum of the others, by
    the gradients and as far as the bounds let it go; both must be gains. Where no move is one, that with the
    largest sum is made. A criterion without a target has, at each step, the likeliest class but the label. A
    value that has moved does not move back. Pairs are chosen from short lists, never from a table of all.

    theta: share of the bounds' span that a move is long, in (0, 1]. gamma: most values that may change, as a
    share of all, in (0, 1]. pairs: move the two values whose joint saliency is largest, as in the paper; else
    one. direction: whether values may go "up", "down", or "both". Each step costs two gradients.
    Raises UnsupportedError if the model is a black box.
    Papernot et al., 2016, https://arxiv.org/abs/1511.07528; both directions and no target as in Wiyatno and
    Xu, 2018, https://arxiv.org/abs/1808.07945.
    """

    norms: ClassVar[tuple[Norm, ...]] = ("l0",)
    through_classes: ClassVar[bool] = True

    norm: Norm = "l0"
    theta: float = 1.0
    gamma: float = 0.15
    pairs: bool = True
    direction: Literal["up", "down", "both"] = "both"

    def __post_init__(self) -> None:
        MinimizationAttack.__post_init__(self)
        for name in ("theta", "gamma"):
            positive(name, fraction(name, getattr(self, name)))
        if not isinstance(self.pairs, bool):
            raise InvalidArgument(f"expected pairs=True or False, got {self.pairs!r}")
        one_of("direction", self.direction, ("up", "down", "both"))

    def run(self, model: Model, x: F32, criterion: Criterion, *, rng: Streams) -> F32:
        """As MinimizationAttack.run; rng is not used."""
        adv, left, size = x.copy(), np.arange(len(x)), math.prod(x.shape[1:])
        each = 2 if self.pairs and size > 1 else 1
        most = max(each, math.floor(self.gamma * size))
        for _ in range(math.ceil(most / each) * math.ceil(1 / self.theta)):
            logits, gain, loss = self._slopes(model, adv[left], criterion[left])
            going = ~surely(criterion[left], logits)
            going &= np.count_nonzero(rows(adv[left] != x[left]), axis=1) <= most - each
            left, gain, loss = left[going], gain[going], loss[going]
            moves = self._room(model, rows(x[left]), rows(adv[left]))
            chosen, worth = choose(gain, loss, moves, each)
            left, moves, chosen = left[worth], moves[worth], chosen[worth]
            if not left.size:
                break
            here = np.arange(len(left))[:, None]
            flat = rows(adv[left]).copy()
            flat[here, chosen % size] += moves[here, chosen]
            adv[left] = np.clip(flat, *model.bounds).reshape(adv[left].shape)
        return adv

    def _slopes(self, model: Model, adv: F32, criterion: Criterion) -> tuple[NDArray[np.float32], F32, F32]:
        """Logits, and the gradients (m, d) of the target's logit and of the sum of the others'."""
        _, total, logits = model.gradient(adv, Objective(in_sum, np.zeros(len(adv), np.int64)))
        labels = labels_of(criterion)
        if criterion.direction >= 0:
            labels = set_aside(logits, labels).argmax(axis=1)
        _, own, _ = model.gradient(adv, Objective(of_class, labels))
        target = np.asarray(rows(finite(own)), np.float32)
        return logits, target, np.asarray(rows(finite(total)) - target, np.float32)

    def _room(self, model: Model, x: F32, adv: F32) -> F32:
        """(m, 2 d) how far each value may move up, and then down; 0 where it may not."""
        step = np.float32(self.theta * model.bounds.span)
        up = np.minimum(np.float32(model.bounds.high) - adv, step) * (adv >= x) * (self.direction != "down")
        down = np.minimum(adv - np.float32(model.bounds.low), step) * (adv <= x) * (self.direction != "up")
        return np.concatenate([up, -down], axis=1).astype(np.float32)


def choose(gain: F32, loss: F32, moves: F32, each: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The most salient moves (m, each) of each row, and whether they are worth making (m,).

    gain, loss: (m, d) gradients of the target's logit and of the others' sum. moves: (m, 2 d) up, then down.
    """
    a, b = np.tile(gain, (1, 2)) * moves, -np.tile(loss, (1, 2)) * moves
    both = a + b
    if each == 1:
        salient = np.where((a > 0) & (b > 0), a * b, 0)
        chosen = np.where(salient.max(axis=1) > 0, salient.argmax(axis=1), both.argmax(axis=1))[:, None]
        return chosen, np.take_along_axis(both, chosen, axis=1)[:, 0] > 0
    size, keep = gain.shape[1], min(_SHORTLIST, moves.shape[1])
    scale = [np.maximum(np.abs(part).max(axis=1, keepdims=True), np.float32(1e-30)) for part in (a, b)]
    score = np.stack([a, b, a / scale[0] + b / scale[1]])
    score[:, moves == 0] = -np.inf
    short = np.argsort(-score, axis=2, kind="stable")[:, :, :keep]
    short = np.concatenate(list(short), axis=1)
    left, right = np.triu_indices(short.shape[1], 1)
    first, second = short[:, left], short[:, right]
    part_a, part_b = (np.take_along_axis(part, short, axis=1) for part in (a, b))
    pair_a, pair_b = part_a[:, left] + part_a[:, right], part_b[:, left] + part_b[:, right]
    able = np.take_along_axis(moves, short, axis=1) != 0
    allowed = (first % size != second % size) & able[:, left] & able[:, right]
    salient = np.where(allowed & (pair_a > 0) & (pair_b > 0), pair_a * pair_b, 0)
    joint = np.where(allowed, pair_a + pair_b, -np.inf)
    found = salient.max(axis=1) > 0
    best = np.where(found, salient.argmax(axis=1), joint.argmax(axis=1))[:, None]
    chosen = np.concatenate([np.take_along_axis(part, best, axis=1) for part in (first, second)], axis=1)
    worth: F64 = np.take_along_axis(joint, best, axis=1)[:, 0]
    return chosen, worth > 0


def of_class(logits: Tensor, labels: Any) -> Tensor:
    """The label's logit, (n,)."""
    return take_along_axis(logits, labels.reshape((-1, 1)), 1).reshape((-1,))


def in_sum(logits: Tensor, labels: Any) -> Tensor:
    """The sum of all logits, (n,)."""
    return logits.sum(axis=1)
