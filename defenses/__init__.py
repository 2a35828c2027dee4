"""Defenses: training, detection and certification."""

from __future__ import annotations

from armour.defenses.evidence import DEFENSES as DEFENSES
from armour.defenses.evidence import MEANINGS as MEANINGS
from armour.defenses.evidence import Evidence as Evidence
