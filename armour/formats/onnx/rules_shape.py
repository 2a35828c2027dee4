"""Operators that rearrange: reshape, transpose, slice, concatenate, pad, expand."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

import armour.tensor as T
from armour.errors import CheckpointError
from armour.tensor.core import Tensor

from .rules import Call, rule


@rule("Reshape")
def reshape(c: Call) -> Tensor:
    """0 keeps a length (unless allowzero), -1 is what is left."""
    x = c.x()
    target = tuple(int(n) for n in c.attr("shape")) if c.opset < 5 else c.ints(1)
    if not c.attr("allowzero", 0):
        if any(n == 0 and i >= x.ndim for i, n in enumerate(target)):
            raise CheckpointError(
                f"node {c.node.shown} keeps a length that its input lacks; get the file again"
            )
        target = tuple(x.shape[i] if n == 0 else n for i, n in enumerate(target))
    return T.reshape(x, _with_batch(c, x, target))


def _with_batch(c: Call, x: Tensor, target: tuple[int, ...]) -> tuple[int, ...]:
    """A target that was exported for one sample, for a batch of them: its leading 1 becomes the batch."""
    n = c.run.batch
    fixed = math.prod(v for v in target if v >= 0)
    if n is None or not target or target[0] != 1 or not x.ndim or x.shape[0] != n or -1 in target[1:]:
        if (
            n is not None
            and n > 1
            and target
            and target[0] == 1
            and -1 in target[1:]
            and x.ndim
            and x.shape[0] == n
        ):
            return (n, *target[1:])
        return target
    return (n, *target[1:]) if fixed * n == x.size else target


@rule("Flatten")
def flatten(c: Call) -> Tensor:
    """Two axes; a flattening from axis 1 on is a layer."""
    x, axis = c.x(), int(c.attr("axis", 1))
    axis = axis % x.ndim if x.ndim and axis < 0 else axis
    if axis == 1 and x.ndim >= 2:
        return c.layer("Flatten", {"start_axis": 1})(x)  # type: ignore[no-any-return]
    return T.reshape(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))


@rule("Squeeze")
def squeeze(c: Call) -> Tensor:
    """All axes of length 1, or those named."""
    x, axes = c.x(), c.axes()
    over = (
        {int(a) % x.ndim for a in axes} if axes is not None else {i for i, n in enumerate(x.shape) if n == 1}
    )
    if any(x.shape[a] != 1 for a in over):
        raise CheckpointError(
            f"node {c.node.shown} removes axes of {x.shape} that are not 1; get the file again"
        )
    return T.reshape(x, tuple(n for i, n in enumerate(x.shape) if i not in over))


@rule("Unsqueeze")
def unsqueeze(c: Call) -> Tensor:
    """Axes of length 1, counted in the output."""
    x, axes = c.x(), c.axes(())
    rank = x.ndim + len(axes)
    new = {int(a) % rank for a in axes}
    rest = iter(x.shape)
    return T.reshape(x, tuple(1 if i in new else next(rest) for i in range(rank)))


@rule("Transpose")
def transpose(c: Call) -> Tensor:
    """Reversed axes if none are named."""
    x = c.x()
    return T.transpose(x, tuple(c.attr("perm", None) or range(x.ndim - 1, -1, -1)))


@rule("Concat")
def concat(c: Call) -> Any:
    """Shapes are concatenated as arrays, tensors as tensors."""
    return T.concat(c.xs(), axis=int(c.attr("axis", 1)))


@rule("Split")
def split(c: Call) -> list[Tensor]:
    """Into given sizes, or into equal ones with a smaller last."""
    x, axis = c.x(), int(c.attr("axis", 0)) % c.x().ndim
    sizes = (c.ints(1) if c.has(1) else None) if c.opset >= 13 else c.attr("split", None)
    if not sizes:
        parts = int(c.attr("num_outputs", c.outputs))
        if not 0 < parts <= c.outputs:
            raise c.damaged(f"splits into {parts} parts for {c.outputs} outputs")
        size = -(-x.shape[axis] // parts)
        sizes = [max(0, min(size, x.shape[axis] - i * size)) for i in range(parts)]
    if sum(sizes) != x.shape[axis]:
        raise CheckpointError(
            f"node {c.node.shown} splits {x.shape[axis]} into {tuple(sizes)}; get the file again"
        )
    starts = np.concatenate([[0], np.cumsum(sizes)])
    whole = (slice(None),) * axis
    return [T.getitem(x, (*whole, slice(int(a), int(b)))) for a, b in itertools.pairwise(starts)]


@rule("Slice")
def slice_(c: Call) -> Tensor:
    """Starts, ends, axes and steps as attributes before opset 10, as inputs after; ends may lie outside."""
    x = c.x()
    if c.opset < 10:
        starts, ends = c.attr("starts"), c.attr("ends")
        axes, steps = c.attr("axes", None) or tuple(range(len(starts))), (1,) * len(starts)
    else:
        starts, ends = c.ints(1), c.ints(2)
        axes = c.ints(3) if c.has(3) else tuple(range(len(starts)))
        steps = c.ints(4) if c.has(4) else (1,) * len(starts)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = int(axis) % x.ndim
        n = x.shape[axis]
        if step == 0:
            raise CheckpointError(f"node {c.node.shown} has a step of 0; get the file again")
        index[axis] = slice(*_edges(int(start), int(end), int(step), n), int(step))
    return T.getitem(x, tuple(index))


def _edges(start: int, end: int, step: int, n: int) -> tuple[int | None, int | None]:
    """Python's start and stop, without lengths of this input where the slice goes to its end."""
    if step > 0:
        stop = None if end >= n else end
        return (0 if start < -n else start), stop
    first = None if start >= n - 1 else start
    stop = end + n if -n <= end < 0 else end
    return first, None if end < -n else stop


@rule("Expand")
def expand(c: Call) -> Tensor:
    """To the shape that both broadcast to."""
    x, shape = c.x(), c.ints(1)
    return T.broadcast_to(x, np.broadcast_shapes(x.shape, shape))


@rule("Tile")
def tile(c: Call) -> Tensor:
    """Copies along each axis."""
    if c.opset < 6:
        x, axis = c.x(), c.ints(2)[0]
        return T.tile(x, tuple(c.ints(1)[0] if i == axis else 1 for i in range(x.ndim)))
    return T.tile(c.x(), c.ints(1))


@rule("Pad")
def pad(c: Call) -> Tensor:
    """Constant, reflected, repeated or wrapped; negative widths cut."""
    x, mode = c.x(), c.attr("mode", "constant")
    if c.opset < 11:
        widths, value = tuple(c.attr("pads", None) or c.attr("paddings")), float(c.attr("value", 0.0))
    else:
        widths = c.ints(1)
        value = c.known(2).item() if c.has(2) and c.known(2).size else 0.0
    axes = [int(a) % x.ndim for a in c.ints(3)] if c.opset >= 18 and c.has(3) else list(range(x.ndim))
    pairs = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        pairs[axis] = (int(widths[i]), int(widths[i + len(axes)]))
    return padded(c, x, pairs, mode, value)


def padded(c: Call, x: Tensor, pairs: list[tuple[int, int]], mode: str, value: Any) -> Tensor:
    """x with (before, after) elements more along each axis, or less where they are negative."""
    if any(a < 0 or b < 0 for a, b in pairs):
        cut = tuple(slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(pairs, x.shape, strict=True))
        x, pairs = T.getitem(x, cut), [(max(0, a), max(0, b)) for a, b in pairs]
    if not any(a or b for a, b in pairs):
        return x
    if mode == "constant":
        return T.pad(x, pairs, value)
    if mode not in ("reflect", "edge", "wrap"):
        raise c.unsupported(f"padding by {mode!r}")
    return T.pad_edges(x, pairs, mode=mode)


@rule("DepthToSpace", "SpaceToDepth")
def blocks(c: Call) -> Tensor:
    """Channels become blocks of pixels (by depth first, DCR, or by column, CRD), or the reverse."""
    x, r = c.x(), int(c.attr("blocksize"))
    n, ch, h, w = x.shape
    if r < 1 or (ch % (r * r) if c.node.op == "DepthToSpace" else h % r or w % r):
        raise CheckpointError(f"node {c.node.shown}: blocks of {r} do not fit {x.shape}; get the file again")
    by_column = c.attr("mode", "DCR") == "CRD"
    if c.node.op == "SpaceToDepth" and by_column:  # opset 28
        return c.layer("PixelUnshuffle", {"downscale_factor": r})(x)  # type: ignore[no-any-return]
    if c.node.op == "SpaceToDepth":
        parts = T.transpose(T.reshape(x, (n, ch, h // r, r, w // r, r)), (0, 3, 5, 1, 2, 4))
        return T.reshape(parts, (n, ch * r * r, h // r, w // r))
    if by_column:
        return c.layer("PixelShuffle", {"upscale_factor": r})(x)  # type: ignore[no-any-return]
    parts = T.transpose(T.reshape(x, (n, r, r, ch // (r * r), h, w)), (0, 3, 4, 1, 5, 2))
    return T.reshape(parts, (n, ch // (r * r), h * r, w * r))


@rule("Shape")
def shape(c: Call) -> np.ndarray:
    """Lengths, which are known even if the values are not."""
    lengths = c.shape()
    start, end = int(c.attr("start", 0)), c.attr("end", None)
    return np.array(lengths[start : None if end is None else int(end)], np.int64)


@rule("Size")
def size(c: Call) -> np.ndarray:
    """Number of elements."""
    return np.array(math.prod(c.shape()), np.int64)
