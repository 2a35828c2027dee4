"""Attack a segmentation network: the mean IoU of its masks under a budget, with and without gradients.

A success is a picture whose mean IoU falls below a half. There are no classes of pictures here, so there is
no accuracy, and no robust accuracy either: what is measured is the mean IoU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import armour
from armour import attacks, criteria
from armour.dense_losses import mask_loss
from armour.detection import mean_iou
from armour.stats import bootstrap
from armour.tensor import nn

from . import shapes, train

CLASSES = 1 + len(shapes.NAMES)
EPSILON = 0.1


def trained(n: int = 256, epochs: int = 8) -> armour.Model:
    """A small network of convolutions, (n, 1, 32, 32) to (n, 3, 32, 32), in seconds."""
    data = shapes.draw(n, seed=0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2, stride=2, rng=0),
        nn.ReLU(),
        nn.Conv2d(8, 16, 5, padding=2, stride=2, rng=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1, rng=2),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1, rng=3),
        nn.ReLU(),
        nn.ConvTranspose2d(8, CLASSES, 4, stride=2, padding=1, rng=4),
    )
    train.fit(net, data.x, data.masks, mask_loss, epochs)
    shape = (1, shapes.SIZE, shapes.SIZE)
    return armour.wrap(
        net,
        input_shape=shape,
        output_shape=(CLASSES, *shape[1:]),
        mean=train.MEAN,
        std=train.STD,
        name="segmentation",
    )


def overlap(answers: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """(n,) mean IoU of each picture."""
    return mean_iou(answers.argmax(axis=1), masks, CLASSES)


def goal(model: armour.Model, masks: np.ndarray) -> criteria.Custom:
    """A mean IoU below a half."""
    return criteria.Custom(
        success=lambda answers, masks: overlap(answers, masks) < 0.5,
        loss=mask_loss,
        data=(masks,),
        shape=model.output_shape,
        name="mean IoU below 0.5",
    )


def run(model: armour.Model, n: int = 60, queries: int = 100) -> dict[str, Any]:
    """The mean IoU (value, low, high) before and under PGD and Square, and the results."""
    data = shapes.draw(n, seed=1)
    aim = goal(model, data.masks)
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
        each = overlap(model.answers(x), data.masks)
        table[name] = bootstrap(lambda rows, each=each: float(each[rows].mean()), n)  # type: ignore[misc]
    return {"n": n, "mean IoU": table, "results": found}
