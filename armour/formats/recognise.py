"""What network a file of weights belongs to, from the names and shapes of its arrays.

One function for each family, registered in `FAMILIES`. Each says nothing if the arrays are not of its family,
refuses if they are but leave something open that must be stated, and else gives the network and what it had
to assume: activations, paddings and pooling are not in the shapes. Nothing is guessed silently.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from armour.errors import CheckpointError
from armour.formats.entries import ROLES, Entries, natural, numbered
from armour.registry import Registry
from armour.tensor import nn

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """The arrays of one layer, by role. name: what the file calls the layer."""

    name: str
    arrays: dict[str, np.ndarray]

    @property
    def shape(self) -> Shape:
        """Shape of the weight; empty if there is none."""
        return self.arrays["weight"].shape if "weight" in self.arrays else ()

    @property
    def kind(self) -> str:
        """conv, dense, norm (with statistics), or other."""
        if {"running_mean", "running_var"} <= self.arrays.keys():
            return "norm"
        plain = self.arrays.keys() <= {"weight", "bias"}
        return {4: "conv", 2: "dense"}.get(len(self.shape), "other") if plain else "other"

    @property
    def biased(self) -> bool:
        """True if it has a bias."""
        return "bias" in self.arrays


@dataclass(frozen=True, slots=True)
class Found:
    """A network for the arrays. names: each weight of the network -> the entry that belongs there."""

    name: str
    module: nn.Module
    assumed: tuple[str, ...]
    input_shape: Shape
    names: dict[str, str]


Family = Callable[[Entries, Shape | None], Found | None]
FAMILIES: Registry[Family] = Registry("family of networks")


def recognise(entries: Entries, input_shape: Shape | None) -> Found | None:
    """The network of these entries, or None; CheckpointError for what must be stated first.

    input_shape: (c, h, w) if it was stated.
    """
    from armour.formats import (  # noqa: F401  # each registers its family
        recognise_alexnet,
        recognise_lenet,
        recognise_mlp,
        recognise_resnet,
        recognise_vgg,
        recognise_vit,
    )

    if not entries.arrays or any(array.size == 0 for array in entries.arrays.values()):
        return None
    with nn.skip_init():
        found = [match for _, family in FAMILIES.items() if (match := family(entries, input_shape))]
    if len(found) > 1:
        names = ", ".join(match.name for match in found)
        raise CheckpointError(f"the weights fit several networks ({names}); name one with arch=")
    return found[0] if found else None


def parts(entries: Entries) -> list[Part]:
    """The layers of a file, in its order."""
    layers: dict[str, dict[str, np.ndarray]] = {}
    for name, array in entries.arrays.items():
        path, _, role = name.rpartition(".")
        if role not in ROLES:
            path, role = name, "other"
        layers.setdefault(path, {})[role] = array
    return [Part(name, arrays) for name, arrays in layers.items()]


def arranged(entries: Entries, fits: Callable[[list[Part]], bool]) -> list[Part] | None:
    """The layers in an order that fits: that of the file, if it means something, or else that of their names.

    Raises CheckpointError if the order of names fits, but others of layers of one shape would as well.
    """
    layers = parts(entries)
    if entries.ordered and fits(layers):
        return layers
    by_name = sorted(layers, key=lambda part: natural(part.name))
    if not fits(by_name):
        return None
    alike: dict[tuple[str, Shape], list[str]] = {}
    for part in layers:
        alike.setdefault((part.kind, part.shape), []).append(part.name)
    for (kind, _), names in alike.items():
        if kind in ("conv", "dense", "norm") and not numbered(names):
            raise CheckpointError(
                f"layers of one shape ({', '.join(sorted(names))[:120]}) could stand in any order, which the "
                "file does not keep; number their names, name the network with arch=, or export it as ONNX"
            )
    return by_name


def chained(layers: list[Part]) -> bool:
    """True if each layer takes what the one before gives; a dense layer after a convolution, a multiple."""
    for before, after in itertools.pairwise(layers):
        given, taken = before.shape[0], after.shape[1]
        if (before.kind, after.kind) == ("conv", "dense"):
            if not given or taken % given:
                return False
        elif given != taken:
            return False
    return all(min(part.shape) > 0 and _bias_fits(part) for part in layers)


def refuse(what: str, advice: str) -> CheckpointError:
    """The error for weights that leave something open."""
    return CheckpointError(f"the weights are those of {what}, and {advice}")


def image(
    wanted: Shape | None, channels: int, sizes: dict[int, str], what: str, advice: str = ""
) -> tuple[int, int, int]:
    """(channels, h, w): as stated, if it fits; else the only size. CheckpointError otherwise.

    sizes: heights that are possible -> what each means.
    """
    if wanted is None and len(sizes) == 1:
        (size,) = sizes
        return channels, size, size
    options = " or ".join(
        f"({channels}, {size}, {size}) {meaning}".strip() for size, meaning in sizes.items()
    )
    if wanted is None:
        raise refuse(what, f"the input is not in the shapes; state input_shape= as {options}{advice}")
    if wanted not in {(channels, size, size) for size in sizes}:
        raise refuse(what, f"they take inputs of {options}, got input_shape={wanted}{advice}")
    return channels, wanted[1], wanted[2]


class Stack:
    """A network of layers in a row, and which entries each of them takes."""

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.names: dict[str, str] = {}

    def add(self, module: nn.Module, part: Part | None = None) -> None:
        """One more layer, with the arrays of a part of the file."""
        at = len(self.modules)
        self.modules.append(module)
        if part is not None:
            for role in part.arrays:
                self.names[f"{at}.{role}"] = f"{part.name}.{role}" if part.name else role

    def dense(self, layers: list[Part]) -> None:
        """Dense layers with ReLU between them."""
        for i, part in enumerate(layers):
            if i:
                self.add(nn.ReLU())
            self.add(nn.Linear(part.shape[1], part.shape[0], bias=part.biased), part)

    def network(self) -> nn.Sequential:
        """The layers as one module."""
        return nn.Sequential(*self.modules)


def _bias_fits(part: Part) -> bool:
    return not part.biased or part.arrays["bias"].shape == part.shape[:1]
