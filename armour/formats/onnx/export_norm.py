"""Normalisation, as layers and as rows."""

from __future__ import annotations

import math

import numpy as np

from armour.formats.onnx.export_expand import expand
from armour.formats.onnx.export_rules import layer, row
from armour.formats.onnx.export_values import Size, Step
from armour.formats.onnx.export_writer import Writer


@layer("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")
def _batch_norm(w: Writer, step: Step) -> str:
    parts = [w.own(step, name) for name in ("weight", "bias", "running_mean", "running_var")]
    x = w.as_(step.x, step.out.dtype)
    return w.add("BatchNormalization", [x, *parts], epsilon=float(step.layer.eps))


@row("batch_norm_eval")
def _batch_norm_row(w: Writer, step: Step) -> str:
    names = [w.as_(v, step.out.dtype) for v in step.inputs]
    return w.add("BatchNormalization", names, epsilon=float(step.attrs["eps"]))


@row("scale_shift", "scale_channels")
def _scale_shift(w: Writer, step: Step) -> str:
    behind = range(1, step.x.ndim - 1)  # (c,) beside (n, c, ...)
    found = w.add("Mul", [step.x.name, w.unsqueeze(step.inputs[1].name, behind)])
    if step.node.type == "scale_channels":
        return found
    return w.add("Add", [found, w.unsqueeze(step.inputs[2].name, behind)])


@layer("LayerNorm")
def _layer_norm(w: Writer, step: Step) -> str:
    own, x = step.layer, w.as_(step.x, step.out.dtype)
    parts = [w.own(step, name) for name in ("weight", "bias")]
    return w.add("LayerNormalization", [x, *parts], axis=-len(own.normalized_shape), epsilon=float(own.eps))


@layer("RMSNorm")
def _rms_norm(w: Writer, step: Step) -> str:
    own, dtype = step.layer, step.out.dtype
    x = w.as_(step.x, dtype)
    axes = list(range(step.x.ndim - len(own.normalized_shape), step.x.ndim))
    eps = float(np.finfo(dtype).eps) if own.eps is None else float(own.eps)
    mean = w.reduce("ReduceMean", w.add("Mul", [x, x]), axes, True)
    found = w.add("Div", [x, w.add("Sqrt", [w.add("Add", [mean, w.scalar(eps, dtype)])])])
    return found if own.weight is None else w.add("Mul", [found, w.own(step, "weight")])


@layer("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d")
def _instance_norm(w: Writer, step: Step) -> str:
    own, dtype = step.layer, step.out.dtype
    if own.weight is None:
        scale, shift = (w.const(np.full(own.num_features, v, dtype)) for v in (1, 0))
    else:
        scale, shift = (w.own(step, name) for name in ("weight", "bias"))
    x = w.as_(step.x, dtype)
    return w.add("InstanceNormalization", [x, scale, shift], epsilon=float(own.eps))


@layer("GroupNorm")
def _group_norm(w: Writer, step: Step) -> str:
    own, dtype = step.layer, step.out.dtype
    x = w.as_(step.x, dtype)
    weight, bias = (w.own(step, name) for name in ("weight", "bias"))
    if w.opset >= 21:
        return w.add(
            "GroupNormalization", [x, weight, bias], num_groups=own.num_groups, epsilon=float(own.eps)
        )
    # Each group as one channel of instance normalisation.
    plus = math.prod(size.plus for size in step.x.sizes[1:]) // own.num_groups
    grouped = (step.x.sizes[0], Size(0, own.num_groups), Size(0, plus))
    ones, zeros = (w.const(np.full(own.num_groups, v, dtype)) for v in (1, 0))
    lines = w.reshape(x, grouped, step.x.sizes)
    normal = w.add("InstanceNormalization", [lines, ones, zeros], epsilon=float(own.eps))
    normal = w.reshape(normal, step.out.sizes, grouped)
    behind = range(1, step.x.ndim - 1)
    scaled = w.add("Mul", [normal, w.unsqueeze(weight, behind)])
    return w.add("Add", [scaled, w.unsqueeze(bias, behind)])


@layer("LocalResponseNorm")
def _local_response_norm(w: Writer, step: Step) -> str:
    own = step.layer
    # ONNX has the longer half of an even window after the channel, we before it; and it is for images.
    if own.size % 2 == 0 or step.x.ndim != 4:
        return expand(w, step)
    x = w.as_(step.x, step.out.dtype)
    settings = {"alpha": float(own.alpha), "beta": float(own.beta), "bias": float(own.k)}
    return w.add("LRN", [x], size=own.size, **settings)
