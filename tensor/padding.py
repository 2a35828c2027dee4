"""Zeros around what a window slides over: the same on both sides, other on each, or "same" and "valid"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armour.checks import describe
from armour.errors import InvalidArgument
from armour.tensor.core import Tensor
from armour.tensor.shape import pad

Sizes = int | Sequence[int]
Pairs = tuple[tuple[int, int], ...]


def sizes(name: str, value: Sizes, axes: int, at_least: int) -> tuple[int, ...]:
    """One whole number for each of `axes` axes, from one for all or a sequence; raises InvalidArgument."""
    several = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(several) != axes or not all(
        not isinstance(v, bool) and int(v) == v and v >= at_least for v in several
    ):
        raise InvalidArgument(
            f"expected one or {axes} whole numbers at or above {at_least}, got {describe(name, value)}"
        )
    return tuple(int(v) for v in several)


def margins(
    padding: Any, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """(before, after) zeros for each axis of a convolution.

    padding: numbers for both sides, pairs (before, after) for each axis, "valid" for none, "same" for output
    of the input's size (stride 1; an odd zero comes after, as in PyTorch and in ONNX's SAME_UPPER).
    """
    axes = len(kernel)
    if padding == "valid":
        return ((0, 0),) * axes
    if padding == "same":
        if any(s != 1 for s in stride):
            raise InvalidArgument(f'expected stride 1 with padding="same", got stride={tuple(stride)}')
        around = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((a // 2, a - a // 2) for a in around)
    if isinstance(padding, str):
        raise InvalidArgument(f'expected numbers, pairs, "same" or "valid", got padding={padding!r}')
    if isinstance(padding, (tuple, list)) and any(isinstance(p, (tuple, list)) for p in padding):
        if len(padding) != axes or not all(isinstance(p, (tuple, list)) for p in padding):
            raise InvalidArgument(
                f"expected {axes} pairs (before, after), got {describe('padding', padding)}"
            )
        pairs = [sizes("padding", p, 2, 0) for p in padding]
        return tuple((a, b) for a, b in pairs)
    return tuple((p, p) for p in sizes("padding", padding, axes, 0))


def padded(x: Tensor, around: Pairs) -> tuple[Tensor, tuple[int, ...]]:
    """x (n, c, ...) with the zeros that cannot be had on both sides, and the number left for both sides."""
    both = tuple(min(p) for p in around)
    if all(a == b for a, b in around):
        return x, both
    rest = tuple((a - m, b - m) for (a, b), m in zip(around, both, strict=True))
    return pad(x, ((0, 0), (0, 0), *rest)), both


def kept_padding(padding: Any, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Any:
    """The padding of a layer as it is stored, checked: a word, pairs, or one number for each axis."""
    around = margins(padding, kernel, stride, dilation)
    if isinstance(padding, str):
        return padding
    both = tuple(a for a, _ in around)
    return both if around == tuple((p, p) for p in both) else around
