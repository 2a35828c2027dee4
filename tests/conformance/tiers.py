"""Which operators a test is made of, and what that says about who needs it.

Tier 1: classifiers of images, texts and tables. Tier 2: sequences, quantised networks, control flow.
Tier 3: everything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

_FAMILIES = (
    "Conv ConvTranspose Gemm MatMul Einsum",
    "Add Sub Mul Div Mod Pow Neg Abs Sign Reciprocal Sqrt Exp Log Erf Sin Cos Floor Ceil Round",
    "Min Max Sum Mean CumSum TopK ArgMax ArgMin",
    "Relu LeakyRelu PRelu ThresholdedRelu Elu Selu Celu Gelu Mish Sigmoid HardSigmoid HardSwish Tanh",
    "Softplus Softsign Clip Softmax LogSoftmax",
    "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization RMSNormalization",
    "MeanVarianceNormalization LpNormalization LRN",
    "MaxPool AveragePool LpPool GlobalMaxPool GlobalAveragePool GlobalLpPool",
    "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare",
    "ReduceLogSum ReduceLogSumExp",
    "Reshape Flatten Transpose Squeeze Unsqueeze Concat Split Slice Expand Tile Pad Identity",
    "DepthToSpace SpaceToDepth Resize Upsample Trilu",
    "Gather GatherElements GatherND ScatterElements ScatterND OneHot NonZero",
    "Constant ConstantOfShape EyeLike Range Shape Size Cast CastLike Dropout",
    "Where Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor Not",
)
_FURTHER = (
    "LSTM GRU RNN Scan Loop If Attention RotaryEmbedding ReverseSequence",
    "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul ConvInteger",
    "MatMulInteger BitShift",
    "DeformConv GridSample RoiAlign NonMaxSuppression Compress Unique Hardmax Shrink Det STFT DFT",
    "IsNaN IsInf Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh",
)
FIRST = frozenset(" ".join(_FAMILIES).split())
SECOND = FIRST | frozenset(" ".join(_FURTHER).split())
_PLUMBING = ("Constant", "Identity", "Cast", "Reshape", "Shape", "Gather")


def operators(graph: Any) -> Iterator[str]:
    """Names of all operators of a graph and its subgraphs, those of other domains with the domain."""
    for node in graph.node:
        yield node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}"
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from operators(attribute.g)


def tier(names: set[str]) -> int:
    """1, 2 or 3."""
    return 1 if names <= FIRST else 2 if names <= SECOND else 3


def subject(suite: str, name: str, names: list[str]) -> str:
    """The row of the table that a test belongs to."""
    if suite == "light":
        return f"model {name}"
    if "_expanded" in name:  # an operator spelled out in simpler ones
        return "(functions, expanded)"
    if suite == "node":
        return names[0] if names else "(no operator)"
    rest = [n for n in names if n not in _PLUMBING] or names
    return rest[0] if len(set(rest)) == 1 else "(several operators)"
