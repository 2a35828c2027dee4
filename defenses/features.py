"""Detectors of features that are unlike those of clean inputs: Mahalanobis, kernel density, LID."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, positive, suggest
from armour.contract import Model, pulled_back
from armour.errors import InvalidArgument, UnsupportedError
from armour.model import ModuleModel
from armour.tensor import exp, log, sort
from armour.tensor.core import Tensor, no_grad
from armour.tensor.module import frozen
from armour.tensor.watch import leaf_names, watching

from .detector import Detector, Fitted, Scores, check_fit
from .evidence import DEFENSES, Evidence

F64 = NDArray[np.float64]
_FLOOR = 1e-12  # of squared distances, so that logarithms and roots are finite


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureDetector(Detector):
    """Looks at the output of one layer of a network of ours, flattened.

    layer: its name, as `armour info` lists; "" for the last but one, "logits" for the answers.
    """

    layer: str = ""

    def fit(self, model: Model, x: np.ndarray, *, rng: int | np.random.Generator = 0) -> Fitted:
        """As Detector.fit; classes are those that the model answers. UnsupportedError for other models."""
        x = check_fit(model, x)
        if not isinstance(model, ModuleModel) or not model.can_grad:
            raise UnsupportedError(
                f"{type(self).__name__} looks at layers, and {model.name} is no network of ours; "
                "use detect-squeezing or detect-magnet"
            )
        model.logits(x[:1])  # settles what its outputs are
        names = leaf_names(model.module)
        layer = self.layer or (names[-2] if len(names) > 1 else "logits")
        if layer != "logits" and layer not in names:
            raise InvalidArgument(f"unknown layer {layer!r}{suggest(layer, names)}")
        features = _Features(model, "" if layer == "logits" else layer)
        parts = [features.of(x[i : i + model.batch_size]) for i in range(0, len(x), model.batch_size)]
        found, answers = (np.concatenate(part) for part in zip(*parts, strict=True))
        return _OfFeatures(features, self._learned(found, answers.argmax(axis=1)))

    @abstractmethod
    def _learned(self, f: F64, labels: NDArray[np.int64]) -> Callable[[Tensor, NDArray[np.int64]], Tensor]:
        """The score (n,), a function of features (n, d) and answers (n,), as learned from clean ones."""


class _Features:
    def __init__(self, model: ModuleModel, layer: str) -> None:
        self.model, self.layer = model, layer
        self.module = dict(model.module.named_modules())[layer]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, d) as float64, and logits."""
        kept: list[Tensor] = []

        def watcher(called: Any, forward: Any, inputs: Any, keywords: Any) -> Any:
            out = forward(*inputs, **keywords)
            if called is self.module:
                kept.append(out)
            return out

        with watching(watcher), frozen(self.model.module), np.errstate(all="ignore"):
            logits = self.model.forward(x)
        found = kept[-1] if self.layer else logits
        return found.reshape((len(x.data), -1)).astype("float64"), logits

    def of(self, x: np.ndarray) -> tuple[F64, np.ndarray]:
        with no_grad():
            found, logits = self.forward(Tensor(x))
        return found.numpy(), logits.numpy()


class _OfFeatures(Fitted):
    def __init__(self, features: _Features, measure: Callable[[Tensor, NDArray[np.int64]], Tensor]) -> None:
        self.model, self.features, self.measure = features.model, features, measure

    def _score(self, x: np.ndarray) -> Scores:
        with no_grad():
            found, logits = self.features.forward(Tensor(x))
            return np.asarray(self.measure(found, logits.numpy().argmax(axis=1)).numpy())

    def pull(self, x: np.ndarray) -> tuple[Scores, np.ndarray]:
        leaf = Tensor(x, requires_grad=True)
        found, logits = self.features.forward(leaf)
        score = self.measure(found, logits.numpy().argmax(axis=1))
        gradient = pulled_back(score, Tensor(np.ones(len(x))), leaf)
        return np.asarray(score.numpy()), gradient.numpy().astype(np.float32)


@DEFENSES.register("detect-mahalanobis")
@dataclass(frozen=True, slots=True, kw_only=True)
class Mahalanobis(FeatureDetector):
    """The squared Mahalanobis distance of the features to the nearest class mean, of one covariance for all.

    ridge: added to the covariance, as a share of its mean variance, so that it has an inverse.
    Lee et al., 2018, https://arxiv.org/abs/1807.03888, at one layer, without their input noise.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "Tramer et al., 2020, https://arxiv.org/abs/2002.08347",
        "13 of 13 defenses, detectors among them, evaded by attacks made for them",
    )

    ridge: float = 1e-3

    def __post_init__(self) -> None:
        positive("ridge", self.ridge)

    def _learned(self, f: F64, labels: NDArray[np.int64]) -> Callable[[Tensor, NDArray[np.int64]], Tensor]:
        classes, place = np.unique(labels, return_inverse=True)
        means = np.stack([f[place == c].mean(axis=0) for c in range(len(classes))])
        gaps = f - means[place]
        covariance = gaps.T @ gaps / len(f)
        scale = float(np.trace(covariance)) / len(covariance) or 1.0
        covariance += self.ridge * scale * np.eye(len(covariance))
        # |root.T @ v| ** 2 is v @ inverse(covariance) @ v.
        root = np.linalg.inv(np.linalg.cholesky(covariance)).T

        def measure(features: Tensor, answers: NDArray[np.int64]) -> Tensor:
            return _squares(features @ root, means @ root).min(axis=1)

        return measure


@DEFENSES.register("detect-density")
@dataclass(frozen=True, slots=True, kw_only=True)
class KernelDensity(FeatureDetector):
    """Minus the logarithm of a kernel density of the features, of clean inputs with the same answer.

    bandwidth: of the Gaussian kernel exp(-d ** 2 / bandwidth ** 2), as a multiple of the median distance of
    clean features to their nearest of the same answer. most: clean inputs of each class that are kept.
    Feinman et al., 2017, https://arxiv.org/abs/1703.00410.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "Carlini and Wagner, 2017, https://arxiv.org/abs/1705.07263",
        "ten detectors, this one among them, evaded by attacks that know them",
    )

    bandwidth: float = 1.0
    most: int = 200

    def __post_init__(self) -> None:
        positive("bandwidth", self.bandwidth)
        count("most", self.most)

    def _learned(self, f: F64, labels: NDArray[np.int64]) -> Callable[[Tensor, NDArray[np.int64]], Tensor]:
        kept = np.concatenate([np.flatnonzero(labels == c)[: self.most] for c in np.unique(labels)])
        f, own = f[kept], labels[kept]
        with no_grad():
            squares = _squares(Tensor(f), f).numpy().copy()
        squares[(own[:, None] != own) | np.eye(len(f), dtype=bool)] = np.inf
        nearest = squares.min(axis=1)
        nearest = nearest[np.isfinite(nearest)]
        width = self.bandwidth**2 * (float(np.median(nearest)) if len(nearest) else 1.0) or 1.0

        def measure(features: Tensor, answers: NDArray[np.int64]) -> Tensor:
            power = _squares(features, f) * (-1 / width)
            same = answers[:, None] == own
            # An answer that no clean input had is as unlike as can be: all count.
            same = np.where(same.any(axis=1, keepdims=True), same, True)
            top = np.where(same, power.data, -np.inf).max(axis=1, keepdims=True)
            total = (exp(np.where(same, 0.0, -np.inf) + (power - top)) * same).sum(axis=1)
            density: Tensor = log(total * (1 / same.sum(axis=1))) + top[:, 0]
            return -density

        return measure


@DEFENSES.register("detect-lid")
@dataclass(frozen=True, slots=True, kw_only=True)
class LID(FeatureDetector):
    """The local intrinsic dimension at the features, by the distances to the k nearest of clean inputs.

    The maximum-likelihood estimate -1 / mean(log(r_i / r_k)). most: clean inputs that are kept.
    Ma et al., 2018, https://arxiv.org/abs/1801.02613, at one layer, without their classifier.
    """

    evidence: ClassVar[Evidence] = Evidence(
        "broken",
        "Athalye et al., 2018, https://arxiv.org/abs/1802.00420",
        "5 % left on CIFAR-10 at Linf .031",
    )

    k: int = 20
    most: int = 1000

    def __post_init__(self) -> None:
        count("k", self.k, 2)
        count("most", self.most)

    def _learned(self, f: F64, labels: NDArray[np.int64]) -> Callable[[Tensor, NDArray[np.int64]], Tensor]:
        f = f[: self.most]
        if len(f) < self.k:
            raise InvalidArgument(f"expected at least k={self.k} clean inputs, got {len(f)}")

        def measure(features: Tensor, answers: NDArray[np.int64]) -> Tensor:
            near = sort(_squares(features, f), axis=1)[:, : self.k]
            ratio = log(near + _FLOOR) - log(near[:, self.k - 1 :] + _FLOOR)
            # Half, for these are logarithms of squares.
            return -1 / (ratio.mean(axis=1) / 2 - _FLOOR)

        return measure


def _squares(a: Tensor, b: F64) -> Tensor:
    """(n, m) squared distances of a (n, d) and b (m, d); rounding may not make one negative."""
    products = (a * a).sum(axis=1, keepdims=True) - 2 * (a @ b.T) + (b * b).sum(axis=1)
    clipped: Tensor = products.clip(0.0, np.inf)
    return clipped
