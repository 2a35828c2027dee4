"""Which families of kernels plans are laid out with: numpy always, faster ones where they are installed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from armour.checks import one_of
from armour.errors import BackendUnavailable
from armour.tensor.backend import Namespace, why_no_cupy

FAMILIES = ("cupy", "onednn", "numba", "numpy")
PLACES = {"cupy": "cupy", "onednn": "numpy", "numba": "numpy"}  # the namespace whose arrays a family works on


class _Choice:
    names: tuple[str, ...] | None = None


def families() -> tuple[str, ...]:
    """The families in use, the preferred first."""
    if _Choice.names is None:
        _Choice.names = _default()
    return _Choice.names


@contextmanager
def use_kernels(*names: str) -> Iterator[None]:
    """Inside, new plans use these families of kernels ("cupy", "onednn", "numba", "numpy").

    numpy, which is any namespace's own functions, is always there.
    Raises BackendUnavailable, with what to do, if one is not installed.
    """
    for name in names:
        one_of("kernels", name, FAMILIES)
    before, _Choice.names = _Choice.names, _usable(names)
    try:
        yield
    finally:
        _Choice.names = before


def serving(names: Sequence[str], xp: Namespace) -> tuple[str, ...]:
    """Those families that work on arrays of a namespace."""
    return tuple(name for name in names if PLACES.get(name, xp.__name__) == xp.__name__)


def _usable(wanted: Sequence[str]) -> tuple[str, ...]:
    for name in wanted:
        reason = why_not(name)
        if reason is not None:
            raise BackendUnavailable(f"the kernels of {name} cannot be used: {reason}")
    return tuple(n for n in FAMILIES if n in wanted or n == "numpy")


def _default() -> tuple[str, ...]:
    stated = os.environ.get("ARMOUR_KERNELS")
    if stated is not None:
        wanted = [one_of("ARMOUR_KERNELS", n.strip(), FAMILIES) for n in stated.split(",") if n.strip()]
        return _usable(wanted)
    return tuple(name for name in FAMILIES if why_not(name) is None)


def why_not(name: str) -> str | None:
    """Why a family of kernels cannot be used and what to do about it; None if it can."""
    if name == "cupy":
        return why_no_cupy()
    if name == "onednn":
        from armour.tensor.kernels import onednn_library

        return onednn_library.why_not()
    if name == "numba":
        from armour.tensor.kernels import numba_compile

        return numba_compile.why_not()
    return None
