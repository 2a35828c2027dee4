"""What a fuzzing run returns: failures with everything needed to show them, and counts for both campaigns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .special import Special


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The first failure of one class (D2), minimised.

    id: first 12 hexadecimal digits of the sha256 of `mutant`. oracle: "label-flip", "differential-int8", ...;
    severity: "high", "medium" or "info". true, predicted: labels; predicted is -1 if the logits are not
    finite; where an oracle compares two answers and the first is right, it is the second. root: number of its
    seed; source: that seed's index in the data given. recipe, minimised_recipe: texts that rebuild the mutant
    from the root. validity: "V2" and so on, for the mutant. pair: its D1 key; key: its D2 key; families:
    operation families after minimisation. confidence: softmax probability of the predicted label; margin: its
    logit less the true label's. execution: inputs executed by then. root_image, reference, mutant, minimised:
    float32, (c, h, w) or of another shape; reference is the root after the geometric step alone.
    minimised_reference: the same for the minimised recipe. replay: the command that shows the failure again.
    trouble: why the model did not answer, "" if it did.
    """

    id: str
    oracle: str
    true: int
    predicted: int
    root: int
    source: int
    recipe: str
    minimised_recipe: str
    validity: str
    pair: str
    key: str
    families: tuple[str, ...]
    confidence: float
    margin: float
    execution: int
    root_image: np.ndarray
    reference: np.ndarray
    mutant: np.ndarray
    minimised: np.ndarray
    minimised_reference: np.ndarray
    replay: str = ""
    severity: str = "medium"
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthPoint:
    """What a campaign had found after `executions`.

    coverage: share of in-profile sections (KMNC); criteria: value of each coverage criterion by name.
    """

    executions: int
    failures: int
    distinct: int
    classes: int
    roots: int
    valid: int
    coverage: float
    seconds: float = 0.0
    criteria: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignResult:
    """What one schedule found.

    executions: inputs mutated, judged and run. valid: those that reached the required validity level.
    levels: executions by the level reached, "invalid", "V0", "V1", "V2". Failing executions are counted
    in `failing`, by the highest level they reached, whether they count as failures or not. At the
    required level: failures (D0, different inputs), pairs (D1: oracle, true, predicted), classes (D2:
    pair and families after minimisation), variants (D3: class and how the layer before the last saw the
    input; None for a black box), distinct (root, predicted label), roots (broken ones).
    class_counts: failures by D2 key. pair_counts: failures by (true, predicted). triage_executions:
    inputs run to minimise, judging_executions: inputs that oracles ran beside, for instance changed copies;
    neither is part of `executions`. steps_rejected: mutations undone because they left the required level.
    coverage: values by criterion. correlation: of each criterion's growth with the failures found, as in
    armour.fuzz.correlation; None where nothing can be said.
    """

    schedule: str
    executions: int
    valid: int
    levels: dict[str, int]
    failing: dict[str, int]
    failures: int
    pairs: int
    classes: int
    distinct: int
    roots: int
    class_counts: dict[str, int]
    pair_counts: dict[tuple[int, int], int]
    triage_executions: int
    steps_rejected: int
    survivors: int
    coverage: dict[str, float]
    seconds: float
    correlation: dict[str, list[float] | None] = field(default_factory=dict)
    judging_executions: int = 0
    curve: tuple[GrowthPoint, ...] = ()
    variants: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzResult:
    """The outcome of Fuzzer.run.

    failures: one for each class found (the rest are counted, and listed with their recipes in the corpus).
    executions, classes: of the guided campaign. guided, baseline: both campaigns; baseline is stacked random
    mutation at equal executions, None if it was switched off. seconds: of the whole run, both campaigns, and
    of earlier runs of a resumed corpus. validity: the level required of a failure, "V2". seeds: inputs given;
    roots: those fuzzed; skipped: those the model misread already. corpus: the folder, None in memory.
    inputs: the kind of the seeds, "image", "array" or "whole"; mutators, oracles: the names of those at work.
    interrupted: True if Ctrl-C or an error ended it. stopped: what ended it, in words. islands: searches side
    by side, see FuzzConfig. notes: what a reader of the figures should know.
    special: what the model did with NaN, an empty batch and the like, which are no valid inputs.
    """

    failures: tuple[Failure, ...]
    executions: int
    classes: int
    seconds: float
    guided: CampaignResult
    baseline: CampaignResult | None
    validity: str
    validator: str
    seeds: int
    roots: int
    skipped: int
    seed: int
    corpus: Path | None
    data_sha256: str
    fingerprint: str
    inputs: str = "image"
    mutators: tuple[str, ...] = ()
    oracles: tuple[str, ...] = ("label-flip",)
    interrupted: bool = False
    stopped: str = ""
    islands: int = 1
    notes: tuple[str, ...] = field(default=())
    special: tuple[Special, ...] = field(default=())
