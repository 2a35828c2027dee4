"""Do our attacks find at least what public ones find? On the same weights and images, and printed as a table.

`make attack-study`, or `PYTHONPATH=.:tests python -m benchmarks.attack_study [NAME ...] [-n 500]`: each
comparison states its rule, both figures, and whether the rule held. Real MNIST, networks of
mnist_networks.py. Every figure comes from asking the PyTorch network again. Nothing here is timed: `make
bench BENCH=attacks` does that.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from armour import attacks, stats
from armour.model import ModuleModel
from benchmarks import attack_peers as peers
from benchmarks import mnist_networks

OUTPUT = Path(__file__).resolve().parents[2] / "build" / "bench" / "attack_study.json"
EPSILONS = {"mlp-0": 0.04, "lenet5-0": 0.1, "lenet5-0.1": 0.15}
QUERIES = 2400


@dataclasses.dataclass(frozen=True)
class Line:
    """One comparison: figures by who made them, what was asked of them, and whether it held."""

    subject: str
    network: str
    n: int
    ours: float
    theirs: dict[str, float]
    rule: str
    held: bool


@dataclasses.dataclass(frozen=True)
class Pair:
    """A network here and in PyTorch, with the images that are attacked and its budget."""

    name: str
    ours: ModuleModel
    theirs: Any
    x: np.ndarray
    y: np.ndarray
    epsilon: float

    def left(self, adv: np.ndarray) -> float:
        """Share of images that keep their label, as the PyTorch network sees them."""
        return float((peers.predict(self.theirs, adv) == self.y).mean())

    def distances(self, adv: np.ndarray, order: float = 2) -> np.ndarray:
        """(n,) distances where the image is misread, 0 where it was misread before, infinity elsewhere."""
        clean = peers.predict(self.theirs, self.x) != self.y
        inside = np.nan_to_num(adv, nan=0.0)
        wrong = (peers.predict(self.theirs, inside) != self.y) & ~np.isnan(adv).reshape(len(adv), -1).any(
            axis=1
        )
        flat = (inside.astype(np.float64) - self.x).reshape(len(adv), -1)
        return np.where(clean, 0.0, np.where(wrong, np.linalg.norm(flat, ord=order, axis=1), np.inf))


Study = Callable[[Pair], Iterator[Line]]
STUDIES: dict[str, Study] = {}


def study(name: str) -> Callable[[Study], Study]:
    """File a comparison under its name."""

    def add(function: Study) -> Study:
        STUDIES[name] = function
        return function

    return add


@study("fgsm")
def _fgsm(pair: Pair) -> Iterator[Line]:
    """Per image, at four budgets; a tie of two logits may differ."""
    yield _per_image(pair, "FGSM", attacks.FGSM(), "LinfFastGradientAttack", {})


@study("bim")
def _bim(pair: Pair) -> Iterator[Line]:
    settings = {"steps": 10, "rel_stepsize": 0.2}
    bim = attacks.BIM(steps=10, step_size=0.2)
    yield _per_image(pair, "BIM-10", bim, "LinfBasicIterativeAttack", settings)


@study("pgd")
def _pgd(pair: Pair) -> Iterator[Line]:
    """Random starts: the mean over five seeds on both sides."""
    ours, theirs = [], []
    for seed in range(5):
        attack = attacks.PGD(steps=40, step_size=0.1)
        ours.append(pair.left(attack.attack(pair.ours, pair.x, pair.y, pair.epsilon, rng=seed).adv[0]))
        name, settings = "LinfProjectedGradientDescentAttack", {"steps": 40, "rel_stepsize": 0.1}
        adv = peers.foolbox_attack(name, pair.theirs, pair.x, pair.y, pair.epsilon, seed=seed, **settings)
        theirs.append(pair.left(adv))
    mine, other = float(np.mean(ours)), float(np.mean(theirs))
    yield _line(pair, "PGD-40", mine, {"Foolbox": other}, "at most .004 above", mine <= other + 0.004)


@study("auto-attack")
def _auto_attack(pair: Pair) -> Iterator[Line]:
    """Each part alone, and the whole row."""
    for name, allowed in (
        ("apgd-ce", 0.01), ("apgd-dlr", 0.01), ("apgd-t", 0.01), ("fab-t", 0.01), ("square", 0.01),
        ("auto-attack", 0.002),
    ):  # fmt: skip
        only = None if name == "auto-attack" else name
        adv = attacks.get(name)().attack(pair.ours, pair.x, pair.y, pair.epsilon).adv[0]
        ours = pair.left(adv)
        theirs = pair.left(peers.auto_attack(pair.theirs, pair.x, pair.y, pair.epsilon, only=only))
        rule = f"at most {allowed:g} above"
        yield _line(pair, name, ours, {"pyautoattack": theirs}, rule, ours <= theirs + allowed)


@study("minimum-norm")
def _minimum_norm(pair: Pair) -> Iterator[Line]:
    """Median l2, and samples left unbroken."""
    ddn = _found(pair, "ddn", steps=100)
    peer = peers.foolbox_attack("DDNAttack", pair.theirs, pair.x, pair.y, None, steps=100, init_epsilon=1.0)
    theirs = {"Foolbox DDN": float(np.median(pair.distances(peer)))}
    median = float(np.median(ddn))
    yield _line(pair, "DDN-100, median l2", median, theirs, "no larger", median <= min(theirs.values()))
    fmn = float(np.median(_found(pair, "fmn", norm="l2", steps=100)))
    yield _line(pair, "FMN-100, median l2", fmn, {"our DDN-100": median}, "no worse", fmn <= median * 1.0005)
    for name, norm in (("deepfool", "l2"), ("deepfool", "linf"), ("cw", "l2"), ("cw", "linf")):
        unbroken = float(np.isinf(_found(pair, name, norm=norm)).mean())
        undefended = not pair.name.endswith("-0.1")
        rule = "none unbroken" if undefended else "none unbroken (asked of undefended networks only)"
        yield _line(
            pair, f"{name} {norm}, share unbroken", unbroken, {}, rule, unbroken == 0 or not undefended
        )


@study("hop-skip-jump")
def _hop_skip_jump(pair: Pair) -> Iterator[Line]:
    """Median l2 after so many queries of each sample; peers are credited with the best they asked about."""
    few = dataclasses.replace(pair, x=pair.x[:50], y=pair.y[:50])
    ours = float(np.median(_found(few, "hop-skip-jump", norm="l2", queries=QUERIES)))
    theirs = {}
    for name, run in (
        ("Foolbox", peers.foolbox_hop_skip_jump),
        ("ART", peers.art_hop_skip_jump),
        ("CleverHans", peers.cleverhans_hop_skip_jump),
    ):
        adv = peers.best_within(QUERIES, few.theirs, few.x, few.y, run)
        theirs[name] = float(np.median(few.distances(adv)))
    rule = f"no larger than the best, {QUERIES:,} queries"
    yield _line(few, "HopSkipJump, median l2", ours, theirs, rule, ours <= min(theirs.values()))


def _found(pair: Pair, name: str, **settings: Any) -> np.ndarray:
    attack = attacks.get(name)(**settings)
    adv = attack.attack(pair.ours, pair.x, pair.y).adv[0]
    return pair.distances(adv, {"l2": 2, "linf": np.inf, "l1": 1}[attack.norm])


def _per_image(pair: Pair, subject: str, attack: Any, peer: str, settings: dict[str, Any]) -> Line:
    """Share of images, the largest of four budgets, that are broken on one side and not on the other.

    The other side is Foolbox in float64: in float32, the sign of a gradient that is nearly nothing is one of
    rounding.
    How many images Foolbox in float32 sees otherwise than in float64 stands beside it.
    """
    exact = copy.deepcopy(pair.theirs).double()
    worst, rounded = 0.0, 0.0
    for share in (0.25, 0.5, 1.0, 2.0):
        epsilon = pair.epsilon * share
        ours = attack.attack(pair.ours, pair.x, pair.y, epsilon).adv[0]
        here = peers.predict(pair.theirs, ours) != pair.y
        plain = peers.foolbox_attack(peer, pair.theirs, pair.x, pair.y, epsilon, **settings)
        there32 = peers.predict(pair.theirs, plain) != pair.y
        precise = peers.foolbox_attack(peer, exact, pair.x.astype(np.float64), pair.y, epsilon, **settings)
        there = peers.predict(exact, precise) != pair.y
        # Ours keeps what an earlier step has broken, so only the other way round is a miss for several steps.
        differ = (here != there) if not settings else (there & ~here)
        top = np.sort(pair.ours.logits(ours[differ]), axis=1)
        real = (top[:, -1] - top[:, -2]) > 1e-3 * np.abs(top).max(axis=1, initial=1)
        worst = max(worst, float(real.sum()) / len(pair.x))
        rounded = max(rounded, float((there32 != there).mean()))
    beside = {"Foolbox float32 against float64": rounded}
    what = "seen otherwise than by" if not settings else "broken only by"
    return _line(pair, subject, worst, beside, f"images {what} Foolbox in float64: none", worst == 0)


def _line(pair: Pair, subject: str, ours: float, theirs: dict[str, float], rule: str, held: bool) -> Line:
    return Line(subject, pair.name, len(pair.x), ours, theirs, rule, bool(held))


def pairs(n: int, only: str | None = None) -> Iterator[Pair]:
    """The networks with their images, or one of them."""
    x, y = mnist_networks.samples(n)
    for arch, epsilon in mnist_networks.SETTINGS:
        name = f"{arch}-{epsilon:g}"
        if only not in (None, name):
            continue
        ours = mnist_networks.network(arch, epsilon)
        yield Pair(name, ours, mnist_networks.peer(ours), x, y, EPSILONS[name])


def text(line: Line) -> str:
    """The line for people; shares carry their interval."""
    figure = f"{line.ours:.4f}"
    if 0 <= line.ours <= 1 and "median" not in line.subject:
        low, high = stats.wilson(round(line.ours * line.n), line.n)
        figure += f" [{low:.3f}, {high:.3f}]"
    others = ", ".join(f"{name} {value:.4f}" for name, value in line.theirs.items())
    verdict = "held" if line.held else "MISSED"
    return (
        f"{verdict:6}  {line.network:10}  n={line.n:<4} {line.subject:28} {figure:24} {others}  ({line.rule})"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the comparisons; 1 if a rule was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *STUDIES], default=[])
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("--network", choices=EPSILONS, default=None)
    options = parser.parse_args(arguments)
    lines = []
    for pair in pairs(options.n, options.network):
        for name in options.names or STUDIES:
            for line in STUDIES[name](pair):
                lines.append(line)
                print(text(line), flush=True)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps([dataclasses.asdict(line) for line in lines], indent=1) + "\n")
    missed = [line for line in lines if not line.held]
    print(f"{len(lines) - len(missed)} of {len(lines)} rules held; figures in build/bench/{OUTPUT.name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
