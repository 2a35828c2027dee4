"""Sections of a report from a model, data and an attack: counts become rates, arrays become pictures."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from armour.errors import InvalidArgument, NothingEvaluated, UnsupportedError
from armour.report_sections import (
    AttackSection,
    ClassRow,
    DataInfo,
    Example,
    ModelInfo,
    Rate,
)
from armour.thumbnails import difference, picture

if TYPE_CHECKING:
    from armour.attacks.result import AttackResult
    from armour.contract import Model
    from armour.data import Dataset

MAX_CLASSES = 100


def model_info(model: Model, name: str = "") -> ModelInfo:
    """What a report says about a model."""
    return ModelInfo(
        name=name or model.name,
        fingerprint=fingerprint(model),
        input_shape=tuple(int(side) for side in model.input_shape or ()),
        bounds=(float(model.bounds.low), float(model.bounds.high)),
        num_classes=int(model.num_classes or 0),
        class_names=tuple(model.class_names),
        parameters=_parameters(model),
        can_grad=bool(model.can_grad),
        provenance=_provenance(model.provenance) | _prepared(model),
    )


def fingerprint(model: Model) -> str:
    """The model's fingerprint; "" for one that cannot be written down (it draws random numbers, say)."""
    try:
        return model.fingerprint
    except UnsupportedError:
        return ""


def data_info(data: Dataset, selection: str = "") -> DataInfo:
    """What a report says about the samples used."""
    return DataInfo(
        name=PurePath(data.name).name or data.name,
        n=len(data.y),
        selection=selection,
        class_counts=tuple(int(count) for count in np.bincount(np.asarray(data.y, dtype=np.int64))),
        sha256=data.digest,
    )


def attack_section(
    result: AttackResult,
    model: Model,
    x: NDArray[np.floating],
    y: NDArray[np.integer],
    *,
    data: DataInfo | None = None,
    headline: float | None = None,
    name: str = "",
    adaptive: bool = False,
    examples: int = 9,
) -> AttackSection:
    """A section of an attack's result on x (n, c, h, w) with labels y (n,).

    headline: the epsilon of the verdict sentence, by default the middle one. A minimum-norm attack without
    epsilons gets a curve from its distances. Raises NothingEvaluated without samples, InvalidArgument for a
    headline that was not run.
    """
    if len(y) == 0:
        raise NothingEvaluated("expected at least one attacked sample, got none; a report needs some")
    labels = np.asarray(y, dtype=np.int64)
    right = model.predict(x) == labels
    epsilons, fooled, rows = _curve(result)
    index = _headline(epsilons, headline)
    success = np.asarray(result.success)[rows[index]]
    moved = np.flatnonzero(right & success)[:examples]
    adversarial = np.asarray(result.adv)[rows[index]][moved]
    seen = model.predict(adversarial) if len(moved) else np.zeros(0, np.int64)
    bounds = (float(model.bounds.low), float(model.bounds.high))
    return AttackSection(
        name=name or short_name(str(result.attack)),
        config=str(result.attack),
        data=data or DataInfo(name="", n=len(labels)),
        norm=str(result.norm),
        epsilons=epsilons,
        headline=index,
        clean=Rate.of(int(right.sum()), len(labels)),
        robust=tuple(Rate.of(int((~row).sum()), len(labels)) for row in fooled),
        distances=tuple(
            _median(np.asarray(result.distance)[r], right & f) for r, f in zip(rows, fooled, strict=True)
        ),
        classes=_classes(labels, right, fooled),
        access="white-box" if result.gradients else "black-box",
        adaptive=adaptive,
        queries=int(result.queries),
        gradients=int(result.gradients),
        seconds=float(result.seconds),
        examples=tuple(
            example(x[i], changed, bounds, int(labels[i]), int(label))
            for i, changed, label in zip(moved, adversarial, seen, strict=True)
        ),
    )


def short_name(attack: str) -> str:
    """ "PGD(norm='linf', steps=40)" as "PGD-40", "APGDDLR(...)" as "APGD-DLR-100"; others by their class."""
    from armour.attacks import ATTACKS

    kind = attack.partition("(")[0].strip() or "attack"
    steps = re.search(r"\bsteps=(\d+)", attack)
    # Hyphens of the registered name: APGDDLR is APGD-DLR.
    spelled = (name.upper() for name in ATTACKS.names() if name.upper().replace("-", "") == kind)
    shown = next(spelled, kind)
    return f"{shown}-{steps[1]}" if steps and kind not in ("FGSM", "RFGSM", "AutoAttack") else shown


def example(
    root: NDArray[np.floating],
    mutant: NDArray[np.floating],
    bounds: tuple[float, float],
    true: int,
    predicted: int,
) -> Example:
    """Root, mutant and their difference as pictures."""
    changed, largest = difference(mutant, root)
    return Example(
        root=picture(root, bounds),
        mutant=picture(mutant, bounds),
        difference=changed,
        largest=largest,
        true=true,
        predicted=predicted,
    )


def _curve(result: AttackResult) -> tuple[tuple[float, ...], list[NDArray[np.bool_]], list[int]]:
    """Finite epsilons in rising order, which samples (n,) are fooled at each, and the result's row for
    each."""
    given = np.asarray(result.epsilons, dtype=np.float64).reshape(-1)
    success = np.asarray(result.success, dtype=bool)
    if np.isfinite(given).all():
        order = np.argsort(given, kind="stable")
        keep = [int(i) for at, i in enumerate(order) if at == 0 or given[i] > given[order[at - 1]]]
        return tuple(float(f"{given[i]:.9g}") for i in keep), [success[i] for i in keep], keep
    distance = np.where(success[0], np.asarray(result.distance)[0], np.inf)
    finite = distance[np.isfinite(distance) & (distance > 0)]
    top = float(np.quantile(finite, 0.95)) if finite.size else 1.0
    epsilons = tuple(float(f"{top * share:.3g}") for share in (0.125, 0.25, 0.375, 0.5, 0.75, 1.0))
    return epsilons, [distance <= epsilon for epsilon in epsilons], [0] * len(epsilons)


def _headline(epsilons: tuple[float, ...], wanted: float | None) -> int:
    if wanted is None:
        return (len(epsilons) - 1) // 2
    index = int(np.argmin([abs(epsilon - wanted) for epsilon in epsilons]))
    if abs(epsilons[index] - wanted) > 1e-6 * max(1.0, abs(wanted)):
        raise InvalidArgument(f"expected a headline among the epsilons {epsilons}, got headline={wanted!r}")
    return index


def _median(distance: NDArray[np.floating], rows: NDArray[np.bool_]) -> float | None:
    values = distance[rows]
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else None


def _classes(
    labels: NDArray[np.int64], right: NDArray[np.bool_], fooled: list[NDArray[np.bool_]]
) -> tuple[ClassRow, ...]:
    found = []
    for label in np.unique(labels)[:MAX_CLASSES]:
        rows = labels == label
        n = int(rows.sum())
        robust = tuple(Rate.of(int((~row[rows]).sum()), n) for row in fooled)
        found.append(ClassRow(label=int(label), clean=Rate.of(int(right[rows].sum()), n), robust=robust))
    return tuple(found)


def _parameters(model: Any) -> int | None:
    module = getattr(model, "module", None)
    if module is None or not hasattr(module, "parameters"):
        return None
    return sum(int(np.prod(parameter.shape)) for parameter in module.parameters())


def _prepared(model: Model) -> dict[str, str]:
    """What is done to the inputs, in words: budgets are before it."""
    steps = model.preprocessing
    return {} if steps.identity else {"preprocessing": str(steps)[:200]}


def _provenance(given: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Plain values as text, nested ones under joined names; a path keeps its last part only."""
    found: dict[str, str] = {}
    for key, value in given.items():
        if key == "preprocessing":
            continue
        if isinstance(value, dict) and not prefix:
            found |= _provenance(value, f"{key} ")
        elif isinstance(value, str | int | float | bool):
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            name = f"{prefix}{key}".replace("_", " ")
            found[name] = PurePath(text).name if PurePath(text).is_absolute() else text[:200]
    return found
