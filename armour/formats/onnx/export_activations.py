"""Activations, as layers and as rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from armour.formats.onnx.export_rules import LAYER_RULES, ROW_RULES, layer, row
from armour.formats.onnx.export_values import Size, Step
from armour.formats.onnx.export_writer import Writer
from armour.tensor.rectifiers import SELU_ALPHA, SELU_SCALE


def _plain(kind: str, *names: str) -> None:
    """One operator without settings, on floating values."""

    def rule(w: Writer, step: Step) -> str:
        return w.add(kind, [w.as_(step.x, step.out.dtype)])

    for name in names:
        (ROW_RULES if name.islower() else LAYER_RULES)[name] = rule


_plain("Sigmoid", "sigmoid", "Sigmoid")
_plain("Tanh", "Tanh")
_plain("Relu", "ReLU")
_plain("Softplus", "softplus", "Softplus")
_plain("Softsign", "Softsign")


@row("relu")
def _relu(w: Writer, step: Step) -> str:
    x = step.x
    return w.add("Relu", [x.name]) if x.floating else _clipped(w, step, 0.0, None)


@row("silu")
@layer("SiLU")
def _silu(w: Writer, step: Step) -> str:
    x = w.as_(step.x, step.out.dtype)
    return w.add("Mul", [x, w.add("Sigmoid", [x])])


@row("gelu")
def _gelu(w: Writer, step: Step) -> str:
    dtype = step.out.dtype
    x = w.as_(step.x, dtype)
    if w.opset >= 20:
        return w.add("Gelu", [x])
    inner = w.add("Erf", [w.add("Mul", [x, w.scalar(math.sqrt(0.5), dtype)])])
    half = w.add("Mul", [w.add("Add", [inner, w.scalar(1, dtype)]), w.scalar(0.5, dtype)])
    return w.add("Mul", [x, half])


@row("gelu_tanh")
def _gelu_tanh(w: Writer, step: Step) -> str:
    dtype = step.out.dtype
    x = w.as_(step.x, dtype)
    if w.opset >= 20:
        return w.add("Gelu", [x], approximate="tanh")
    cubic = w.add("Mul", [w.add("Mul", [x, x]), w.scalar(0.044715, dtype)])
    inner = w.add("Mul", [w.add("Add", [cubic, w.scalar(1, dtype)]), x])
    bent = w.add("Tanh", [w.add("Mul", [inner, w.scalar(math.sqrt(2.0 / math.pi), dtype)])])
    half = w.add("Mul", [w.add("Add", [bent, w.scalar(1, dtype)]), w.scalar(0.5, dtype)])
    return w.add("Mul", [x, half])


@layer("GELU")
def _gelu_layer(w: Writer, step: Step) -> str:
    return (_gelu if step.layer.approximate == "none" else _gelu_tanh)(w, step)


@row("mish")
@layer("Mish")
def _mish(w: Writer, step: Step) -> str:
    x = w.as_(step.x, step.out.dtype)
    if w.opset >= 18:
        return w.add("Mish", [x])
    return w.add("Mul", [x, w.add("Tanh", [w.add("Softplus", [x])])])


@layer("LogSigmoid")
def _log_sigmoid(w: Writer, step: Step) -> str:
    turned = w.add("Neg", [w.as_(step.x, step.out.dtype)])
    return w.add("Neg", [w.add("Softplus", [turned])])


# -- with bends ----------------


@row("leaky_relu")
def _leaky_relu(w: Writer, step: Step) -> str:
    return w.add("LeakyRelu", [step.x.name], alpha=float(step.attrs["slope"]))


@layer("LeakyReLU")
def _leaky_relu_layer(w: Writer, step: Step) -> str:
    return w.add("LeakyRelu", [step.x.name], alpha=float(step.layer.slope))


@row("elu")
def _elu(w: Writer, step: Step) -> str:
    return w.add("Elu", [step.x.name], alpha=float(step.attrs["alpha"]))


@layer("ELU")
def _elu_layer(w: Writer, step: Step) -> str:
    return w.add("Elu", [step.x.name], alpha=float(step.layer.alpha))


@layer("SELU")
def _selu(w: Writer, step: Step) -> str:
    return w.add("Selu", [step.x.name], alpha=SELU_ALPHA, gamma=SELU_SCALE)


@layer("CELU")
def _celu(w: Writer, step: Step) -> str:
    return w.add("Celu", [step.x.name], alpha=float(step.layer.alpha))


def _clipped(w: Writer, step: Step, low: float | None, high: float | None) -> str:
    dtype: np.dtype[Any] = step.out.dtype
    wide = dtype if dtype.name in ("float32", "float64", "float16", "int32", "int64") else np.dtype("int64")
    x = w.as_(step.x, wide)
    ends = ["" if v is None else w.scalar(v, wide) for v in (low, high)]
    return w.cast(w.add("Clip", [x, *ends] if ends[1] else [x, ends[0]]), wide, dtype)


@row("clip")
def _clip(w: Writer, step: Step) -> str:
    low, high = step.attrs["low"], step.attrs["high"]
    return step.x.name if low is None and high is None else _clipped(w, step, low, high)


@row("hardtanh")
def _hardtanh(w: Writer, step: Step) -> str:
    return _clipped(w, step, step.attrs["low"], step.attrs["high"])


@layer("Hardtanh")
def _hardtanh_layer(w: Writer, step: Step) -> str:
    return _clipped(w, step, step.layer.min_val, step.layer.max_val)


@layer("ReLU6")
def _relu6(w: Writer, step: Step) -> str:
    return _clipped(w, step, 0.0, 6.0)


@row("hardsigmoid")
@layer("Hardsigmoid")
def _hardsigmoid(w: Writer, step: Step) -> str:
    return w.add("HardSigmoid", [w.as_(step.x, step.out.dtype)], alpha=1.0 / 6.0, beta=0.5)


@row("hardswish")
@layer("Hardswish")
def _hardswish(w: Writer, step: Step) -> str:
    return w.add("HardSwish", [w.as_(step.x, step.out.dtype)])


@layer("Threshold")
def _threshold(w: Writer, step: Step) -> str:
    x, level, value = step.x, step.layer.threshold, step.layer.value
    if value == 0.0:
        return w.add("ThresholdedRelu", [x.name], alpha=float(level))
    above = w.add("Greater", [x.name, w.scalar(level, x.dtype)])
    return w.add("Where", [above, x.name, w.scalar(value, x.dtype)])


@layer("PReLU")
def _prelu(w: Writer, step: Step) -> str:
    slope = w.own(step, "weight")
    if step.layer.num_parameters > 1 and step.x.ndim > 2:  # (c,) beside (n, c, ...)
        slope = w.unsqueeze(slope, range(1, step.x.ndim - 1))
    return w.add("PRelu", [step.x.name, slope])


# -- along an axis ----------------


@row("softmax", "log_softmax")
def _softmax(w: Writer, step: Step) -> str:
    kind = "Softmax" if step.node.type == "softmax" else "LogSoftmax"
    return w.add(kind, [w.as_(step.x, step.out.dtype)], axis=int(step.attrs.get("axis", -1)))


@layer("Softmax", "LogSoftmax")
def _softmax_layer(w: Writer, step: Step) -> str:
    return w.add(step.node.type, [w.as_(step.x, step.out.dtype)], axis=int(step.layer.axis))


@layer("GLU")
def _glu(w: Writer, step: Step) -> str:
    axis = step.layer.axis % step.x.ndim
    half: Size = step.out.sizes[axis]
    first, second = w.add_many("Split", [step.x.name, w.lengths([half, half])], 2, axis=axis)
    return w.add("Mul", [first, w.add("Sigmoid", [second])])
