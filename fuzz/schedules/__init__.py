"""The schedules, one a file: a file of this folder that is imported here is one more choice of --schedule."""

from armour.fuzz.schedule import SCHEDULES as SCHEDULES

from . import deephunter as deephunter  # registers its schedule
from . import fast as fast  # registers its schedule
from . import niche as niche  # registers its schedule
from . import rare as rare  # registers its schedule
from . import stacked as stacked  # registers its schedules
from . import tensorfuzz as tensorfuzz  # registers its schedule
