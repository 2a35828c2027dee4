"""wrap(): anything that classifies arrays, made a Model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from armour import remote
from armour.bounds import Bounds
from armour.checks import describe
from armour.errors import InvalidArgument, UnsupportedError
from armour.model import CallableModel, Model, ModuleModel
from armour.remote import is_url


def wrap(
    obj: Any,
    *,
    bounds: Bounds | Sequence[float] | None = None,
    input_shape: Sequence[int] | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] = (),
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    name: str | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    batch_size: int | None = None,
    **options: Any,
) -> Model:
    """A Model from a network, a fitted scikit-learn classifier, or any function of arrays.

    obj: an armour.tensor.nn.Module (white box); a scikit-learn estimator with decision_function or
    predict_proba, or a callable from (n, *input_shape) float32 to (n, classes) scores (black boxes); the URL
    of a served model, with the further settings of armour.remote.RemoteModel as options; or a Model, which is
    returned as it is. bounds: range of the inputs that obj expects; by default (0, 1), or what a server says;
    a server that does not say it needs it stated. mean, std: normalisation
    done in front of a network; a black box must do its own. input_shape, num_classes: learnt from the first
    call if left out. Probabilities are detected: their logarithm is used as logits and provenance["outputs"]
    says so. Raises InvalidArgument for anything else, and UnsupportedError for frameworks that are read
    through files.
    """
    if isinstance(obj, Model):
        return obj
    if is_url(obj) and mean == 0.0 and std == 1.0:
        shared: dict[str, Any] = {
            "bounds": bounds,
            "input_shape": input_shape,
            "num_classes": num_classes,
            "name": name,
        }
        shared |= {"class_names": class_names or None, "batch_size": batch_size}
        return remote.wrap(obj, shared | options)
    if options:
        raise InvalidArgument(f"unknown settings for such a model: {', '.join(options)}; leave them out")
    if isinstance(obj, str):
        raise InvalidArgument(
            f"expected a model object, got {describe('obj', obj)}; read a file with armour.load"
        )
    common: dict[str, Any] = {
        "bounds": (0.0, 1.0) if bounds is None else bounds,
        "input_shape": input_shape,
        "num_classes": num_classes,
        "class_names": class_names,
        "batch_size": batch_size or 256,
    }
    if name is not None:
        common["name"] = name
    if _is_module(obj):
        common.setdefault("name", type(obj).__name__.lower())
        return ModuleModel(obj, mean=mean, std=std, device=device, **common)
    if any(base.__module__.split(".")[0] == "torch" for base in type(obj).__mro__):
        raise UnsupportedError(
            f"{type(obj).__name__} is a PyTorch object; wrap a function of NumPy arrays instead, such as "
            "lambda x: net(torch.from_numpy(x)).detach().numpy()"
        )
    if mean != 0.0 or std != 1.0:
        raise InvalidArgument("expected mean=0 and std=1 for a black box; normalise inside the function")
    if hasattr(obj, "predict") and not callable(obj):
        return _estimator(obj, common)
    if callable(obj):
        return CallableModel(obj, **common)
    raise InvalidArgument(
        f"expected a network, a fitted classifier or a function of arrays, got {describe('obj', obj)}"
    )


def _is_module(obj: Any) -> bool:
    from armour.tensor import nn

    return isinstance(obj, nn.Module)


def _estimator(estimator: Any, common: dict[str, Any]) -> Model:
    """A scikit-learn classifier; its inputs are flattened, and class i is estimator.classes_[i]."""
    kind = type(estimator).__name__
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise InvalidArgument(f"expected a fitted classifier with classes_, got {kind}; call its fit first")
    if common["num_classes"] is None:
        common["num_classes"] = len(classes)
    if not common["class_names"]:
        common["class_names"] = [str(c) for c in classes]
    common.setdefault("name", kind)
    # predict_proba first: decision_function may be one-against-one votes (SVC).
    method = getattr(estimator, "predict_proba", None)
    outputs: Literal["logits", "probabilities"] = "probabilities"
    if method is None:
        method, outputs = getattr(estimator, "decision_function", None), "logits"
    if method is None:
        raise UnsupportedError(
            f"{kind} gives labels only; wrap a function that returns one score per class, or one-hot labels"
        )

    def scores(x: np.ndarray) -> np.ndarray:
        raw = np.asarray(method(x.reshape(len(x), -1)))
        # Two classes: decision_function returns one column, the score of class 1.
        return np.stack([-raw / 2, raw / 2], axis=1) if raw.ndim == 1 else raw

    return CallableModel(scores, outputs=outputs, **common)
