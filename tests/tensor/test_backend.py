"""Namespaces and devices, with a pretend CuPy where the real one would be."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from armour import tensor
from armour.errors import BackendUnavailable, InvalidArgument
from armour.tensor import Tensor, backend
from tests.tensor.pretend import cupy as cupy
from tests.tensor.strict import StrictArray, register, strict


def test_what_the_user_gives_goes_to_the_chosen_backend(cupy: ModuleType) -> None:
    tensor.use_backend("cupy")
    for data in ([1.0, 2.0], np.ones(2, np.float32), 3.0, np.float32(1)):
        t = Tensor(data)
        assert t.device == "cuda"
        assert isinstance(t.data, StrictArray)
    x = Tensor(np.ones(2, np.float32), requires_grad=True)
    y = (np.full(2, 3.0, np.float32) * x + 1.0).sum()
    assert y.device == "cuda"
    y.backward()
    assert x.grad is not None
    assert x.grad.device == "cuda"
    np.testing.assert_array_equal(x.grad.numpy(), [3, 3])
    np.testing.assert_array_equal(
        tensor.grad(lambda a: (a * a).sum())(np.ones(2, np.float32)).numpy(), [2, 2]
    )


def test_a_tensor_moved_to_the_host_stays_there(cupy: ModuleType) -> None:
    tensor.use_backend("cupy")
    there = Tensor([1.0, 2.0])
    here = there.to("cpu")
    assert here.device == "cpu"
    assert here.detach().device == "cpu"
    y = here * 2.0 + np.ones(2, np.float32)  # NumPy arrays go where the tensors beside them are
    assert y.device == "cpu"
    assert there.to("cuda") is not there
    assert there.to("cuda").data is there.data
    with pytest.raises(InvalidArgument, match=r"in one operation; move one with Tensor.to\(device\)"):
        here + there


def test_a_tensor_on_the_device_refuses_host_arrays_by_default(cupy: ModuleType) -> None:
    there = Tensor(np.ones(2, np.float32)).to("cuda")
    assert there.device == "cuda"
    with pytest.raises(InvalidArgument, match="move one with"):
        there * np.ones(2, np.float32)
    assert (there * 2).device == "cuda"


def test_without_cupy_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(BackendUnavailable, match=r'pip install "armour-toolkit\[gpu\]"'):
        tensor.use_backend("cupy")
    assert backend.backend() == "numpy"
    with pytest.raises(BackendUnavailable):
        Tensor(1.0).to("cuda")


@pytest.mark.parametrize("name", ["cuda", "Cupy", "nump"])
def test_an_unknown_backend_is_refused_with_the_nearest_name(name: str) -> None:
    with pytest.raises(InvalidArgument, match="unknown backend"):
        tensor.use_backend(name)


def test_get_xp_is_the_namespace_of_the_arrays() -> None:
    register()
    assert tensor.get_xp(np.ones(1), 2.0) is np
    assert tensor.get_xp(3) is np
    assert tensor.get_xp(StrictArray([1.0])) is strict
    with pytest.raises(InvalidArgument, match="arrays of numpy and strict"):
        tensor.get_xp(np.ones(1), StrictArray([1.0]))


def test_scatter_add_adds_repeated_indices() -> None:
    target = backend.scatter_add(np, np.zeros(3), np.array([0, 2, 0]), np.array([1.0, 2.0, 4.0]))
    np.testing.assert_array_equal(target, [5, 0, 2])


def test_the_strict_array_is_strict() -> None:
    a = StrictArray([1.0, 2.0])
    for mix in (
        lambda: np.asarray(a),
        lambda: np.add(a, 1.0),
        lambda: a + np.ones(2),
        lambda: np.ones(2) * a,
        lambda: float(a[0]),
        lambda: strict.add(a, np.ones(2)),
        lambda: a.__setitem__(0, np.ones(1)),
    ):
        with pytest.raises(TypeError):
            mix()
