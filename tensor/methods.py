"""Methods and operators of Tensor that each call one row of the op table and need no more of a tensor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from armour.errors import InvalidArgument
from armour.tensor.op import OPS

if TYPE_CHECKING:
    from armour.tensor.core import Tensor


class Methods:
    """What Tensor inherits: reductions, functions of each element, and operators beyond arithmetic."""

    __slots__ = ()

    # -- operators ------------------------------------------------------

    def __lt__(self, other: Any) -> Tensor:
        return OPS["less"](self, other)

    def __le__(self, other: Any) -> Tensor:
        return OPS["less_equal"](self, other)

    def __gt__(self, other: Any) -> Tensor:
        return OPS["greater"](self, other)

    def __ge__(self, other: Any) -> Tensor:
        return OPS["greater_equal"](self, other)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return OPS["equal"](self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return OPS["not_equal"](self, other)

    __hash__ = object.__hash__

    def __mod__(self, other: Any) -> Tensor:
        return OPS["mod"](self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return OPS["mod"](other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return OPS["floor_divide"](self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return OPS["floor_divide"](other, self)

    def __and__(self, other: Any) -> Tensor:
        return _of_masks("logical_and", self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Tensor:
        return _of_masks("logical_or", self, other)

    __ror__ = __or__

    def __xor__(self, other: Any) -> Tensor:
        return _of_masks("logical_xor", self, other)

    __rxor__ = __xor__

    def __invert__(self) -> Tensor:
        return _of_masks("logical_not", self)

    # -- over axes ------------------------------------------------------

    def sum(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Sum over `axis` (an int, a tuple, or None for all)."""
        return OPS["sum"](self, axis=_axes(axis), keepdims=keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Mean over `axis`."""
        return OPS["mean"](self, axis=_axes(axis), keepdims=keepdims)

    def var(self, axis: Any = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """Variance over `axis`, divided by n - ddof (NumPy's default 0)."""
        return OPS["var"](self, axis=_axes(axis), keepdims=keepdims, ddof=ddof)

    def max(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Largest value over `axis`; ties share the gradient evenly."""
        return OPS["max"](self, axis=_axes(axis), keepdims=keepdims)

    def min(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Smallest value over `axis`; ties share the gradient evenly."""
        return OPS["min"](self, axis=_axes(axis), keepdims=keepdims)

    def argmax(self, axis: int | None = None) -> Tensor:
        """Index of the first maximum."""
        return OPS["argmax"](self, axis=axis)

    def argmin(self, axis: int | None = None) -> Tensor:
        """Index of the first minimum."""
        return OPS["argmin"](self, axis=axis)

    def prod(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Product over `axis`."""
        return OPS["prod"](self, axis=_axes(axis), keepdims=keepdims)

    def any(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Whether one element over `axis` is true."""
        return OPS["any"](self, axis=_axes(axis), keepdims=keepdims)

    def all(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """Whether every element over `axis` is true."""
        return OPS["all"](self, axis=_axes(axis), keepdims=keepdims)

    def cumsum(self, axis: int) -> Tensor:
        """Running sum along `axis`."""
        return OPS["cumsum"](self, axis=axis)

    def cumprod(self, axis: int) -> Tensor:
        """Running product along `axis`."""
        return OPS["cumprod"](self, axis=axis)

    # -- element by element ------------------------------------------------------

    def exp(self) -> Tensor:
        """e to the power of each element."""
        return OPS["exp"](self)

    def log(self) -> Tensor:
        """Natural logarithm."""
        return OPS["log"](self)

    def sqrt(self) -> Tensor:
        """Square root."""
        return OPS["sqrt"](self)

    def abs(self) -> Tensor:
        """Absolute value; gradient 0 at 0."""
        return OPS["abs"](self)

    def sign(self) -> Tensor:
        """-1, 0 or 1; no gradient."""
        return OPS["sign"](self)

    def sin(self) -> Tensor:
        """Sine of radians."""
        return OPS["sin"](self)

    def cos(self) -> Tensor:
        """Cosine of radians."""
        return OPS["cos"](self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent."""
        return OPS["tanh"](self)

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-x)), without overflow."""
        return OPS["sigmoid"](self)

    def relu(self) -> Tensor:
        """max(x, 0); gradient 0 at 0."""
        return OPS["relu"](self)

    def clip(self, low: float | None = None, high: float | None = None) -> Tensor:
        """Limited to [low, high]; the gradient passes on the closed interval."""
        return OPS["clip"](self, low=low, high=high)

    def softmax(self, axis: int = -1) -> Tensor:
        """Softmax along `axis`."""
        return OPS["softmax"](self, axis=axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        """Logarithm of the softmax along `axis`."""
        return OPS["log_softmax"](self, axis=axis)

    def logsumexp(self, axis: Any = None, keepdims: bool = False) -> Tensor:
        """log of the sum of exponentials over `axis`."""
        return OPS["logsumexp"](self, axis=_axes(axis), keepdims=keepdims)


def _of_masks(name: str, *inputs: Any) -> Tensor:
    """The row `name` of booleans; of numbers, of which NumPy would take the bits, InvalidArgument."""
    for value in inputs:
        dtype = getattr(value, "dtype", None)
        if str(dtype) != "bool" and not isinstance(value, bool):
            raise InvalidArgument(
                f"expected booleans for &, |, ^ and ~, got {dtype or type(value).__name__}; compare first "
                f"(x > 0), or use {name}"
            )
    return OPS[name](*inputs)


def _axes(axis: Any) -> Any:
    return tuple(int(a) for a in axis) if isinstance(axis, (tuple, list)) else axis
