"""Kinds of inputs: images, arrays of any shape, and whole numbers such as bytes or tokens.

A kind says which mutators fit, what counts as a change, and what the levels V1 and V2 ask of a mutant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from armour.bounds import Bounds
from armour.contract import Model
from armour.errors import InvalidArgument
from armour.registry import Registry
from armour.tensor.backend import Array

from .likeness import relative_closeness
from .limits import changed_share, few_changed, hold_back, within_rule
from .ssim import ssim


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What a campaign knows of its inputs.

    name: "image", "array" or "whole". validator: what V1 and V2 ask, in words. pixels: changes are counted by
    pixels, not by values. whole: values are whole numbers, and V0 asks that they stay so. rule: (changed
    share, largest change as a fraction of the span, values in an input) -> (n,) bool, V1. likeness: (x, ref,
    bounds) -> (n,), to the reference, 1 where equal; least: what V2 asks of it. compared: what it is called.
    density: V2 asks for the distance to the seeds too. held: mutations are clipped to the rule.
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

    def share(self, x: Array, ref: Array) -> Array:
        """(n,) float32: the share of pixels or values at which x differs from ref."""
        return changed_share(x, ref, pixels=self.pixels)

    def hold(self, x: Array, ref: Array, bounds: Bounds) -> Array:
        """x (written to), held back to what the rule allows about ref, if this kind's values can be."""
        return hold_back(x, ref, bounds, pixels=self.pixels) if self.held else x

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


def of_shape(shape: Sequence[int]) -> Kind:
    """Images for (c, h, w), arrays for anything else."""
    return IMAGE if len(shape) == 3 else ARRAY


def choose(model: Model, x: np.ndarray, stated: str = "auto") -> Kind:
    """The kind of the seeds x (n, ...) of `model`, or the one that is stated.

    "auto": images for (c, h, w); whole numbers if the model declares an integer input and the seeds are
    whole; arrays otherwise. InvalidArgument for a kind that the seeds are none of.
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
    return kind


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
