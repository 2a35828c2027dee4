"""Which families of kernels plans are laid out with: numpy always, faster ones where they are installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from armour.checks import one_of

FAMILIES = ("onednn", "numba", "numpy")


class _Choice:
    names: tuple[str, ...] | None = None


def families() -> tuple[str, ...]:
    """The families in use, the preferred first."""
    if _Choice.names is None:
        _Choice.names = _default()
    return _Choice.names


@contextmanager
def use_kernels(*names: str) -> Iterator[None]:
    """Inside, new plans use these families of kernels ("onednn", "numba", "numpy"); numpy is always there."""
    for name in names:
        one_of("kernels", name, FAMILIES)
    before, _Choice.names = _Choice.names, tuple(n for n in FAMILIES if n in names or n == "numpy")
    try:
        yield
    finally:
        _Choice.names = before


def _default() -> tuple[str, ...]:
    stated = os.environ.get("ARMOUR_KERNELS")
    if stated is not None:
        wanted = [one_of("ARMOUR_KERNELS", n.strip(), FAMILIES) for n in stated.split(",") if n.strip()]
        return tuple(n for n in FAMILIES if n in wanted or n == "numpy")
    return ("numpy",)
