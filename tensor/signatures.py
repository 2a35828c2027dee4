"""Signatures of modules: what decides what a module computes, so that no other plan is replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from armour.tensor.module import Module


class _Structure:
    version = 0  # goes up whenever an attribute of a module changes that may change what it computes


class _Same:
    """An object that is equal to itself alone, and stays alive as long as a signature speaks of it."""

    __slots__ = ("one",)

    def __init__(self, one: Any) -> None:
        self.one = one

    def __hash__(self) -> int:
        return id(self.one)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.one is self.one


class Signature:
    """What `signature` gives: compared part by part, but hashed once."""

    __slots__ = ("hash", "parts")

    def __init__(self, parts: tuple[Any, ...]) -> None:
        self.parts, self.hash = parts, hash(parts)

    def __hash__(self) -> int:
        return self.hash

    def __eq__(self, other: object) -> bool:
        return other is self or (isinstance(other, Signature) and other.parts == self.parts)


def signature(module: Module) -> Signature:
    """What decides, besides the numbers in its tensors, what a module computes: its parts and their settings.

    Worked out anew only when an attribute of any module has changed, or each time if there are lists or dicts
    of things, which may change unseen.
    """
    known = module.__dict__.get("_signature")
    if known is not None and known[0] == _Structure.version:
        found: Signature = known[1]
        return found
    parts: list[Any] = []
    fixed = True
    for path, inner in module.named_modules():
        parts.append((path and _Same(inner), inner.training))
        parts.extend(_Same(v) for _, v in inner.members())
        for name, value in vars(inner).items():
            if name != "_signature":
                parts.append((name, _setting(value)))
                fixed = fixed and (name.startswith("_") or not isinstance(value, (list, dict)))
    made = Signature(tuple(parts))
    module.__dict__["_signature"] = (_Structure.version if fixed else -1, made)
    return made


def changed() -> None:
    """Let signatures be worked out anew: for modules that keep others elsewhere than in attributes."""
    _Structure.version += 1


def _setting(value: Any) -> Any:
    """An attribute as a part of a signature: plain values by value, anything else as the same object."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return type(value), value
    if isinstance(value, (list, tuple)):
        return type(value), tuple(map(_setting, value))
    return _Same(value)
