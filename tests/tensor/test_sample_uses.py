"""Parameters that operations use directly: by a rule where the batch can be told, else one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.tensor import Tensor, nn
from tests.tensor.sample_oracle import RNG, check


class Using(nn.Module):
    """Parameters of the shapes given, and what to do with them and x."""

    def __init__(self, function: Any, *shapes: tuple[int, ...], layer: nn.Module | None = None) -> None:
        self.function = function
        self.p = [nn.Parameter(np.ones(s)) for s in shapes]
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """What the function makes of x."""
        out: Tensor = self.function(x if self.layer is None else self.layer(x), *self.p)
        return out


def attention(x: Tensor, w: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """(n, t, d): one head; the three projections are slices of one weight (3 d, d)."""
    d = x.shape[2]
    q, k, v = (tensor.linalg.linear(x, w[i * d : (i + 1) * d], b[i * d : (i + 1) * d]) for i in range(3))
    return tensor.softmax(q @ k.transpose(0, 2, 1)) @ v @ out


def recurrent(x: Tensor, w: Tensor, u: Tensor, b: Tensor) -> Tensor:
    """(n, t, d) -> (n, h): the weights are used at every step."""
    h = Tensor(np.zeros((x.shape[0], u.shape[0])))
    for t in range(x.shape[1]):
        h = tensor.tanh(tensor.linalg.linear(x[:, t], w, b) + tensor.linalg.linear(h, u))
    return h


def with_token(x: Tensor, token: Tensor, position: Tensor) -> Tensor:
    """(n, t, d) with a token in front, and positions added."""
    n, _, d = x.shape
    return tensor.sin(tensor.concat([tensor.broadcast_to(token, (n, 1, d)), x], axis=1) + position)


def exponential(x: Tensor, w: Tensor) -> Tensor:
    return x * tensor.exp(w)


class TimeFirst(nn.Module):
    """Samples along the second axis inside, which cannot be seen from the shape where both are as long."""

    def __init__(self, by_layer: bool) -> None:
        self.layer, self.by_layer = nn.Linear(4, 3), by_layer

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, 4) -> (n, t, 3)."""
        turned = x.transpose(1, 0, 2)
        if self.by_layer:
            return self.layer(turned).transpose(1, 0, 2)  # type: ignore[no-any-return]
        out: Tensor = turned @ self.layer.weight.T + self.layer.bias
        return out.transpose(1, 0, 2)


BY_RULE: dict[str, tuple[Any, tuple[int, ...]]] = {
    "scale": (Using(lambda x, p: tensor.sin(x * p), (3,), layer=nn.Linear(4, 3)), (5, 4)),
    "scale with a batch axis of 1": (Using(lambda x, p: tensor.sin(p / x), (1, 3)), (5, 3)),
    "scalar": (Using(lambda x, p: tensor.sin(x - p), ()), (5, 3)),
    "axes in the middle": (Using(lambda x, p: tensor.sin(x * p), (2, 1, 3)), (4, 2, 5, 3)),
    "fewer axes": (Using(tensor.maximum, (3,)), (4, 2, 3)),
    "power": (Using(lambda x, p: tensor.exp(x) ** p, (3,)), (4, 3)),
    "where": (Using(lambda x, p: tensor.where(x > 0, x * x, p), (3,)), (4, 3)),
    "reshaped and transposed": (
        Using(lambda x, p: tensor.sin(x * p.reshape((3, 2)).T + p[1:4].reshape((3,))), (6,)),
        (4, 2, 3),
    ),
    "every other element": (Using(lambda x, p: tensor.sin(x * p[::-2]), (6,)), (4, 3)),
    "matrix from the right": (Using(lambda x, p: tensor.tanh(x @ p), (3, 4)), (5, 3)),
    "matrix from the right of sequences": (Using(lambda x, p: tensor.tanh(x @ p), (3, 4)), (5, 2, 3)),
    "matrix from the left": (Using(lambda x, p: tensor.tanh(p @ x), (4, 2)), (5, 2, 3)),
    "tied": (
        Using(lambda x, w, b: tensor.tanh(tensor.linalg.linear(x, w, b)) @ w, (3, 4), (3,)),
        (5, 4),
    ),
    "attention": (Using(attention, (12, 4), (12,), (4, 4)), (5, 3, 4)),
    "attention as long as the batch": (Using(attention, (12, 4), (12,), (4, 4)), (4, 4, 4)),
    "recurrent": (Using(recurrent, (3, 2), (3, 3), (3,)), (5, 4, 2)),
    "recurrent, as many steps as samples": (Using(recurrent, (6, 5), (6, 6), (6,)), (2, 2, 5)),
    "token and positions": (Using(with_token, (3,), (5, 3)), (2, 4, 3)),
    "positions as many as samples": (Using(with_token, (1, 3), (5, 3)), (5, 4, 3)),
    "convolution": (
        Using(lambda x, w, b: tensor.sin(tensor.conv2d(x, w, b, 2, 1)), (4, 2, 3, 3), (4,)),
        (3, 2, 5, 6),
    ),
    "conv 1d": (nn.Sequential(nn.Conv1d(2, 4, 3, 2, 1), nn.Tanh(), nn.Conv1d(4, 4, 2, groups=2)), (3, 2, 9)),
    "conv 3d": (
        nn.Sequential(nn.Conv3d(2, 4, 2, (2, 1, 2), (1, 0, 1)), nn.Tanh(), nn.Conv3d(4, 2, 2, groups=2)),
        (3, 2, 3, 4, 4),
    ),
    "conv 3d, dilated": (nn.Conv3d(1, 2, 3, padding="same", dilation=(2, 1, 1)), (2, 1, 4, 3, 3)),
    "conv transposed": (
        nn.Sequential(nn.ConvTranspose2d(2, 4, 3, 2, 1, 1), nn.Tanh(), nn.ConvTranspose2d(4, 2, 2, groups=2)),
        (3, 2, 4, 5),
    ),
    "conv transposed 1d": (nn.ConvTranspose1d(2, 4, 3, 2), (3, 2, 5)),
}


for axis in ("layers", "operations"):
    layers = axis == "layers"
    BY_RULE |= {
        f"time first by {axis}": (TimeFirst(layers), (5, 3, 4)),
        f"time first by {axis}, as long": (TimeFirst(layers), (5, 5, 4)),
        f"time first by {axis}, twice as long": (TimeFirst(layers), (2, 4, 4)),
        f"time first by {axis}, half as long": (TimeFirst(layers), (4, 2, 4)),
    }
BY_RULE["positions, time first"] = (
    Using(lambda x, p: tensor.sin(x.transpose(1, 0, 2) * p).transpose(1, 0, 2), (3, 1, 4)),
    (3, 3, 4),
)


@pytest.mark.parametrize("name", BY_RULE)
def test_uses_with_a_rule(name: str) -> None:
    module, shape = BY_RULE[name]
    for _ in range(2):
        check(module, RNG.standard_normal(shape))


class Flat(nn.Module):
    """Rows that are not samples: (n, t, 4) merged to (n t, 4) before the layer."""

    def __init__(self) -> None:
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(n, t, 4) -> (n, t, 3)."""
        out: Tensor = self.layer(x.reshape((-1, 4)))
        return out.reshape((*x.shape[:2], 3))


def embedded(numbers: Tensor, table: Tensor) -> Tensor:
    """Integers (n, t) -> (n, t, d); the table's values enter twice."""
    rows = tensor.gather(table, numbers)
    return tensor.sin(rows) * rows


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 20), (4, 4), (3, 2, 3)])
@pytest.mark.parametrize("low", [0, -6])
def test_rows_of_a_table(shape: tuple[int, ...], low: int) -> None:
    # Samples look rows up again and again, and from the end: 20 lookups of 6 rows.
    numbers = RNG.integers(low, 6, shape)
    check(Using(embedded, (6, 4)), numbers)
    time_first = lambda x, p: embedded(x.T, p).transpose(1, 0, 2)  # noqa: E731
    if len(shape) == 2:
        check(Using(time_first, (6, 4)), numbers)


class Changed(nn.Linear):
    """A linear layer that computes something else: its base class's rule does not hold."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4) -> (n, 3)."""
        return tensor.exp(self.weight).sum() * tensor.tanh(super().forward(x))


class Custom(nn.Module):
    """A linear layer whose backward is twice the true one, by a rule of its own."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(np.ones((3, 4)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4) -> (n, 3)."""
        return tensor.linalg.linear(x, self.weight)

    def bprop(self, x: Tensor, out: Tensor, dout: Tensor) -> Any:
        """Twice the gradient."""
        return (dout @ self.weight * 2.0,), {"weight": dout.T @ x * 2.0}


ONE_BY_ONE: dict[str, tuple[Any, tuple[int, ...]]] = {
    "merged": (Flat(), (5, 3, 4)),
    "merged, a multiple of the batch": (Flat(), (2, 2, 4)),
    "samples last": (Using(lambda x, p: tensor.tanh(p @ x.T).T, (3, 4)), (5, 4)),
    "no rule for the exponential": (Using(exponential, (3,)), (4, 3)),
    "no rule for the exponential, as long": (Using(exponential, (3, 3)), (3, 3, 3)),
    "parameters on both sides": (Using(lambda x, p, q: x * (p * q), (3,), (4, 3)), (4, 4, 3)),
    "picked by an array": (Using(lambda x, p: x * p[np.array([0, 0, 1])], (3,)), (4, 3)),
    "another forward": (Changed(4, 3), (5, 4)),
    "a backward of its own": (Custom(), (5, 4)),
    "three axes, transposed": (nn.ConvTranspose3d(2, 2, 2), (2, 2, 3, 3, 3)),
}


class Normed(nn.Linear):
    """Weight normalisation: the layer's weight is worked out from two parameters before it is called."""

    def __init__(self) -> None:
        super().__init__(4, 3)
        self.inner, self.direction, self.length = nn.Linear(3, 3), self.weight, nn.Parameter(np.ones((3, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4) -> (n, 3)."""
        unit = self.direction / (self.direction * self.direction).sum(axis=1, keepdims=True).sqrt()
        return tensor.linalg.linear(x, unit * self.length, self.bias)


class Reparametrised(nn.Module):
    """A linear layer whose weight attribute is set to a computed tensor in every forward."""

    def __init__(self) -> None:
        self.layer, self.scale = nn.Linear(4, 3), nn.Parameter(np.ones((3, 1)))
        self.base = self.layer.weight

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4) -> (n, 3)."""
        self.layer.weight = self.base * self.scale
        return self.layer(x)  # type: ignore[no-any-return]


ONE_BY_ONE["a normed weight"] = (Normed(), (5, 4))
ONE_BY_ONE["a weight worked out from others"] = (Reparametrised(), (5, 4))


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_other_uses_go_one_sample_after_the_other(name: str) -> None:
    module, shape = ONE_BY_ONE[name]
    for _ in range(2):  # what was learnt about a module must hold the second time too
        check(module, RNG.standard_normal(shape), by_rule=False)


def test_a_penalty_on_parameters_is_part_of_each_samples_loss() -> None:
    net = nn.Linear(4, 4)

    def loss(out: Tensor, y: Any) -> Tensor:
        return (out * out).sum(axis=1) + (net.weight * net.weight).sum()

    for n in (3, 4):
        check(net, RNG.standard_normal((n, 4)), loss=loss, by_rule=False)
