"""Checks of the model itself, before any attack: gradients, outputs, randomness, no derivatives."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from armour.contract import LossFn, Model, input_gradient
from armour.criteria import Misclassified
from armour.errors import ArmourError
from armour.model import ModuleModel
from armour.preprocessing import FLOATS
from armour.tensor import losses
from armour.tensor.core import Tensor, no_grad
from armour.verdict import percent

from .context import Context, Rows
from .rules import Said, rule, share

# Below its root the squares of float32 numbers lose digits: a gradient of that length has no direction left.
FAINT = float(np.sqrt(np.finfo(np.float32).tiny))
# Logits further apart than this make every other class's probability vanish in float32.
APART = float(-np.log(np.finfo(np.float32).tiny))
# ... and this far apart the first one's is 1 as far as float32 can tell.
ROUNDED = float(-np.log(np.finfo(np.float32).eps / 2))
# A model that rounds its inputs to steps longer than this share of epsilon swallows whole steps of an attack.
COARSE = 0.4
FORWARDS, SHAKEN = 5, 1e-4
DIRECTIONS, CURVED = 24, 32

# Operations of a graph whose derivative is zero or none, where they act on what depends on the input.
STEPS = frozenset(
    [
        *("round", "floor", "ceil", "trunc", "sign", "argmax", "argmin", "onehot", "hardmax", "nonzero"),
        *("quantizelinear", "dequantizelinear", "dynamicquantizelinear"),
        *("floordivide", "mod", "bitwiseand", "bitwiseor", "bitshift"),
    ]
)


@rule("R10", "Gradients are there", when="before", gradients=True)
def gradients(context: Context) -> Said:
    """Zero, NaN or tiny input gradients of the cross-entropy."""
    rows = context.probe
    objective = Misclassified(context.y[rows]).objective("cross-entropy")
    _, gradient, _ = context.model.gradient(context.x[rows], objective)
    flat = gradient.reshape(len(rows), -1).astype(np.float64)
    broken = np.asarray(~np.isfinite(flat).all(axis=1))
    length = np.sqrt(np.square(np.where(broken[:, None], 0, flat)).sum(axis=1))
    zero, tiny = (length == 0) & ~broken, (length > 0) & (length < FAINT) & ~broken
    counts = {"zero": int(zero.sum()), "tiny": int(tiny.sum()), "not finite": int(broken.sum())}
    found = ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "none zero or NaN"
    text = f"Of {len(rows)} gradients of the cross-entropy: {found}."
    bad = share(zero | tiny | broken)
    if bad <= 0.01:
        return Said("ok", text)
    return Said(
        "warning",
        f"{text} Attacks that follow them are blind there.",
        "Attack a loss that does not saturate (margin, dlr), or put a smooth stand-in for the step that "
        "stops the gradient (BPDA), and run again.",
        f"{percent(bad)} of the gradients are zero, tiny or not finite",
    )


@rule("R11", "Outputs are logits that do not saturate", when="before")
def outputs(context: Context) -> Said:
    """Probabilities instead of logits, and a softmax that is one or zero in float32."""
    logits = context.logits[context.right].astype(np.float64)
    given = str(context.model.provenance.get("outputs", ""))
    if not len(logits) or logits.shape[1] < 2:
        return Said("note", "No sample is read right, so nothing was looked at.")
    if given.startswith("labels"):
        return Said("note", "The model gives labels only: there is no margin to look at.")
    ordered = np.sort(logits, axis=1)
    margin = ordered[:, -1] - ordered[:, -2]
    rounded, gone = share(margin > ROUNDED), share(margin > APART)
    text = f"Median margin of the logits {np.median(margin):.3g}; softmax rounds to 1 for {percent(rounded)}"
    if gone > 0.1:
        return Said(
            "warning",
            f"{text}, and every other class vanishes for {percent(gone)}: its loss has no gradient.",
            "Evaluate the logits before they are scaled, or attack the margin or dlr loss.",
            f"the softmax is saturated for {percent(gone)} of the samples "
            f"(median margin {np.median(margin):.3g})",
        )
    if "probabilit" in given:
        return Said("note", f"The model gives probabilities; their logarithms are used. {text}.")
    return Said("note" if rounded > 0.5 else "ok", f"{text}.")


@rule("R12", "The forward pass is deterministic", probes=False, when="before")
def randomness(context: Context) -> Said:
    """The same inputs several times."""
    x = context.x[np.sort(context.order[: context.probes])]
    answers = np.stack([context.model.logits(x) for _ in range(FORWARDS)]).astype(np.float64)
    spread = answers.max(axis=0) - answers.min(axis=0)
    largest = float(np.nan_to_num(spread, nan=np.inf).max(initial=0.0))
    labels = answers.argmax(axis=2)
    moved = share((labels != labels[0]).any(axis=0))
    if largest <= SHAKEN * max(1.0, float(np.abs(answers).max(initial=0.0))):
        return Said(
            "ok", f"{FORWARDS} forward passes of {len(x)} samples agree to {max(largest, 1e-12):.1g}."
        )
    return Said(
        "warning",
        f"{FORWARDS} forward passes of {len(x)} samples differ by up to {largest:.3g}; "
        f"{percent(moved)} of the labels change.",
        "Average gradients over draws (eot of 20 or more, as presets do), evaluate with several seeds, and "
        "report the spread.",
        "the forward pass is random",
    )


@rule("R13", "Everything can be differentiated", when="before")
def differentiable(context: Context) -> Said:
    """Operations without a derivative in the graph, rounding in the preprocessing, and answers in steps."""
    model, steps = context.model, context.model.preprocessing
    advice = "Replace the step by a smooth one for the gradient (BPDA), or attack without gradients."
    if steps.dtype not in FLOATS:
        step = max(steps.std) / abs(steps.scale)
        through = "the gradient passes straight through" if steps.straight_through else "without a gradient"
        text = f"Inputs are rounded to steps of {step:.3g} ({steps.dtype}; {through})"
        if step > COARSE * context.epsilon:
            return Said(
                "warning",
                f"{text}, long beside epsilon {context.epsilon:.3g}.",
                advice,
                f"inputs are quantised in steps of {step:.3g}, against an epsilon of {context.epsilon:.3g}",
            )
        if not steps.straight_through:
            return Said("warning", f"{text}.", advice, "inputs are quantised without a gradient")
        return Said("note", f"{text}, short beside epsilon {context.epsilon:.3g}.")
    found = _operations(model)
    if found:
        names = ", ".join(found)
        return Said(
            "warning",
            f"The network holds operations without a derivative that depend on the input: {names}.",
            advice,
            f"the network holds operations without a derivative ({names})",
        )
    still = _staircase(context)
    if still > 0.5:
        return Said(
            "warning",
            f"The answers to {percent(still)} of the samples do not move with the input: it is quantised.",
            advice,
            f"the input is quantised: {percent(still)} of the answers do not move with it",
        )
    inspected = "the graph was inspected" if found is not None else "the graph cannot be inspected"
    if not model.can_grad:
        return Said("note", f"The answers move with the input; {inspected}.")
    return Said("ok", f"The answers move with the input, and {inspected}.")


def _stepped(model: Model) -> bool:
    return model.preprocessing.dtype not in FLOATS or bool(_operations(model))


def _operations(model: Any) -> list[str] | None:
    """Types of such nodes that the input reaches; None if there is no graph to look at."""
    if not isinstance(model, ModuleModel):
        return None
    try:
        graph = model.graph
    except ArmourError:
        return None
    reached = {each.name for each in graph.inputs}
    found: dict[str, None] = {}
    for node in graph.nodes:
        if any(isinstance(source, str) and source in reached for source in node.inputs):
            reached.add(node.name)
            if node.type.lower().replace("_", "") in STEPS:
                found[node.type] = None
    return list(found)


def _staircase(context: Context) -> float:
    """Share of samples whose logits stay the same, bit by bit, when all values move by a ten-thousandth."""
    rows = context.probe[:64]
    x, (low, high) = context.x[rows], context.model.bounds
    if not len(rows) or str(context.model.provenance.get("outputs", "")).startswith("labels"):
        return 0.0
    up = context.streams(13, rows).uniform(x.shape[1:]) < 0.5
    moved = np.clip(x + np.where(up, 1e-4, -1e-4).astype(np.float32) * np.float32(high - low), low, high)
    differs = (moved != x).reshape(len(x), -1).any(axis=1)
    before, after = context.model.logits(x), context.model.logits(moved.astype(np.float32))
    return share((before == after).all(axis=1) & differs)


@rule("R14", "Gradients are those of the model", when="before", gradients=True)
def landscape(context: Context) -> Said:
    """Cosine of numerical and automatic derivatives of the margin along random directions."""
    if context.random:
        return Said("note", "Not measured: the forward pass is random (R12).")
    rows = context.probe[:CURVED]
    double = _doubled(context.model)
    measured = _cosines(context, rows, double)
    flat = np.isnan(measured)
    exact = double is not None
    threshold, digits = (0.99, "float64") if exact else (0.9, "float32")
    if share(flat) > 0.5:
        text = f"{int(flat.sum())} of {len(rows)} samples have no slope to compare, in either way (R10)."
        return Said("note", text)
    middle = float(np.median(measured[~flat]))
    text = (
        f"Median cosine of numerical and automatic gradient {middle:.4f} on {len(rows)} samples in {digits}"
    )
    if middle >= threshold:
        return Said("ok", f"{text}.")
    return Said(
        "warning" if _stepped(context.model) else "error",
        f"{text}, expected {threshold} or more: attacks are sent the wrong way.",
        "Look for a custom gradient, a step without a derivative, or a wrapper that changes the input.",
        f"gradients are not those of the model (cosine {middle:.2f})",
    )


def _doubled(model: Any) -> Any:
    """A function from float64 inputs to logits, behind any rounding of inputs; None if there is none."""
    if not isinstance(model, ModuleModel) or model.device != "cpu":
        return None
    try:
        module = copy.deepcopy(model.module)
        for tensor in (*module.parameters(), *(buffer for _, buffer in module.named_buffers())):
            if tensor.data.dtype == np.float32:
                tensor.data = tensor.data.astype(np.float64)
        steps = replace(model.preprocessing, dtype="float32")  # which leaves float64 as it is

        def forward(x: Tensor) -> Tensor:
            logits: Tensor = model.outputs.logits(module(steps.apply(x)))
            return logits

        shape = (1, *model.input_shape)
        with no_grad(), np.errstate(all="ignore"):
            probe = forward(Tensor(np.zeros(shape)))
        return forward if probe.dtype == np.float64 else None
    except (ArmourError, TypeError, ValueError):
        return None


def _cosines(context: Context, rows: Rows, double: Any) -> NDArray[np.float64]:
    """(m,) cosines over DIRECTIONS random directions; NaN where both derivatives are zero."""
    model, y = context.model, context.y[rows]
    low, high = model.bounds
    span = float(high - low)
    # A little beside the sample: pictures have equal neighbours and zeros, where maxima and ReLUs have bends.
    aside = context.streams(140, rows).uniform(context.x.shape[1:], -5e-3, 5e-3, dtype=np.float64)
    x = context.x[rows].astype(np.float64) + span * aside
    step = (1e-6 if double is not None else 4e-3) * span
    x = np.clip(x, low + step, high - step)
    shape = (len(rows), DIRECTIONS, *x.shape[1:])
    way = np.where(context.streams(14, rows).uniform(shape[1:]) < 0.5, -1.0, 1.0)
    objective: LossFn = Misclassified(y).objective("margin")
    if double is None:
        x = x.astype(np.float32).astype(np.float64)
        slope = model.gradient(x.astype(np.float32), objective)[1].astype(np.float64)
        ends = [_margins(model.logits, (x[:, None] + s * step * way).astype(np.float32), y) for s in (1, -1)]
        # What float32 has made of the step.
        way = ((x[:, None] + step * way).astype(np.float32) - x[:, None].astype(np.float32)).astype(
            float
        ) / step
    else:
        leaf = Tensor(x, requires_grad=True)
        with np.errstate(all="ignore"):
            slope = np.asarray(input_gradient(objective(double(leaf)), leaf).data, np.float64)

        def run(at: NDArray[Any]) -> NDArray[Any]:
            with no_grad(), np.errstate(all="ignore"):
                return np.asarray(double(Tensor(at)).data)

        ends = [_margins(run, x[:, None] + s * step * way, y) for s in (1, -1)]
    numerical = (ends[0] - ends[1]) / (2 * step)
    automatic = (slope[:, None] * way).reshape(len(rows), DIRECTIONS, -1).sum(axis=2)
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(numerical, axis=1) * np.linalg.norm(automatic, axis=1)
        cosine = (numerical * automatic).sum(axis=1) / lengths
    one_sided = (lengths == 0) & (np.abs(numerical).sum(axis=1) + np.abs(automatic).sum(axis=1) > 0)
    return np.where(one_sided, 0.0, cosine)


def _margins(logits: Any, x: NDArray[Any], y: Rows) -> NDArray[np.float64]:
    """(m, d) attacker's margins of (m, d, ...) inputs."""
    m, d = x.shape[:2]
    found = np.empty((m, d))
    for row in range(m):  # one sample's directions are a batch
        z = np.asarray(logits(np.ascontiguousarray(x[row])), np.float64)
        with no_grad():
            found[row] = losses.margin(Tensor(z), np.full(d, y[row])).numpy()
    return found
