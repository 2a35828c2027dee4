"""Coverage-guided fuzzing of models: Fuzzer(model, x, y, corpus=...).run(...) -> FuzzResult."""

from .campaign import Campaign as Campaign
from .comparison import Comparison as Comparison
from .config import FuzzConfig as FuzzConfig
from .engine import Fuzzer as Fuzzer
from .hardening import harden as harden
from .hardening_result import HardenConfig as HardenConfig
from .hardening_result import Hardening as Hardening
from .mutators import Param as Param
from .mutators import mutator as mutator
from .reading import Corpus as Corpus
from .result import CampaignResult as CampaignResult
from .result import Failure as Failure
from .result import FuzzResult as FuzzResult
from .result import GrowthPoint as GrowthPoint
