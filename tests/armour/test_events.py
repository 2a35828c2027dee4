"""Events reach a listener, and nobody has to listen."""

from __future__ import annotations

from armour.events import Event, emit


def test_emit() -> None:
    seen: list[Event] = []
    emit(None, "train", 1)
    emit(seen.append, "train", 2, 5, "epoch 1", loss=0.5)
    assert seen == [Event("train", 2, 5, "epoch 1", {"loss": 0.5})]
