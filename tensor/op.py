"""The op table: one row per operation, with its forward rule, its vjp and the domain its checks sample from.

A row's vjp is written in Tensor operations, so that derivatives of derivatives come free. It is a tuple with
one function `(g, y, *inputs, **attrs) -> Tensor` per input (None: no gradient), so that a gradient nobody
asked for is not computed; a row with any number of inputs gives one function `(i, g, y, *inputs, **attrs)`
instead. Gradients may have broadcast
shape: the backward pass sums them to the input's shape, once and for all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from armour.errors import InvalidArgument
from armour.tensor.backend import Array

if TYPE_CHECKING:
    from armour.tensor.core import Tensor

Vjp = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One example for the walk over the table: input shapes (or integer arrays as data) and attributes."""

    shapes: tuple[Any, ...]
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Op:
    """One row. Call it with tensors, arrays or numbers and keyword attributes.

    forward: (xp, *arrays, **attrs) -> array. vjp: see the module; None if the output has no gradient.
    domain: (low, high) for every input, or one pair per input: where value and gradient checks sample.
    cases: examples whose shapes the checks use; none means elementwise, checked on the standard shapes.
    once: True if the vjp is not itself differentiable.
    """

    name: str
    forward: Callable[..., Array]
    vjp: tuple[Vjp | None, ...] | Vjp | None = None
    domain: Any = (-2.0, 2.0)
    cases: tuple[Case, ...] = ()
    once: bool = False

    def __call__(self, *inputs: Any, **attrs: Any) -> Tensor:
        return _core.apply(self, inputs, attrs)

    def input_vjp(
        self, index: int, g: Tensor, y: Tensor, inputs: Sequence[Tensor], attrs: dict[str, Any]
    ) -> Any:
        """The gradient for input `index` given the gradient `g` of the output `y`; None if there is none."""
        rules = self.vjp
        if isinstance(rules, tuple):
            rule = rules[index]
            if rule is None:
                return None
            return rule(g, y, *inputs, **attrs) if attrs else rule(g, y, *inputs)
        return None if rules is None else rules(index, g, y, *inputs, **attrs)

    def __repr__(self) -> str:
        return f"<op {self.name}>"


OPS: dict[str, Op] = {}


def op(
    name: str,
    forward: Callable[..., Array],
    vjp: tuple[Vjp | None, ...] | Vjp | None = None,
    *,
    domain: Any = (-2.0, 2.0),
    cases: Sequence[Case] = (),
    once: bool = False,
) -> Op:
    """Add a row to the table and return it; a name is unique."""
    if name in OPS:
        raise InvalidArgument(f"op {name!r} is in the table twice")
    row = Op(name, forward, vjp, domain, tuple(cases), once)
    OPS[name] = row
    return row


# The tape's Tensor has methods that call rows, so the two modules know each other; whichever is imported
# first, all that the other one needs of it is defined by now.
from armour.tensor import core as _core  # noqa: E402
