"""Entries of a file of weights made comparable: bookkeeping left out, prefixes dropped, one set of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from armour.errors import CheckpointError

# What frameworks keep beside the weights: names, first parts of names, and last parts.
_BOOKKEEPING = re.compile(
    r"(?:learning_rate|lr|momentum|weight_decay|global_step|step(?:_num)?|epoch(?:_num)?|batch_num|loss_scale"
    r"|scale_sense|current_iterator_step|last_overflow_iterator_step|beta[12]_power|random_op|iterations"
    r"|(?:moments?[12]?|accum|stat|vel(?:ocity)?|adam_[mv]|mean_square|mean_gradient|inner_opt)\..*"
    r"|(?:opt|optim|optimi[sz]er|optimi[sz]ers|optimizer_weights|lr_scheduler|schedulers?|scaler|amp|grad_scaler"
    r"|rng_state|loss|loss_fn|criterion)(?:_?state(?:_dict)?|_states)?\..*"
    r"|(?:.*\.)?num_batches_tracked)"
)
# Roots under which a training loop files the weights, the likeliest first; the others are then left out.
_GROUPS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params",
           "state_dict_ema", "model_ema", "ema", "ema_state_dict")  # fmt: skip
_PREFIXES = {*_GROUPS, "module", "backbone", "_backbone", "_orig_mod", "layers", "model_weights"}
# One set of names for normalisation, and for embeddings: PyTorch's.
_ROLES = {
    "gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var",
    "moving_var": "running_var", "embedding_table": "weight", "kernel": "weight",
}  # fmt: skip
ROLES = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True, slots=True)
class Entries:
    """Arrays by comparable names, what each is called in the file, and what was left out with the reason."""

    arrays: dict[str, np.ndarray]
    origin: dict[str, str]
    leftovers: dict[str, str]

    @property
    def ordered(self) -> bool:
        """False if the file lists its arrays by name, so that their order says nothing about the network."""
        names = list(self.origin.values())
        return names != sorted(names)


def prepare(arrays: Mapping[str, np.ndarray], others: Mapping[str, str]) -> Entries:
    """The weights among the arrays of a file; CheckpointError if two would have the same name."""
    leftovers = dict(others)
    kept = {}
    for name, array in arrays.items():
        if _BOOKKEEPING.fullmatch(name):
            leftovers[name] = f"bookkeeping, {shape_text(array)}"
        else:
            kept[name] = name
    kept = _one_group(kept, arrays, leftovers)
    while (first := _common(kept)) is not None:
        kept = {name.removeprefix(f"{first}."): origin for name, origin in kept.items()}
    found: dict[str, str] = {}
    for name, origin in kept.items():
        path, _, role = name.rpartition(".")
        renamed = f"{path}.{_ROLES.get(role, role)}" if path else name
        if renamed in found:
            raise CheckpointError(f"the entries {origin[:80]!r} and {found[renamed][:80]!r} have one name")
        found[renamed] = origin
    return Entries({name: arrays[origin] for name, origin in found.items()}, found, leftovers)


def shape_text(array: np.ndarray) -> str:
    """6x1x5x5 float32, for people."""
    return f"{'x'.join(map(str, array.shape)) or 'scalar'} {array.dtype}"


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts layer2 before layer10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d{1,9})", name)]


def numbered(names: Iterable[str]) -> bool:
    """True if the names differ in their numbers only, so that these tell their order: dense, dense_1, ..."""
    return len({re.sub(r"_?\d+", "", name) for name in names}) == 1


def _one_group(
    kept: dict[str, str], arrays: Mapping[str, np.ndarray], leftovers: dict[str, str]
) -> dict[str, str]:
    """If a training loop filed its weights under several names, those of the likeliest."""
    roots = {name.partition(".")[0] for name in kept}
    groups = [group for group in _GROUPS if group in roots]
    if not groups or (len(groups) == 1 and len(roots) == 1):
        return kept
    chosen = {name: origin for name, origin in kept.items() if name.startswith(f"{groups[0]}.")}
    if not chosen:
        return kept
    for name, origin in kept.items():
        if name not in chosen:
            leftovers[origin] = f"beside {groups[0]}, {shape_text(arrays[origin])}"
    return chosen


def _common(names: Mapping[str, str]) -> str | None:
    firsts = {name.partition(".")[0] for name in names}
    if len(firsts) != 1 or not all("." in name for name in names):
        return None
    (first,) = firsts
    return first if first in _PREFIXES else None
