"""Functions that add, remove, move and split axes, made of the rows in shape.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armour.checks import count, one_of
from armour.errors import InvalidArgument
from armour.tensor.core import Tensor, lift
from armour.tensor.shape import getitem, reshape, transpose


def axis_of(axis: int, ndim: int, shape: tuple[int, ...]) -> int:
    """`axis` counted from the front; InvalidArgument if there is none of that number."""
    if isinstance(axis, bool) or not -ndim <= axis < ndim:
        raise InvalidArgument(f"expected an axis from {-ndim} to {ndim - 1}, got {axis!r} for shape {shape}")
    return int(axis) % ndim


def _axes_of(axis: int | Sequence[int], ndim: int, shape: tuple[int, ...]) -> list[int]:
    found = [axis_of(a, ndim, shape) for a in ((axis,) if isinstance(axis, int) else axis)]
    if len(set(found)) != len(found):
        raise InvalidArgument(f"expected each axis once, got {axis!r} for shape {shape}")
    return found


def expand_dims(x: Any, axis: int | Sequence[int]) -> Tensor:
    """With new axes of length 1, which are at `axis` in the result."""
    (t,) = lift([x])
    ndim = t.ndim + (1 if isinstance(axis, int) else len(axis))
    new, lengths = set(_axes_of(axis, ndim, t.shape)), iter(t.shape)
    return reshape(t, [1 if i in new else next(lengths) for i in range(ndim)])


def squeeze(x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Without the axes `axis`, which must have length 1; without all of length 1 if none are given."""
    (t,) = lift([x])
    if axis is None:
        return reshape(t, [n for n in t.shape if n != 1])
    gone = _axes_of(axis, t.ndim, t.shape)
    if any(t.shape[a] != 1 for a in gone):
        raise InvalidArgument(f"expected length 1 at axis {axis!r}, got shape {t.shape}")
    return reshape(t, [n for i, n in enumerate(t.shape) if i not in gone])


def moveaxis(x: Any, source: int | Sequence[int], target: int | Sequence[int]) -> Tensor:
    """Axes `source` put at the places `target`; the others keep their order."""
    (t,) = lift([x])
    start, end = _axes_of(source, t.ndim, t.shape), _axes_of(target, t.ndim, t.shape)
    if len(start) != len(end):
        raise InvalidArgument(f"expected as many targets as sources, got {source!r} and {target!r}")
    order = [i for i in range(t.ndim) if i not in start]
    for place, axis in sorted(zip(end, start, strict=True)):
        order.insert(place, axis)
    return transpose(t, order)


def swapaxes(x: Any, a: int, b: int) -> Tensor:
    """Axes a and b exchanged."""
    (t,) = lift([x])
    order = list(range(t.ndim))
    a, b = axis_of(a, t.ndim, t.shape), axis_of(b, t.ndim, t.shape)
    order[a], order[b] = b, a
    return transpose(t, order)


def split(x: Any, sizes: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Parts along `axis`: an int is the number of equal parts, a sequence the length of each part."""
    (t,) = lift([x])
    axis = axis_of(axis, t.ndim, t.shape)
    length = t.shape[axis]
    if isinstance(sizes, int):
        parts = count("sizes", sizes)
        if length % parts:
            raise InvalidArgument(
                f"expected a number of equal parts that divides {length}, got {parts} for shape {t.shape}, "
                f"axis {axis}; use chunk, or state the lengths"
            )
        lengths = [length // parts] * parts
    else:
        lengths = [count("sizes", n, at_least=0) for n in sizes]
        if sum(lengths) != length:
            raise InvalidArgument(
                f"expected lengths that add up to {length}, got {lengths} for shape {t.shape}, axis {axis}"
            )
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return [_slice(t, axis, e - n, e) for n, e in zip(lengths, ends, strict=True)]


def chunk(x: Any, chunks: int, axis: int = 0) -> list[Tensor]:
    """At most `chunks` parts along `axis`, all of one length but for the last, which may be shorter."""
    (t,) = lift([x])
    axis = axis_of(axis, t.ndim, t.shape)
    length = t.shape[axis]
    size = max(1, -(-length // count("chunks", chunks)))
    return [_slice(t, axis, i, min(i + size, length)) for i in range(0, max(length, 1), size)]


def unstack(x: Any, axis: int = 0) -> list[Tensor]:
    """The slices along `axis`, each without it."""
    (t,) = lift([x])
    axis = axis_of(axis, t.ndim, t.shape)
    return [getitem(t, (*(slice(None),) * axis, i)) for i in range(t.shape[axis])]


def strided_slice(
    x: Any, start: Sequence[int | None], stop: Sequence[int | None], step: Sequence[int | None] | None = None
) -> Tensor:
    """x[start[0]:stop[0]:step[0], start[1]:stop[1]:step[1], ...]; None and negative numbers as in slices."""
    (t,) = lift([x])
    steps = (None,) * len(start) if step is None else step
    if not len(start) == len(stop) == len(steps) <= t.ndim:
        raise InvalidArgument(
            f"expected one start, stop and step for each of at most {t.ndim} axes, got "
            f"{len(start)}, {len(stop)} and {len(steps)} for shape {t.shape}"
        )
    return getitem(t, tuple(slice(*part) for part in zip(start, stop, steps, strict=True)))


def _slice(t: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return getitem(t, (*(slice(None),) * axis, slice(start, stop)))


# -- blocks of pixels and channels ----------------------------------------------------------------------


def depth_to_space(x: Any, block: int, mode: str = "dcr") -> Tensor:
    """x (n, c, h, w) -> (n, c / block^2, h block, w block): channels become blocks of pixels.

    mode: how a channel's number is read, "dcr" as (row, column, depth), the order of ONNX's and TensorFlow's
    DepthToSpace, or "crd" as (depth, row, column), that of pixel shuffle.
    """
    (t,) = lift([x])
    block = count("block", block)
    one_of("mode", mode, ("dcr", "crd"))
    if t.ndim != 4 or t.shape[1] % block**2:
        raise InvalidArgument(
            f"expected x (n, c, h, w) with c a multiple of {block**2} for block={block}, got {t.shape}"
        )
    n, c, h, w = t.shape
    depth = c // block**2
    if mode == "dcr":
        split = transpose(reshape(t, (n, block, block, depth, h, w)), (0, 3, 4, 1, 5, 2))
    else:
        split = transpose(reshape(t, (n, depth, block, block, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(split, (n, depth, h * block, w * block))


def space_to_depth(x: Any, block: int, mode: str = "dcr") -> Tensor:
    """x (n, c, h, w) -> (n, c block^2, h / block, w / block): the inverse of depth_to_space."""
    (t,) = lift([x])
    block = count("block", block)
    one_of("mode", mode, ("dcr", "crd"))
    if t.ndim != 4 or t.shape[2] % block or t.shape[3] % block:
        raise InvalidArgument(
            f"expected x (n, c, h, w) with h and w multiples of block={block}, got {t.shape}"
        )
    n, c, h, w = t.shape
    split = reshape(t, (n, c, h // block, block, w // block, block))
    order = (0, 3, 5, 1, 2, 4) if mode == "dcr" else (0, 1, 3, 5, 2, 4)
    return reshape(transpose(split, order), (n, c * block**2, h // block, w // block))
