"""A module `cupy` for machines without a GPU: its arrays are strict arrays, its kernels C++ on the host."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from armour import tensor
from armour.tensor import backend
from tests.tensor.device_graphs import cuda
from tests.tensor.host_kernels import COMPILER, ElementwiseKernel
from tests.tensor.strict import StrictArray, strict, to_host


class Module(ModuleType):
    """What armour uses of cupy."""

    ndarray = StrictArray
    ElementwiseKernel = ElementwiseKernel

    def __init__(self) -> None:
        super().__init__("cupy")
        self.__spec__ = ModuleSpec("cupy", None)
        self.cuda = cuda()

    def __getattr__(self, name: str) -> Any:
        return getattr(strict, name)

    @staticmethod
    def asnumpy(a: StrictArray) -> np.ndarray:
        """The array on the host."""
        return to_host(a)


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module, installed and with a device, for one test."""
    module = Module()
    monkeypatch.setitem(sys.modules, "cupy", module)
    monkeypatch.setattr(backend, "_NAMESPACES", dict(backend._NAMESPACES))
    backend._NAMESPACES.pop(StrictArray, None)
    monkeypatch.setattr(StrictArray, "__module__", "cupy")
    yield module
    tensor.use_backend("numpy")


@pytest.fixture
def kernels(cupy: ModuleType) -> Iterator[ModuleType]:
    """The same, with plans that use its kernels."""
    if COMPILER is None:
        pytest.skip("compiles the device kernels for the host, which needs g++")
    with tensor.use_kernels("cupy"):
        yield cupy
