"""Kinds of inputs: images, tables, series, arrays of any shape, bytes, tokens and other whole numbers.

A kind says which mutators fit, what counts as a change, and what the levels V1 and V2 ask of a mutant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from armour.bounds import Bounds
from armour.contract import Model
from armour.errors import InvalidArgument
from armour.registry import Registry
from armour.tensor.backend import Array

from .aids import NOTHING, Aids
from .likeness import relative_closeness
from .limits import DENSE, changed_share, few_changed, hold_back, within_rule
from .schema import infer
from .ssim import ssim
from .table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a campaign knows of its inputs.

    name: "image", "array", ... validator: what V1 and V2 ask, in words. pixels: changes are counted by
    pixels, not by values. whole: values are whole numbers, and V0 asks that they stay so. rule: (changed
    share, largest change as a fraction of the span, values in an input) -> (n,) bool, V1. likeness: (x, ref,
    bounds) -> (n,), to the reference, 1 where equal; least: what V2 asks of it. compared: what it is called.
    density: V2 asks for the distance to the seeds too. held: mutations are clipped to the rule. aids: what
    was stated of the inputs of one campaign.
    """

    name: str
    validator: str
    rule: Callable[[Array, Array, int], Array]
    likeness: Callable[[Array, Array, Bounds], Array]
    least: float
    compared: str
    pixels: bool = False
    whole: bool = False
    density: bool = True
    held: bool = True
    aids: Aids = NOTHING

    def share(self, x: Array, ref: Array) -> Array:
        """(n,) float32: the share of pixels, columns or values at which x differs from ref."""
        if self.aids.table is not None:
            return self.aids.table.share(x, ref)
        return changed_share(x, ref, pixels=self.pixels)

    def hold(self, x: Array, ref: Array, bounds: Bounds) -> Array:
        """x (written to), held back to what the rule allows about ref, if this kind's values can be."""
        return hold_back(x, ref, bounds, pixels=self.pixels) if self.held else x

    def parts(self, size: int) -> int:
        """What shares are shares of: columns of a table, else the `size` values of an input."""
        return size if self.aids.table is None else len(self.aids.table.schema.columns)

    def largest(self, x: np.ndarray, ref: np.ndarray, bounds: Bounds) -> np.ndarray:
        """(n,) float32: the largest change as a fraction of the span, or of the column's range."""
        if self.aids.table is not None:
            return self.aids.table.largest(x, ref)
        change: np.ndarray = np.abs(x - ref).reshape(len(x), -1).max(axis=1) / np.float32(bounds.span)
        return change

    def likeness_to(self, x: Array, ref: Array, bounds: Bounds) -> Array:
        """(n,) float32: how like the reference each x is, 1 where they are equal."""
        return self.aids.table.closeness(x, ref) if self.aids.table else self.likeness(x, ref, bounds)

    def domain(self, x: np.ndarray) -> np.ndarray:
        """(n,) bool: what V0 asks besides finite values inside the bounds."""
        if self.aids.table is not None:
            return self.aids.table.domain(x)
        flat = x.reshape(len(x), -1)
        return (flat == np.rint(flat)).all(axis=1) if self.whole else np.ones(len(x), bool)

    def seen(self, x: np.ndarray, bounds: Bounds) -> tuple[np.ndarray, Bounds]:
        """x and its bounds in the units in which V2 takes distances to the seeds."""
        return (self.aids.table.seen(x), Bounds(0, 1)) if self.aids.table else (x, bounds)

    def kept(self, new: Array, old: Array) -> Array:
        """`new`, with what may not change as in `old`."""
        return new if self.aids is NOTHING else self.aids.kept(new, old)

    def likely(self, share: np.ndarray, likeness: np.ndarray, size: int) -> np.ndarray:
        """(n,) bool: near enough to the reference for V2; size: values in an input."""
        if self.whole:
            return np.asarray(few_changed(share, SMALL, size))
        return np.asarray(likeness >= self.least)


SMALL, LARGE = 0.05, 0.20  # shares of whole numbers that V2 and V1 let change
KINDS: Registry[Kind] = Registry("kind of inputs")


def _register(kind: Kind) -> Kind:
    return KINDS.register(kind.name)(kind)


IMAGE = _register(
    Kind(
        name="image",
        validator="V1: DeepHunter rule and affine limits; "
        "V2: SSIM >= 0.5 and density within 99.5 % of the seeds",
        rule=lambda share, largest, size: within_rule(share, largest),
        likeness=ssim,
        least=0.5,
        compared="mean SSIM",
        pixels=True,
    )
)
ARRAY = _register(
    Kind(
        name="array",
        validator="not images: V1: DeepHunter rule on values, shift limits; V2: relative distance to the "
        "reference <= 0.5 (no SSIM) and density within 99.5 % of the seeds",
        rule=lambda share, largest, size: within_rule(share, largest),
        likeness=relative_closeness,
        least=0.5,
        compared="1 - relative distance",
    )
)
WHOLE = _register(
    Kind(
        name="whole",
        validator="not images: V0: whole numbers; V1: at most 20 % of the values replaced, insertion limits; "
        "V2: at most 5 % or one value (no SSIM, no density)",
        rule=lambda share, largest, size: few_changed(share, LARGE, size),
        likeness=lambda x, ref, bounds: 1 - changed_share(x, ref, pixels=False),
        least=1 - SMALL,
        compared="1 - changed share",
        whole=True,
        density=False,
        held=False,
    )
)

SERIES = _register(
    replace(
        ARRAY,
        name="series",
        validator="time series: V1: DeepHunter rule on values, shift and stretch limits; V2: relative "
        "distance to the reference <= 0.5 (no SSIM) and density within 99.5 % of the seeds",
    )
)
_PIECES = (
    "V1: at most 20 % of the values replaced, insertion limits; V2: at most 5 % or one value (no SSIM, no "
    "density)"
)
BYTES, TOKENS = (
    _register(replace(WHOLE, name=name, validator=f"{text}: V0: whole numbers; {_PIECES}"))
    for name, text in (("bytes", "byte strings"), ("tokens", "token sequences"))
)
TABULAR = _register(
    Kind(
        name="tabular",
        validator="rows of a table: V0: the schema (whole numbers, categories, stated ranges, constraints); "
        "V1: at most 20 % of the columns or one, or numbers only by at most 20 % of their range; V2: changes "
        "of at most 0.5 standard deviations (root mean square over columns) and density within 99.5 % of the "
        "seeds",
        rule=lambda share, largest, size: few_changed(share, LARGE, size) | (largest <= DENSE),
        likeness=relative_closeness,
        least=0.5,
        compared="1 - root mean square of the columns' changes",
        held=False,
    )
)


def of_shape(shape: Sequence[int]) -> Kind:
    """Images for (c, h, w), arrays for anything else."""
    return IMAGE if len(shape) == 3 else ARRAY


def choose(model: Model, x: np.ndarray, stated: str = "auto", aids: Aids = NOTHING) -> Kind:
    """The kind of the seeds x (n, ...) of `model`, or the one that is stated.

    "auto": images for (c, h, w); whole numbers if the model declares an integer input and the seeds are
    whole; arrays otherwise. aids: what is stated of the inputs, which the kind holds from then on; a table's
    schema is inferred from the seeds where none is stated. InvalidArgument for a kind that the seeds are none
    of.
    """
    kind = KINDS.get(stated) if stated != "auto" else of_shape(x.shape[1:])
    if stated == "auto" and kind is ARRAY and _declares_integers(model) and _are_whole(x):
        return WHOLE
    if kind.pixels and x.ndim != 4:
        raise InvalidArgument(
            f"expected images (n, c, h, w) as seeds, got shape {x.shape}; state inputs='array' or 'whole'"
        )
    if kind.whole and not _are_whole(x):
        raise InvalidArgument("expected seeds of whole numbers, got fractions; state inputs='array'")
    if kind is TABULAR and x.ndim != 2:
        raise InvalidArgument(f"expected rows (n, columns) as seeds of a table, got shape {x.shape}")
    if kind is TABULAR and aids.table is None:
        aids = replace(aids, table=Table(infer(x)))
    return kind if aids is NOTHING else replace(kind, aids=aids)


def _are_whole(x: np.ndarray) -> bool:
    return bool((x == np.rint(x)).all())


def _declares_integers(model: Model) -> bool:
    """Whether the network takes the user's own numbers as integers (bytes, tokens)."""
    steps = model.preprocessing
    if steps.scale != 1 or any(steps.mean) or any(s != 1 for s in steps.std):
        return False
    declared = model.provenance.get("input")
    names = [steps.dtype, declared.get("dtype") if isinstance(declared, dict) else None]
    return any(isinstance(name, str) and name.lstrip("u").startswith("int") for name in names)
