"""Control of what is differentiated and repeated. Conditions and loops are Python's own; `where` chooses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from armour.errors import InvalidArgument
from armour.tensor.core import Tensor, lift
from armour.tensor.op import Case, Op, op
from armour.tensor.shape import stack

# The same values without a gradient. Unlike detach it is a row, so that recorded networks keep it.
stop_gradient: Op = op("stop_gradient", lambda xp, x: x, cases=(Case(((3, 4),)), Case(((0,),))))


def scan(
    fn: Callable[[Any, Tensor], tuple[Any, Any]], state: Any, xs: Any, axis: int = 0
) -> tuple[Any, Tensor]:
    """Calls `state, y = fn(state, x)` for each slice x of xs along `axis`; -> (last state, all y stacked).

    fn: the step; its y must have one shape throughout. state: whatever fn takes and returns. The ys are
    stacked along the same axis. Gradients flow through the states, as they would through a loop.
    """
    (t,) = lift([xs])
    if not t.ndim or not t.shape[axis]:
        raise InvalidArgument(f"scan expects at least one slice along axis {axis}, got shape {t.shape}")
    ys = []
    for i in range(t.shape[axis]):
        state, y = fn(state, t[(*(slice(None),) * (axis % t.ndim), i)])
        ys.append(y)
    return state, stack(ys, axis)
