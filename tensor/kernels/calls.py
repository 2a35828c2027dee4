"""Calls without arguments, which plans are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def chain(calls: Sequence[Callable[[], Any]]) -> Callable[[], Any]:
    """One callable that makes all calls in order."""
    if len(calls) == 1:
        return calls[0]
    if len(calls) == 2:
        first, second = calls

        def both() -> None:
            first()
            second()

        return both

    def run() -> None:
        for call in calls:
            call()

    return run
