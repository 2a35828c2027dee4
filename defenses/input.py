"""Defenses in front of a model: what they do to its inputs, and how an attack goes back through them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

import numpy as np

from armour.bounds import Bounds
from armour.checks import describe
from armour.errors import InvalidArgument
from armour.rng import Streams
from armour.tensor import custom_vjp
from armour.tensor.core import Tensor, wrap

from .evidence import DEFENSES, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class InputDefense(ABC):
    """Something done to inputs before a model sees them; a defense is its settings.

    evidence: how well it holds, and who says so. backward: what its gradient is: "exact", or what stands in
    for one (backward-pass differentiable approximation, BPDA; Athalye et al., 2018,
    https://arxiv.org/abs/1802.00420), in words. images: it takes (n, c, h, w) alone.
    """

    evidence: ClassVar[Evidence]
    backward: ClassVar[str] = "exact"
    images: ClassVar[bool] = True

    @abstractmethod
    def apply(self, x: Tensor, bounds: Bounds, streams: Streams) -> Tensor:
        """What the model is given for x (n, ...) inside the bounds; again inside them.

        streams: one for each sample, for what is drawn. In Tensor operations, so that gradients go back.
        """

    @property
    def random(self) -> bool:
        """True if it draws."""
        return False

    def taken(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one sample that it takes, where the model behind it takes `shape`."""
        return shape

    def check(self, shape: tuple[int, ...]) -> None:
        """InvalidArgument unless it can take samples of that shape."""
        if self.images and len(shape) != 3:
            raise InvalidArgument(f"expected images (c, h, w) for {self}, got input_shape={shape}")

    def __str__(self) -> str:
        """As on the command line: NAME, or NAME:key=value,... where settings differ from the defaults."""
        own = [name for name, kind in DEFENSES.items() if kind is type(self)]
        name = own[0] if own else type(self).__name__
        stated = [
            f"{field.name.replace('_', '-')}={getattr(self, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != field.default
        ]
        return name + (":" + ",".join(stated) if stated else "")


def input_defenses() -> dict[str, type[InputDefense]]:
    """The registered defenses that go in front of a model, by name."""
    return {
        name: kind
        for name, kind in DEFENSES.items()
        if isinstance(kind, type) and issubclass(kind, InputDefense)
    }


def parse(text: str) -> InputDefense:
    """The defense that NAME[:key=value,...] spells; InvalidArgument for what is none."""
    name, _, rest = text.partition(":")
    kind = DEFENSES.get(name.strip())
    if kind not in input_defenses().values():
        known = ", ".join(input_defenses())
        raise InvalidArgument(f"{name.strip()} does not go in front of a model; what does: {known}")
    settings = {field.name: field for field in fields(kind)}
    values: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, sign, value = (piece.strip() for piece in part.partition("="))
        key = key.replace("-", "_")
        if not sign or key not in settings or key in values:
            expected = ", ".join(f"{one}=..." for one in settings) or "no settings"
            raise InvalidArgument(f"{name.strip()}: expected {expected}, each once, got {part[:40]!r}")
        values[key] = _value(name.strip(), key, str(settings[key].type), value)
    missing = [key for key, field in settings.items() if field.default is MISSING and key not in values]
    if missing:
        raise InvalidArgument(f"{name.strip()} needs {', '.join(f'{key}=...' for key in missing)}")
    made: InputDefense = kind(**values)
    return made


def unit(x: Tensor, bounds: Bounds) -> Tensor:
    """x on a scale from 0 to 1 over the bounds."""
    return x if bounds == Bounds(0, 1) else (x - bounds.low) * (1 / bounds.span)


def scaled(u: Tensor, bounds: Bounds) -> Tensor:
    """Back from the scale of `unit`."""
    return u if bounds == Bounds(0, 1) else u * bounds.span + bounds.low


def straight(x: Tensor, value: np.ndarray) -> Tensor:
    """The array `value` of x's shape, whose gradient passes straight to x (the identity stands in)."""
    out: Tensor = _straight(x, value=value)
    return out


def _value(name: str, key: str, kind: str, text: str) -> Any:
    try:
        return {"int": int, "float": float}.get(kind, str)(text)
    except ValueError:
        raise InvalidArgument(f"{name}: expected {key} as {kind}, got {describe(key, text)}") from None


_straight = custom_vjp(lambda x, value: wrap(value), lambda g, y, x, value: g)
