"""Measures of what is no classifier: overlap of boxes and of masks, mean average precision, mean IoU.

Boxes are (left, top, right, bottom). A set of images is padded to as many boxes: a label of -1 is no box.
None of these is an accuracy, and none of them says anything about a classifier.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from armour.checks import count, describe
from armour.errors import InvalidArgument

Floats: TypeAlias = NDArray[np.floating[Any]]
Ints: TypeAlias = NDArray[np.integer[Any]]


def box_iou(a: Floats, b: Floats) -> NDArray[np.float64]:
    """Intersection over union of each of a (..., m, 4) with each of b (..., k, 4): (..., m, k), in [0, 1].

    Boxes whose right is left of their left, or without area, overlap with nothing.
    """
    for name, boxes in (("a", a), ("b", b)):
        if boxes.ndim < 2 or boxes.shape[-1] != 4:
            raise InvalidArgument(f"expected boxes (..., m, 4), got {describe(name, boxes)}")
    a, b = a[..., :, None, :].astype(np.float64), b[..., None, :, :].astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(axis=-1)
    areas = [np.maximum(boxes[..., 2:] - boxes[..., :2], 0).prod(axis=-1) for boxes in (a, b)]
    union = areas[0] + areas[1] - shared
    out: NDArray[np.float64] = np.divide(
        shared, union, out=np.zeros_like(shared), where=(shared > 0) & (union > 0)
    )
    return out


def suppressed(boxes: Floats, scores: Floats, labels: Ints, iou: float = 0.5) -> Ints:
    """The labels (n, m) with -1 for a box that overlaps by more than `iou` with a better one of its label.

    boxes: (n, m, 4); scores, labels: (n, m). The best are kept first, and only what is kept suppresses.
    """
    _check_boxes(boxes, labels, scores)
    n, m = labels.shape
    order = np.argsort(-np.asarray(scores, np.float64), axis=1, kind="stable")
    rows = np.arange(n)
    left = labels.copy()
    for rank in range(m):
        at = order[:, rank]
        alive = left[rows, at] >= 0
        over = box_iou(boxes[rows, at][:, None], boxes)[:, 0] > iou
        later = np.zeros((n, m), bool)
        np.put_along_axis(later, order[:, rank + 1 :], True, axis=1)
        left[alive[:, None] & over & later & (left == left[rows, at][:, None])] = -1
    return left


def matched(
    boxes: Floats, scores: Floats, labels: Ints, true_boxes: Floats, true_labels: Ints, iou: float = 0.5
) -> NDArray[np.bool_]:
    """(n, m) whether each box finds an object: one of its label, not found by a better one, by `iou` or more.

    The best come first, and each takes the object it overlaps most with among those that are left.
    """
    _check_boxes(boxes, labels, scores)
    _check_boxes(true_boxes, true_labels)
    n, m = labels.shape
    found = np.zeros((n, m), bool)
    if not true_labels.shape[1]:
        return found
    overlap = box_iou(boxes, true_boxes)
    overlap[(labels[:, :, None] != true_labels[:, None]) | (labels < 0)[:, :, None]] = -1
    order = np.argsort(-np.asarray(scores, np.float64), axis=1, kind="stable")
    rows, free = np.arange(n), true_labels >= 0
    for rank in range(m):
        at = order[:, rank]
        here = np.where(free, overlap[rows, at], -1)
        best = here.argmax(axis=1)
        hit = here[rows, best] >= iou
        found[rows, at] = hit
        free[rows[hit], best[hit]] = False
    return found


def average_precision(
    boxes: Floats, scores: Floats, labels: Ints, true_boxes: Floats, true_labels: Ints, iou: float = 0.5
) -> dict[int, float]:
    """For each label that has objects: the area under the precision that each recall can still be had with.

    boxes: (n, m, 4); scores, labels: (n, m); true_boxes: (n, t, 4); true_labels: (n, t). Everingham et al.,
    2010, https://doi.org/10.1007/s11263-009-0275-4, in the form of 2010 and later: all recalls, not eleven.
    """
    return precision_areas(
        matched(boxes, scores, labels, true_boxes, true_labels, iou), scores, labels, true_labels
    )


def precision_areas(
    found: NDArray[np.bool_], scores: Floats, labels: Ints, true_labels: Ints
) -> dict[int, float]:
    """`average_precision` of what `matched` gave: images can then be drawn again without matching again."""
    areas = {}
    for label in np.unique(true_labels[true_labels >= 0]):
        own = labels == label
        order = np.argsort(-np.asarray(scores, np.float64)[own], kind="stable")
        hits = np.cumsum(found[own][order])
        precision = hits / np.arange(1, len(hits) + 1)
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        steps = np.diff(hits, prepend=0)
        areas[int(label)] = float((precision * steps).sum() / (true_labels == label).sum())
    return areas


def mean_average_precision(
    boxes: Floats, scores: Floats, labels: Ints, true_boxes: Floats, true_labels: Ints, iou: float = 0.5
) -> float:
    """The mean of `average_precision` over labels; nan if there are no objects."""
    areas = average_precision(boxes, scores, labels, true_boxes, true_labels, iou)
    return float(np.mean(list(areas.values()))) if areas else float("nan")


def recall(
    boxes: Floats, scores: Floats, labels: Ints, true_boxes: Floats, true_labels: Ints, iou: float = 0.5
) -> NDArray[np.float64]:
    """(n,) share of each image's objects that are found; nan for an image without any."""
    hits = matched(boxes, scores, labels, true_boxes, true_labels, iou).sum(axis=1)
    total = (true_labels >= 0).sum(axis=1)
    out: NDArray[np.float64] = np.divide(hits, total, out=np.full(len(hits), np.nan), where=total > 0)
    return out


def mean_iou(predicted: Ints, masks: Ints, num_classes: int) -> NDArray[np.float64]:
    """(n,) of each image: the mean, over the classes in either mask (n, h, w), of intersection over union.

    A pixel of the mask below 0 is left out.
    """
    shared, either = _overlaps(predicted, masks, num_classes)
    ratio = np.divide(shared, either, out=np.zeros(shared.shape), where=either > 0)
    seen = (either > 0).sum(axis=1)
    out: NDArray[np.float64] = np.divide(
        ratio.sum(axis=1), seen, out=np.full(len(masks), np.nan), where=seen > 0
    )
    return out


def class_iou(predicted: Ints, masks: Ints, num_classes: int) -> NDArray[np.float64]:
    """(num_classes,) intersection over union of all pixels of all images; nan for a class in none."""
    shared, either = (counts.sum(axis=0) for counts in _overlaps(predicted, masks, num_classes))
    out: NDArray[np.float64] = np.divide(shared, either, out=np.full(num_classes, np.nan), where=either > 0)
    return out


def _overlaps(predicted: Ints, masks: Ints, num_classes: int) -> tuple[Ints, Ints]:
    """(n, num_classes) pixels of a class in both masks, and in either."""
    count("num_classes", num_classes)
    if (
        predicted.shape != masks.shape
        or masks.ndim != 3
        or {predicted.dtype.kind, masks.dtype.kind} - set("iu")
    ):
        raise InvalidArgument(
            f"expected whole numbers (n, h, w), twice, got {describe('predicted', predicted)} and "
            f"{describe('masks', masks)}"
        )
    if max(predicted.max(initial=0), masks.max(initial=0)) >= num_classes or predicted.min(initial=0) < 0:
        raise InvalidArgument(f"expected classes in 0..{num_classes - 1}, got others")
    n = len(masks)
    known = masks >= 0
    cell = np.arange(n)[:, None, None] * num_classes
    size = n * num_classes

    def counted(classes: Ints, where: NDArray[np.bool_]) -> Ints:
        found: Ints = np.bincount((classes + cell)[where], minlength=size).reshape(n, num_classes)
        return found

    shared = counted(masks, known & (predicted == masks))
    return shared, counted(masks, known) + counted(predicted, known) - shared


def _check_boxes(boxes: Floats, labels: Ints, scores: Floats | None = None) -> None:
    if labels.ndim != 2 or boxes.shape != (*labels.shape, 4) or labels.dtype.kind not in "iu":
        raise InvalidArgument(
            f"expected boxes (n, m, 4) and whole labels (n, m), got {describe('boxes', boxes)} and "
            f"{describe('labels', labels)}"
        )
    if scores is not None and scores.shape != labels.shape:
        raise InvalidArgument(f"expected scores {labels.shape}, got {describe('scores', scores)}")
