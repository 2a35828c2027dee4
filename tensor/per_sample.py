"""Per-sample gradients of a module in one batched forward and backward pass, and their clipped sum.

The forward pass notes the input of every layer that has a rule (`sample_grads.grad_sampler`), and every
operation that uses a parameter directly and has one (`sample_rows.row_sampler`). The backward pass stops at
their outputs, so the usual gradients are never made; the rule then combines input and output gradient. A
parameter used in any other way sends the whole module through one sample after the other, which is exact for
whatever treats samples independently.
"""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from armour.checks import describe
from armour.errors import InvalidArgument
from armour.tensor import sample_conv as sample_conv
from armour.tensor import sample_conv3d as sample_conv3d
from armour.tensor import sample_linear as sample_linear
from armour.tensor import sample_norm as sample_norm
from armour.tensor.autodiff import gradients, inside, nested
from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, backward_pass, lift, recording
from armour.tensor.elementwise import divide, maximum, sqrt
from armour.tensor.module import Module, Parameter
from armour.tensor.sample_calls import Calls, Reached, batch_axes
from armour.tensor.sample_grads import Dense, SampleGrad, added
from armour.tensor.shape import stack
from armour.tensor.watch import watching

log = logging.getLogger(__name__)

Loss = Callable[[Any, Any], Any]


def module_sample_grads(
    module: Module, loss_fn: Loss, x: Any, y: Any, *, create_graph: bool = False
) -> dict[str, Tensor]:
    """Gradients of each sample's own loss: name of a parameter -> (n, *parameter shape).

    loss_fn(module(x), y) -> (n,), one loss for each sample, not averaged. x: an array (n, ...), or a tuple of
    them for a module of several inputs; y: an array (n, ...), or a tuple. Parameters with requires_grad=False
    are left out. The module must treat samples independently, along the first axis.
    create_graph: the gradients can be differentiated again, for x for example.
    Inside `compile` all of it becomes one plan.
    Raises UnsupportedError for batch normalisation in training, which mixes the samples; InvalidArgument for
    losses of another shape.

    >>> from armour.tensor import cross_entropy, nn
    >>> import numpy as np
    >>> net = nn.Sequential(nn.Linear(4, 3, rng=0), nn.ReLU(), nn.Linear(3, 2, rng=1))
    >>> grads = module_sample_grads(net, cross_entropy, np.ones((5, 4), np.float32), np.zeros(5, int))
    >>> {name: g.shape for name, g in grads.items()}
    {'0.weight': (5, 3, 4), '0.bias': (5, 3), '2.weight': (5, 2, 3), '2.bias': (5, 2)}
    """
    keep = create_graph or nested()
    parts = sample_parts(module, loss_fn, x, y, keep)
    with recording(keep):
        return {name: part.dense for name, part in parts.items()}


def clipped_gradient(
    module: Module,
    loss_fn: Loss,
    x: Any,
    y: Any,
    max_norm: float,
    *,
    ghost: bool = True,
    create_graph: bool = False,
) -> tuple[dict[str, Tensor], Tensor]:
    """(sum over the samples of min(1, max_norm / |g_i|) g_i by parameter name, the norms |g_i| (n,)).

    |g_i| is the Euclidean norm of sample i's gradient for all parameters together. ghost: norms and sums come
    from layer inputs and output gradients where that is cheaper, so (n, *parameter shape) need not exist;
    False makes every per-sample gradient first, for the same numbers up to rounding. An empty batch gives
    zeros and no norms. Arguments and errors as in module_sample_grads; max_norm above 0.
    Abadi et al., 2016, https://arxiv.org/abs/1607.00133; Bu et al., 2022, https://arxiv.org/abs/2210.00038.

    >>> from armour.tensor import mse, nn
    >>> import numpy as np
    >>> net = nn.Linear(2, 1, bias=False)
    >>> net.weight.data[...] = 0
    >>> x, y = np.array([[3, 4], [0, 1]], np.float32), np.array([[-0.5], [-0.5]], np.float32)
    >>> total, norms = clipped_gradient(net, mse, x, y, max_norm=2.0)
    >>> norms.numpy().tolist()
    [5.0, 1.0]
    >>> print(total["weight"].numpy())
    [[1.2 2.6]]
    """
    if not (isinstance(max_norm, (int, float)) and 0 < max_norm < math.inf):
        raise InvalidArgument(f"expected max_norm above 0 and finite, got {describe('max_norm', max_norm)}")
    keep = create_graph or nested()
    parts = sample_parts(module, loss_fn, x, y, keep)
    if not parts:
        raise InvalidArgument("expected a module with parameters that require gradients, got none")
    with recording(keep):
        if not ghost:
            parts = {name: Dense(part.dense) for name, part in parts.items()}
        squares = functools.reduce(lambda a, b: a + b, (part.square_norms() for part in parts.values()))
        norms = sqrt(squares)
        factors = divide(float(max_norm), maximum(norms, float(max_norm)))
        return {name: part.weighted(factors) for name, part in parts.items()}, norms


def sample_parts(module: Module, loss_fn: Loss, x: Any, y: Any, keep: bool) -> dict[str, SampleGrad]:
    """The per-sample gradients by parameter name, as factors where a rule gives them."""
    wanted = {name: p for name, p in module.named_parameters() if p.requires_grad}
    inputs, labels, n = _batch(x, y)
    if not n:
        return {name: Dense(_rows_of_zeros(p, 0)) for name, p in wanted.items()}
    calls = Calls({id(p) for p in wanted.values()}, n)
    with inside(), watching(calls.watch):
        losses = _losses(module, loss_fn, inputs, labels, n)

    def run(part: slice) -> Tensor:
        with inside():
            return _losses(module, loss_fn, [t[part] for t in inputs], _picked(labels, part), 1)

    for _ in range(2):
        reached = calls.reached(losses)
        axes = None if reached.stray else batch_axes(module, inputs, run, calls, reached)
        if axes is not None:
            parts = _by_rule(losses, reached, axes, wanted, keep)
            if parts is not None:
                return parts
            break
        if not calls.calls:
            break
        calls.calls.clear()  # operation by operation: the batch need not be the first axis there
    log.debug("no per-sample rule for some use of a parameter: one sample after the other")
    return _one_by_one(run, n, wanted, keep)


def _by_rule(
    losses: Tensor, reached: Reached, axes: tuple[int, ...], wanted: dict[str, Parameter], keep: bool
) -> dict[str, SampleGrad] | None:
    """One backward pass that stops at the outputs noted, then each rule; None if a rule does not fit."""
    outputs = [call.output for call in reached.calls] + [use.output for use in reached.uses]
    found: dict[int, Tensor] = {}
    if outputs:
        seed = Tensor(get_xp(losses.data).ones_like(losses.data))
        found = {id(t): g for t, g in backward_pass([losses], [seed], outputs, keep, keep)}
    parts: dict[int, list[SampleGrad]] = {id(p): [] for p in wanted.values()}
    with recording(keep):
        for call in reached.calls:
            if id(call.output) not in found:
                continue
            for name, part in call.sampler(call.layer, call.input, found[id(call.output)]).items():
                parts.get(id(getattr(call.layer, name)), []).append(part)
        for use, axis in zip(reached.uses, axes, strict=True):
            if id(use.output) not in found:
                continue
            gradients_of_use = use.gradients(found[id(use.output)], axis)
            if gradients_of_use is None:
                return None
            parts[id(use.parameter)].append(gradients_of_use)
        return {
            name: added(parts[id(p)]) if parts[id(p)] else Dense(_rows_of_zeros(p, losses.shape[0]))
            for name, p in wanted.items()
        }


def _one_by_one(
    run: Callable[[slice], Tensor], n: int, wanted: dict[str, Parameter], keep: bool
) -> dict[str, SampleGrad]:
    rows: list[list[Tensor]] = []
    targets: list[Tensor] = list(wanted.values())
    for i in range(n):
        losses = run(slice(i, i + 1))
        seed = Tensor(get_xp(losses.data).ones_like(losses.data))
        rows.append(gradients(losses, seed, targets, keep))
    with recording(keep):
        return {name: Dense(stack([row[j] for row in rows])) for j, name in enumerate(wanted)}


def _picked(labels: Any, rows: slice) -> Any:
    return tuple(t[rows] for t in labels) if isinstance(labels, tuple) else labels[rows]


def _losses(module: Module, loss_fn: Loss, inputs: Iterable[Tensor], labels: Any, n: int) -> Tensor:
    (losses,) = lift([loss_fn(module(*inputs), labels)])
    if losses.shape != (n,):
        raise InvalidArgument(
            f"expected loss_fn to return one loss for each of {n} samples, got shape {losses.shape}; "
            "leave out the mean"
        )
    return losses


def _batch(x: Any, y: Any) -> tuple[list[Tensor], Any, int]:
    inputs = [lift([t])[0] for t in (x if isinstance(x, tuple) else (x,))]
    given = [lift([t])[0] for t in (y if isinstance(y, tuple) else (y,))]
    labels = tuple(given) if isinstance(y, tuple) else given[0]
    rows = [t.shape[:1] for t in [*inputs, *given]]
    if not inputs or any(r != rows[0] or not r for r in rows):
        raise InvalidArgument(f"expected x and y with one row for each sample, got row counts {rows}")
    return inputs, labels, rows[0][0]


def _rows_of_zeros(parameter: Parameter, n: int) -> Tensor:
    return Tensor(get_xp(parameter.data).zeros((n, *parameter.shape), parameter.dtype))
