"""Defenses: training, detection and certification."""

from __future__ import annotations

from armour.defenses.bit_depth import BitDepth as BitDepth
from armour.defenses.certificate import CROWN as CROWN
from armour.defenses.certificate import CROWNIBP as CROWNIBP
from armour.defenses.certificate import IBP as IBP
from armour.defenses.certificate import AlphaCROWN as AlphaCROWN
from armour.defenses.certificate import Certificate as Certificate
from armour.defenses.certificate import certify as certify
from armour.defenses.comparing import FeatureSqueezing as FeatureSqueezing
from armour.defenses.comparing import SmoothingDetector as SmoothingDetector
from armour.defenses.defended import Defended as Defended
from armour.defenses.detector import Detector as Detector
from armour.defenses.ensemble_detector import EnsembleDetector as EnsembleDetector
from armour.defenses.evidence import DEFENSES as DEFENSES
from armour.defenses.evidence import MEANINGS as MEANINGS
from armour.defenses.evidence import Evidence as Evidence
from armour.defenses.features import LID as LID
from armour.defenses.features import KernelDensity as KernelDensity
from armour.defenses.features import Mahalanobis as Mahalanobis
from armour.defenses.input import InputDefense as InputDefense
from armour.defenses.jpeg import JPEG as JPEG
from armour.defenses.magnet import MagNet as MagNet
from armour.defenses.measuring import DetectionResult as DetectionResult
from armour.defenses.measuring import detection as detection
from armour.defenses.region import RegionBased as RegionBased
from armour.defenses.resizing import RandomResizing as RandomResizing
from armour.defenses.smoothed_model import SmoothedModel as SmoothedModel
from armour.defenses.smoothing import RandomizedSmoothing as RandomizedSmoothing
from armour.defenses.smoothing import SmoothedCertificate as SmoothedCertificate
from armour.defenses.smoothing import SmoothedPrediction as SmoothedPrediction
from armour.defenses.smoothing import gaussian_noise as gaussian_noise
from armour.defenses.spatial import SpatialSmoothing as SpatialSmoothing
from armour.defenses.thermometer import Thermometer as Thermometer
from armour.defenses.total_variation import TotalVariation as TotalVariation
from armour.defenses.training import AdversarialTraining as AdversarialTraining
from armour.defenses.training import TrainingObjective as TrainingObjective
from armour.defenses.training import TrainingResult as TrainingResult
