"""From a module to its graph: watch it run on two batch sizes, compare, check graph against module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.checks import count
from armour.errors import UnsupportedError
from armour.tensor.backend import asnumpy, get_xp, to_device
from armour.tensor.core import Tensor, no_grad
from armour.tensor.graph import Graph, Input
from armour.tensor.graph_module import GraphModule
from armour.tensor.module import Module, evaluating, frozen
from armour.tensor.recorder import record

TOLERANCE = 1e-4  # of the largest output


def trace(
    module: Module, input_shape: Sequence[int] | Sequence[Sequence[int]], *, dtype: str = "float32"
) -> Graph:
    """The graph of a module, recorded in evaluation mode, checked on other inputs and batch sizes.

    input_shape: of one sample (c, h, w), or a list of such shapes if the module takes several inputs. Leaf
    layers become nodes of their own; everything else must be done by tensor operations, and the path taken
    through `forward` may depend neither on values nor on the batch size. Raises UnsupportedError, naming the
    culprit where it can be known, if the graph would not be the module.
    """
    shapes = _shapes(input_shape)
    if isinstance(module, GraphModule) and [v.shape[1:] for v in module.graph.inputs] == shapes:
        return module.graph
    _refuse_ties(module)
    with evaluating(module):
        names = ["input"] if len(shapes) == 1 else [f"input_{i}" for i in range(len(shapes))]
        inputs = [Input(name=n, shape=(None, *s), dtype=dtype) for n, s in zip(names, shapes, strict=True)]
        graph = record(module, lambda n: _samples(module, shapes, dtype, n, seed=0), inputs)
        _verify(module, graph, shapes, dtype)
    return graph


def _verify(module: Module, graph: Graph, shapes: list[tuple[int, ...]], dtype: str) -> None:
    replica = GraphModule(graph)
    replica.load_state_dict(module.state_dict())
    replica.to(next((t.device for _, t in module.named_tensors()), "cpu")).eval()
    for n in (5, 1):
        ours, theirs = (_run(m, _samples(module, shapes, dtype, n, seed=n)) for m in (replica, module))
        if len(ours) != len(theirs) or not all(map(_close, ours, theirs)):
            raise UnsupportedError(
                f"the traced network and the module differ on a batch of {n}: forward depends on values, "
                "on the batch size or on random numbers, or computes something without tensor operations"
            )
    # A detach, a no_grad or a round trip through NumPy leaves the outputs alone, but not the gradients.
    # Two samples show it as well as more, and deep networks take seconds for each.
    ours, theirs = (_input_gradient(m, _samples(module, shapes, dtype, 2, seed=6)) for m in (replica, module))
    if len(ours) != len(theirs) or not all(map(_close, ours, theirs)):
        raise UnsupportedError(
            "the traced network and the module have different gradients: forward uses detach or no_grad, or "
            "leaves the tensor operations; gradients of a stored network follow its operations alone"
        )


def _run(module: Module, inputs: list[Tensor]) -> list[np.ndarray]:
    with no_grad():
        out = module(*inputs)
    return [asnumpy(t.data) for t in (out if isinstance(out, (tuple, list)) else (out,))]


def _input_gradient(module: Module, inputs: list[Tensor]) -> list[np.ndarray]:
    """Gradients of a random combination of the first differentiable output; none if there is none."""
    leaves = [Tensor(t.data, requires_grad=t.dtype.kind == "f") for t in inputs]
    with frozen(module):
        out = module(*leaves)
        first = next(
            (t for t in (out if isinstance(out, (tuple, list)) else (out,)) if t.requires_grad), None
        )
        if first is None:
            return []
        weights = np.random.default_rng(7).standard_normal(first.shape)
        try:
            first.backward(get_xp(first.data).asarray(weights, dtype=first.dtype))
        except UnsupportedError:
            return []
    return [np.zeros(t.shape) if t.grad is None else t.grad.numpy() for t in leaves]


def _close(ours: np.ndarray, theirs: np.ndarray) -> bool:
    if ours.shape != theirs.shape:
        return False
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(theirs)
        largest = np.abs(theirs[finite]).max(initial=0.0)
        return bool(
            np.array_equal(finite, np.isfinite(ours))
            and (np.abs(ours[finite] - theirs[finite]) <= TOLERANCE * largest).all()
        )


# -- small parts ----------------


def _samples(module: Module, shapes: list[tuple[int, ...]], dtype: str, n: int, seed: int) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    device = next((t.device for _, t in module.named_tensors()), "cpu")
    arrays = []
    for shape in shapes:
        integers = np.dtype(dtype).kind in "iub"
        drawn = rng.integers(0, 2, (n, *shape)) if integers else rng.standard_normal((n, *shape))
        arrays.append(Tensor(to_device(drawn.astype(dtype), device)))
    return arrays


def _shapes(input_shape: Any) -> list[tuple[int, ...]]:
    several = len(input_shape) > 0 and all(isinstance(shape, (tuple, list)) for shape in input_shape)
    return [tuple(count("input_shape", n) for n in s) for s in (input_shape if several else [input_shape])]


def _refuse_ties(module: Module) -> None:
    first: dict[int, str] = {}
    for name, tensor in module.named_tensors():
        known = first.setdefault(id(tensor), name)
        if known != name:
            raise UnsupportedError(
                f"{known!r} and {name!r} are one tensor, which a stored network would part; "
                "share the layer instead"
            )
