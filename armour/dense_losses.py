"""Losses for criteria.Custom and for training, of networks that answer with masks or with boxes on a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from armour.checks import describe
from armour.errors import InvalidArgument
from armour.tensor import log_softmax, softplus
from armour.tensor.core import Tensor, lift

BOX = 5.0  # weight of a box's place and size beside the other parts of the loss


def mask_loss(answers: Any, masks: Any) -> Tensor:
    """(n,) mean cross-entropy of the pixels; answers (n, classes, h, w), masks (n, h, w) whole numbers.

    A pixel of the mask below 0 is left out.
    """
    (z,) = lift([answers])
    labels = np.asarray(masks)
    if z.ndim != 4 or labels.shape != (z.shape[0], *z.shape[2:]):
        raise InvalidArgument(
            f"expected answers (n, classes, h, w) and masks (n, h, w), got {z.shape}, "
            f"{describe('masks', labels)}"
        )
    one = (labels[:, None] == np.arange(z.shape[1])[:, None, None]).astype(np.float32)
    known = np.maximum(one.sum(axis=(1, 2, 3)), 1)
    loss: Tensor = -(log_softmax(z, axis=1) * one).sum(axis=(1, 2, 3)) / known
    return loss


def grid_cells(boxes: NDArray[Any], labels: NDArray[Any], cells: int, size: float) -> NDArray[np.float32]:
    """What a grid detector should answer: (n, 6, cells, cells).

    boxes: (n, t, 4), (left, top, right, bottom) in pixels of images `size` wide and high; labels: (n, t), -1
    for no box. The cell that a box has its centre in has: 1, its centre in the cell (across, down), its width
    and height as shares of the image, and its label; the last of several boxes in a cell counts.
    """
    out = np.zeros((len(boxes), 6, cells, cells), np.float32)
    image, box = np.nonzero(labels >= 0)
    left, top, right, bottom = boxes[image, box].T / size
    across, down = (left + right) / 2 * cells, (top + bottom) / 2 * cells
    column, row = (np.clip(at.astype(int), 0, cells - 1) for at in (across, down))
    values = (np.ones(len(row)), across - column, down - row, right - left, bottom - top, labels[image, box])
    for channel, value in enumerate(values):
        out[image, channel, row, column] = value
    return out


def grid_boxes(
    answers: NDArray[Any], size: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Boxes (n, m, 4) in pixels, scores (n, m) and labels (n, m) of answers (n, 5 + classes, cells, cells).

    The channels are: the logit of there being an object, its centre, width and height as in `grid_cells`, and
    logits of classes. One box a cell; a label is -1 where the logit of an object is not above 0.
    """
    n, _, cells, _ = answers.shape
    flat = np.asarray(answers, np.float32).reshape(n, -1, cells * cells).transpose(0, 2, 1)
    row, column = np.divmod(np.arange(cells * cells), cells)
    across = (column + np.clip(flat[..., 1], 0, 1)) / cells
    down = (row + np.clip(flat[..., 2], 0, 1)) / cells
    wide, high = (np.clip(flat[..., channel], 0, 1) / 2 for channel in (3, 4))
    boxes = np.stack([across - wide, down - high, across + wide, down + high], axis=-1) * size
    labels = np.where(flat[..., 0] > 0, flat[..., 5:].argmax(axis=-1), -1)
    return boxes.astype(np.float32), flat[..., 0], labels


def grid_loss(answers: Any, cells: Any) -> Tensor:
    """(n,) loss of a single-shot detector: objects of all cells; classes, places and sizes where one is.

    answers: as for `grid_boxes`; cells: as `grid_cells` gives them. Redmon et al., 2016,
    https://arxiv.org/abs/1506.02640, with logits for objects and classes.
    """
    (z,) = lift([answers])
    wanted = np.asarray(cells)
    if z.ndim != 4 or wanted.shape != (z.shape[0], 6, *z.shape[2:]) or z.shape[1] < 6:
        raise InvalidArgument(
            f"expected answers (n, 5 + classes, cells, cells) and cells (n, 6, cells, cells), got {z.shape}, "
            f"{describe('cells', wanted)}"
        )
    there, place, labels = wanted[:, 0], wanted[:, 1:5], wanted[:, 5]
    one = (labels[:, None] == np.arange(z.shape[1] - 5)[:, None, None]) * there[:, None]
    number = np.maximum(there.sum(axis=(1, 2)), 1).astype(np.float32)
    objects = (softplus(z[:, 0]) - z[:, 0] * there).sum(axis=(1, 2))
    apart = (z[:, 1:5] - place) * there[:, None]
    classes = -(log_softmax(z[:, 5:], axis=1) * one.astype(np.float32)).sum(axis=(1, 2, 3))
    loss: Tensor = (objects + classes + (apart * apart).sum(axis=(1, 2, 3)) * BOX) / number
    return loss
