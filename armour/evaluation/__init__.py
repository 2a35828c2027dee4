"""`armour.evaluate`: a row of attacks and the checks that say whether its figure can be believed."""

from __future__ import annotations

from armour.evaluation.ids import sample_ids as sample_ids
from armour.evaluation.presets import PRESETS as PRESETS
from armour.evaluation.rules import RULES as RULES
from armour.evaluation.run import evaluate as evaluate
