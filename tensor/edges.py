"""Padding by what is inside: mirrored, or the border repeated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from armour.checks import one_of
from armour.errors import InvalidArgument
from armour.tensor.backend import get_xp
from armour.tensor.core import Tensor, lift, wrap
from armour.tensor.padding import sizes
from armour.tensor.scatter import gather


def pad_edges(x: Any, widths: Sequence[Sequence[int]], mode: str = "reflect") -> Tensor:
    """x extended by its own elements. widths: (before, after) for each axis.

    mode: "reflect" mirrors at the border elements, which are not repeated (widths below the length); "edge"
    repeats them; "wrap" goes on at the other end. Raises InvalidArgument for widths that do not fit.
    """
    (t,) = lift([x])
    one_of("mode", mode, ("reflect", "edge", "wrap"))
    pairs = [sizes("widths", tuple(pair), 2, 0) for pair in widths]
    if len(pairs) != t.ndim:
        raise InvalidArgument(f"expected widths for {t.ndim} axes, got {len(pairs)}")
    for axis, (before, after) in enumerate(pairs):
        if not before and not after:
            continue
        n = t.shape[axis]
        limit = {"reflect": n - 1, "wrap": n}.get(mode, before + after)
        if n < 1 or max(before, after) > limit:
            raise InvalidArgument(
                f"mode {mode!r} cannot pad {n} elements of axis {axis} by ({before}, {after}); at most "
                f"{limit}"
            )
        index = np.arange(-before, n + after)
        if mode == "reflect":
            index = (n - 1) - np.abs((n - 1) - np.abs(index))
        index = np.clip(index, 0, n - 1) if mode == "edge" else index % n
        t = gather(t, wrap(get_xp(t.data).asarray(index)), axis)
    return t
