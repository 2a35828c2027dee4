"""AutoAttack: four attacks without settings to tune, and each input's worst case over them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, one_of, positive
from armour.contract import Model
from armour.criteria import Criterion
from armour.regions import F32
from armour.rng import Streams

from .apgd import APGD, APGDDLR, APGDT, few_classes
from .base import ATTACKS, Attack, FixedBudgetAttack
from .fab import FAB, FABT
from .search import Search
from .square import Square

log = logging.getLogger(__name__)

_VERSIONS = ("standard", "plus", "rand")
_TARGETS = 9
_EOT = 20  # gradients averaged for a model that answers at random, and answers that verify a success
_FOR_RATIO, _FOR_TARGETED = 3, 4  # classes that the ratio of logits needs, and its targeted form
_SOONER = 10  # with a limit of time the row begins with a search so many times shorter


@ATTACKS.register("auto-attack")
@dataclass(frozen=True, slots=True, kw_only=True)
class AutoAttack(FixedBudgetAttack):
    """AutoAttack: a row of attacks, each on the inputs that those before it have left.

    standard: APGD on the cross-entropy, targeted APGD, targeted FAB, Square; in l1 with 5 restarts and 5
    targets of APGD. plus: APGD on the cross-entropy and the logits' ratio with 5 restarts, FAB with 5
    restarts, Square, targeted APGD and FAB. rand, for models that answer at random: APGD on both losses with
    20 gradients averaged for each step; an input counts as broken only if more than half of 20 answers say
    so. `components` and the result's `broken_by` tell which attack did what. Models with few classes have a
    shorter row (and the log says so): fewer targets; with 3 classes APGD on the logits' ratio in place of
    targeted APGD; with 2 on the margin in place of a ratio. Attacks that cannot be run are left out, and the
    result's `left_out` says why: without gradients all but Square; under a criterion without labels, or on a
    model that gives no classes, what goes through classes; FAB under a mask or on a grid, which it does not
    know.

    version: "standard", "plus" or "rand". seconds: time after which to stop with what is known, as of the
    call (None: no limit); robust_accuracy is an upper bound still, and `finished` tells where the first of
    the row came to its end, which is then a short one. steps: of APGD and FAB. queries: of Square for each
    input.
    Raises UnsupportedError if nothing is left: rand, if the model is a black box.
    Croce and Hein, 2020, https://arxiv.org/abs/2003.01690; for l1 Croce and Hein, 2021,
    https://arxiv.org/abs/2103.01208.
    """

    version: Literal["standard", "plus", "rand"] = "standard"
    seconds: float | None = None
    steps: int = 100
    queries: int = 5000

    def __post_init__(self) -> None:
        FixedBudgetAttack.__post_init__(self)
        one_of("version", self.version, _VERSIONS)
        if self.seconds is not None:
            positive("seconds", self.seconds)
        count("steps", self.steps)
        count("queries", self.queries)

    def check_model(self, model: Model) -> None:
        """As Attack.check_model; without gradients there is Square, but for rand."""
        if self.version == "rand" or not isinstance(model, Model):
            FixedBudgetAttack.check_model(self, model)

    def components(self, model: Model, criterion: Criterion | None = None) -> tuple[Attack, ...]:
        """The row of attacks for that model and criterion."""
        judged = self._judged(model, criterion)
        if model.output_shape is None and 0 < (model.num_classes or 0) <= _TARGETS:
            few = "auto-attack: %d classes have a shorter row of attacks than the usual 10"
            log.warning(few, model.num_classes)
        return tuple(attack for attack, why in judged if not why)

    def left_out(self, model: Model, criterion: Criterion | None = None) -> tuple[str, ...]:
        """As Attack.left_out."""
        judged = self._judged(model, criterion)
        return tuple(f"{type(attack).__name__} was left out: {why}" for attack, why in judged if why)

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run."""
        return self.counted(model, x, criterion, epsilon, rng=rng)[0]

    def counted(
        self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams
    ) -> tuple[F32, NDArray[np.int64] | None]:
        """As FixedBudgetAttack.counted: the row as one attack, without its limit of time."""
        search = Search(model, x, criterion, (epsilon,), rng, self._answers())
        search.run(self.components(model, criterion))
        return search.adv[0], search.spent[0]

    @property
    def _common(self) -> dict[str, Any]:
        return {"norm": self.norm, "mask": self.mask, "grid": self.grid}

    def _judged(self, model: Model, criterion: Criterion | None) -> list[tuple[Attack, str]]:
        """Each attack of the row, and why it is left out; "" if it is not."""
        labels = model.output_shape is None and (criterion is None or criterion.labels is not None)
        # A row without labels does not hang on the number of classes, nor one whose number is not known yet.
        classes = int(model.num_classes or 0) if labels else 0
        without = f"{model.name} gives no classes" if criterion is None else f"{criterion} has no labels"
        row = self._row(classes or _TARGETS + 1)
        if self.seconds is not None:
            row.insert(0, APGD(**self._common, steps=max(1, self.steps // _SOONER)))
        return [(attack, self._why_not(attack, model, "" if labels else without)) for attack in row]

    def _why_not(self, attack: Attack, model: Model, without: str) -> str:
        """Why an attack of the row is left out, or ""; without: why there are no labels, or ""."""
        if attack.needs_gradient and not model.can_grad:
            return f"it needs gradients, and {model.obstacle}"
        if without and attack.through_classes:
            return f"it goes through classes, and {without}"
        if without and isinstance(attack, APGDDLR):
            return f"{without}, so that it would climb what APGD climbs"
        if isinstance(attack, FAB) and (self.mask is not None or self.grid is not None):
            return "it knows no mask and no grid"
        few = few_classes(model, "dlr" if isinstance(attack, APGDDLR) else "targeted-dlr")
        return f"it {few}" if few and isinstance(attack, APGDDLR | APGDT) else ""

    def _row(self, classes: int) -> list[Attack]:
        """The row for so many classes."""
        common, steps, norm = self._common, self.steps, self.norm
        square = Square(**common, queries=self.queries)
        targets = min(_TARGETS, max(classes - 1, 1))
        if self.version == "rand":
            return [APGD(**common, steps=steps, eot=_EOT), *self._ratio(classes, eot=_EOT)]
        restarts = 5 if norm == "l1" or self.version == "plus" else 1
        few = min(targets, 5) if norm == "l1" and self.version == "standard" else targets
        aimed = APGDT(**common, steps=steps, targets=few)
        cross_entropy = APGD(**common, steps=steps, restarts=restarts)
        fab_t = FABT(norm=norm, steps=steps, targets=targets)
        if self.version == "standard":
            instead = self._ratio(classes)[-1:] if classes < _FOR_TARGETED else []
            return [cross_entropy, aimed, *instead, fab_t, square]
        fab = FAB(norm=norm, steps=steps, restarts=5)
        return [cross_entropy, *self._ratio(classes, restarts=restarts), fab, square, aimed, fab_t]

    def _ratio(self, classes: int, **settings: Any) -> list[Attack]:
        """APGD on the logits' ratio; too few classes for it have the margin beside it."""
        settings |= {**self._common, "steps": self.steps}
        margin = [APGD(**settings, loss="margin")] if classes < _FOR_RATIO else []
        return [APGDDLR(**settings), *margin]

    def _seconds(self) -> float | None:
        return self.seconds

    def _answers(self) -> int:
        return _EOT if self.version == "rand" else 1
