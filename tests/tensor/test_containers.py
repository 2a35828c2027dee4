"""Containers: lists and dicts of modules, with the names and the order that PyTorch gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor import Tensor, ir, nn


def test_sequential_is_a_list_of_modules() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, rng=1)).eval()
    x = Tensor(np.ones((2, 3), np.float32))
    assert net[-1] is net[2] and len(net) == 3
    head = net[:2]
    assert (
        type(head) is nn.Sequential
        and head[0] is net[0]
        and not head.training
        and list(head) == list(net)[:2]
    )
    np.testing.assert_array_equal(net[2](head(x)).numpy(), net(x).numpy())
    net[-1] = nn.Linear(4, 5)
    assert net(x).shape == (2, 5) and list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    net.append(nn.Tanh()).extend([nn.Linear(5, 1)])
    assert net(x).shape == (2, 1) and [name for name, _ in net.members()] == ["0", "1", "2", "3", "4"]
    with pytest.raises(IndexError):
        net[9]
    with pytest.raises(InvalidArgument, match=r"modules\[5\]"):
        net.append(3)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="expected a module"):
        net[0] = "relu"  # type: ignore[assignment]


class Towers(nn.Module):
    """Modules of a list and of a dict."""

    def __init__(self) -> None:
        self.layers = nn.ModuleList(nn.Linear(3, 3, rng=i) for i in range(3))
        self.heads = nn.ModuleDict({"a": nn.Linear(3, 2), "training": nn.Linear(3, 2, rng=1)})

    def forward(self, x: Any) -> Any:
        """Both heads' sum."""
        for layer in self.layers[1:]:
            x = layer(x).tanh()
        return sum((head(x) for head in self.heads.values()), start=self.heads["a"](x) * 0.5)


def test_modules_in_lists_and_dicts_are_found() -> None:
    net = Towers()
    names = [name for name, _ in net.named_parameters()]
    assert names[:2] == ["layers.0.weight", "layers.0.bias"] and "heads.training.bias" in names
    assert len(names) == 10 and len(list(net.modules())) == 8
    net.eval()
    assert not net.heads["a"].training and not net.layers[0].training
    again = ir.GraphModule(ir.Graph.loads(ir.trace(net, (3,)).dumps()))
    again.load_state_dict(net.state_dict())
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    np.testing.assert_array_equal(again(x).numpy(), net(Tensor(x)).numpy())


def test_dict_of_modules() -> None:
    heads = nn.ModuleDict()
    heads["b"], heads["a"] = nn.ReLU(), nn.Tanh()
    assert (
        list(heads) == ["b", "a"] == list(heads.keys())
        and len(heads) == 2
        and "a" in heads
        and "c" not in heads
    )
    assert [type(m) for m in heads.values()] == [nn.ReLU, nn.Tanh]
    assert dict(heads.items())["a"] is heads["a"]
    assert "(a): Tanh()" in repr(heads)
    for name in ("", "a.b", 3):
        with pytest.raises(InvalidArgument, match="without dots"):
            heads[name] = nn.ReLU()  # type: ignore[index]
    with pytest.raises(InvalidArgument, match="no module 'c'"):
        heads["c"]
    with pytest.raises(InvalidArgument, match="expected a module"):
        heads["c"] = None  # type: ignore[assignment]


@pytest.mark.parametrize("container", [nn.ModuleList([nn.ReLU()]), nn.ModuleDict({"a": nn.ReLU()})])
def test_containers_are_not_called(container: nn.Module) -> None:
    with pytest.raises(UnsupportedError, match="call its modules"):
        container(1.0)
