"""Rules of layers and rows that move, join, add and average values."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from armour.defenses.bounds.maps import Move, Scale
from armour.defenses.bounds.rules import LAYER_RULES, OP_RULES, Builder, Operand, only, refuse
from armour.tensor import pad
from armour.tensor.batching import for_batch
from armour.tensor.core import Tensor
from armour.tensor.graph import Node
from armour.tensor.op import OPS


@LAYER_RULES.register("Identity")
@LAYER_RULES.register("Dropout")
@OP_RULES.register("dropout")
@OP_RULES.register("alias")
@OP_RULES.register("stop_gradient")
def same(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The values as they are; dropout is off in evaluation mode."""
    return only(node, operands)


@LAYER_RULES.register("Flatten")
@OP_RULES.register("reshape")
def reshaped(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The same values in the same order; the samples stay on the first axis."""
    at = only(node, operands)
    shape = build.shape(at)
    if node.kind == "layer":
        start = build.layer(node).start_axis
        if start < 1:
            raise refuse(node, "it merges samples")
        new = (*shape[: start - 1], int(np.prod(shape[start - 1 :])))
    else:
        row = OPS["reshape"]
        attrs = {key: for_batch(value, 1) for key, value in node.attrs.items()}
        probe = row(Tensor(np.zeros((1, *shape), np.float32)), **attrs).shape
        if probe[:1] != (1,):
            raise refuse(node, "it merges samples")
        new = tuple(probe[1:])
    return build.affine(node.name, [at], [Move(lambda x: x.reshape(x.shape[0], *new), shape, reshapes=True)])


@LAYER_RULES.register("Add")
@OP_RULES.register("add")
@OP_RULES.register("add_n")
def added(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The sum of values, and of constants."""
    return _sum(build, node, operands, [1.0] * len(operands))


@OP_RULES.register("subtract")
def subtracted(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """The difference."""
    return _sum(build, node, operands, [1.0, -1.0])


def _sum(build: Builder, node: Node, operands: list[Any], signs: list[float]) -> Operand:
    parents = [o for o in operands if isinstance(o, int)]
    shapes = {build.shape(p) for p in parents}
    constants = [o * s for o, s in zip(operands, signs, strict=True) if not isinstance(o, int)]
    shape = max(shapes, key=lambda s: int(np.prod(s)))
    if len(shapes) > 1 or any(np.broadcast_shapes((1, *shape), c.shape) != (1, *shape) for c in constants):
        raise refuse(node, "its operands have different shapes")
    maps = [
        Scale() if s == 1 else Scale(build.constant(np.array(s)))
        for o, s in zip(operands, signs, strict=True)
        if isinstance(o, int)
    ]
    offset = sum(constants[1:], constants[0]) if constants else None
    return build.affine(node.name, parents, maps, offset)


def _averaged(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Means of windows, and of whole images."""
    layer, at = build.layer(node), only(node, operands)
    shape = build.shape(at)
    terms = int(np.prod(getattr(layer, "kernel_size", shape[1:])))
    return build.affine(node.name, [at], [Move(layer, shape, terms)])


for _axes in "123":
    for _name in ("AvgPool", "AdaptiveAvgPool", "GlobalAvgPool"):
        LAYER_RULES.register(f"{_name}{_axes}d")(_averaged)
for _name in ("ZeroPad2d", "ReflectionPad2d", "ReplicationPad2d", "PixelShuffle", "PixelUnshuffle"):
    LAYER_RULES.register(_name)(_averaged)


def _row(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Rows of the table that move or add up values of a sample, leaving samples alone."""
    at = only(node, operands)
    shape = build.shape(at)

    def run(x: Tensor) -> Tensor:
        attrs = {key: for_batch(value, x.shape[0]) for key, value in node.attrs.items()}
        found: Tensor = OPS[node.type](x, **attrs)
        return found

    for n in (2, 3):
        samples = Tensor(np.arange(float(n)).reshape(-1, *(1,) * len(shape)) + np.zeros((n, *shape)))
        probe = run(samples).data
        # Sample 0 is zeros and the others are not: values that moved between samples would show.
        mixed = probe.shape[:1] != (n,) or probe[0].any() or any(not row.any() for row in probe[1:])
        if mixed or len({np.round(row.sum() / i, 6) for i, row in enumerate(probe[1:], 1)}) > 1:
            raise refuse(node, "it mixes samples, or does not depend on all of them alike")
    terms = int(np.prod(shape)) if node.type in ("sum", "mean", "avg_pool2d") else 0
    return build.affine(node.name, [at], [Move(run, shape, terms)])


for _name in ("transpose", "getitem", "sum", "mean", "flip", "avg_pool2d", "broadcast_to", "repeat", "roll"):
    OP_RULES.register(_name)(_row)


@OP_RULES.register("pad")
def padded(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Constants around the values."""
    at = only(node, operands)
    value = float(node.attrs.get("value", 0.0))
    shape, row = build.shape(at), OPS["pad"]
    zero = node.attrs | {"value": 0.0}
    zeros = Tensor(np.zeros((1, *shape)))
    offset = build.constant(row(zeros, **node.attrs)) if value else None
    return build.affine(node.name, [at], [Move(lambda x: row(x, **zero), shape)], offset)


@OP_RULES.register("multiply")
@OP_RULES.register("divide")
def scaled(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Times a constant, or over one."""
    turned = operands[::-1] if node.type == "multiply" and not isinstance(operands[0], int) else operands
    at, by = only(node, turned), turned[1]
    shape = build.shape(at)
    if np.broadcast_shapes((1, *shape), by.shape) != (1, *shape):
        raise refuse(node, "its constant enlarges the values")
    return build.affine(node.name, [at], [Scale(by if node.type == "multiply" else 1.0 / by)])


@OP_RULES.register("negative")
def negated(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Minus the values."""
    return build.affine(node.name, [only(node, operands)], [Scale(build.constant(np.array(-1.0)))])


@OP_RULES.register("scale_shift")
def scaled_and_shifted(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Times one constant, plus another."""
    at = only(node, operands)
    shape = build.shape(at)
    parts = [t.reshape(1, -1, *(1,) * (len(shape) - 1)) if t.ndim == 1 else t for t in operands[1:]]
    return build.affine(node.name, [at], [Scale(parts[0])], parts[1])


@OP_RULES.register("concat")
def joined(build: Builder, node: Node, operands: list[Any]) -> Operand:
    """Values beside each other; not along the samples."""
    axis = int(node.attrs["axis"])
    if not all(isinstance(o, int) for o in operands):
        raise refuse(node, "it joins a constant")
    shapes = [build.shape(o) for o in operands]
    axis = axis + len(shapes[0]) + 1 if axis < 0 else axis
    if axis < 1:
        raise refuse(node, "it joins samples")
    total, start, maps = sum(s[axis - 1] for s in shapes), 0, []
    for shape in shapes:
        around = [(0, 0)] * (len(shape) + 1)
        around[axis] = (start, total - start - shape[axis - 1])
        start += shape[axis - 1]
        maps.append(Move(functools.partial(pad, widths=tuple(around)), shape))
    return build.affine(node.name, operands, maps)
