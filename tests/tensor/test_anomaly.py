"""detect_anomaly names the operation, the layer and the shapes of the first NaN; off, it leaves no trace."""

from __future__ import annotations

import re

import numpy as np
import pytest

from armour import tensor
from armour.errors import AnomalyError, ArmourError
from armour.tensor import Tensor, checkpoint, cross_entropy, detect_anomaly, grad, nn, zoo
from armour.tensor.tape import state
from armour.tensor.watch import STATE
from tests.tensor.strict import StrictArray, register


class Log(nn.Module):
    """The logarithm, as a layer without a guard."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return (x * 2.0).log() + 1.0


def test_forward_names_the_op_the_layer_and_the_inputs() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Tanh(), Log()))
    net[0].weight.data[...] = [[1, 0, 0], [-1, 0, 0]]
    with pytest.raises(AnomalyError) as caught, detect_anomaly():
        net(np.full((4, 3), 0.5, np.float32))
    message = str(caught.value)
    assert message.startswith("op log in layer '1.1' (Log) made 4 NaN in 8 values of shape (4, 2) float32")
    assert "input 0 (4, 2) float32 from -0.9242 to 0.9242;" in message  # twice the tanh of a half
    assert "what went in held none" in message and "clip it" in message
    assert caught.value.exit_code == 3 and isinstance(caught.value, ArmourError)


def test_what_went_in_is_blamed_where_it_held_the_nan() -> None:
    x = np.array([1.0, np.nan, 2.0], np.float32)
    with (
        pytest.raises(
            AnomalyError, match=r"op add made 1 NaN in 3 .*from 1 to 2 with 1 such.*held them already"
        ),
        detect_anomaly(),
    ):
        Tensor(x) + 1.0


def test_backward_names_the_op_whose_rule_made_it() -> None:
    # The root's rule gives an infinite gradient at 0, and that of the square makes NaN of it.
    x = Tensor(np.array([0.0, 1.0]), requires_grad=True)
    with (
        pytest.raises(
            AnomalyError, match=r"backward rule of op multiply made, for its input [01], 1 NaN in 2 values"
        ) as caught,
        detect_anomaly(),
    ):
        (x * x).sqrt().sum().backward()
    assert "output gradient (2,) float64 from 0.5 to 0.5;" in str(caught.value)
    with (
        pytest.raises(
            AnomalyError, match=r"backward rule of op sqrt made, for its input 0, 1 NaN or infinite"
        ),
        detect_anomaly(inf=True),
    ):
        (x * x).sqrt().sum().backward()


class Root(nn.Module):
    """A norm that has no gradient at 0."""

    def __init__(self) -> None:
        self.layer = nn.Linear(2, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 2) -> (n,)."""
        y = self.layer(x)
        return (y * y).sum(axis=1).sqrt()


def test_backward_names_the_layer() -> None:
    net = nn.Sequential(Root())
    with detect_anomaly():
        out = net(np.zeros((3, 2), np.float32)).sum()
        with pytest.raises(AnomalyError, match=r"rule of op multiply in layer '0' \(Root\) made"):
            out.backward()


@pytest.mark.parametrize("wrap", [False, True])
def test_transforms_and_checkpoints_are_looked_into(wrap: bool) -> None:
    def norm(t: Tensor) -> Tensor:
        return (t * t).sum().sqrt()

    with pytest.raises(AnomalyError, match="backward rule of op multiply"), detect_anomaly():
        grad(lambda t: checkpoint(norm, t) if wrap else norm(t))(np.zeros(3))


def test_infinite_values_count_only_when_asked() -> None:
    x = np.array([0.0, 1.0], np.float32)
    with detect_anomaly():
        assert (1.0 / Tensor(x)).numpy()[0] == np.inf
    with detect_anomaly(inf=True), pytest.raises(AnomalyError, match="op divide made 1 NaN or infinite"):
        1.0 / Tensor(x)


def test_a_sound_network_passes_with_the_same_numbers_and_nothing_stays_behind() -> None:
    net = zoo.build("resnet8", (1, 8, 8), 3)
    x, y = np.random.default_rng(0).random((4, 1, 8, 8), np.float32), np.array([0, 1, 2, 0])
    results = []
    for watched in (True, False):
        net.zero_grad()
        net.seed(0)
        if watched:
            with detect_anomaly(inf=True):
                cross_entropy(net(x), y).sum().backward()
        else:
            cross_entropy(net(x), y).sum().backward()
        results.append([p.grad.numpy() for p in net.parameters()])  # type: ignore[union-attr]
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
    assert state.observers == [] and state.pull is None and STATE.current is None


def test_everything_is_put_back_after_an_error_and_nesting_works() -> None:
    with detect_anomaly():
        for _ in range(2):
            with pytest.raises(AnomalyError), detect_anomaly():
                Tensor([-1.0]).log()
        assert len(state.observers) == 1
    assert state.observers == [] and state.pull is None and STATE.current is None


def test_captures_beside_it_still_see_the_layers() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    with nn.capture(net) as seen, detect_anomaly():
        net(np.ones((2, 3), np.float32))
    assert list(seen) == ["0", "1"]


def test_arrays_of_a_device_are_counted_there() -> None:
    register()
    x = Tensor(StrictArray(np.array([1.0, -1.0])))
    with pytest.raises(AnomalyError, match=re.escape("op log made 1 NaN in 2 values")), detect_anomaly():
        tensor.log(x)
