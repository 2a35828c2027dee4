"""One generic registry for attacks, mutators, criteria of coverage, oracles, architectures and data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from armour.checks import suggest
from armour.errors import InvalidArgument

T = TypeVar("T")


def normalise(name: str) -> str:
    """Names match without regard to case, hyphen and underscore."""
    return name.lower().replace("_", "").replace("-", "")


class Registry(Generic[T]):
    """Named things of one kind, registered by decorator; a name is unique.

    kind: what the things are called in error messages ("attack").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator: file the decorated thing under `name` (lower case with hyphens)."""
        if normalise(name) in {normalise(known) for known in self._items}:
            raise InvalidArgument(f"{self.kind} {name!r} is registered twice")

        def add(item: T) -> T:
            self._items[name] = item
            return item

        return add

    def get(self, name: str) -> T:
        """The thing of that name; InvalidArgument with the nearest names if there is none."""
        for known, item in self._items.items():
            if normalise(known) == normalise(name):
                return item
        raise InvalidArgument(f"unknown {self.kind} {name!r}{suggest(name.lower(), self._items)}")

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._items)

    def items(self) -> list[tuple[str, T]]:
        """(name, thing) pairs, sorted by name."""
        return sorted(self._items.items(), key=lambda pair: pair[0])

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and normalise(name) in {normalise(known) for known in self._items}

    def __len__(self) -> int:
        return len(self._items)
