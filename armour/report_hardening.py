"""The section of a report on hardening: old model, controls and hardened one on seeds none was trained on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from armour import stats
from armour.errors import InvalidArgument
from armour.report_sections import OPTIONAL, Rate
from armour.verdict import percent, plural

if TYPE_CHECKING:
    from armour.fuzz.hardening_result import Hardening

LEVEL = 0.05  # of each test; hardening must pass all of those it is judged by, so none is adjusted
OLD, HARDENED = "old", "hardened"
NAMES = {
    OLD: "before",
    "clean": "control: the same seeds, unchanged",
    "mutants": "control: random mutants of them",
    HARDENED: "hardened",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HardenedModel:
    """One model fuzzed from side B: `broken` are roots of B, the same for every model.

    failures (D0) and classes (D2) of that run. again_b: of the old model's failures on B, those that this one
    fails too; again_a: of those on A, which the hardened one was trained on. clean: held-out accuracy.
    epochs, best_epoch: of its training.
    """

    name: str
    fingerprint: str
    executions: int
    failures: int
    classes: int
    broken: Rate
    clean: Rate
    again_b: Rate | None = None
    again_a: Rate | None = None
    epochs: int = 0
    best_epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """McNemar's exact test of two models on the same roots ("broken") or samples ("misread").

    only_first, only_second: how many only that model breaks or misreads.
    """

    what: Literal["broken", "misread"]
    first: str
    second: str
    only_first: int
    only_second: int
    p: float

    def __post_init__(self) -> None:
        if min(self.only_first, self.only_second) < 0 or not 0 <= self.p <= 1:
            raise InvalidArgument("expected counts at or above 0 and p in [0, 1]")

    @property
    def better(self) -> bool:
        """The second model breaks significantly less."""
        return self.p < LEVEL and self.only_second < self.only_first

    @property
    def worse(self) -> bool:
        """The second model breaks significantly more."""
        return self.p < LEVEL and self.only_second > self.only_first


@dataclass(frozen=True, slots=True, kw_only=True)
class HardeningSection:
    """Hardening and what it came to.

    models: old first, hardened last, controls between. tests: each of them against the hardened one. parent:
    fingerprint of the old model. split: sha256 over both sides. seeds_a, seeds_b: their sizes; failures_a,
    classes_a: what there was to train on. data: what was trained on beside; samples: inputs trained on, of
    which `added` are failures, or what a control had in their place.
    """

    models: tuple[HardenedModel, ...]
    tests: tuple[Paired, ...]
    parent: str
    split: str
    seeds_a: int
    seeds_b: int
    failures_a: int
    classes_a: int
    data: str
    samples: int
    added: int
    notes: tuple[str, ...] = field(default=(), metadata=OPTIONAL)

    def __post_init__(self) -> None:
        names = [model.name for model in self.models]
        if len(names) < 2 or names[0] != OLD or names[-1] != HARDENED or len(set(names)) < len(names):
            raise InvalidArgument(f"expected the models {OLD}, controls, {HARDENED}, got {names[:8]}")
        if len({(m.broken.n, m.clean.n) for m in self.models}) > 1:
            raise InvalidArgument("expected every model on the same roots and samples")
        pairs = [(test.what, test.first, test.second) for test in self.tests]
        if pairs != [(what, name, HARDENED) for what in ("broken", "misread") for name in names[:-1]]:
            raise InvalidArgument("expected a test of each other model against the hardened one")

    def model(self, name: str) -> HardenedModel:
        """The model of that name."""
        return next(model for model in self.models if model.name == name)


def hardening_section(result: Hardening, data: str) -> HardeningSection:
    """The section of a result of armour.fuzz.hardening.harden; data: name of the training data."""
    found = result.models
    last = found[-1]
    tests = [_paired("broken", one.name, one.broken, last.broken) for one in found[:-1]]
    tests += [_paired("misread", one.name, ~one.right, ~last.right) for one in found[:-1]]
    models = [
        HardenedModel(
            name=one.name,
            fingerprint=one.fingerprint,
            executions=one.executions,
            failures=one.failures,
            classes=one.classes,
            broken=Rate.of(int(one.broken.sum()), len(one.broken)),
            clean=Rate.of(int(one.right.sum()), len(one.right)),
            again_b=Rate.of(*one.again_b) if one.again_b[1] else None,
            again_a=Rate.of(*one.again_a) if one.again_a[1] else None,
            epochs=one.epochs,
            best_epoch=one.best_epoch,
        )
        for one in found
    ]
    return HardeningSection(
        models=tuple(models),
        tests=tuple(tests),
        parent=result.parent,
        split=result.split.digest,
        seeds_a=len(result.split.a),
        seeds_b=len(result.split.b),
        failures_a=result.failures_a,
        classes_a=result.classes_a,
        data=data,
        samples=result.trained[0],
        added=result.trained[1],
        notes=result.notes,
    )


def gained(section: HardeningSection) -> bool:
    """Hardening broke fewer roots of B than the old model and than every control, each at p < 0.05."""
    return all(test.better for test in section.tests if test.what == "broken")


def hardening_verdict(section: HardeningSection) -> tuple[str, str]:
    """What hardening did on seeds it had not seen, and the figures behind it."""
    broken = [test for test in section.tests if test.what == "broken"]
    before, controls = broken[0], broken[1:]
    if before.worse:
        head = "hardening made the model worse on seeds it had not seen"
    elif not before.better:
        head = "hardening did not help on seeds it had not seen"
    elif all(test.better for test in controls):
        head = "hardening helped on seeds it had not seen"
        head += "" if controls else ", or training on did: there was no control"
    else:
        equal = " and ".join(NAMES[t.first].removeprefix("control: ") for t in controls if not t.better)
        head = f"hardening helped on seeds it had not seen, but not beyond its control ({equal})"
    clean = next(test for test in section.tests if test.what == "misread")
    if clean.worse:
        head += ", and accuracy fell"
    old, new = section.model(OLD), section.model(HARDENED)
    beside = [f"{section.model(t.first).broken.k:,} by the {NAMES[t.first]}, {p_text(t.p)}" for t in controls]
    counts = [
        f"{new.broken.k:,} of {plural(new.broken.n, 'root')} broken",
        f"{old.broken.k:,} before, {p_text(before.p)}",
    ]
    accuracy = (
        f"held-out accuracy {percent(new.clean.value)}, {percent(old.clean.value)} before, {p_text(clean.p)}"
    )
    return head, f"({'; '.join([*counts, *beside, accuracy])})"


def hardening_sentence(section: HardeningSection) -> str:
    """`hardening helped on seeds it had not seen (103 of 480 roots broken; 190 before, p < 0.001; ...)`."""
    return " ".join(hardening_verdict(section))


def p_text(p: float) -> str:
    """0.0312 as "p = 0.031", small ones as "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _paired(what: Literal["broken", "misread"], name: str, first: np.ndarray, second: np.ndarray) -> Paired:
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    return Paired(
        what=what,
        first=name,
        second=HARDENED,
        only_first=only_first,
        only_second=only_second,
        p=stats.mcnemar(only_first, only_second),
    )
