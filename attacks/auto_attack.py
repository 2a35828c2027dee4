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

from .apgd import APGD, APGDDLR, APGDT
from .base import ATTACKS, Attack, FixedBudgetAttack
from .fab import FAB, FABT
from .search import Search
from .square import Square

log = logging.getLogger(__name__)

_VERSIONS = ("standard", "plus", "rand")
_TARGETS = 9
_EOT = 20  # gradients averaged for a model that answers at random, and answers that verify a success
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
    targeted APGD; with 2 on the margin in place of a ratio; one that gives no classes has APGD and Square.
    FAB is left out under a mask or on a grid, which it does not know. Needs gradients.

    version: "standard", "plus" or "rand". seconds: time after which to stop with what is known, as of the
    call (None: no limit); robust_accuracy is an upper bound still, and `finished` tells where the first of
    the row came to its end, which is then a short one. steps: of APGD and FAB. queries: of Square for each
    input.
    Raises UnsupportedError if the model is a black box.
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

    def components(self, model: Model) -> tuple[Attack, ...]:
        """The row of attacks for that model."""
        classes = model.num_classes if model.output_shape is None else None
        row = self._row(None if classes is None else int(classes))
        if self.mask is not None or self.grid is not None:
            row = [attack for attack in row if not isinstance(attack, FAB)]
        if self.seconds is not None:
            row.insert(0, APGD(**self._common, steps=max(1, self.steps // _SOONER)))
        return tuple(row)

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        """As FixedBudgetAttack.run."""
        return self.counted(model, x, criterion, epsilon, rng=rng)[0]

    def counted(
        self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams
    ) -> tuple[F32, NDArray[np.int64] | None]:
        """As FixedBudgetAttack.counted: the row as one attack, without its limit of time."""
        search = Search(model, x, criterion, (epsilon,), rng, self._answers())
        search.run(self.components(model))
        return search.adv[0], search.spent[0]

    @property
    def _common(self) -> dict[str, Any]:
        return {"norm": self.norm, "mask": self.mask, "grid": self.grid}

    def _row(self, classes: int | None) -> list[Attack]:
        """The row for so many classes; None for a model that gives none."""
        common, steps, norm = self._common, self.steps, self.norm
        square = Square(**common, queries=self.queries)
        if classes is None:
            return [APGD(**common, steps=steps), *([square] if self.version != "rand" else [])]
        targets = min(_TARGETS, max(classes - 1, 1))
        if targets < _TARGETS:
            log.warning("auto-attack: %d classes have a shorter row of attacks than the usual 10", classes)
        # The ratio needs three classes, and its targeted form four.
        ratio: type[APGD] = APGDDLR if classes >= 3 else APGD
        own: dict[str, Any] = {} if classes >= 3 else {"loss": "margin"}
        if self.version == "rand":
            return [
                APGD(**common, steps=steps, eot=_EOT),
                ratio(**common, steps=steps, eot=_EOT, **own),
            ]
        restarts = 5 if norm == "l1" or self.version == "plus" else 1
        aimed: Attack = ratio(**common, steps=steps, **own)
        if classes >= 4:
            few = min(targets, 5) if norm == "l1" and self.version == "standard" else targets
            aimed = APGDT(**common, steps=steps, targets=few)
        cross_entropy = APGD(**common, steps=steps, restarts=restarts)
        fab_t = FABT(norm=norm, steps=steps, targets=targets)
        if self.version == "standard":
            return [cross_entropy, aimed, fab_t, square]
        dlr = ratio(**common, steps=steps, restarts=restarts, **own)
        fab = FAB(norm=norm, steps=steps, restarts=5)
        return [cross_entropy, dlr, fab, square, *([aimed] if classes >= 4 else []), fab_t]

    def _seconds(self) -> float | None:
        return self.seconds

    def _answers(self) -> int:
        return _EOT if self.version == "rand" else 1
