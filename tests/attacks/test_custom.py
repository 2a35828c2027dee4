"""criteria.Custom: any aim, through the same attacks; and no result under it can pass for an accuracy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attack_contract as contract
import linear
import numpy as np
import pytest
from attack_contract import make

from armour import attacks, criteria
from armour.errors import ArmourError, InvalidArgument, UnsupportedError
from armour.model import CallableModel
from armour.tensor import Tensor, losses


def wrong(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.asarray(logits.argmax(axis=1) != labels)


def custom(y: np.ndarray, loss: Any = losses.cross_entropy, **options: Any) -> criteria.Custom:
    return criteria.Custom(wrong, loss, data=(y,), name="wrong", **options)


@pytest.mark.parametrize("plans", [True, False])
@pytest.mark.parametrize(
    ("attack", "loss"),
    [
        (attacks.PGD(steps=5, restarts=2), losses.cross_entropy),
        (attacks.PGD(norm="l2", steps=5), losses.cross_entropy),
        (attacks.FGSM(), losses.cross_entropy),
        (attacks.Square(queries=40), losses.margin),
        (attacks.Spatial(method="random", queries=20), losses.margin),
    ],
    ids=["pgd", "pgd-l2", "fgsm", "square", "spatial"],
)
def test_said_by_functions_it_is_misclassified(attack: Any, loss: Any, plans: bool) -> None:
    """The same adversarial inputs, to the last bit, as by labels, on the same model."""
    model, x, y = contract.small()
    model.compiled = plans
    budget = contract.budget(attack)
    expected = attack.attack(model, x, y, budget, rng=1)
    found = attack.attack(model, x, custom(y, loss), budget, rng=1)
    np.testing.assert_array_equal(found.adv, expected.adv)
    np.testing.assert_array_equal(found.success, expected.success)
    np.testing.assert_array_equal(found.withstood, expected.robust_accuracy)
    np.testing.assert_array_equal(expected.withstood, expected.robust_accuracy)


def test_a_result_has_no_accuracy() -> None:
    model, x, y = contract.small()
    result = attacks.FGSM().attack(model, x, custom(y), [0.05, 0.1])
    assert np.isnan(result.robust_accuracy).all() and np.isnan(result.clean_accuracy)
    assert result.criterion == "Custom('wrong')" and 0 < result.withstood[1] <= result.withstood[0] < 1
    both = attacks.FGSM().attack(model, x, custom(y) & criteria.Confident(0.3), 0.1)
    assert both.criterion == "Custom('wrong') & Confident(0.3)"
    plain = attacks.FGSM().attack(model, x, y, 0.1)
    assert plain.criterion == "Misclassified()" and np.isfinite(plain.clean_accuracy)


@contract.every
def test_every_attack_works_or_says_in_one_line_why_not(name: str, norm: str) -> None:
    model, x, y = contract.small()
    attack = make(name, norm)
    try:
        result = contract.go(attack, model, x, custom(y))
    except ArmourError as error:
        assert isinstance(error, UnsupportedError | InvalidArgument) and "\n" not in str(error)
        assert name not in ("pgd", "fgsm", "bim", "square", "spatial", "spatial-pgd")
        return
    np.testing.assert_array_equal(result.success[0], model.predict(result.adv[0]) != y)


def segmented(scale: float = 255.0) -> tuple[CallableModel, np.ndarray, np.ndarray]:
    """A pixel is of class 1 where it is above a half: (n, 1, 6, 6) to answers (n, 2, 6, 6)."""

    def scores(x: np.ndarray) -> np.ndarray:
        return np.concatenate([0.5 * scale - x, x - 0.5 * scale], axis=1)

    model = CallableModel(scores, bounds=(0, scale), input_shape=(1, 6, 6), output_shape=(2, 6, 6))
    x = np.random.default_rng(0).uniform(0, scale, (12, 1, 6, 6)).astype(np.float32)
    return model, x, (x[:, 0] > 0.5 * scale).astype(np.int64)


def flipped(share: float) -> Any:
    return lambda answers, masks: (answers.argmax(axis=1) != masks).mean(axis=(1, 2)) >= share


def gap(answers: Tensor, masks: Tensor) -> Tensor:
    """How far all pixels together are on the wrong side."""
    sign = masks * 2.0 - 1.0
    return (-(answers[:, 1] - answers[:, 0]) * sign).reshape((answers.shape[0], -1)).sum(axis=1)


def test_a_black_box_of_any_shape_against_what_is_known() -> None:
    """The most pixels a budget can flip is known here; the search gets there, and never beyond."""
    model, x, masks = segmented()
    budget = 40.0
    possible = (np.abs(x[:, 0] - 127.5) < budget).mean(axis=(1, 2))
    for share in (0.1, 0.25, 0.9):
        goal = criteria.Custom(flipped(share), gap, data=(masks,), shape=(2, 6, 6), name="flipped")
        result = attacks.Square(queries=400).attack(model, x, goal, budget)
        assert not (result.success[0] & (possible < share)).any()
        assert (result.success[0] >= (possible >= share)).all()
        assert result.withstood[0] == np.mean(possible < share)
        assert (result.spent[0] <= 400).all() and np.isnan(result.robust_accuracy[0])
    alone = attacks.Square(queries=30).attack(model, x[3:5], goal[3:5], budget, rng=0)
    batch = attacks.Square(queries=30).attack(model, x, goal, budget, rng=0)
    np.testing.assert_array_equal(alone.adv[0], batch.adv[0, 3:5])


def test_a_state_belongs_to_its_data(tmp_path: Path) -> None:
    model, x, masks = segmented()
    attack = attacks.Square(queries=5)

    def go(data: np.ndarray) -> attacks.AttackResult:
        goal = criteria.Custom(flipped(0.3), gap, data=(data,), shape=(2, 6, 6))
        return attack.attack(model, x, goal, 20.0, state=tmp_path / "state.npz")

    first = go(masks)
    np.testing.assert_array_equal(go(masks).adv, first.adv)
    with pytest.raises(InvalidArgument, match="state of another attack"):
        go(1 - masks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"success": lambda z, m: z.mean()}, r"booleans \(12,\)"),
        ({"success": lambda z, m: z.mean(axis=(1, 2, 3))}, r"booleans \(12,\)"),
        ({"loss": lambda z, m: z.mean()}, r"a Tensor \(12,\)"),
        ({"loss": lambda z, m: 1.0}, r"a Tensor \(12,\)"),
        ({"data": (np.zeros((3, 6, 6)),)}, "each of the 12 inputs, got an array of 3 rows"),
        ({"data": (3,)}, "got a number"),
        ({"shape": (2, 6, 5)}, "shape=model.output_shape"),
        ({"success": 3}, "functions of the answers"),
    ],
)
def test_what_does_not_fit(change: dict[str, Any], message: str) -> None:
    model, x, masks = segmented()
    right = {"success": flipped(0.5), "loss": gap, "data": (masks,), "shape": (2, 6, 6)}
    with pytest.raises(InvalidArgument, match=message):
        goal = criteria.Custom(**right | change)  # type: ignore[arg-type]
        attacks.Square(queries=3).attack(model, x, goal, 10.0)


def test_an_attacks_own_function_of_labels_is_refused() -> None:
    model = linear.small_network()
    x = linear.inputs(model, 4)
    with pytest.raises(InvalidArgument, match="has its own"):
        attacks.PGD(loss=losses.margin).attack(model, x, custom(model.predict(x)), 0.1)
