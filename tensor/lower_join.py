"""Plan kernels for padding, joining, casting and putting back: copies in the order of what is copied."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from armour.tensor.layout import Layout, kernel
from armour.tensor.program import Step
from armour.tensor.recording import channels_last


@kernel("pad")
def pad(layout: Layout, step: Step) -> bool:
    """The constant around, strip by strip, and what is inside."""
    (x,) = step.inputs
    source = layout.array(x)
    if not all(step.out.shape) or x.dtype != step.out.dtype:
        return False
    out = layout.make(step.out, last=channels_last(source))
    widths = step.attrs["widths"]
    inside = tuple(slice(a, a + n) for (a, _), n in zip(widths, x.shape, strict=True))
    for strip in _around(inside, step.out.shape):
        layout.emit(partial(out[strip].fill, step.attrs.get("value", 0.0)))
    if all(x.shape):
        layout.copy(out[inside], source)
    return True


def _around(inside: tuple[slice, ...], shape: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    # What is outside along an axis, within what is inside along the axes before.
    for axis, part in enumerate(inside):
        for ends in (slice(0, part.start), slice(part.stop, shape[axis])):
            if ends.stop > ends.start:
                yield (*inside[:axis], ends)


@kernel("concat")
def concat(layout: Layout, step: Step) -> bool:
    """Each part to its place; with the channels last if they are so in most of what is copied."""
    arrays = [layout.array(v) for v in step.inputs]
    if not all(step.out.shape) or any(v.dtype != step.out.dtype for v in step.inputs):
        return False
    turned = sum(a.size for a in arrays if channels_last(a))
    out = layout.make(step.out, last=2 * turned > sum(a.size for a in arrays))
    axis = step.attrs.get("axis", 0) % len(step.out.shape)
    start = 0
    for array in arrays:
        stop = start + array.shape[axis]
        if array.size:
            layout.copy(out[(*(slice(None),) * axis, slice(start, stop))], array)
        start = stop
    return True


@kernel("stack")
def stack(layout: Layout, step: Step) -> bool:
    """Each part to its place along the new axis."""
    if not all(step.out.shape) or any(v.dtype != step.out.dtype for v in step.inputs):
        return False
    out = layout.make(step.out, last=False)
    before = (slice(None),) * (step.attrs["axis"] % len(step.out.shape))
    for number, value in enumerate(step.inputs):
        layout.copy(out[(*before, number, ...)], layout.array(value))
    return True


@kernel("getitem_grad")
def getitem_grad(layout: Layout, step: Step) -> bool:
    """g where it was taken from, and zeros around."""
    (g,) = step.inputs
    index = _basic(step.attrs["index"], len(step.out.shape))
    if index is None or not all(step.out.shape) or g.dtype != step.out.dtype:
        return False
    out = layout.make(step.out, last=channels_last(layout.array(g)) and len(step.out.shape) == 4)
    inside = [_run(part, n) for part, n in zip(index, step.out.shape, strict=True)]
    known = tuple(part for part in inside if part is not None)
    strips = _around(known, step.out.shape) if len(known) == len(inside) else iter([(slice(None),)])
    for strip in strips:
        layout.emit(partial(out[strip].fill, 0))
    if all(g.shape):
        layout.copy(out[(*index, ...)], layout.array(g))
    return True


def _basic(index: Any, axes: int) -> tuple[int | slice, ...] | None:
    """Integers and slices for all axes; None for anything else."""
    parts = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(part, bool) or not isinstance(part, (int, slice)) for part in parts):
        return None
    return (*parts, *(slice(None),) * (axes - len(parts)))


def _run(part: int | slice, length: int) -> slice | None:
    """The elements that an index takes from an axis, if they lie side by side."""
    if isinstance(part, int):
        return slice(part % length, part % length + 1)
    start, stop, step = part.indices(length)
    return slice(start, max(start, stop)) if step == 1 else None


@kernel("cast")
def cast(layout: Layout, step: Step) -> bool:
    """Converted while it is copied."""
    (x,) = step.inputs
    if x.dtype.kind not in "fb" or step.out.dtype.kind != "f":
        return False  # what has no place in the other type is for the row's own rule to say
    source: Any = layout.array(x)
    out = layout.make(step.out, last=channels_last(source))
    layout.emit(partial(layout.xp.copyto, out, source, casting="unsafe"))
    return True
