"""The moment at which attacks are to stop with what they have.

`with deadline(moment) as clock:` holds for everything called inside it, in this thread. A loop over steps or
queries asks `time_is_up()` before each, and hands back its best so far when it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Clock:
    """until: time.monotonic() at which to stop. rang: an attack was told so, and has not come to its end."""

    until: float
    rang: bool = False


def moment_in(seconds: float) -> float:
    """The moment so many seconds from now."""
    return time.monotonic() + seconds


_CLOCK: ContextVar[Clock | None] = ContextVar("clock", default=None)


@contextmanager
def deadline(until: float | None) -> Iterator[Clock | None]:
    """Let attacks run until that moment; None for what holds outside already, or for as long as they take."""
    clock = _CLOCK.get() if until is None else Clock(until)
    token = _CLOCK.set(clock)
    try:
        yield clock
    finally:
        _CLOCK.reset(token)


def time_is_up() -> bool:
    """Whether an attack has to stop here, before its end."""
    clock = _CLOCK.get()
    if clock is None:
        return False
    clock.rang = clock.rang or time.monotonic() > clock.until
    return clock.rang
