"""Criteria: what counts as success, their labels, and the direction they give to a loss."""

from __future__ import annotations

import numpy as np
import pytest

from armour.criteria import LOSSES, Confident, Criterion, Misclassified, Targeted
from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor import Tensor, losses

LOGITS = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 2.0], [-1.0, 0.0, 5.0], [0.1, 0.0, 0.0]], np.float32)


def test_misclassified_and_targeted() -> None:
    np.testing.assert_array_equal(Misclassified([0, 2, 0, 0])(LOGITS), [False, True, True, False])
    np.testing.assert_array_equal(Targeted([0, 2, 2, 1])(LOGITS), [True, False, True, False])
    assert Misclassified([0, 1])(LOGITS[:2]).dtype == bool
    assert Misclassified(np.zeros(0, int))(LOGITS[:0]).shape == (0,)


def test_a_tie_is_decided_as_predict_decides_it() -> None:
    np.testing.assert_array_equal(Misclassified([1])(LOGITS[1:2]), [False])
    np.testing.assert_array_equal(Targeted([2])(LOGITS[1:2]), [False])


def test_confident_is_the_softmax_of_the_answer() -> None:
    exact = (np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)).max(axis=1)
    for probability in (0.0, 0.4, 0.5, 0.9, 1.0):
        np.testing.assert_array_equal(Confident(probability)(LOGITS), exact >= probability)
    np.testing.assert_array_equal(Confident(0.9)(LOGITS + 1e4), exact >= 0.9)
    with pytest.raises(InvalidArgument, match="probability=90"):
        Confident(90)


@pytest.mark.parametrize("swap", [False, True])
def test_and_needs_both_and_follows_the_one_with_labels(swap: bool) -> None:
    y = np.array([1, 2, 0, 1])
    parts: list[Criterion] = [Misclassified(y), Confident(0.7)]
    both = parts[1] & parts[0] if swap else parts[0] & parts[1]
    np.testing.assert_array_equal(both(LOGITS), [True, False, True, False])
    np.testing.assert_array_equal(both.labels, y)
    assert both.direction == 1 and (Targeted(y) & Confident(0.5)).direction == -1
    np.testing.assert_array_equal(both[np.array([2, 0])](LOGITS[[2, 0]]), [True, True])
    assert repr(both) in ("Misclassified() & Confident(0.7)", "Confident(0.7) & Misclassified()")
    assert (parts[0] & parts[1] & Targeted([0, 0, 2, 0])).labels is parts[0].labels


@pytest.mark.parametrize("name", ["cross-entropy", "cross_entropy", "margin", "soft-margin", "dlr"])
def test_objective_points_the_attackers_way(name: str) -> None:
    """Up is away from the labels, or towards the targets."""
    labels = np.array([0, 1, 2, 0])
    function = LOSSES.get(name)
    logits = Tensor(LOGITS)
    value = function(logits, labels).numpy()
    np.testing.assert_array_equal(Misclassified(labels).objective(name)(logits).numpy(), value)
    np.testing.assert_array_equal(Targeted(labels).objective(name)(logits).numpy(), -value)
    toward = Tensor(LOGITS + 0.1 * np.eye(3, dtype=np.float32)[labels])
    assert (Misclassified(labels).objective(name)(toward).numpy() <= value).all()
    assert (Targeted(labels).objective(name)(toward).numpy() >= -value).all()


@pytest.mark.parametrize("name", ["margin", "cross-entropy"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_values_of_an_objective_are_those_of_its_tensors(name: str, dtype: str) -> None:
    labels = np.array([0, 1, 2, 0, 1])
    logits = np.concatenate([LOGITS, [[np.nan, 1, 2]] if dtype != "int64" else [[7, 1, 2]]]).astype(dtype)
    kept = logits.copy()
    for criterion in (Misclassified(labels), Targeted(labels)):
        objective = criterion.objective(name)
        values, expected = objective.values(logits), objective(Tensor(logits)).numpy()
        np.testing.assert_array_equal(values, expected)
        assert values.dtype == expected.dtype and objective[:0].values(logits[:0]).shape == (0,)
    np.testing.assert_array_equal(logits, kept)
    for bad in (-1, 3):
        with pytest.raises(InvalidArgument, match="labels from 0 to 2"):
            Misclassified([bad]).objective("margin").values(logits[:1])


def test_objective_takes_a_function() -> None:
    labels = np.array([0, 1, 2, 0])
    value = Targeted(labels).objective(lambda z, y: losses.margin(z, y) * 3)(Tensor(LOGITS)).numpy()
    np.testing.assert_allclose(value, -3 * losses.margin(LOGITS, labels).numpy())
    with pytest.raises(InvalidArgument, match="unknown loss 'margn'; did you mean margin"):
        Targeted(labels).objective("margn")
    with pytest.raises(UnsupportedError, match="no direction"):
        Confident(0.5).objective()


def test_check() -> None:
    y = np.array([0, 2])
    for criterion in (
        Misclassified(y),
        Targeted(y),
        Misclassified(y) & Confident(0.5),
        Confident(0.5) & Targeted(y),
    ):
        criterion.check(2, 3)
        criterion.check(2, None)
        with pytest.raises(InvalidArgument, match="3 inputs, got 2 labels"):
            criterion.check(3, 3)
        with pytest.raises(InvalidArgument, match=r"labels in 0..1, got 0..2"):
            criterion.check(2, 2)
    with pytest.raises(InvalidArgument, match=r"Misclassified\(y\) & Confident"):
        Confident(0.5).check(2, 3)
    with pytest.raises(InvalidArgument, match="no labels"):
        (Confident(0.5) & Confident(0.6)).check(2, 3)
    with pytest.raises(InvalidArgument, match="got -1"):
        Misclassified([-1]).check(1, None)
    with pytest.raises(InvalidArgument, match="3 inputs, got 2"):
        (Misclassified([0, 1, 1]) & Targeted(y)).check(3, 3)


@pytest.mark.parametrize("bad", [[0.0, 1.0], [[0, 1]], 3, [True], "ab"])
@pytest.mark.parametrize("kind", [Misclassified, Targeted])
def test_labels_must_be_integers_in_a_row(kind: type, bad: object) -> None:
    with pytest.raises(InvalidArgument, match="integers of shape"):
        kind(bad)
