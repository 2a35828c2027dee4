"""How well defenses hold: a label with its source, carried by every defense and shown to users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from armour.errors import InvalidArgument
from armour.registry import Registry

Label: TypeAlias = Literal["certified", "stood-up", "partial", "weak", "broken", "detect-only"]

MEANINGS: dict[Label, str] = {
    "certified": "gives a proof for each input",
    "stood-up": "survived attacks that know it",
    "partial": "helps under stated limits",
    "weak": "helps little against attacks that know it",
    "broken": "defeated in print by attacks that know it",
    "detect-only": "rejects inputs, corrects none",
}

# Everything that defends, by name: training objectives, input defenses, detectors and certificates.
DEFENSES: Registry[Any] = Registry("defense")


@dataclass(frozen=True, slots=True)
class Evidence:
    """How well a defense holds, and who says so.

    label: one of MEANINGS. source: the paper or page that says so, with its address. note: the finding in
    few words, such as the accuracy that an attack left.

    Raises InvalidArgument for another label or no source.
    """

    label: Label
    source: str
    note: str = ""

    def __post_init__(self) -> None:
        if self.label not in get_args(Label):
            raise InvalidArgument(f"expected an evidence label of {', '.join(MEANINGS)}; got {self.label!r}")
        if not self.source.strip():
            raise InvalidArgument(f"expected the source that says {self.label!r}, got none")

    def __str__(self) -> str:
        return f"{self.label} ({MEANINGS[self.label]}): {'; '.join(filter(None, (self.note, self.source)))}"
