"""What a long job tells its caller while it runs: one record, whatever the job is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Event:
    """One step of progress.

    stage: what is being done, in one word ("train", "attack", "fuzz", "download").
    done, total: units finished, and how many there are (None: unknown).
    text: one line for people. values: figures worth showing or logging, by name. detail: all there is to say,
    as plain values, for those who show more than a line.
    """

    stage: str
    done: int
    total: int | None = None
    text: str = ""
    values: dict[str, float] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


OnEvent: TypeAlias = Callable[[Event], None] | None


def emit(
    on_event: OnEvent, stage: str, done: int, total: int | None = None, text: str = "", **values: float
) -> None:
    """Send an Event if somebody listens."""
    if on_event is not None:
        on_event(Event(stage, done, total, text, values))
