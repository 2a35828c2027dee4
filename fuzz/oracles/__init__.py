"""Oracles: when is what a model did with a mutant a failure? One small file each, by name in ORACLES."""

from __future__ import annotations

from . import (  # noqa: F401  # each registers its oracle
    batch_consistency,
    confidence_collapse,
    cost,
    crash,
    differential,
    label_flip,
    metamorphic,
    nonfinite,
    overconfident_wrong,
    tabular,
)
from .base import ORACLES as ORACLES
from .base import SEVERITIES as SEVERITIES
from .base import Oracle as Oracle
from .base import Place as Place
from .base import Seen as Seen
from .base import Verdict as Verdict
from .base import parse as parse
from .base import register as register
from .panel import DEFAULTS as DEFAULTS
from .panel import Judged as Judged
from .panel import Panel as Panel
from .panel import in_order as in_order
from .relations import Relation as Relation
from .relations import read_relations as read_relations
