"""Reports made of invented figures, for tests of saving, loading and rendering."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from armour.environment import Environment
from armour.report import Report
from armour.report_evaluation import (
    AttackStep,
    DistanceCurve,
    EvaluationSection,
    GroupRow,
    Outcomes,
    QueryCurve,
    ThreatInfo,
    TransferRow,
)
from armour.report_sections import (
    AttackSection,
    Campaign,
    Check,
    ClassRow,
    DataInfo,
    Example,
    Failure,
    FailureClass,
    FuzzSection,
    GrowthPoint,
    ModelInfo,
    Provenance,
    Rate,
)
from armour.thumbnails import difference, picture

EPSILONS = (0.02, 0.05, 0.1, 0.15, 0.2)
DIGITS = tuple(str(i) for i in range(10))


def environment() -> Environment:
    return Environment(
        armour="0.1.0",
        python="3.11.7",
        system="Linux 6.1",
        machine="x86_64",
        processor="A processor",
        cores=2,
        blas="OpenBLAS 0.3.31, kernel SkylakeX, 1 thread",
        packages={"numpy": "2.4.0"},
    )


def model_info(class_names: tuple[str, ...] = DIGITS) -> ModelInfo:
    return ModelInfo(
        name="lenet5",
        fingerprint="ab" * 32,
        input_shape=(1, 28, 28),
        num_classes=len(class_names),
        class_names=class_names,
        parameters=44_426,
        provenance={"data": "mnist", "seed": "0"},
    )


def example(
    rng: np.random.Generator, true: int = 3, predicted: int = 5, shape: tuple[int, ...] = (1, 28, 28)
) -> Example:
    root = rng.random(shape).astype(np.float32)
    mutant = np.clip(root + rng.normal(0, 0.1, shape), 0, 1).astype(np.float32)
    shown, largest = difference(mutant, root)
    return Example(
        root=picture(root, (0, 1)),
        mutant=picture(mutant, (0, 1)),
        difference=shown,
        largest=largest,
        true=true,
        predicted=predicted,
    )


def attack_section(n: int = 1_000, examples: int = 2) -> AttackSection:
    rng = np.random.default_rng(1)
    robust = tuple(Rate.of(round(n * share), n) for share in (0.931, 0.802, 0.472, 0.126, 0.0))
    size = n // 10
    rows = tuple(
        ClassRow(
            label=label,
            clean=Rate.of(size, size) if label == 1 else Rate.of(size - 2, size),
            robust=tuple(Rate.of(max(0, round(rate.value * size) - label), size) for rate in robust),
        )
        for label in range(10)
    )
    return AttackSection(
        name="PGD-40",
        config="PGD(norm='linf', steps=40, step_size=0.1)",
        data=DataInfo(name="mnist, held-out", n=n, selection="all held-out", class_counts=(size,) * 10),
        norm="linf",
        epsilons=EPSILONS,
        headline=2,
        clean=Rate.of(round(n * 0.978), n),
        robust=robust,
        distances=(0.02, 0.05, 0.09, 0.12, 0.13),
        classes=rows,
        queries=200_000,
        gradients=190_000,
        seconds=21.5,
        examples=tuple(example(rng) for _ in range(examples)),
    )


def campaign(schedule: str, scale: float, executions: int = 20_000) -> Campaign:
    steps = sorted({round(executions ** (i / 24)) for i in range(25)} | {executions})
    points = tuple(
        GrowthPoint(
            executions=e,
            failures=min(e, round(scale * e * 0.056)),
            distinct=min(e, round(scale * 6.0 * e**0.42)),
            classes=min(e, round(scale * 1.6 * e**0.33)),
            roots=min(e, round(190 * (1 - np.exp(-e / 6000)))),
            coverage=0.6,
            seconds=e / 2_000,
        )
        for e in steps
    )
    last = points[-1]
    return Campaign(
        schedule=schedule,
        executions=executions,
        valid=round(executions * 0.93),
        failures=last.failures,
        pairs=41,
        classes=last.classes,
        distinct=last.distinct,
        roots=last.roots,
        levels={"invalid": 40, "V0": 800, "V1": 560, "V2": round(executions * 0.93)},
        failing={"V0": 60, "V1": 31, "V2": last.failures + 4},
        pair_counts={
            "3>5": 210,
            "4>9": 180,
            "7>1": 55,
            "9>4": 122,
            "2>7": 31,
            "8>3": 77,
            "5>3": 99,
            "0>6": 12,
        },
        coverage={"KMNC": 0.612, "NBC": 0.081},
        triage=4_100,
        seconds=executions / 2_000,
        curve=points,
    )


def failure(rng: np.random.Generator, i: int, shape: tuple[int, ...] = (1, 28, 28)) -> Failure:
    true, predicted = i % 10, (i * 3 + 1) % 10
    return Failure(
        id=f"{i:012x}",
        key=f"label-flip-{true}-{predicted}-blur",
        oracle="label-flip",
        validity="V2",
        recipe=f"root={i};rotate(deg=-11.239848)@{i + 7:016x};gaussian-noise(sigma=0.08123)@9bc0000000000001",
        replay=f"armour corpus replay lenet5-fuzz --case {i:012x}",
        example=example(rng, true, predicted, shape),
        operations="rotate(deg=-11.2), gaussian-noise(sigma=0.0812)",
        figures={"ssim": 0.71, "l2": 2.25},
    )


def fuzz_section(failures: int = 6, shape: tuple[int, ...] = (1, 28, 28)) -> FuzzSection:
    rng = np.random.default_rng(2)
    shown = tuple(failure(rng, i, shape) for i in range(failures))
    classes = tuple(
        FailureClass(
            key=f.key,
            oracle=f.oracle,
            true=f.example.true,
            predicted=f.example.predicted,
            families=("blur",),
            count=3,
        )
        for f in shown
    )
    return FuzzSection(
        guided=campaign("niche", 1.0),
        data=DataInfo(name="mnist, held-out", n=1_000),
        baseline=campaign("random", 0.8),
        roots=200,
        mutators=("rotate", "gaussian-noise"),
        classes=classes,
        failures=shown,
        validator="DeepHunter's rule with affine limits, SSIM >= 0.5, density within the 99.5th percentile",
        skipped=22,
        seed=0,
    )


def report(**changes: object) -> Report:
    parts: dict[str, object] = {
        "model": model_info(),
        "attacks": (attack_section(),),
        "fuzz": fuzz_section(),
        "provenance": Provenance(
            command="armour demo", seed=0, reproduce=("armour demo --seed 0",), created="today"
        ),
        "environment": environment(),
    }
    return Report(**{**parts, **changes})  # type: ignore[arg-type]


def evaluated() -> Report:
    """A report of an evaluation, with everything in it that one can hold."""
    section = attack_section()
    n = 12
    rates = tuple(section.robust)
    step = AttackStep(
        name="PGD-20",
        config="PGD(norm='linf', steps=20)",
        access="white-box",
        given=(900,) * 5,
        broken=(20, 100, 300, 700, 900),
        left=rates,
        queries=4_000,
        gradients=3_000,
    )
    evaluation = EvaluationSection(
        threat=ThreatInfo(norm="linf", epsilons=EPSILONS, knowledge="white-box", queries=5_000),
        preset="standard",
        steps=(step, replace(step, name="Square", access="black-box", complete=False)),
        outcomes=Outcomes(
            ids=tuple(f"{i:032x}" for i in range(n)),
            fate=("x.01." * 2 + "..",) * 5,
            distances=(0.0, None, 0.05) * 4,
        ),
        masking="signs",
        signs=("the softmax is saturated for 98.0 % of the samples",),
        groups=(GroupRow(name="left", clean=section.clean, robust=rates),),
        queries=(
            QueryCurve(
                name="Square",
                epsilon=0.1,
                queries=(0, 10, 300),
                broken=tuple(Rate.of(k, 50) for k in (0, 5, 20)),
            ),
        ),
        distances=DistanceCurve(
            name="FMN", n=50, found=40, median=0.08, edges=(0.0, 0.05, 0.1, 0.2), counts=(10, 20, 10)
        ),
        transfer=(TransferRow(source="mlp", epsilon=0.1, itself=Rate.of(40, 50), target=Rate.of(9, 50)),),
        complete=False,
        planned=2_000,
        notes=("Time was over during Square.",),
    )
    checks = (
        Check(
            id="R10",
            title="Gradients are there",
            status="warning",
            text="49 zero.",
            advice="BPDA.",
            sign="zero",
        ),
        Check(id="R05", title="Ends", status="error", text="Nothing breaks.", advice="Look."),
    )
    return replace(report(attacks=(section,)), evaluation=evaluation, checks=checks)
