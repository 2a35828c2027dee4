"""wrap(): each kind of object becomes the right kind of model, or is refused with what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import armour
from armour.errors import InvalidArgument
from armour.model import CallableModel, ModuleModel
from armour.tensor import nn

SHAPE = (1, 8, 8)


def test_a_module_is_a_white_box() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    model = armour.wrap(module, input_shape=SHAPE, mean=0.5, std=0.5, bounds=(0, 2), class_names="abc")
    assert isinstance(model, ModuleModel) and model.can_grad and model.num_classes == 3
    assert tuple(model.bounds) == (0, 2) and model.class_names == ("a", "b", "c")
    assert model.name == "sequential"
    assert armour.wrap(model) is model


def test_a_module_learns_its_shapes() -> None:
    model = armour.wrap(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    assert model.logits(np.zeros((2, *SHAPE), np.float32)).shape == (2, 3)
    assert model.input_shape == SHAPE and model.num_classes == 3


def test_a_callable_is_a_black_box() -> None:
    model = armour.wrap(lambda x: x.reshape(len(x), -1)[:, :4], num_classes=4, name="first pixels")
    assert isinstance(model, CallableModel) and model.name == "first pixels"
    x = np.random.default_rng(0).uniform(size=(3, *SHAPE)).astype(np.float32)
    np.testing.assert_array_equal(model.logits(x), x.reshape(3, -1)[:, :4])


@pytest.mark.parametrize("kind", ["proba", "decision", "binary"])
def test_scikit_learn(kind: str) -> None:
    from sklearn.linear_model import LogisticRegression, RidgeClassifier

    x, y = armour.data.load("digits")
    if kind == "binary":
        x, y = x[y < 2], y[y < 2]
    estimator: Any = LogisticRegression(max_iter=200) if kind == "proba" else RidgeClassifier()
    estimator.fit(x[:300].reshape(len(x[:300]), -1), y[:300])
    model = armour.wrap(estimator)
    flat = x.reshape(len(x), -1)
    np.testing.assert_array_equal(model.predict(x), estimator.predict(flat))
    assert model.num_classes == len(estimator.classes_) and model.name == type(estimator).__name__
    assert model.class_names == tuple(str(c) for c in estimator.classes_)
    if kind == "proba":
        np.testing.assert_allclose(np.exp(model.logits(x)), estimator.predict_proba(flat), atol=1e-5)
        assert "probabilities" in model.provenance["outputs"]
    else:
        assert model.provenance["outputs"] == "logits"


def test_refused() -> None:
    from sklearn.linear_model import LogisticRegression, Perceptron

    with pytest.raises(InvalidArgument, match=r"armour\.load"):
        armour.wrap("model.ckpt")
    with pytest.raises(InvalidArgument, match="a network, a fitted classifier or a function"):
        armour.wrap(3)
    with pytest.raises(InvalidArgument, match="call its fit first"):
        armour.wrap(LogisticRegression())
    assert armour.wrap(Perceptron().fit(np.eye(3), [0, 1, 2])).num_classes == 3

    class LabelsOnly:
        classes_ = (0, 1)

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.zeros(len(x))

    model = armour.wrap(LabelsOnly())
    np.testing.assert_array_equal(model.logits(np.zeros((2, 3), np.float32)), [[1, 0], [1, 0]])
    assert model.provenance["outputs"].startswith("labels only")
