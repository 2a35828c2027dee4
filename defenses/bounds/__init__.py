"""Bounds of a network's outputs over a ball of inputs: the graph in steps, and ways to bound them."""

from __future__ import annotations

from armour.defenses.bounds.backward import Queries as Queries
from armour.defenses.bounds.backward import State as State
from armour.defenses.bounds.backward import lowest as lowest
from armour.defenses.bounds.interval import Interval as Interval
from armour.defenses.bounds.interval import intervals as intervals
from armour.defenses.bounds.program import Program as Program
from armour.defenses.bounds.program import program_of as program_of
from armour.defenses.bounds.region import Region as Region
from armour.defenses.bounds.region import region_of as region_of
from armour.defenses.bounds.rounding import Rounding as Rounding
from armour.defenses.bounds.rules import LAYER_RULES as LAYER_RULES
from armour.defenses.bounds.rules import OP_RULES as OP_RULES
from armour.defenses.bounds.tighten import tightened as tightened
