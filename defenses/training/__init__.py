"""Adversarial training: objectives registered by name, and the run that they share."""

from __future__ import annotations

from .adversarial import AdversarialTraining as AdversarialTraining
from .adversarial import TrainingResult as TrainingResult
from .adversarial import facts as facts
from .adversarial import name_of as name_of
from .adversarial import objectives as objectives
from .awp import AWP as AWP
from .base import Batch as Batch
from .base import Network as Network
from .base import TrainingObjective as TrainingObjective
from .ensemble import Ensemble as Ensemble
from .free import Free as Free
from .gradalign import GradAlign as GradAlign
from .mart import MART as MART
from .mixed import NaturalNoise as NaturalNoise
from .mixed import ProjectedTraining as ProjectedTraining
from .pgd import PGDTraining as PGDTraining
from .single_step import FGSMRS as FGSMRS
from .single_step import NFGSM as NFGSM
from .trades import TRADES as TRADES
from .watch import Collapse as Collapse
from .watch import Watched as Watched
from .watch import collapse as collapse
from .worst_of_k import WorstOfK as WorstOfK
