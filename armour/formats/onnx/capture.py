"""From an ONNX file to a network of the engine: graph, weights, and what is known of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from armour.errors import ArmourError, CheckpointError, UnsupportedError
from armour.tensor.core import Tensor, no_grad
from armour.tensor.graph import Graph, Input
from armour.tensor.graph_module import GraphModule
from armour.tensor.pruning import pruned
from armour.tensor.recorder import record

from .head import Head
from .module import OnnxModule
from .proto import Excess, OnnxModel
from .tail import agree, logarithmic
from .values import dtype_of

TOLERANCE = 1e-4  # of the largest score, between a sample alone and the same sample in a batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What `capture` found.

    one: why the network takes one sample at a time; empty if it takes batches. ending: "softmax" or "sigmoid"
    if the graph ended in one and the network gives its logarithm; else empty.
    """

    module: GraphModule
    graph: Graph
    one: str = ""
    ending: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The input of a graph that samples go into: its name, dtype and the shape of one sample there."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    whole: bool = False  # one sample has the graph's first axis too


def capture(
    model: OnnxModel, entry: Entry, head: Head, fixed: Mapping[str, np.ndarray], bounds: tuple[float, float]
) -> Network:
    """The engine's network for logits of samples (n, *entry.shape), float32.

    bounds: range of what the graph takes, for trial inputs. Raises UnsupportedError for operators without a
    rule, all at once, and for graphs that are not classifiers; CheckpointError for damaged ones.
    """
    if entry.whole:
        return _one(model, entry, head, fixed, bounds, "its samples are whole sequences")
    try:
        network = _batched(model, entry, head, fixed, bounds)
        differs = _dependent(network, entry, bounds)
    except Excess:
        raise
    except (CheckpointError, UnsupportedError) as error:
        if isinstance(error, UnsupportedError) and "operators that" in str(error):
            raise
        try:
            return _one(model, entry, head, fixed, bounds, f"a batch does not fit it: {error}"[:200])
        except ArmourError:
            raise error from None
    if differs:
        return _one(model, entry, head, fixed, bounds, "its rows depend on each other, as in a sequence")
    return network


def _module(
    model: OnnxModel, entry: Entry, head: Head, fixed: Mapping[str, np.ndarray], batched: bool
) -> OnnxModule:
    growing = {name: axis for name in fixed if (axis := _batch_axis(model, entry.name, name)) is not None}
    return OnnxModule(
        model,
        input=entry.name,
        head=head,
        dtype=entry.dtype,
        fixed=fixed,
        growing=growing,
        whole=entry.whole,
        exported_for_one=batched and _leading(model, entry.name) == 1,
    )


def _batched(
    model: OnnxModel, entry: Entry, head: Head, fixed: Mapping[str, np.ndarray], bounds: tuple[float, float]
) -> Network:
    module = _module(model, entry, head, fixed, True)
    inputs = [Input(name="input", shape=(None, *entry.shape))]
    with np.errstate(all="ignore"):
        graph = record(module, lambda n: [Tensor(trial(n, entry, bounds))], inputs, shapes_only=True)
    network = _filled(module, graph)
    return network if head.shape is not None else _opened(network, entry, bounds)


def _one(
    model: OnnxModel,
    entry: Entry,
    head: Head,
    fixed: Mapping[str, np.ndarray],
    bounds: tuple[float, float],
    why: str,
) -> Network:
    module = _module(model, entry, head, fixed, False)
    inputs = [Input(name="input", shape=(1, *entry.shape))]
    with np.errstate(all="ignore"):
        graph = record(
            module, lambda n: [Tensor(trial(n, entry, bounds))], inputs, batched=False, shapes_only=True
        )
    network = _filled(module, graph)
    network = network if head.shape is not None else _opened(network, entry, bounds)
    return replace(network, one=why)


def _filled(module: OnnxModule, graph: Graph) -> Network:
    """The graph without what its output does not need, as a module with the weights in it."""
    graph = pruned(graph)
    own = {name: tensor.data for name, tensor in module.named_tensors()}
    return Network(module=_built(graph, own), graph=graph)


def _built(graph: Graph, weights: Mapping[str, Any]) -> GraphModule:
    network = GraphModule(graph)
    for name, tensor in network.named_tensors():
        tensor.data = weights[name]
    return network.eval()


def _opened(network: Network, entry: Entry, bounds: tuple[float, float]) -> Network:
    """The network with log-probabilities instead of probabilities, if it ends in them and a trial agrees."""
    graph, ending = logarithmic(network.graph)
    if not ending:
        return network
    own = {name: tensor.data for name, tensor in network.module.named_tensors()}
    module = _built(graph, own)
    x = Tensor(trial(1, entry, bounds))
    with no_grad(), np.errstate(all="ignore"):
        before, after = network.module(x).numpy(), module(x).numpy()
    if not agree(ending, before, after):
        return network
    return Network(module=module, graph=graph, ending=ending)


def _dependent(network: Network, entry: Entry, bounds: tuple[float, float]) -> bool:
    """True if a sample's scores depend on what else is in the batch."""
    x = trial(2, entry, bounds)
    with no_grad(), np.errstate(all="ignore"):
        alone = network.module(Tensor(x[1:])).numpy()
        beside = network.module(Tensor(x)).numpy()[1:]
    if alone.shape != beside.shape:
        raise CheckpointError(f"one sample has scores of shape {alone.shape}, in a batch {beside.shape}")
    finite = np.isfinite(alone) & np.isfinite(beside)
    largest = np.abs(alone[finite]).max(initial=1e-6)
    return bool((np.abs(alone[finite] - beside[finite]) > TOLERANCE * largest).any())


def trial(n: int, entry: Entry, bounds: tuple[float, float]) -> np.ndarray:
    """n made-up samples inside the bounds, float32; whole numbers if the graph takes those."""
    rng = np.random.default_rng(n)
    x = rng.uniform(*bounds, (n, *entry.shape)).astype(np.float32)
    return x if entry.dtype.kind == "f" else np.rint(x)


def _leading(model: OnnxModel, name: str) -> int | str | None:
    shape = next((shape for n, _, shape in model.graph.inputs if n == name), None)
    return shape[0] if shape else None


def _batch_axis(model: OnnxModel, name: str, other: str) -> int | None:
    """The axis of another input that has the same symbolic length as the first axis of the one attacked."""
    batch = _leading(model, name)
    shape = next((shape for n, _, shape in model.graph.inputs if n == other), None) or ()
    if isinstance(batch, str) and batch and batch in shape:
        return shape.index(batch)
    return None


def entry_dtype(code: int, name: str) -> np.dtype[Any]:
    """The dtype that an input takes."""
    return dtype_of(code, f"the input {ascii(name)[:80]}") if code else np.dtype(np.float32)
