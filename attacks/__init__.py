"""Attacks: `attacks.PGD(norm="linf", steps=40).attack(model, x, y, epsilons=["8/255"], rng=0)`."""

from __future__ import annotations

from armour.attacks.apgd import APGD as APGD
from armour.attacks.apgd import APGDDLR as APGDDLR
from armour.attacks.apgd import APGDT as APGDT
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
from armour.attacks.deepfool import DeepFool as DeepFool
from armour.attacks.fgsm import FGSM as FGSM
from armour.attacks.fgsm import RFGSM as RFGSM
from armour.attacks.hop_skip_jump import HopSkipJump as HopSkipJump
from armour.attacks.image_maps import Diversity as Diversity
from armour.attacks.image_maps import Smoothing as Smoothing
from armour.attacks.jitter import Jitter as Jitter
from armour.attacks.least_likely import LeastLikely as LeastLikely
from armour.attacks.mask import Mask as Mask
from armour.attacks.mi_fgsm import CTFGSM as CTFGSM
from armour.attacks.mi_fgsm import DIFGSM as DIFGSM
from armour.attacks.mi_fgsm import MIFGSM as MIFGSM
from armour.attacks.mi_fgsm import NIFGSM as NIFGSM
from armour.attacks.mi_fgsm import SIFGSM as SIFGSM
from armour.attacks.mi_fgsm import TIFGSM as TIFGSM
from armour.attacks.mi_fgsm import VMIFGSM as VMIFGSM
from armour.attacks.mi_fgsm import VNIFGSM as VNIFGSM
from armour.attacks.mi_fgsm import MomentumAttack as MomentumAttack
from armour.attacks.momentum import Momentum as Momentum
from armour.attacks.momentum import Neighbours as Neighbours
from armour.attacks.pgd import BIM as BIM
from armour.attacks.pgd import PGD as PGD
from armour.attacks.result import AttackResult as AttackResult
from armour.attacks.spatial import Spatial as Spatial
from armour.attacks.spatial import SpatialPGD as SpatialPGD
from armour.attacks.square import Square as Square
from armour.attacks.starts import Starts as Starts
from armour.attacks.transfer import Transfer as Transfer
from armour.attacks.transfer import TransferMatrix as TransferMatrix
from armour.attacks.transfer import transfer_matrix as transfer_matrix
