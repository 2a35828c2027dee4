"""Verifying a corpus: does everything it claims of its failures hold, on the model it was made with?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from armour.contract import Model
from armour.errors import ArmourError, InvalidArgument
from armour.events import OnEvent

from .reading import Corpus
from .replay import Replayed, replay
from .rounds import LEVELS


@dataclass(frozen=True, slots=True)
class Verified:
    """A corpus asked about everything it claims. unsound: id -> what does not hold, in words."""

    failures: int
    stored: int
    unsound: dict[str, str]


def verify(
    corpus: Corpus, model: Model, on_event: OnEvent = None, others: Mapping[str, Model] | None = None
) -> Verified:
    """Check each failure: its files are those that the index names, its recipe rebuilds its input bit for
    bit, and the model still fails on it, with the same label and at least at its validity level.

    others: models that it was compared with, by name. Raises InvalidArgument if the model is another one than
    the corpus was made with: that is for `replay`.
    """
    if model.fingerprint != corpus.manifest["model"]["fingerprint"]:
        raise InvalidArgument(
            f"expected the model that {corpus.folder} was made with, got another; "
            f"ask it with: armour corpus replay {corpus.folder}"
        )
    records = corpus.records()
    unsound: dict[str, str] = {}
    for record in records:
        if record["first"]:
            try:
                corpus.failure(record)
            except ArmourError as error:
                unsound[record["id"]] = " ".join(str(error).split())
    if not unsound:  # a replay reads the stored inputs too
        for one, record in zip(replay(corpus, model, on_event=on_event, others=others), records, strict=True):
            reason = _reason(one, record["validity"])
            if reason:
                unsound[one.id] = reason
    return Verified(len(records), sum(record["first"] for record in records), unsound)


def _reason(one: Replayed, level: str) -> str:
    """What does not hold of a failure that was asked again; empty if all does."""
    if not one.rebuilt:
        return "its recipe gives another input than the one that was found"
    if not one.same:
        return (
            f"the model gives label {one.now}, not {one.was}"
            if one.now != one.was
            else "its oracle does not hit"
        )
    if LEVELS.index(one.validity) < LEVELS.index(level):
        return f"it is valid at {one.validity}, not {level}"
    if one.minimised is False:
        return "its minimised input does not fail"
    return ""
