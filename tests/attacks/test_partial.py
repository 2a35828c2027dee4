"""An attack that is broken off hands over what it had finished."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import linear
import numpy as np
import pytest

from armour.attacks import FixedBudgetAttack
from armour.contract import Model
from armour.criteria import Criterion
from armour.errors import ArmourError, RemoteError
from armour.regions import F32
from armour.rng import Streams


@dataclass(frozen=True, slots=True, kw_only=True)
class Corner(FixedBudgetAttack):
    """A random corner of the budget, tried against the model: an attack without gradients."""

    needs_gradient: ClassVar[bool] = False

    def run(self, model: Model, x: F32, criterion: Criterion, epsilon: float, *, rng: Streams) -> F32:
        step = np.where(rng.uniform(x.shape[1:]) < 0.5, -epsilon, epsilon).astype(np.float32)
        tried = np.clip(x + step, *model.bounds)
        model.logits(tried)
        return tried


class Ending(linear.LinearModel):
    """Answers so many calls, then raises."""

    def __init__(self, calls: int, error: BaseException) -> None:
        known = linear.two_classes()
        super().__init__(known.weights, known.bias, batch_size=8)
        self.calls, self.error = calls, error

    def _forward(self, x: np.ndarray) -> np.ndarray:
        if self.calls == 0:
            raise self.error
        self.calls -= 1
        return super()._forward(x)


def samples() -> tuple[np.ndarray, np.ndarray]:
    """40 inputs, five of them misread already."""
    model = linear.two_classes()
    x = linear.inputs(model, 40, seed=3)
    y = model.predict(x)
    y[[0, 7, 8, 21, 39]] ^= 1
    return x, y


@pytest.mark.parametrize("error", [RemoteError("gone"), KeyboardInterrupt(), ArmourError("other")])
@pytest.mark.parametrize("batches", [0, 2])
def test_what_was_finished_comes_with_the_error(error: BaseException, batches: int) -> None:
    x, y = samples()
    whole = Corner().attack(linear.two_classes(), x, y, [0.3, 0.6], rng=1)
    assert whole.finished.all() and whole.success.any() and not whole.success.all()
    # Five calls for the clean answers, then for each batch and budget one by the attack and one to verify it.
    model = Ending(5 + 4 * batches + 2, error)
    with pytest.raises(type(error)) as caught:
        Corner().attack(model, x, y, [0.3, 0.6], rng=1)
    part = caught.value.partial  # type: ignore[union-attr]
    assert part.finished.sum() == 5 + 8 * batches and part.clean_accuracy == whole.clean_accuracy
    rows = part.finished
    for name in ("adv", "success", "distance"):
        np.testing.assert_array_equal(getattr(part, name)[:, rows], getattr(whole, name)[:, rows])
    np.testing.assert_array_equal(part.adv[:, ~rows], np.stack([x[~rows]] * 2))
    assert not part.success[:, ~rows].any()
    np.testing.assert_allclose(part.robust_accuracy, (~part.success[:, rows]).mean(axis=1))


def test_nothing_is_handed_over_before_the_attack_began() -> None:
    x, y = samples()
    with pytest.raises(RemoteError) as caught:
        Corner().attack(Ending(2, RemoteError("gone")), x, y, [0.3])
    assert caught.value.partial is None
