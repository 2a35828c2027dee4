"""The tables of the exporter: a rule for each leaf layer and row, and the rows that no file can hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from armour.formats.onnx.export_values import Step
from armour.formats.onnx.export_writer import Writer

Rule = Callable[[Writer, Step], str]
R = TypeVar("R", bound=Rule)

LAYER_RULES: dict[str, Rule] = {}
"""Leaf layers by name: functions that add nodes and give the name of the output."""
ROW_RULES: dict[str, Rule] = {}
"""Rows of the op table by name."""

_BACKWARD = "a step of backward passes alone"
_RANDOM = "random numbers, which no evaluation draws"
_TRAINING = "statistics of the batch in training"
_SAMPLES = "a step of per-sample gradients alone"
_SYSTEMS = "ONNX has no operator for linear systems"
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            *("activation_grad", "add_pixels", "avg_unpool2d", "conv2d_weight_grad", "cross_entropy_grad"),
            "getitem_grad",
            *("inverse_deviation", "max_pick2d", "max_share", "max_unpool2d", "recurrence", "relu_grad"),
            *("standardise_grad", "take_along_axis_grad"),
        ),
        _BACKWARD,
    ),
    **dict.fromkeys(("draw", "keep_mask", "dropout"), _RANDOM),
    **dict.fromkeys(
        ("batch_norm_input_grad", "batch_norm_sums", "batch_norm_train", "batch_statistics"), _TRAINING
    ),
    **dict.fromkeys(("conv2d_sample_grad", "conv2d_sample_square", "sum_places"), _SAMPLES),
    **dict.fromkeys(("cholesky", "inv", "solve"), _SYSTEMS),
}
"""Rows that are not written, each with the reason."""

GROWING = frozenset(("broadcast_to", "full_like", "gather_grad", "getitem", "reshape", "scatter_nd", "tile"))
"""Rows whose rules take attributes that grow with the batch, or do not look at them."""


def layer(*names: str) -> Callable[[R], R]:
    """Decorator: the rule of these leaf layers."""

    def file(rule: R) -> R:
        for name in names:
            LAYER_RULES[name] = rule
        return rule

    return file


def row(*names: str) -> Callable[[R], R]:
    """Decorator: the rule of these rows of the op table."""

    def file(rule: R) -> R:
        for name in names:
            ROW_RULES[name] = rule
        return rule

    return file
