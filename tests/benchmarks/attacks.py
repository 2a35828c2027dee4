"""PGD-40 on LeNet-5, 500 images, armour against Foolbox: same trained weights and steps, one thread.

`PYTHONPATH=.:tests python -m benchmarks.attacks`. Two cases for each norm: a budget that breaks nearly
nothing, so that every sample takes all its steps, and one that breaks many, where ours lets broken samples
go. Foolbox runs on the PyTorch network with frozen parameters. Ratios are armour / Foolbox in thread CPU
time: below 1 armour is faster.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
import trained

from armour import attacks
from benchmarks import harness

N = 500
STEPS = 40
BUDGETS = {"linf": (0.002, 0.1), "l2": (0.02, 1.0), "l1": (0.2, 8.0)}


def candidates(norm: str, epsilon: float) -> tuple[list[harness.Candidate], dict[str, float]]:
    """Foolbox and armour on the same images, and the robust accuracy that each leaves."""
    import foolbox
    import torch

    from benchmarks import peers

    ours = trained.network("lenet5")
    module = peers.build("lenet5", (1, 28, 28), 10)
    peers.load(module, {key: np.array(value) for key, value in ours.state_dict().items()})
    theirs = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    train, test = trained.digits()
    x = np.concatenate([test.x, train.x])[:N]
    y = ours.predict(x)  # no sample is wrong before the attack, so none is left out
    x_torch, y_torch = torch.from_numpy(x), torch.from_numpy(y)
    kind = {
        "linf": foolbox.attacks.LinfProjectedGradientDescentAttack,
        "l2": foolbox.attacks.L2ProjectedGradientDescentAttack,
        "l1": foolbox.attacks.L1ProjectedGradientDescentAttack,
    }[norm](steps=STEPS, rel_stepsize=0.1)
    attack = attacks.PGD(norm=norm, steps=STEPS, step_size=0.1)  # type: ignore[arg-type]

    def peer() -> Any:
        return kind(theirs, x_torch, y_torch, epsilons=[epsilon])[2]

    def own() -> Any:
        return attack.attack(ours, x, y, [epsilon]).success

    left = {"foolbox": float((~peer()).float().mean()), "armour": float((~own()).mean())}
    return [harness.Candidate("foolbox", peer), harness.Candidate("armour", own)], left


def main() -> int:
    """Run the chosen norms, print a table of ratios, write build/bench/attacks.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--norms", nargs="+", choices=list(BUDGETS), default=list(BUDGETS))
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    try:
        import foolbox  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        print("skipped: Foolbox is not installed here; `make parity` builds an environment that has it")
        return 0
    cases = []
    with harness.one_thread():
        found = harness.machine()
        print("\n".join(harness.describe(found)))
        print(f"PGD-{STEPS}, LeNet-5, {N} images; ratio = armour / Foolbox, thread CPU time\n")
        head = f"{'norm':<6}{'epsilon':>8}{'left: Foolbox':>15}{'armour':>8}"
        print(f"{head}{'Foolbox s':>11}{'armour s':>10}{'ratio':>7}")
        for norm in args.norms:
            for epsilon in BUDGETS[norm]:
                pairs, left = candidates(norm, epsilon)
                timings = harness.compare(pairs, seconds=0, min_rounds=args.rounds)
                cases.append(harness.case({"norm": norm, "epsilon": epsilon, "left": left}, timings))
                peer, own = (t.summary() for t in timings)
                print(
                    f"{norm:<6}{epsilon:>8}{left['foolbox']:>15.3f}{left['armour']:>8.3f}"
                    f"{peer['cpu_seconds']:>11.2f}{own['cpu_seconds']:>10.2f}{own['ratio']:>7.2f}",
                    flush=True,
                )
    print(f"\nwrote {harness.write('attacks', found, cases).relative_to(harness.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
