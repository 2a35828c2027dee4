"""Attack a single-shot detector: its mean average precision under a budget, with and without gradients.

A success is a picture in which fewer than half of the objects are found. There are no classes of pictures
here, so there is no accuracy, and no robust accuracy either: what is measured is the mAP at an IoU of .5.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import armour
from armour import attacks, criteria
from armour.dense_losses import grid_boxes, grid_cells, grid_loss
from armour.detection import matched, precision_areas, recall, suppressed
from armour.stats import bootstrap
from armour.tensor import nn

from . import shapes, train

CELLS = 4
EPSILON = 0.1


def trained(n: int = 384, epochs: int = 16) -> armour.Model:
    """A small network, (n, 1, 32, 32) to one box for each of 4 x 4 cells, in seconds."""
    data = shapes.draw(n, seed=0)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 5, padding=2, stride=2, rng=0),
        nn.ReLU(),
        nn.Conv2d(12, 24, 5, padding=2, stride=2, rng=1),
        nn.ReLU(),
        nn.Conv2d(24, 32, 5, padding=2, stride=2, rng=2),
        nn.ReLU(),
        nn.Conv2d(32, 5 + len(shapes.NAMES), 3, padding=1, rng=3),
    )
    cells = grid_cells(data.boxes, data.labels, CELLS, shapes.SIZE)
    train.fit(net, data.x, cells, grid_loss, epochs)
    return armour.wrap(
        net,
        input_shape=(1, shapes.SIZE, shapes.SIZE),
        output_shape=(5 + len(shapes.NAMES), CELLS, CELLS),
        mean=train.MEAN,
        std=train.STD,
        name="detector",
    )


def detections(answers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (n, m, 4), scores and labels (n, m), without doubles."""
    boxes, scores, labels = grid_boxes(answers, shapes.SIZE)
    return boxes, scores, suppressed(boxes, scores, labels)


def goal(model: armour.Model, data: shapes.Shapes) -> criteria.Custom:
    """Fewer than half of the objects found."""

    def success(answers: np.ndarray, cells: np.ndarray, boxes: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return recall(*detections(answers), boxes, labels) < 0.5

    return criteria.Custom(
        success=success,
        loss=lambda answers, cells, boxes, labels: grid_loss(answers, cells),
        data=(grid_cells(data.boxes, data.labels, CELLS, shapes.SIZE), data.boxes, data.labels),
        shape=model.output_shape,
        name="fewer than half of the objects found",
    )


def run(model: armour.Model, n: int = 60, queries: int = 100) -> dict[str, Any]:
    """The mAP (value, low, high) before and under PGD and Square, and the results."""
    data = shapes.draw(n, seed=1)
    aim = goal(model, data)
    blind = armour.wrap(
        model.answers, input_shape=model.input_shape, output_shape=model.output_shape, name="served"
    )
    found = {
        "PGD-20": attacks.PGD(steps=20, step_size=0.2).attack(model, data.x, aim, EPSILON),
        "Square": attacks.Square(queries=queries).attack(blind, data.x, aim, EPSILON),
    }
    pictures = {"before": data.x} | {name: result.adv[0] for name, result in found.items()}
    table = {}
    for name, x in pictures.items():
        boxes, scores, labels = detections(model.answers(x))
        parts = (matched(boxes, scores, labels, data.boxes, data.labels), scores, labels, data.labels)

        def precision(rows: np.ndarray, parts: tuple[np.ndarray, ...] = parts) -> float:
            return float(np.mean(list(precision_areas(*(part[rows] for part in parts)).values())))

        table[name] = bootstrap(precision, n)
    return {"n": n, "mAP": table, "results": found}
