"""Evidence labels: every registered defense carries one, with its source."""

from __future__ import annotations

import pytest

import armour.defenses
from armour.defenses.evidence import DEFENSES, MEANINGS, Evidence
from armour.errors import InvalidArgument


def test_every_defense_carries_evidence() -> None:
    assert armour.defenses.DEFENSES is DEFENSES
    for name, kind in DEFENSES.items():
        assert isinstance(kind.evidence, Evidence), name
        assert "http" in kind.evidence.source, f"{name}: a source is something one can look up"


@pytest.mark.parametrize("label", MEANINGS)
def test_it_is_shown_in_words(label: str) -> None:
    shown = str(Evidence(label, "https://arxiv.org/abs/1802.00420", "0 % left"))  # type: ignore[arg-type]
    assert shown == f"{label} ({MEANINGS[label]}): 0 % left; https://arxiv.org/abs/1802.00420"  # type: ignore[index]


def test_unknown_labels_and_missing_sources_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"expected an evidence label of certified, .* got 'strong'"):
        Evidence("strong", "x")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="source"):
        Evidence("broken", " ")
