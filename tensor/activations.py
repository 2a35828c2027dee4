"""Leaf layers that work element by element, and softmax."""

from __future__ import annotations

from armour.checks import non_negative, one_of, positive
from armour.tensor import elementwise, gates, reduce
from armour.tensor.core import Tensor
from armour.tensor.layers import Layer, leaf


@leaf
class ReLU(Layer):
    """max(x, 0); gradient 0 at 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return elementwise.relu(x)


@leaf
class LeakyReLU(Layer):
    """x where x > 0, else slope * x."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = non_negative("slope", slope)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return elementwise.leaky_relu(x, self.slope)


@leaf
class ELU(Layer):
    """x where x > 0, else alpha * (exp(x) - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = positive("alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return elementwise.elu(x, self.alpha)


@leaf
class GELU(Layer):
    """x times the standard normal distribution function of x.

    approximate: "none" (exact, by erf) or "tanh". Hendrycks and Gimpel, 2016, arXiv 1606.08415.
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = one_of("approximate", approximate, ("none", "tanh"))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return elementwise.gelu(x) if self.approximate == "none" else gates.gelu_tanh(x)


@leaf
class SiLU(Layer):
    """x * sigmoid(x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return elementwise.silu(x)


@leaf
class Sigmoid(Layer):
    """1 / (1 + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return elementwise.sigmoid(x)


@leaf
class Tanh(Layer):
    """Hyperbolic tangent."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return elementwise.tanh(x)


@leaf
class Softplus(Layer):
    """log(1 + exp(x))."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return elementwise.softplus(x)


@leaf
class Softmax(Layer):
    """Softmax along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = int(axis)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return reduce.softmax(x, self.axis)


@leaf
class LogSoftmax(Layer):
    """Logarithm of the softmax along `axis`."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = int(axis)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return reduce.log_softmax(x, self.axis)
