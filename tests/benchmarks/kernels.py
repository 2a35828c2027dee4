"""Which kernels of ours are timed: NumPy alone, and the compiled ones of the extra `fast` where they work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial

from armour.tensor import use_kernels
from armour.tensor.layout import KERNELS

FAMILIES = {"numpy": ("numpy",), "fast": ("onednn", "numba")}


def available() -> tuple[list[str], list[str]]:
    """The choices that can be timed here, and why others cannot."""
    from armour.tensor.kernels import numba_compile, onednn_library

    reasons = {"onednn": onednn_library.why_not(), "numba": numba_compile.why_not()}
    with use_kernels(*FAMILIES["fast"]):
        laid_out = {family for found in KERNELS.values() for family, _ in found}
    for family in FAMILIES["fast"]:
        if not reasons[family] and family not in laid_out:
            reasons[family] = "plans have no kernels of this family"
    missing = [f"{family}: {reason}" for family, reason in reasons.items() if reason]
    return ["numpy"] if len(missing) == len(reasons) else list(FAMILIES), missing


def within(choice: str) -> Callable[[], AbstractContextManager[None]]:
    """What makes the context in which plans use these kernels."""
    return partial(use_kernels, *FAMILIES[choice])
