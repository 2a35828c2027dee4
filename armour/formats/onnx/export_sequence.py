"""Layers for sequences: recurrent ones, attention, positions."""

from __future__ import annotations

import math

import numpy as np

from armour.errors import UnsupportedError
from armour.formats.onnx.export_linear import product
from armour.formats.onnx.export_rules import layer
from armour.formats.onnx.export_values import Size, Step, Value
from armour.formats.onnx.export_writer import Writer
from armour.tensor.lookup import sinusoids

# The order of ONNX's gates in terms of ours: input, output, forget, cell; update, reset, new.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN": (0,)}


@layer("LSTM", "GRU", "RNN")
def _recurrent(w: Writer, step: Step) -> str:
    own, sizes = step.layer, step.x.sizes
    x = w.as_(step.x, step.out.dtype)
    if own.batch_first:
        x, sizes = w.transpose(x, (1, 0, 2)), (sizes[1], sizes[0], sizes[2])
    directions = ("", "_reverse") if own.bidirectional else ("",)
    settings: dict[str, object] = {
        "hidden_size": own.hidden_size,
        "direction": "bidirectional" if own.bidirectional else "forward",
    }
    if step.node.type == "GRU":
        settings["linear_before_reset"] = 1
    elif step.node.type == "RNN":
        settings["activations"] = [own.nonlinearity.capitalize()] * len(directions)
    width = Size(0, own.hidden_size * len(directions))
    for i in range(own.num_layers):
        names = [f"l{i}{suffix}" for suffix in directions]
        parts = [_gates(w, step, kind, names) for kind in ("weight_ih", "weight_hh")]
        if own.bias:
            parts.append(_gates(w, step, "bias", names))
        # Y is (l, directions, n, hidden).
        y = w.add_many(step.node.type, [x, *parts], 1, **settings)[0]
        if len(directions) == 1:
            x = w.squeeze(y, [1])
        else:
            x = w.reshape(w.transpose(y, (0, 2, 1, 3)), (*sizes[:2], width), (*sizes[:2], Size(0, 2)))
    return w.transpose(x, (1, 0, 2)) if own.batch_first else x


def _gates(w: Writer, step: Step, kind: str, names: list[str]) -> str:
    """Weights of all directions with the gates in ONNX's order, as an initialiser of their own."""
    hidden, order = step.layer.hidden_size, _GATES[step.node.type]

    def ordered(array: np.ndarray) -> np.ndarray:
        return np.concatenate([array[g * hidden : (g + 1) * hidden] for g in order])

    rows = []
    for name in names:
        if kind == "bias":
            both = [ordered(w.state[step.weight(f"bias_{part}_{name}")]) for part in ("ih", "hh")]
            rows.append(np.concatenate(both))
        else:
            rows.append(ordered(w.state[step.weight(f"{kind}_{name}")]))
    return w.converted(step.weight(f"{kind}_{names[0]}"), np.stack(rows).astype(step.out.dtype))


@layer("PositionalEncoding")
def _positional_encoding(w: Writer, step: Step) -> str:
    first = step.layer.batch_first
    length, features = step.x.shape[1 if first else 0], step.x.shape[2]
    if length is None or features is None:
        raise UnsupportedError("positions along the batch")
    waves = sinusoids(length, features).astype(step.out.dtype)
    return w.add("Add", [w.as_(step.x, step.out.dtype), w.const(waves if first else waves[:, None])])


# -- attention ----------------


@layer("MultiheadAttention")
def _attention(w: Writer, step: Step) -> str:
    own, dtype = step.layer, step.out.dtype
    if len(step.inputs) > 3:
        raise UnsupportedError("attention with masks")
    query, key, value = (*step.inputs, *step.inputs[-1:] * (3 - len(step.inputs)))
    q, k, v = (_heads(w, step, i, t) for i, t in enumerate((query, key, value)))
    turn = (0, 2, 3, 1) if own.batch_first else (1, 2, 3, 0)  # keys transposed: (n, heads, d, s)
    straight = (0, 2, 1, 3) if own.batch_first else (1, 2, 0, 3)
    scale = w.scalar(1.0 / math.sqrt(own.embed_dim // own.num_heads), dtype)
    scores = w.add("MatMul", [w.add("Mul", [w.transpose(q, straight), scale]), w.transpose(k, turn)])
    if own.is_causal:
        axis = 1 if own.batch_first else 0
        rows, columns = query.shape[axis], key.shape[axis]
        if rows is None or columns is None:
            raise UnsupportedError("causal attention along the batch")
        hidden = np.where(np.tril(np.ones((rows, columns), bool)), 0.0, -np.inf)
        scores = w.add("Add", [scores, w.const(hidden.astype(dtype))])
    mixed = w.add("MatMul", [w.add("Softmax", [scores], axis=-1), w.transpose(v, straight)])
    back = (0, 2, 1, 3) if own.batch_first else (2, 0, 1, 3)
    n_first = (*query.sizes[:2], Size(0, own.num_heads))
    joined = w.reshape(w.transpose(mixed, back), step.out.sizes, n_first)
    bias = w.own(step, "out_proj.bias") if own.out_proj.bias is not None else ""
    flat = Value(joined, dtype, step.out.sizes)
    return product(w, flat, w.own(step, "out_proj.weight"), bias, dtype)


def _heads(w: Writer, step: Step, part: int, t: Value) -> str:
    """Query, key or value (a, b, e) projected and split: (a, b, heads, e / heads)."""
    own, dtype, e = step.layer, step.out.dtype, step.layer.embed_dim
    cut = {0: (part * e, (part + 1) * e, 1)}
    weight = w.slice(w.own(step, "in_proj_weight"), cut)
    bias = "" if own.in_proj_bias is None else w.slice(w.own(step, "in_proj_bias"), cut)
    name = product(w, t, weight, bias, dtype)
    heads = (*t.sizes[:2], Size(0, own.num_heads), Size(0, e // own.num_heads))
    return w.reshape(name, heads, t.sizes)
