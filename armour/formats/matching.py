"""Which array of a file goes into which weight of a network: by name first, then by shape in order."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from armour.errors import CheckpointError
from armour.formats.entries import ROLES, Entries, natural, numbered, shape_text
from armour.tensor import nn

# Names of other libraries for parts of networks that ours call as PyTorch does.
_ALIASES = (
    (re.compile(r"\b(?:down_sample_layer|down_sample|shortcut)\b"), "downsample"),
    (re.compile(r"^(?:end_point|linear|classifier|head)(?=\.(?:weight|bias)$)"), "fc"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One weight: its name in the network, what the file calls the array, its shape, and how they met."""

    weight: str
    array: str
    shape: str
    by: str

    def to_list(self) -> list[str]:
        """As plain JSON."""
        return [self.weight, self.array, self.shape, self.by]


def alias(name: str) -> str:
    """The name that a network of ours would have there."""
    for pattern, ours in _ALIASES:
        name = pattern.sub(ours, name)
    return name


def fill(module: nn.Module, entries: Entries) -> list[Row]:
    """Put the arrays into the module; one row for each weight.

    Names are compared first, as they are and as other libraries would call them. What is left is matched by
    shape, in order, if each shape (and role: weight, bias, mean, variance) is left equally often on both
    sides. Raises CheckpointError, with nothing changed, if weights or arrays are left over.
    """
    own = {name: tensor.shape for name, tensor in module.named_tensors()}
    named = {name: name for name in own if name in entries.arrays}
    renamed = {alias(name): name for name in entries.arrays}
    named |= {name: renamed[name] for name in own if name not in named and name in renamed}
    found = {name: (array, "name") for name, array in named.items()}
    missing = [name for name in own if name not in found]
    spare = [name for name in entries.arrays if name not in set(named.values())]
    if missing and len(missing) == len(spare):
        shaped = _by_shape(missing, spare, own, entries)
        found |= {name: (array, "shape") for name, array in shaped.items()}
    state = {name: entries.arrays[array] for name, (array, _) in found.items()}
    unused = {name: entries.arrays[name] for name in spare if name not in {a for a, _ in found.values()}}
    module.load_state_dict(state | {name: array for name, array in unused.items() if name not in state})
    return [row(name, found[name][0], entries, found[name][1]) for name in own]


def row(weight: str, array: str, entries: Entries, by: str) -> Row:
    """The row of a weight and the entry that it got."""
    return Row(weight, entries.origin[array], shape_text(entries.arrays[array]), by)


def _by_shape(
    missing: list[str], spare: list[str], own: dict[str, tuple[int, ...]], entries: Entries
) -> dict[str, str]:
    """Pairs of equal shape and role, in order; none at all if one side has more of a kind."""
    roles = {name.rpartition(".")[2] for name in spare}
    known = roles <= set(ROLES)

    def key(name: str, shape: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
        return shape, name.rpartition(".")[2] if known else ""

    wanted: dict[tuple[tuple[int, ...], str], list[str]] = defaultdict(list)
    given: dict[tuple[tuple[int, ...], str], list[str]] = defaultdict(list)
    for name in missing:
        wanted[key(name, own[name])].append(name)
    for name in spare:
        given[key(name, entries.arrays[name].shape)].append(name)
    if {k: len(v) for k, v in wanted.items()} != {k: len(v) for k, v in given.items()}:
        return {}
    if not known and any(len(shape) == 1 and len(names) > 1 for (shape, _), names in wanted.items()):
        raise CheckpointError(
            "several vectors of one length have no names that say which is which; "
            "rename the arrays as the network names its weights"
        )
    if not entries.ordered:
        for names in given.values():
            if len(names) > 1 and not numbered(names):
                raise CheckpointError(
                    f"arrays of one shape ({', '.join(sorted(names))[:120]}) could belong in any order, "
                    "which the file does not keep; rename the arrays as the network names its weights"
                )
            names.sort(key=natural)
    return {name: array for k, names in wanted.items() for name, array in zip(names, given[k], strict=True)}


def check_numbers(entries: Entries) -> None:
    """CheckpointError for NaN and infinities, which no trained network has."""
    for name, array in entries.arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CheckpointError(
                f"weight {entries.origin[name][:80]!r} holds NaN or infinity; train again or get another file"
            )
