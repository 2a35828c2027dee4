"""Overlaps, mean average precision and mean IoU against slow references and cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from armour.dense_losses import grid_boxes, grid_cells, grid_loss, mask_loss
from armour.detection import (
    average_precision,
    box_iou,
    class_iou,
    matched,
    mean_average_precision,
    mean_iou,
    recall,
    suppressed,
)
from armour.errors import InvalidArgument
from armour.stats import bootstrap
from armour.tensor import Tensor


def slow_iou(a: np.ndarray, b: np.ndarray) -> float:
    wide, high = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return float(wide * high / (sum(areas) - wide * high))


def scene(n: int = 6, m: int = 9, t: int = 4, seed: int = 0) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    corner, side = rng.uniform(0, 6, (n, t, 2)), rng.uniform(2, 5, (n, t, 2))
    true = np.concatenate([corner, corner + side], axis=-1)
    boxes = true[:, rng.integers(0, t, m)] + rng.normal(0, 0.5, (n, m, 4))
    boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2] + 0.5)
    return boxes, rng.random((n, m)), rng.integers(-1, 2, (n, m)), true, rng.integers(-1, 2, (n, t))


def slow_hits(boxes, scores, labels, true, truth, iou=0.5):
    found = np.zeros(labels.shape, bool)
    for k in range(len(boxes)):
        free = [j for j in range(len(truth[k])) if truth[k, j] >= 0]
        for i in sorted(range(len(scores[k])), key=lambda i: -scores[k, i]):
            same = [j for j in free if truth[k, j] == labels[k, i] and labels[k, i] >= 0]
            best = max(same, key=lambda j: slow_iou(boxes[k, i], true[k, j]), default=None)
            if best is not None and slow_iou(boxes[k, i], true[k, best]) >= iou:
                found[k, i] = True
                free.remove(best)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_boxes_are_the_slow_references(seed: int) -> None:
    boxes, scores, labels, true, truth = scene(seed=seed)
    for k in range(len(boxes)):
        expected = [[slow_iou(a, b) for b in true[k]] for a in boxes[k]]
        np.testing.assert_allclose(box_iou(boxes[k], true[k]), expected)
    hits = slow_hits(boxes, scores, labels, true, truth)
    np.testing.assert_array_equal(matched(boxes, scores, labels, true, truth), hits)
    areas = average_precision(boxes, scores, labels, true, truth)
    for label, area in areas.items():
        # The definition: at each recall the best precision at that recall or beyond.
        ranked = sorted(
            ((scores[at], hits[at]) for at in np.ndindex(labels.shape) if labels[at] == label), reverse=True
        )
        total = int((truth == label).sum())
        points, right = [], 0
        for rank, (_, hit) in enumerate(ranked, start=1):
            right += int(hit)
            points.append((right / total, right / rank))
        levels = [(k + 1) / total for k in range(total)]
        best = [max((p for r, p in points if r >= level - 1e-12), default=0.0) for level in levels]
        assert area == pytest.approx(sum(best) / total)
    assert mean_average_precision(boxes, scores, labels, true, truth) == pytest.approx(
        np.mean(list(areas.values()))
    )
    left = suppressed(boxes, scores, labels, 0.4)
    for k in range(len(boxes)):
        kept: list[int] = []
        for i in sorted(range(len(scores[k])), key=lambda i: -scores[k, i]):
            over = [
                j for j in kept if labels[k, j] == labels[k, i] and slow_iou(boxes[k, i], boxes[k, j]) > 0.4
            ]
            if labels[k, i] >= 0 and not over:
                kept.append(i)
        assert set(np.flatnonzero(left[k] >= 0)) == set(kept)


def test_average_precision_by_hand() -> None:
    """Found, wrong, found of two objects: precision 1 up to half the recall, then 2/3."""
    true = np.array([[[0, 0, 2, 2], [4, 4, 6, 6]]], float)
    boxes = np.array([[[0, 0, 2, 2], [8, 8, 9, 9], [4, 4, 6, 6], [4, 4, 6, 6]]], float)
    scores, labels, truth = np.array([[0.9, 0.8, 0.7, 0.6]]), np.zeros((1, 4), int), np.zeros((1, 2), int)
    assert mean_average_precision(boxes, scores, labels, true, truth) == pytest.approx((1 + 2 / 3) / 2)
    assert recall(boxes, scores, labels, true, truth)[0] == 1  # the double finds nothing more
    assert matched(boxes, scores, labels, true, truth).tolist() == [[True, False, True, False]]
    assert np.isnan(mean_average_precision(boxes, scores, labels, true, truth - 1))
    assert mean_average_precision(boxes, scores, labels - 1, true, truth) == 0
    assert box_iou(np.array([[0, 0, 2, 2.0]]), np.array([[1, 0, 3, 2.0], [2, 0, 3, 2]])).tolist() == [
        [1 / 3, 0]
    ]


def test_masks_are_the_slow_reference() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (5, 6, 7)), rng.integers(-1, 3, (5, 6, 7))
    known = b >= 0

    def ratio(k: int, p: np.ndarray, t: np.ndarray, seen: np.ndarray) -> float | None:
        either = (((p == k) | (t == k)) & seen).sum()
        return float((((p == k) & (t == k)) & seen).sum() / either) if either else None

    for i, found in enumerate(mean_iou(a, b, 5)):
        each = [ratio(k, a[i], b[i], known[i]) for k in range(5)]
        assert found == pytest.approx(np.mean([v for v in each if v is not None]))
    whole = class_iou(a, b, 5)
    np.testing.assert_allclose(whole[:4], [ratio(k, a, b, known) for k in range(4)])
    assert np.isnan(whole[4])


def test_a_grid_gives_back_its_boxes() -> None:
    boxes = np.array([[[2, 3, 10, 9], [20, 18, 30, 31]], [[0, 0, 8, 8], [9, 9, 9, 9]]], float)
    labels = np.array([[0, 1], [1, -1]])
    cells = grid_cells(boxes, labels, 4, 32)
    one = cells[:, 5:] == np.arange(2)[:, None, None]
    answers = np.concatenate([cells[:, :1] * 20 - 10, cells[:, 1:5], one * 20.0], axis=1)
    found, scores, named = grid_boxes(answers, 32)
    assert mean_average_precision(found, scores, named, boxes, labels, 0.99) == 1
    assert (named >= 0).sum() == 3
    right = grid_loss(Tensor(answers), cells).numpy()
    assert (right < 1e-2).all() and (grid_loss(Tensor(-answers), cells).numpy() > 5).all()
    assert grid_loss(Tensor(answers[:1]), cells[:1]).numpy()[0] == pytest.approx(right[0])


def test_mask_loss_is_the_mean_cross_entropy_of_the_pixels() -> None:
    rng = np.random.default_rng(0)
    z, masks = rng.normal(size=(3, 4, 5, 6)), rng.integers(-1, 4, (3, 5, 6))
    chances = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    for i in range(3):
        at = [(masks[i, a, b], a, b) for a in range(5) for b in range(6) if masks[i, a, b] >= 0]
        expected = -np.mean([np.log(chances[i][where]) for where in at])
        assert mask_loss(Tensor(z), masks).numpy()[i] == pytest.approx(expected, rel=1e-5)


def test_bootstrap_is_near_the_normal_interval_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap(lambda rows: float(values[rows].mean()), 400)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.02)
    assert found.high == pytest.approx(values.mean() + half, abs=0.02)
    with pytest.raises(InvalidArgument, match="got nan"):
        bootstrap(lambda rows: float("nan"), 5)


def test_what_does_not_fit() -> None:
    boxes, scores, labels, true, truth = scene()
    masks = np.zeros((1, 2, 2), int)
    wrong = [
        lambda: box_iou(boxes[..., :3], true),
        lambda: matched(boxes, scores[:, 1:], labels, true, truth),
        lambda: matched(boxes, scores, labels.astype(float), true, truth),
        lambda: suppressed(boxes[:, 1:], scores, labels),
        lambda: mean_iou(masks, masks[:, 1:], 2),
        lambda: mean_iou(masks + 2, masks, 2),
        lambda: mask_loss(np.zeros((1, 3, 2, 2)), masks[:, 1:]),
        lambda: grid_loss(np.zeros((1, 7, 4, 4)), np.zeros((1, 5, 4, 4))),
    ]
    for call in wrong:
        with pytest.raises(InvalidArgument):
            call()
