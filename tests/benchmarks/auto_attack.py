"""AutoAttack standard against the authors' code, on an adversarially trained LeNet-5: speed and memory.

Speed: 500 images in one round, since the authors' code takes a second for each; ten minutes for both kernels.
Memory: of AutoAttack and of PGD, each in a process of its own, as memory.py measures it, with few steps and
queries, which take the same memory as many. `python -m benchmarks.auto_attack ours|peer ATTACK N KERNELS` is
one such process. The rows' notes say which share of the samples each attack leaves standing.
"""

from __future__ import annotations

import dataclasses
import gc
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from armour import attacks
from benchmarks import attack_peers, harness, memory, mnist_networks
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, judged, timed, wanted

NETWORK, N, EPSILON = "lenet5-0.1", 500, 0.15
STEPS, QUERIES = 5, 50  # where memory is measured
PGD_STEPS = 40


def run(options: Options) -> Iterator[Row]:
    """The row of speed, then those of memory."""
    try:
        import foolbox  # noqa: F401
        import pyautoattack  # noqa: F401
    except ImportError:
        print("skipped: pyautoattack or Foolbox is not installed here; `make parity` builds what has both")
        return
    once = dataclasses.replace(options, rounds=1, seconds=0.0)
    left: dict[str, float] = {}
    case = Case(
        "auto_attack",
        f"AutoAttack standard, linf, epsilon {EPSILON}",
        NETWORK,
        N,
        lambda: candidates(once, left),
    )
    for row in timed(case, once):
        yield dataclasses.replace(row, notes={"left": left})
    for name in ("PGD-40", "AutoAttack standard"):
        yield from memory_rows(name, options)


def candidates(options: Options, left: dict[str, float], n: int = N) -> list[Candidate]:
    """The authors' code and armour on the same images; fills in the robust accuracy that each leaves."""
    ours = mnist_networks.network("lenet5", 0.1)
    module = mnist_networks.peer(ours)
    x, y = mnist_networks.samples(n)

    def peer() -> Any:
        adv = attack_peers.auto_attack(module, x, y, EPSILON)
        left["authors'"] = round(float((attack_peers.predict(module, adv) == y).mean()), 3)
        return adv

    def own(choice: str) -> Any:
        result = attacks.AutoAttack().attack(ours, x, y, [EPSILON])
        left[f"armour, {choice}"] = round(float(result.robust_accuracy[0]), 3)
        return result.success

    return [
        Candidate("pyautoattack", peer),
        *(
            Candidate("AutoAttack", lambda choice=choice: own(choice), choice, True, within(choice))
            for choice in options.kernels
        ),
    ]


def memory_rows(name: str, options: Options) -> Iterator[Row]:
    """One row for each choice of kernels: our peak / the peer's."""
    work = f"peak memory, {name}" + (
        "" if name.startswith("PGD") else f" with {STEPS} steps, {QUERIES} queries"
    )
    if not wanted(f"auto_attack/{NETWORK}/n={N}/{work}", options):
        return
    against = "Foolbox" if name.startswith("PGD") else "pyautoattack"
    theirs = [measured("peer", name, "numpy") for _ in range(memory.RUNS)]
    for choice in options.kernels:
        ours = [measured("ours", name, choice) for _ in range(memory.RUNS)]
        ratios = [a["peak"] / b["peak"] for a, b in zip(ours, theirs, strict=True)]
        low, middle, high = harness.quartiles(ratios)
        yield Row(
            subject="auto_attack",
            work=work,
            network=NETWORK,
            n=N,
            name=name.split(maxsplit=1)[0],
            kernels=choice,
            against=against,
            unit="MB",
            ours=statistics.median(a["peak"] for a in ours) / 1e6,
            peer=statistics.median(b["peak"] for b in theirs) / 1e6,
            ratio=middle,
            quartiles=(low, high),
            notes={"left": {"armour": ours[0]["left"], against: theirs[0]["left"]}},
            **judged("auto_attack", f"memory of {NETWORK}", N, against, choice, middle),
        )


def measured(who: str, name: str, choice: str) -> dict[str, float]:
    """peak: bytes above the baseline; left: share of the samples left standing. Of one process."""
    return memory.answer("benchmarks.auto_attack", who, name, str(N), choice)


def attack(who: str, name: str, n: int) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    """A call that attacks, and the share of the samples that what it returns leaves standing."""
    ours = mnist_networks.network("lenet5", 0.1)
    x, y = mnist_networks.samples(n)
    if who == "ours":
        kind = (
            attacks.PGD(steps=PGD_STEPS, step_size=0.1)
            if name.startswith("PGD")
            else attacks.AutoAttack(steps=STEPS, queries=QUERIES)
        )
        return lambda: kind.attack(ours, x, y, [EPSILON]), lambda found: float(found.robust_accuracy[0])
    module = mnist_networks.peer(ours)

    def peer() -> Any:
        if name.startswith("PGD"):
            kind, settings = "LinfProjectedGradientDescentAttack", {"steps": PGD_STEPS, "rel_stepsize": 0.1}
            return attack_peers.foolbox_attack(kind, module, x, y, EPSILON, **settings)
        return attack_peers.auto_attack(module, x, y, EPSILON, steps=STEPS, queries=QUERIES)

    return peer, lambda found: float(np.mean(attack_peers.predict(module, found) == y))


def main(arguments: list[str]) -> None:
    """Measure in this process and print JSON."""
    who, name, n, choice = arguments
    if who == "peer":
        import foolbox  # noqa: F401  (what an import takes is no part of an attack)
        import pyautoattack  # noqa: F401
    with harness.one_thread(), within(choice)():
        call, left = attack(who, name, int(n))
        gc.collect()
        memory.forget()
        before = memory.peak()
        found = call()
        after = memory.peak()
        print(json.dumps({"peak": after - before, "left": round(left(found), 3)}))


if __name__ == "__main__":
    main(sys.argv[1:])
