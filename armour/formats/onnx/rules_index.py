"""Operators that gather and scatter by index."""

from __future__ import annotations

from typing import Any

import numpy as np

import armour.tensor as T
from armour.errors import CheckpointError
from armour.tensor.core import Tensor

from .rules import Call, rule


@rule("Gather")
def gather(c: Call) -> Tensor:
    """Rows (or slices of an axis) by index; rows of a known table are an embedding."""
    axis = int(c.attr("axis", 0))
    if c.fixed(0) and not c.fixed(1) and axis == 0 and c.known(0).ndim == 2 and c.dtype(0).kind == "f":
        table = c.known(0)
        config = {"num_embeddings": table.shape[0], "embedding_dim": table.shape[1]}
        indices = _counted_up(c.x(1), table.shape[0])
        return c.layer("Embedding", config, {"weight": table})(indices)  # type: ignore[no-any-return]
    x, rank = c.x(0), c.x(0).ndim
    if c.fixed(1) and c.known(1).ndim == 0 and rank:
        index: list[Any] = [slice(None)] * rank
        place = int(c.known(1))
        index[axis] = place
        if not -x.shape[axis] <= place < x.shape[axis]:
            raise CheckpointError(f"node {c.node.shown} takes {place} of {x.shape[axis]}; get the file again")
        return T.getitem(x, tuple(index))
    return T.gather(x, _index(c, 1, x.shape[axis % rank] if rank else 0), axis)


def _index(c: Call, i: int, length: int) -> Tensor:
    return _counted_up(c.x(i), length)


def _counted_up(indices: Tensor, length: int) -> Tensor:
    """As 64-bit numbers from 0 on; those below 0 count from the end."""
    whole = T.cast(indices, "int64")
    return T.where(T.less(whole, 0), T.add(whole, length), whole)


@rule("GatherElements")
def gather_elements(c: Call) -> Tensor:
    """One element for each index, along an axis."""
    x, axis = c.x(0), int(c.attr("axis", 0)) % c.x(0).ndim
    indices = _index(c, 1, x.shape[axis])
    # Along other axes the index may be shorter than x.
    cut = tuple(slice(0, n) if i != axis else slice(None) for i, n in enumerate(indices.shape))
    return T.take_along_axis(T.getitem(x, cut), indices, axis)


@rule("GatherND")
def gather_nd(c: Call) -> Tensor:
    """Slices by index tuples, batch axes first."""
    x, indices, batch = c.x(0), c.x(1), int(c.attr("batch_dims", 0))
    whole = _tuples(T.cast(indices, "int64"), x.shape[batch:])
    if batch:
        places = [
            np.arange(n).reshape((-1,) + (1,) * (whole.ndim - 1 - i))
            for i, n in enumerate(indices.shape[:batch])
        ]
        shape = (*whole.shape[:-1], 1)
        rows = [T.broadcast_to(Tensor(p), shape) for p in places]
        whole = T.concat([*rows, whole], axis=-1)
    return T.gather_nd(x, whole)


def _tuples(indices: Tensor, lengths: tuple[int, ...]) -> Tensor:
    sizes = np.array(lengths[: indices.shape[-1]], np.int64)
    return T.where(T.less(indices, 0), T.add(indices, sizes), indices)


@rule("ScatterND")
def scatter_nd(c: Call) -> Tensor:
    """A copy with slices replaced, or combined with what is there."""
    x, updates, how = c.x(0), c.x(2), c.attr("reduction", "none")
    indices = _tuples(T.cast(c.x(1), "int64"), c.shape(0))
    if how == "none":
        return T.scatter_update(x, indices, updates)
    if how == "add":
        return T.scatter_nd_add(x, indices, updates)
    where = tuple(np.moveaxis(_concrete(c, indices), -1, 0))
    return Tensor(_combined(c, x, where, updates, how))


@rule("ScatterElements", "Scatter")
def scatter_elements(c: Call) -> Tensor:
    """A copy with single elements replaced along an axis, or combined with what is there."""
    x, updates = c.x(0), c.x(2)
    axis = int(c.attr("axis", 0)) % x.ndim
    indices = _index(c, 1, x.shape[axis])
    how = c.attr("reduction", "none")
    grid = np.indices(indices.shape)
    places = [Tensor(g) if i != axis else indices for i, g in enumerate(grid)]
    tuples = T.stack(places, axis=-1)
    if how == "none":
        return T.scatter_update(x, tuples, updates)
    if how == "add":
        return T.scatter_nd_add(x, tuples, updates)
    where = tuple(np.moveaxis(_concrete(c, tuples), -1, 0))
    return Tensor(_combined(c, x, where, updates, how))


def _combined(c: Call, x: Tensor, where: tuple[np.ndarray, ...], updates: Tensor, how: str) -> np.ndarray:
    functions: dict[str, Any] = {"mul": np.multiply, "max": np.maximum, "min": np.minimum}
    if how not in functions:
        raise c.unsupported(f"the reduction {how!r}")
    out = np.array(_concrete(c, x))
    functions[how].at(out, where, _concrete(c, updates))
    return out


def _concrete(c: Call, value: Tensor) -> np.ndarray:
    """The numbers, if the model is just run: these forms have no rule with gradients."""
    if c.run.building and not c.folding:
        raise c.unsupported(f"the reduction {c.attr('reduction', 'none')!r}")
    return value.numpy()
