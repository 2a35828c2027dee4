"""What raw outputs mean: found out on the first ones, made logits of, refused in one line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import armour
from armour.errors import InvalidArgument
from armour.outputs import Outputs, one_hot
from armour.tensor import Tensor, grad

X = np.random.default_rng(0).random((6, 3), dtype=np.float32)
P = np.array([[0.2, 0.8], [1.0, 0.0], [0.5, 0.5]], np.float32)


def settled(raw: np.ndarray, kind: Any = "auto", classes: int | None = None, **known: Any) -> Outputs:
    outputs = Outputs(kind)
    outputs.settle(raw, classes, **known)
    return outputs


@pytest.mark.parametrize(
    ("raw", "classes", "kind", "single"),
    [
        (P, None, "probabilities", False),
        (P * 2, None, "logits", False),
        (P.astype(np.float64), 2, "probabilities", False),
        (P[:, 1], None, "probabilities", True),
        (P[:, 1:], 2, "probabilities", True),
        (P[:, 1:] * 3, 2, "logits", True),
        (-P[:, 1], None, "logits", True),
        (P[:, 1:], 1, "logits", False),
        (np.array([0, 2, 1]), 3, "labels", False),
        (np.array([0, 2, 1]), None, "labels", False),
        (np.array([[0], [1]]), None, "probabilities", True),
        (np.eye(3), None, "probabilities", False),
        (P[:0], None, "auto", False),
        (P * np.nan, None, "auto", False),
        (np.where(np.eye(3, 2) > 0, np.nan, P), None, "probabilities", False),
    ],
)
def test_found_out_on_the_first_outputs(
    raw: np.ndarray, classes: int | None, kind: str, single: bool
) -> None:
    outputs = settled(raw, classes=classes)
    assert (outputs.kind, outputs.single) == (kind, single)
    assert bool(outputs.note) is (kind != "auto")
    if kind != "auto":
        assert Outputs.noted(outputs.note).kind == kind


def test_what_is_known_of_the_network_counts() -> None:
    assert settled(P[:, 1], sigmoid=False).kind == "logits"
    assert settled(P[:, 1] * 5 - 2, sigmoid=True).kind == "probabilities"
    assert settled(P, kind="logits").kind == "logits"
    assert Outputs.noted("anything") == Outputs.noted(None) == Outputs.noted(["logits"]) == Outputs()


def test_logits_of_each_kind() -> None:
    logs = settled(P).logits_of(P, 2)
    np.testing.assert_allclose(np.exp(logs), P, atol=1e-7)
    one = settled(P[:, 1])
    np.testing.assert_allclose(one.logits_of(P[:, 1], 2), logs, atol=1e-6)
    scores = np.array([-3.0, 0.5, 2.0], np.float32)
    halves = settled(scores).logits_of(scores, 2)
    np.testing.assert_allclose(halves[:, 1] - halves[:, 0], scores)
    np.testing.assert_array_equal(settled(P * 3).logits_of(P * 3, 2), P * 3)
    np.testing.assert_array_equal(one_hot(np.array([2, 0]), 3), [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_array_equal(one_hot(np.array([[1.0]]), 2), [[0, 1]])
    assert np.isnan(settled(P).logits_of(P * np.nan, 2)).all()


@pytest.mark.parametrize("raw", [P[:2], P[:2, 1], P[:2] * 5, P[:2, 1] * 5], ids=["p", "p1", "z", "z1"])
def test_gradients_are_those_of_the_formulas(raw: np.ndarray) -> None:
    raw = np.clip(raw.astype(np.float64), 0.1, None)
    outputs = settled(raw, kind="probabilities" if raw.max() <= 1 else "logits")
    w = np.array([[0.3, -1.0], [2.0, 0.7]])

    def total(t: Tensor) -> Tensor:
        return (outputs.logits(t) * Tensor(w)).sum()

    slope = grad(total)(Tensor(raw)).numpy()
    for at in np.ndindex(raw.shape):
        step = np.zeros(raw.shape)
        step[at] = 1e-6
        rise = total(Tensor(raw + step)).item() - total(Tensor(raw - step)).item()
        np.testing.assert_allclose(slope[at], rise / 2e-6, rtol=1e-5)


@pytest.mark.parametrize(
    "labels", [[0, 3, 1], [-1, 0, 1], [0.5, 1, 2], [np.nan, 0, 1], [["a", "b"]] * 3], ids=str
)
def test_labels_that_are_none(labels: Any) -> None:
    model = armour.wrap(lambda x: np.array(labels), outputs="labels", num_classes=3, input_shape=(3,))
    with pytest.raises(InvalidArgument) as error:
        model.logits(X[:3])
    assert "\n" not in str(error.value)


def test_the_number_of_classes_of_labels_must_be_stated() -> None:
    with pytest.raises(InvalidArgument, match="num_classes to be stated"):
        armour.wrap(lambda x: x, outputs="labels")
    with pytest.raises(InvalidArgument, match="num_classes to be stated"):
        armour.wrap(lambda x: np.zeros(len(x), np.int64)).logits(X)
    with pytest.raises(InvalidArgument, match="unknown outputs 'scores'"):
        armour.wrap(lambda x: x, outputs="scores")  # type: ignore[arg-type]


def test_values_that_are_not_finite_are_kept_and_decide_nothing() -> None:
    answers = iter([np.full((6, 2), np.nan), np.repeat(P, 2, axis=0), np.full((6, 2), np.inf)])
    model = armour.wrap(lambda x: next(answers))
    assert np.isnan(model.logits(X)).all() and "outputs" not in model.provenance
    np.testing.assert_allclose(np.exp(model.logits(X)), np.repeat(P, 2, axis=0), atol=1e-6)
    assert model.provenance["outputs"].startswith("probabilities")
    assert np.isposinf(model.logits(X)).all()


@pytest.mark.parametrize(
    "output",
    [np.zeros((6, 2, 2)), np.zeros(()), np.zeros((5, 2)), np.zeros((0, 2)), np.zeros((6, 2), complex), None],
    ids=lambda o: str(np.shape(o)),
)
def test_wrong_shapes_are_one_line(output: Any) -> None:
    model = armour.wrap(lambda x: output, input_shape=(3,))
    with pytest.raises(InvalidArgument, match=r"expected logits \(6, classes\)") as error:
        model.logits(X)
    assert "\n" not in str(error.value)
    assert model.counter.queries == 0


def test_outputs_that_change_their_width() -> None:
    answers = iter([np.zeros((6, 4)), np.zeros((6, 3))])
    model = armour.wrap(lambda x: next(answers))
    model.logits(X)
    with pytest.raises(InvalidArgument, match="expected 4 logits per sample"):
        model.logits(X)
