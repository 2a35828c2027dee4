"""Rows of the benchmark: a comparison that is to be timed (Case), and what came of it (Row)."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks import harness, targets
from benchmarks.harness import Candidate, Timing


@dataclass(frozen=True)
class Options:
    """What `make bench` was asked for. only: parts of names that a row must contain, all of them.

    seconds: about how long a comparison takes. rounds: at least. kernels: "numpy", "fast". peak: of sgemm, in
    operations per second; 0 if it is not measured. device: "cpu" or "cuda".
    """

    seconds: float = 4.0
    rounds: int = 5
    kernels: Sequence[str] = ("numpy", "fast")
    only: Sequence[str] = ()
    peak: float = 0.0
    device: str = "cpu"


@dataclass(frozen=True)
class Case:
    """One comparison. make: builds the candidates and has compared their numbers when it returns.

    operations: floating-point operations of one call. clock: "cpu" (of the thread) or "wall". inverse: the
    ratio is peer / ours, a throughput.
    """

    subject: str
    work: str
    network: str
    n: int
    make: Callable[[], Sequence[Candidate]]
    operations: float = 0.0
    clock: str = "cpu"
    inverse: bool = False
    device: str = "cpu"

    @property
    def label(self) -> str:
        """subject/network/n/work."""
        return f"{self.subject}/{self.network}/n={self.n}/{self.work}"


@dataclass(frozen=True)
class Row:
    """One of our candidates against one opponent. unit: of `ours` and `peer` ("ms" or "MB").

    ratio: the median over the rounds, with quartiles; ours / peer, or for a throughput peer / ours. wall: the
    ratio in wall time. peak, peer_peak: share of sgemm's speed, 0 if unknown. target: the issue's, if any.
    """

    subject: str
    work: str
    network: str
    n: int
    name: str
    kernels: str
    against: str
    unit: str
    ours: float
    peer: float
    ratio: float
    quartiles: tuple[float, float]
    wall: float = 0.0
    peak: float = 0.0
    peer_peak: float = 0.0
    target: float | None = None
    met: bool | None = None
    device: str = "cpu"
    notes: dict[str, Any] = field(default_factory=dict)


def timed(case: Case, options: Options) -> Iterator[Row]:
    """Time a case: each of ours against each peer, that is, those without kernels; without any, the first."""
    if not wanted(case.label, options):
        return
    candidates = list(case.make())
    timings = harness.compare(candidates, seconds=options.seconds, min_rounds=options.rounds)
    pairs = list(zip(candidates, timings, strict=True))
    peers = [pair for pair in pairs if not pair[0].kernels] or pairs[:1]
    for candidate, timing in pairs:
        for peer, theirs in peers:
            if candidate.kernels and candidate is not peer:
                yield _row(case, options, candidate, timing, peer, theirs)


def wanted(label: str, options: Options) -> bool:
    """True if a row of this label was asked for."""
    return all(part in label for part in options.only)


def judged(subject: str, network: str, n: int, against: str, kernels: str, ratio: float) -> dict[str, Any]:
    """The fields `target` and `met`."""
    found = targets.find(subject, network, n, against, kernels)
    if found is None:
        return {}
    limit, higher = found
    return {"target": limit, "met": ratio >= limit if higher else ratio <= limit}


def _row(
    case: Case, options: Options, candidate: Candidate, timing: Timing, peer: Candidate, theirs: Timing
) -> Row:
    def ratios(ours: Sequence[float], other: Sequence[float]) -> list[float]:
        return [b / a if case.inverse else a / b for a, b in zip(ours, other, strict=True)]

    clock = {"cpu": (timing.cpu, theirs.cpu), "wall": (timing.wall, theirs.wall)}
    mine, other = clock[case.clock]
    low, middle, high = harness.quartiles(ratios(mine, other))
    ours, peer_time = statistics.median(mine), statistics.median(other)
    share = case.operations / options.peak if options.peak and case.clock == "cpu" else 0.0
    target = (
        judged(case.subject, case.network, case.n, peer.name, candidate.kernels, middle)
        if candidate.headline
        else {}
    )
    return Row(
        subject=case.subject,
        work=case.work,
        network=case.network,
        n=case.n,
        name=candidate.name,
        kernels=candidate.kernels,
        against=peer.name,
        unit="ms",
        ours=ours * 1e3,
        peer=peer_time * 1e3,
        ratio=middle,
        quartiles=(low, high),
        wall=statistics.median(ratios(timing.wall, theirs.wall)),
        peak=share / ours,
        peer_peak=share / peer_time,
        device=case.device,
        **target,
    )
