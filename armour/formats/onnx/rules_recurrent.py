"""LSTM, GRU and RNN: layers of the engine where those compute the same, unrolled Tensor operations where not.

ONNX stacks gates in the order input, output, forget, cell (LSTM) and update, reset, hidden (GRU); the layers
have PyTorch's order. Directions come first in weights and states, and second in the sequence of outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import armour.tensor as T
from armour.tensor.core import Tensor

from .recurrent_steps import Direction, activations_of
from .rules import Call, rule

MAX_STEPS, MAX_UNROLLED = 20_000, 1_000  # of a sequence; of one that becomes nodes of a network
ORDERS = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}  # PyTorch's gates, as places in ONNX's
DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


@rule("LSTM", "GRU", "RNN")
def recurrent(c: Call) -> list[Any]:
    """Outputs Y (length, directions, n, hidden), last h and, of an LSTM, last c; layout=1 has n first."""
    kind, turned = c.node.op, bool(c.attr("layout", 0))
    x = T.transpose(c.x(0), (1, 0, 2)) if turned else c.x(0)
    if x.ndim != 3:
        raise c.damaged(f"takes a sequence of shape {x.shape}")
    if not 0 < x.shape[0] <= MAX_STEPS:
        raise c.unsupported(f"a sequence of {x.shape[0]} steps")
    directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    backwards = directions.get(c.attr("direction", "forward"))
    hidden = c.shape(2)[-1]
    gates = len(ORDERS[kind])
    if backwards is None or c.shape(1) != (len(backwards), gates * hidden, x.shape[2]) or (
        c.shape(2) != (len(backwards), gates * hidden, hidden)
    ):  # fmt: skip
        raise c.damaged(f"has weights {c.shape(1)} and {c.shape(2)} for {x.shape[2]} features")
    c.run.runs += x.shape[0]  # each step is as much work as an operator
    y, *last = _by_layer(c, x, backwards) if _usual(c, x) else _unrolled(c, x, backwards)
    if turned:
        y = T.transpose(y, (2, 0, 1, 3))
        last = [T.transpose(state, (1, 0, 2)) for state in last]
    return [y, *last]


def _usual(c: Call, x: Tensor) -> bool:
    """True if a layer of the engine computes the outputs that are used."""
    kind, names = c.node.op, c.attr("activations", None)
    options = ("clip", "input_forget", "activation_alpha", "activation_beta")
    extra = any(c.attr(name, None) for name in options)
    wanted = DEFAULTS[kind]
    if names is not None:
        found = {tuple(names[i : i + len(wanted)]) for i in range(0, len(names), len(wanted))}
        alike = {wanted} | ({("Relu",)} if kind == "RNN" else set())
        if len(found) != 1 or not found <= alike:
            return False
    known = all(c.fixed(i) for i in (1, 2)) and (not c.has(3) or c.fixed(3)) and x.dtype == np.float32
    states = (5, 6) if kind == "LSTM" else (5,)
    nothing = all(not c.has(i) or (c.fixed(i) and not c.known(i).any()) for i in (*states, 7))
    whole = not c.has(4) or (c.fixed(4) and bool((c.known(4) == x.shape[0]).all()))
    after = kind != "GRU" or bool(c.attr("linear_before_reset", 0))
    # A layer gives the outputs alone; the last state of the cells is not among them.
    return known and nothing and whole and after and not extra and not c.wants(2) and x.shape[1] > 0


def _by_layer(c: Call, x: Tensor, backwards: tuple[bool, ...]) -> list[Tensor]:
    kind = c.node.op
    w, r = c.known(1), c.known(2)
    hidden, count = r.shape[-1], len(backwards)
    bias = c.known(3) if c.has(3) else np.zeros((count, 2 * w.shape[1]), w.dtype)
    rows = np.concatenate([np.arange(g * hidden, (g + 1) * hidden) for g in ORDERS[kind]])
    weights: dict[str, np.ndarray | None] = {}
    for i, suffix in zip(range(count), ("", "_reverse"), strict=False):
        weights[f"weight_ih_l0{suffix}"] = w[i][rows]
        weights[f"weight_hh_l0{suffix}"] = r[i][rows]
        weights[f"bias_ih_l0{suffix}"] = bias[i][rows]
        weights[f"bias_hh_l0{suffix}"] = bias[i][rows + w.shape[1]]
    config = {"input_size": w.shape[2], "hidden_size": hidden, "bidirectional": count == 2}
    if kind == "RNN":
        names = c.attr("activations", None)
        config["nonlinearity"] = "relu" if names and names[0] == "Relu" else "tanh"
    mirrored = backwards == (True,)
    layer = c.layer(kind, config, weights)
    out = T.flip(layer(T.flip(x, 0)), 0) if mirrored else layer(x)
    y = T.transpose(T.reshape(out, (*out.shape[:2], count, hidden)), (0, 2, 1, 3))
    ends = [T.getitem(y, (0 if back else -1, i)) for i, back in enumerate(backwards)]
    return [y, T.stack(ends, 0)]


def _unrolled(c: Call, x: Tensor, backwards: tuple[bool, ...]) -> list[Tensor]:
    kind = c.node.op
    if c.run.building and not c.folding and x.shape[0] > MAX_UNROLLED:
        raise c.unsupported(f"{kind} over {x.shape[0]} steps with options that no layer has")
    functions = activations_of(c, DEFAULTS[kind], len(backwards))
    outputs, ends = [], []
    for i, back in enumerate(backwards):
        y, last = Direction(c, kind, functions[i], i)(x, back)
        outputs.append(y)
        ends.append(last)
    states = [T.stack([end[k] for end in ends], 0) for k in range(2 if kind == "LSTM" else 1)]
    return [T.stack(outputs, 1), *states]
