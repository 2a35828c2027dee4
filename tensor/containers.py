"""Modules that put modules together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, overload

from armour.checks import describe, suggest
from armour.errors import InvalidArgument, UnsupportedError
from armour.tensor.core import Tensor
from armour.tensor.layers import Add
from armour.tensor.module import Module
from armour.tensor.signatures import changed


class _Numbered(Module):
    """Modules named "0", "1", ... in order."""

    def _add(self, modules: Iterable[Module]) -> None:
        for module in modules:
            n = len(self)
            if not isinstance(module, Module):
                raise InvalidArgument(f"expected modules, got {describe(f'modules[{n}]', module)}")
            setattr(self, str(n), module)

    def append(self, module: Module) -> Self:
        """Add a module at the end; returns the container."""
        self._add([module])
        return self

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end; returns the container."""
        self._add(modules)
        return self

    def __iter__(self) -> Iterator[Module]:
        return (value for name, value in vars(self).items() if name.isdecimal())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Module | Self:
        inside = list(self)
        if not isinstance(index, slice):
            return inside[index]
        part = type(self)()
        part._add(inside[index])
        part.training = self.training
        return part

    def __setitem__(self, index: int, module: Module) -> None:
        names = [str(i) for i in range(len(self))]
        if not isinstance(module, Module):
            raise InvalidArgument(f"expected a module, got {describe('module', module)}")
        setattr(self, names[index], module)


class Sequential(_Numbered):
    """Modules one after another, named "0", "1", ...

    `net[i]` is a module, `net[:i]` a Sequential of the same modules; `net[i] = module`, `append`, `len(net)`
    and iteration are those of a list.
    """

    def __init__(self, *modules: Module) -> None:
        self._add(modules)

    def forward(self, x: Any) -> Any:
        """The last module's output."""
        for module in self:
            x = module(x)
        return x


class ModuleList(_Numbered):
    """Modules in a list, named "0", "1", ...; whoever holds it calls them as it likes.

    Indexing, slices, `append` and iteration are those of a list. A Python list as an attribute does as well.
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self._add(modules)

    def forward(self, *inputs: Any) -> Any:
        """Raises UnsupportedError: a list is not called, its modules are."""
        raise UnsupportedError("a ModuleList is not called; call its modules, or use nn.Sequential")


class ModuleDict(Module):
    """Modules by name; whoever holds it calls them as it likes.

    Names are not empty and have no dots. `d[name]`, `d[name] = module`, `name in d`, `len(d)`, `keys`,
    `values` and `items` are those of a dict, in the order in which modules were added.
    """

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        self._inside: dict[str, Module] = {}
        for name, module in (modules or {}).items():
            self[name] = module

    def members(self) -> Iterator[tuple[str, Any]]:
        """(name, module) of all inside."""
        return iter(self._inside.items())

    def forward(self, *inputs: Any) -> Any:
        """Raises UnsupportedError: a dict is not called, its modules are."""
        raise UnsupportedError("a ModuleDict is not called; call its modules")

    def keys(self) -> Iterable[str]:
        """Names."""
        return self._inside.keys()

    def values(self) -> Iterable[Module]:
        """Modules."""
        return self._inside.values()

    def items(self) -> Iterable[tuple[str, Module]]:
        """(name, module) pairs."""
        return self._inside.items()

    def __getitem__(self, name: str) -> Module:
        if name not in self._inside:
            raise InvalidArgument(f"no module {name!r}{suggest(str(name), self._inside)}")
        return self._inside[name]

    def __setitem__(self, name: str, module: Module) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise InvalidArgument(f"expected a name without dots, got {describe('name', name)}")
        if not isinstance(module, Module):
            raise InvalidArgument(f"expected a module, got {describe(name, module)}")
        self._inside[name] = module
        changed()

    def __contains__(self, name: object) -> bool:
        return name in self._inside

    def __iter__(self) -> Iterator[str]:
        return iter(self._inside)

    def __len__(self) -> int:
        return len(self._inside)


class Residual(Module):
    """body(x) + shortcut(x); the shortcut is x itself if none is given. He et al., 2016, arXiv 1512.03385."""

    def __init__(self, body: Module, shortcut: Module | None = None) -> None:
        self.body, self.shortcut, self.add = body, shortcut, Add()

    def forward(self, x: Tensor) -> Tensor:
        """body and shortcut must give one shape."""
        return self.add(self.body(x), x if self.shortcut is None else self.shortcut(x))  # type: ignore[no-any-return]
