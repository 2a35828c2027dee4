"""Coverage criteria over neuron activations: what share of a network's behaviour have these inputs shown?

Coverage is a measure to report and to distil a corpus by. It is no verdict: raising it was measured not to
find more failures (Harel-Canada et al., 2020, came to the same result).
"""

from .base import CRITERIA as CRITERIA
from .base import CellCriterion as CellCriterion
from .base import Criterion as Criterion
from .base import shown as shown
from .distribution import NLC as NLC
from .distribution import SCC as SCC
from .nearest import NearestNeighbour as NearestNeighbour
from .neurons import NC as NC
from .neurons import TKNC as TKNC
from .neurons import TKNP as TKNP
from .profiled import KMNC as KMNC
from .profiled import NBC as NBC
from .profiled import SNAC as SNAC
from .surprise import DSA as DSA
from .surprise import LSA as LSA
