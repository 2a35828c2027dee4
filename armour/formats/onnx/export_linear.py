"""Matrix products, convolutions and what is like them, as layers and as rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from armour.formats.onnx.export_elementwise import arithmetic
from armour.formats.onnx.export_rules import layer, row
from armour.formats.onnx.export_values import Step, Value
from armour.formats.onnx.export_writer import Writer
from armour.tensor.padding import margins


@row("matmul")
def _matmul(w: Writer, step: Step) -> str:
    return arithmetic(w, "MatMul", step)


@row("einsum")
def _einsum(w: Writer, step: Step) -> str:
    names = [w.as_(v, step.out.dtype) for v in step.inputs]
    return w.add("Einsum", names, equation=str(step.attrs["subscripts"]))


def product(w: Writer, x: Value, weight: str, bias: str, dtype: Any) -> str:
    """x (..., in) times weight (out, in) transposed, plus bias; Gemm for two axes."""
    name = w.as_(x, dtype)
    if x.ndim == 2:
        return w.add("Gemm", [name, weight, bias] if bias else [name, weight], transB=1)
    found = w.add("MatMul", [name, w.transpose(weight, (1, 0))])
    return w.add("Add", [found, bias]) if bias else found


@layer("Linear")
def _linear_layer(w: Writer, step: Step) -> str:
    bias = w.own(step, "bias") if step.layer.bias is not None else ""
    return product(w, step.x, w.own(step, "weight"), bias, step.out.dtype)


@row("linear")
def _linear(w: Writer, step: Step) -> str:
    dtype = step.out.dtype
    weight, *bias = (w.as_(v, dtype) for v in step.inputs[1:])
    return product(w, step.x, weight, bias[0] if bias else "", dtype)


# -- convolution ----------------


def _ends(around: Sequence[tuple[int, int]]) -> list[int]:
    return [a for a, _ in around] + [b for _, b in around]


@layer("Conv1d", "Conv2d", "Conv3d")
def _conv(w: Writer, step: Step) -> str:
    own = step.layer
    around = margins(own.padding, own.kernel_size, own.stride, own.dilation)
    names = [w.as_(step.x, step.out.dtype), w.own(step, "weight")]
    if own.bias is not None:
        names.append(w.own(step, "bias"))
    return w.add(
        "Conv",
        names,
        kernel_shape=list(own.kernel_size),
        strides=list(own.stride),
        pads=_ends(around),
        dilations=list(own.dilation),
        group=own.groups,
    )


@row("conv2d")
def _conv2d(w: Writer, step: Step) -> str:
    a = step.attrs
    return w.add(
        "Conv",
        [w.as_(v, step.out.dtype) for v in step.inputs],
        strides=list(a["stride"]),
        pads=[*a["padding"], *a["padding"]],
        dilations=list(a["dilation"]),
        group=int(a["groups"]),
    )


@layer("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
def _conv_transpose(w: Writer, step: Step) -> str:
    own = step.layer
    names = [w.as_(step.x, step.out.dtype), w.own(step, "weight")]
    if own.bias is not None:
        names.append(w.own(step, "bias"))
    settings = {"strides": list(own.stride), "dilations": list(own.dilation), "group": own.groups}
    return transposed(w, names, own.padding, own.output_padding, settings)


@row("conv2d_input_grad")
def _conv2d_input_grad(w: Writer, step: Step) -> str:
    """What transposed convolutions by function are made of."""
    a = step.attrs
    g, kernel = step.x, step.inputs[1]
    more = []
    for i in (0, 1):
        size, steps = step.out.sizes[2 + i].plus, g.sizes[2 + i].plus
        reach = (steps - 1) * a["stride"][i] + a["dilation"][i] * (kernel.sizes[2 + i].plus - 1) + 1
        more.append(size - (reach - 2 * a["padding"][i]))
    names = [w.as_(v, step.out.dtype) for v in step.inputs]
    settings = {"strides": list(a["stride"]), "dilations": list(a["dilation"]), "group": int(a["groups"])}
    return transposed(w, names, a["padding"], more, settings)


def transposed(
    w: Writer, names: list[str], padding: Sequence[int], more: Sequence[int], settings: dict[str, Any]
) -> str:
    """A ConvTranspose, whose output is `more` longer at the end of each axis.

    Runtimes take that only below the stride. A longer end is padding that is not cut off, as far as there is
    any, and zeros behind.
    """
    after, longer, behind = [], [], []
    for p, o, s in zip(padding, more, settings["strides"], strict=True):
        kept = 0 if o < s else min(p, o)
        after.append(p - kept)
        longer.append(min(o - kept, s - 1))
        behind.append(o - kept - longer[-1])
    bias = names[2:] if any(behind) else []
    found = w.add(
        "ConvTranspose",
        names[:2] if bias else names,
        pads=[*padding, *after],
        output_padding=longer if any(longer) else None,
        **settings,
    )
    found = w.pad(found, ((0, 0), (0, 0), *((0, n) for n in behind)))
    return w.add("Add", [found, w.unsqueeze(bias[0], range(1, len(more) + 1))]) if bias else found


@row("det", "logabsdet", "det_sign")
def _det(w: Writer, step: Step) -> str:
    found = w.add("Det", [w.as_(step.x, step.out.dtype)])
    if step.node.type == "logabsdet":
        return w.add("Log", [w.add("Abs", [found])])
    return w.add("Sign", [found]) if step.node.type == "det_sign" else found
