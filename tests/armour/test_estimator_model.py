"""scikit-learn classifiers: their own predictions, what is refused, and what their fingerprint sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import armour
from armour.errors import InvalidArgument, UnsupportedError
from armour.preprocessing import Preprocessing

RNG = np.random.default_rng(0)
X = RNG.random((90, 2, 3, 2), dtype=np.float32)
Y = (X.sum(axis=(1, 2, 3)) > 6).astype(int) + (X[:, 0, 0, 0] > 0.5)
MAKERS: dict[str, Callable[[], Any]] = {
    "logistic": LogisticRegression,
    "svc": lambda: SVC(random_state=0),
    "one class at a time": lambda: SVC(decision_function_shape="ovr", break_ties=True, random_state=0),
    "linear svc": lambda: LinearSVC(random_state=0),
    "sgd": lambda: SGDClassifier(random_state=0),
    "perceptron": lambda: Perceptron(random_state=0),
    "neighbours": lambda: KNeighborsClassifier(3),
    "tree": lambda: DecisionTreeClassifier(max_depth=4, random_state=0),
    "forest": lambda: RandomForestClassifier(7, random_state=0),
    "boosting": lambda: GradientBoostingClassifier(n_estimators=5, random_state=0),
    "histograms": lambda: HistGradientBoostingClassifier(max_iter=5, random_state=0),
    "bayes": GaussianNB,
    "network": lambda: MLPClassifier((5,), max_iter=300, random_state=0, tol=0.1),
    "pipeline": lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    "calibrated": lambda: CalibratedClassifierCV(LinearSVC(random_state=0), cv=2),
}


def fit(name: str, x: np.ndarray = X, y: np.ndarray = Y) -> Any:
    return MAKERS[name]().fit(x.reshape(len(x), -1), y)


@pytest.mark.parametrize("name", MAKERS)
def test_predictions_and_fingerprints(name: str) -> None:
    estimator = fit(name)
    model = armour.wrap(estimator)
    np.testing.assert_array_equal(model.predict(X), estimator.predict(X.reshape(90, -1)))
    assert model.num_classes == 3 and not model.can_grad
    first = model.fingerprint
    assert first == armour.wrap(estimator).fingerprint == armour.wrap(fit(name)).fingerprint
    assert armour.wrap(fit(name, X[:60], Y[:60])).fingerprint != first
    assert armour.wrap(estimator, mean=0.1).fingerprint != first


def test_how_it_is_computed_is_no_part_of_the_fingerprint() -> None:
    estimator = fit("forest")
    first = armour.wrap(estimator).fingerprint
    estimator.n_jobs = 2
    estimator.verbose = 0
    assert armour.wrap(estimator).fingerprint == first
    estimator.estimators_[3].tree_.threshold[0] += 1e-3
    assert armour.wrap(estimator).fingerprint != first


def test_two_classes_by_either_score() -> None:
    y = (Y > 0).astype(int)
    for name in ("svc", "logistic"):
        estimator = fit(name, y=y)
        for outputs in ("auto", "logits", "labels"):
            model = armour.wrap(estimator, outputs=outputs)  # type: ignore[arg-type]
            assert model.num_classes == 2
            np.testing.assert_array_equal(model.predict(X), estimator.predict(X.reshape(90, -1)))
            kind = {"auto": "probabilities" if name == "logistic" else "logits"}.get(outputs, outputs)
            assert model.provenance["outputs"].startswith(kind)


def test_labels_may_be_words() -> None:
    words = np.array(["ant", "bee", "cat"])[Y]
    estimator = fit("tree", y=words)
    model = armour.wrap(estimator, outputs="labels")
    assert model.class_names == ("ant", "bee", "cat")
    np.testing.assert_array_equal(
        np.array(model.class_names)[model.predict(X)], estimator.predict(X.reshape(90, -1))
    )
    np.testing.assert_array_equal(model.logits(X).sum(axis=1), 1)


def test_preprocessing_comes_before_flattening() -> None:
    steps = Preprocessing(resize=(3, 2), scale=255, dtype="uint8", layout="NHWC")
    seen = steps.apply_array(X)
    estimator = fit("bayes", seen.astype(np.float32))
    big = np.repeat(np.repeat(X, 2, axis=2), 2, axis=3)
    model = armour.wrap(estimator, preprocessing=steps, bounds=(0, 1), input_shape=(2, 6, 4))
    assert seen.shape == (90, 3, 2, 2) and model.logits(big).shape == (90, 3)
    expected = estimator.predict(steps.apply_array(big).reshape(90, -1))
    np.testing.assert_array_equal(model.predict(big), expected)


def test_refused() -> None:
    flat = X.reshape(90, -1)
    with pytest.raises(UnsupportedError, match="is a regressor"):
        armour.wrap(LinearRegression().fit(flat, Y))
    with pytest.raises(UnsupportedError, match="several outputs"):
        armour.wrap(DecisionTreeClassifier(random_state=0).fit(flat, np.stack([Y, Y], axis=1)))
    with pytest.raises(InvalidArgument, match="call its fit first"):
        armour.wrap(SVC())
    with pytest.raises(InvalidArgument, match="gives no probabilities"):
        armour.wrap(fit("linear svc"), outputs="probabilities")
    with pytest.raises(InvalidArgument, match="expected inputs of 12 features") as error:
        armour.wrap(fit("tree")).logits(X[:, :1])
    assert "\n" not in str(error.value)

    class Regressor:
        _estimator_type = "regressor"

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.zeros(len(x))

    with pytest.raises(UnsupportedError, match="is a regressor"):
        armour.wrap(Regressor())
