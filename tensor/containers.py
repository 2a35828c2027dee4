"""Modules that put modules together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from armour.checks import describe
from armour.errors import InvalidArgument
from armour.tensor.core import Tensor
from armour.tensor.layers import Add
from armour.tensor.module import Module


class Sequential(Module):
    """Modules one after another, named "0", "1", ...; `net[i]`, `len(net)` and iteration reach them."""

    def __init__(self, *modules: Module) -> None:
        for i, module in enumerate(modules):
            if not isinstance(module, Module):
                raise InvalidArgument(f"expected modules, got {describe(f'modules[{i}]', module)}")
            setattr(self, str(i), module)

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        for module in self:
            x = module(x)
        return x

    def __iter__(self) -> Iterator[Module]:
        return (value for name, value in vars(self).items() if name.isdecimal())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: int) -> Module:
        return list(self)[index]


class Residual(Module):
    """body(x) + shortcut(x); the shortcut is x itself if none is given. He et al., 2016, arXiv 1512.03385."""

    def __init__(self, body: Module, shortcut: Module | None = None) -> None:
        self.body, self.shortcut, self.add = body, shortcut, Add()

    def forward(self, x: Tensor) -> Tensor:
        """body and shortcut must give one shape."""
        return self.add(self.body(x), x if self.shortcut is None else self.shortcut(x))  # type: ignore[no-any-return]
