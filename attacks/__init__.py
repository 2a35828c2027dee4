"""Attacks: `attacks.PGD(norm="linf", steps=40).attack(model, x, y, epsilons=["8/255"], rng=0)`."""

from __future__ import annotations

from armour.attacks.base import ATTACKS as ATTACKS
from armour.attacks.base import Attack as Attack
from armour.attacks.base import FixedBudgetAttack as FixedBudgetAttack
from armour.attacks.base import MinimizationAttack as MinimizationAttack
from armour.attacks.base import OwnLimitsAttack as OwnLimitsAttack
from armour.attacks.base import get as get
from armour.attacks.base import names as names
from armour.attacks.black_box import DecisionAttack as DecisionAttack
from armour.attacks.black_box import OwnLimitsScoreAttack as OwnLimitsScoreAttack
from armour.attacks.black_box import ScoreAttack as ScoreAttack
from armour.attacks.fgsm import FGSM as FGSM
from armour.attacks.fgsm import RFGSM as RFGSM
from armour.attacks.mask import Mask as Mask
from armour.attacks.pgd import BIM as BIM
from armour.attacks.pgd import PGD as PGD
from armour.attacks.result import AttackResult as AttackResult
from armour.attacks.spatial import Spatial as Spatial
from armour.attacks.spatial import SpatialPGD as SpatialPGD
from armour.attacks.square import Square as Square
