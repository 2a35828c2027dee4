"""Functional transforms: gradients, products with Jacobians and Hessians, and gradients per sample.

A transform detaches what it returns, unless it runs inside another transform's function (so that transforms
nest) or is told to `create_graph`. Functions must be written in Tensor operations.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, backward_pass, grad_enabled, lift, recording
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import stack

_local = threading.local()

# A transform differentiates with respect to an alias of what it was given, so that an outer transform sees
# through it.
_alias: Op = op("alias", lambda xp, x: x, (lambda g, y, x: g,), cases=(Case(((2, 3),)), Case(((0,),))))


def depth() -> int:
    """How many transforms' functions this thread is inside of."""
    return int(getattr(_local, "depth", 0))


@contextmanager
def at_depth(levels: int) -> Iterator[None]:
    """Inside, transforms act as they do inside that many others, and operations are recorded."""
    before, _local.depth = depth(), levels
    try:
        with recording(True):
            yield
    finally:
        _local.depth = before


def inside() -> AbstractContextManager[None]:
    """For a transform's call of its function: one level deeper, and operations are recorded."""
    return at_depth(depth() + 1)


def nested() -> bool:
    """True inside another transform's function, which may differentiate what is computed here."""
    return depth() > 0 and grad_enabled()


def _watch(value: Any, keep: bool) -> Any:
    """What to differentiate for: aliases of tensors if an outer transform may watch, else new leaves."""
    if isinstance(value, dict):
        return {k: _watch(v, keep) for k, v in value.items()}
    if isinstance(value, (list, tuple)) and any(
        isinstance(v, (Tensor, dict)) or hasattr(v, "shape") for v in value
    ):
        return type(value)(_watch(v, keep) for v in value)
    (t,) = lift([value])
    if t.dtype.kind != "f":
        raise InvalidArgument(f"expected a floating-point argument to differentiate for, got dtype {t.dtype}")
    if keep and t.requires_grad:
        with recording(True):
            return _alias(t)
    return Tensor(t.data, requires_grad=True)


def _leaves(value: Any) -> list[Tensor]:
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in _leaves(v)]
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in _leaves(v)]
    return [value]


def _rebuild(like: Any, leaves: Iterator[Tensor]) -> Any:
    if isinstance(like, dict):
        return {k: _rebuild(v, leaves) for k, v in like.items()}
    if isinstance(like, (list, tuple)):
        return type(like)(_rebuild(v, leaves) for v in like)
    return next(leaves)


def _zeros(t: Tensor) -> Tensor:
    return Tensor(get_xp(t.data).zeros_like(t.data))


def gradients(
    outputs: Tensor, seed: Tensor, targets: list[Tensor], create: bool, retain: bool = False
) -> list[Tensor]:
    if not outputs.requires_grad:
        return [_zeros(t) for t in targets]
    found = {id(t): g for t, g in backward_pass([outputs], [seed], targets, create, create or retain)}
    grads = [found.get(id(t)) for t in targets]
    return [
        _zeros(t) if g is None else g if create else g.detach() for t, g in zip(targets, grads, strict=True)
    ]


def _positions(argnums: int | Sequence[int]) -> tuple[int, ...]:
    return (argnums,) if isinstance(argnums, int) else tuple(argnums)


def value_and_grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, create_graph: bool = False
) -> Callable[..., tuple[Tensor, Any]]:
    """A function returning (fn(*args), gradient for the arguments at `argnums`); fn returns a single element.

    Arguments are arrays, Tensors, or dicts, lists and tuples of them; the gradient has the same structure (a
    tuple of them if `argnums` is a sequence).
    """

    def evaluate(*args: Any, **kwargs: Any) -> tuple[Tensor, Any]:
        keep = create_graph or nested()
        watched = [_watch(args[i], keep) for i in _positions(argnums)]
        called = list(args)
        for i, w in zip(_positions(argnums), watched, strict=True):
            called[i] = w
        with inside():
            (value,) = lift([fn(*called, **kwargs)])
        if value.size != 1:
            raise InvalidArgument(f"expected a function returning a single element, got shape {value.shape}")
        seed = Tensor(get_xp(value.data).ones_like(value.data))
        grads = iter(gradients(value, seed, _leaves(watched), keep))
        rebuilt = [_rebuild(w, grads) for w in watched]
        return value if keep else value.detach(), rebuilt[0] if isinstance(argnums, int) else tuple(rebuilt)

    return evaluate


def grad(
    fn: Callable[..., Any], argnums: int | Sequence[int] = 0, create_graph: bool = False
) -> Callable[..., Any]:
    """A function returning the gradient of `fn` for the arguments at `argnums`; see value_and_grad."""
    both = value_and_grad(fn, argnums, create_graph)
    return lambda *args, **kwargs: both(*args, **kwargs)[1]


def vjp(fn: Callable[..., Any], *args: Any) -> tuple[Tensor, Callable[[Any], tuple[Tensor, ...]]]:
    """(fn(*args), pull): pull(g) is g times the Jacobian for each argument; it may be called many times."""
    keep = nested()
    watched = [_watch(a, keep) for a in args]
    with inside():
        (value,) = lift([fn(*watched)])

    def pull(g: Any) -> tuple[Tensor, ...]:
        (seed,) = lift([g])
        if seed.shape != value.shape:
            raise InvalidArgument(f"expected a cotangent of shape {value.shape}, got {seed.shape}")
        return tuple(gradients(value, seed.astype(value.dtype), watched, nested(), retain=True))

    return value if keep else value.detach(), pull


def hvp(fn: Callable[..., Any], x: Any, v: Any) -> Tensor:
    """The Hessian of the scalar function `fn` at x times v (of x's shape), by one gradient of a gradient."""
    (direction,) = lift([v])
    first = grad(fn)

    def along(y: Tensor) -> Tensor:
        g: Tensor = first(y)
        if g.shape != direction.shape:
            raise InvalidArgument(f"expected v of x's shape {g.shape}, got {direction.shape}")
        return (g * direction.astype(g.dtype)).sum()

    product: Tensor = grad(along)(x)
    return product


def jvp(fn: Callable[..., Any], primals: Any, tangents: Any) -> tuple[Tensor, Tensor]:
    """(fn(*primals), the Jacobian of fn times the tangents): the derivative along one direction.

    primals, tangents: tuples of arrays of equal shapes, or one array each for a function of one argument.
    The product is the derivative, for the cotangent, of the vjp, which is linear in it: two backward passes,
    whatever the number of outputs. Raises InvalidArgument for shapes that differ.

    >>> value, slope = jvp(lambda x: x * x, [1.0, 3.0], [1.0, 0.5])
    >>> slope.numpy().tolist()
    [2.0, 3.0]
    """
    points = primals if isinstance(primals, tuple) else (primals,)
    directions = lift(tangents if isinstance(tangents, tuple) else (tangents,))
    keep = nested()
    watched = [_watch(p, keep) for p in points]
    if [t.shape for t in watched] != [t.shape for t in directions]:
        raise InvalidArgument(
            f"expected tangents of the primals' shapes {[t.shape for t in watched]}, "
            f"got {[t.shape for t in directions]}"
        )
    with inside():
        (value,) = lift([fn(*watched)])
        push = _pusher(value, watched)
    return value if keep else value.detach(), push(directions)


def _pusher(value: Tensor, watched: list[Tensor]) -> Callable[[Sequence[Tensor]], Tensor]:
    """The function from tangents of `watched` to the tangent of `value`; it may be called many times."""
    # The pulled-back gradients are linear in the cotangent, so where it lies does not matter; at 1 rather
    # than 0, rules that divide do not divide 0 by 0.
    cotangent = Tensor(get_xp(value.data).ones_like(value.data), requires_grad=value.dtype.kind == "f")
    pulled = gradients(value, cotangent, watched, True)

    def push(tangents: Sequence[Tensor]) -> Tensor:
        keep = nested()
        with recording(True):
            along = [(g * t.astype(g.dtype)).sum() for g, t in zip(pulled, tangents, strict=True)]
            total = functools.reduce(lambda a, b: a + b, along)
        seed = Tensor(get_xp(total.data).ones_like(total.data))
        return gradients(total, seed, [cotangent], keep, retain=True)[0]

    return push


def jacobian(fn: Callable[..., Any]) -> Callable[[Any], Tensor]:
    """A function returning the Jacobian (*output shape, *input shape).

    One forward pass, then one backward pass for each output (a row) or for each input (a column, as in
    `jvp`), whichever are fewer.
    """

    def evaluate(x: Any) -> Tensor:
        keep = nested()
        t = _watch(x, keep)
        with inside():
            (value,) = lift([fn(t)])
            by_columns = t.size < value.size
            push = _pusher(value, [t]) if by_columns else None
        shape = (*value.shape, *t.shape)
        if not math.prod(shape):
            return Tensor(get_xp(t.data).zeros(shape, t.dtype))
        if push is not None:
            columns = [push([unit]) for unit in _units(t)]
            return stack(columns, axis=-1).reshape(shape)
        rows = [gradients(value, unit, [t], keep, retain=True)[0] for unit in _units(value)]
        return stack(rows).reshape(shape)

    return evaluate


def _units(like: Tensor) -> Iterator[Tensor]:
    """Arrays of that shape that are 1 at one element and 0 elsewhere, for each element."""
    xp = get_xp(like.data)
    for i in range(like.size):
        unit = xp.zeros(like.size, like.dtype)
        unit[i] = 1
        yield Tensor(unit.reshape(like.shape))


def hessian(fn: Callable[..., Any]) -> Callable[[Any], Tensor]:
    """A function returning the second derivatives (*x.shape, *x.shape) of the scalar function `fn`.

    The Jacobian of the gradient: one backward pass per element of x.

    >>> hessian(lambda x: (x * x * x).sum())([1.0, 2.0]).numpy().tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    return jacobian(grad(fn))


def per_sample_grad(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function (params, x, y) -> gradients of fn(params, x_i, y_i) for each sample i, stacked to (n, ...).

    fn: takes params, one sample and its label (without the batch axis) and returns a single element. params:
    a dict of arrays (or any structure value_and_grad takes); the result has its structure. Further arguments
    are split like x. Correct for every fn: each sample has its own forward and backward pass.
    """
    single = grad(fn)

    def evaluate(params: Any, *batch: Any) -> Any:
        tensors = [lift([b])[0] for b in batch]
        if not tensors or any(not t.ndim or t.shape[0] != tensors[0].shape[0] for t in tensors):
            raise InvalidArgument(
                f"expected arrays with one row per sample, got shapes {[t.shape for t in tensors]}"
            )
        rows = [single(params, *(t[i] for t in tensors)) for i in range(tensors[0].shape[0])]
        if not rows:
            empty = [_zeros(t)[None][:0] for t in _leaves(_watch(params, False))]
            return _rebuild(_watch(params, False), iter(empty))
        leaves = [_leaves(row) for row in rows]
        stacked = [stack([row[j] for row in leaves]) for j in range(len(leaves[0]))]
        return _rebuild(rows[0], iter(stacked))

    return evaluate
