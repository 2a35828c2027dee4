"""Leaf layers for activations with bends and gates; the common ones are in activations.py."""

from __future__ import annotations

import numpy as np

from armour.checks import count, positive
from armour.errors import InvalidArgument
from armour.tensor import gates, rectifiers
from armour.tensor.core import Tensor
from armour.tensor.layers import Layer, leaf
from armour.tensor.module import Parameter, initial


@leaf
class Hardtanh(Layer):
    """min(max(x, min_val), max_val); gradient 0 at both ends."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        self.min_val, self.max_val = float(min_val), float(max_val)
        if not self.min_val < self.max_val:
            raise InvalidArgument(f"expected min_val below max_val, got {min_val} and {max_val}")

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return rectifiers.hardtanh(x, self.min_val, self.max_val)


@leaf
class ReLU6(Layer):
    """min(max(x, 0), 6); gradient 0 at 0 and 6."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return rectifiers.relu6(x)


@leaf
class Hardsigmoid(Layer):
    """min(max(x + 3, 0), 6) / 6."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return rectifiers.hardsigmoid(x)


@leaf
class Hardswish(Layer):
    """x * min(max(x + 3, 0), 6) / 6. Howard et al., 2019, https://arxiv.org/abs/1905.02244."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return rectifiers.hardswish(x)


@leaf
class SELU(Layer):
    """ELU scaled so that mean 0 and variance 1 are kept. Klambauer et al., 2017, arXiv 1706.02515."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return rectifiers.selu(x)


@leaf
class CELU(Layer):
    """x where x > 0, else alpha * (exp(x / alpha) - 1)."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = positive("alpha", alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return rectifiers.celu(x, self.alpha)


@leaf
class Threshold(Layer):
    """x where x > threshold, else the constant `value`."""

    def __init__(self, threshold: float, value: float) -> None:
        self.threshold, self.value = float(threshold), float(value)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return rectifiers.threshold(x, self.threshold, self.value)


@leaf
class PReLU(Layer):
    """x where x > 0, else weight * x, with one learned weight or one for each channel of x (n, c, ...).

    init: all weights at the start. He et al., 2015, https://arxiv.org/abs/1502.01852.
    """

    def __init__(self, num_parameters: int = 1, init: float = 0.25) -> None:
        self.num_parameters, self.init = count("num_parameters", num_parameters), float(init)
        shape = (self.num_parameters,)
        self.weight = Parameter(initial(shape, lambda: np.full(shape, self.init, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return rectifiers.prelu(x, self.weight)


@leaf
class Mish(Layer):
    """x * tanh(log(1 + exp(x))). Misra, 2019, https://arxiv.org/abs/1908.08681."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return gates.mish(x)


@leaf
class Softsign(Layer):
    """x / (1 + |x|)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return gates.softsign(x)


@leaf
class LogSigmoid(Layer):
    """log of 1 / (1 + exp(-x))."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        return gates.logsigmoid(x)


@leaf
class GLU(Layer):
    """The first half along `axis` times the sigmoid of the second. Dauphin et al., 2016, arXiv 1612.08083."""

    def __init__(self, axis: int = -1) -> None:
        self.axis = int(axis)

    def forward(self, x: Tensor) -> Tensor:
        """(..., 2 k, ...) -> (..., k, ...)."""
        return gates.glu(x, self.axis)
