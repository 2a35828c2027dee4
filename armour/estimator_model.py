"""Fitted scikit-learn classifiers as models: black boxes on flattened inputs."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from armour.black_box import CallableModel
from armour.errors import InvalidArgument, UnsupportedError
from armour.outputs import Kind

# Settings that say how something is computed, not what.
_HOW = frozenset({"n_jobs", "verbose", "warm_start", "memory", "random_state", "copy_X", "pre_dispatch"})
_DEPTH = 12  # of objects inside objects


class EstimatorModel(CallableModel):
    """A fitted classifier; its inputs are preprocessed, then flattened; class i is estimator.classes_[i].

    Scores are those of predict_proba, else of decision_function, else one-hot labels of predict;
    provenance["outputs"] says which. outputs: "labels" asks for the last, "auto" for the first there is.
    Raises InvalidArgument if it is not fitted, or for inputs of another number of features, and
    UnsupportedError for regressors and for several outputs.
    """

    def __init__(self, estimator: Any, *, outputs: Kind = "auto", **options: Any) -> None:
        kind = type(estimator).__name__
        if _is_regressor(estimator):
            raise UnsupportedError(f"{kind} is a regressor; armour evaluates classifiers")
        if options.get("output_shape") is not None:
            raise InvalidArgument(f"{kind} is a classifier; leave out output_shape=")
        classes = getattr(estimator, "classes_", None)
        if classes is None:
            raise InvalidArgument(
                f"expected a fitted classifier with classes_, got {kind}; call its fit first"
            )
        if isinstance(classes, list) or np.ndim(classes) != 1:
            raise UnsupportedError(f"{kind} gives several outputs per sample; wrap one of them as a function")
        self.estimator = estimator
        self._classes = np.asarray(classes)
        if options.get("num_classes") is None:
            options["num_classes"] = len(self._classes)
        if not options.get("class_names"):
            options["class_names"] = [str(c) for c in self._classes]
        options.setdefault("name", kind)
        self._method, meant = self._choose(outputs)
        super().__init__(self._scores, outputs=meant, **options)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of what fitting left in the estimator, its settings and the preprocessing."""
        digest = hashlib.sha256(f"{self.preprocessing.to_dict()}|{self.outputs.kind}|".encode())
        _feed(digest, self.estimator, set(), 0)
        return digest.hexdigest()

    def _choose(self, outputs: Kind) -> tuple[str, Kind]:
        # predict_proba first: decision_function may be one-against-one votes (SVC).
        rows: tuple[tuple[str, Kind], ...] = (
            ("predict_proba", "probabilities"),
            ("decision_function", "logits"),
            ("predict", "labels"),
        )
        for method, meant in rows:
            if outputs in ("auto", meant) and callable(getattr(self.estimator, method, None)):
                return method, meant
        raise InvalidArgument(f"{type(self.estimator).__name__} gives no {outputs}; leave outputs= out")

    def _scores(self, x: np.ndarray) -> np.ndarray:
        flat = x.reshape(len(x), -1)
        wanted = getattr(self.estimator, "n_features_in_", flat.shape[1])
        if wanted != flat.shape[1]:
            raise InvalidArgument(
                f"expected inputs of {wanted} features for {self.name}, got {x.shape[1:]}, which are "
                f"{flat.shape[1]}"
            )
        raw = np.asarray(getattr(self.estimator, self._method)(flat))
        if self._method == "predict":
            found = raw.reshape(-1, 1) == self._classes
            if raw.shape != (len(x),) or not found.any(axis=1).all():
                raise InvalidArgument(f"expected {self.name} to predict its own classes_, got others")
            return np.asarray(found.argmax(axis=1))
        # Two classes: decision_function returns one column, the score of class 1.
        return np.stack([-raw / 2, raw / 2], axis=1) if raw.ndim == 1 else raw


def _is_regressor(estimator: Any) -> bool:
    if any(base.__module__.split(".")[0] == "sklearn" for base in type(estimator).__mro__):
        from sklearn.base import is_regressor

        return bool(is_regressor(estimator))
    return getattr(estimator, "_estimator_type", None) == "regressor"


def _feed(digest: Any, value: Any, seen: set[int], depth: int) -> None:
    """Everything in `value` that decides what it computes, in a fixed order."""
    if depth > _DEPTH or id(value) in seen:
        return
    if isinstance(value, np.ndarray) and value.dtype.kind != "O":
        digest.update(f"{value.dtype.str}{value.shape}".encode() + np.ascontiguousarray(value).tobytes())
        return
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        digest.update(f"{type(value).__name__}:{value!r}|".encode())
        return
    if isinstance(value, np.random.RandomState | np.random.Generator):
        return
    seen.add(id(value))
    digest.update(f"<{type(value).__name__}".encode())
    if isinstance(value, np.ndarray):
        parts: Any = list(enumerate(value.ravel().tolist()))
    elif isinstance(value, (list, tuple)):
        parts = list(enumerate(value))
    elif isinstance(value, dict):
        parts = sorted(value.items(), key=lambda item: str(item[0]))
    else:
        parts = sorted(_state(value).items())
    for key, part in parts:
        if key not in _HOW:
            digest.update(f"{key}=".encode())
            _feed(digest, part, seen, depth + 1)
    digest.update(b">")
    seen.discard(id(value))


def _state(value: Any) -> dict[str, Any]:
    """Attributes of an object, or what its type says is its state (compiled trees); none for functions."""
    if callable(value) and not hasattr(value, "get_params"):
        return {"name": getattr(value, "__qualname__", type(value).__name__)}
    try:
        state = value.__getstate__()
    except (TypeError, AttributeError):
        return {}
    return {str(key): part for key, part in state.items()} if isinstance(state, dict) else {}
