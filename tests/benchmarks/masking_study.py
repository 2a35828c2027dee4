"""Does `armour.evaluate` see planted gradient masking, and does it keep quiet on healthy networks?

`PYTHONPATH=.:tests python -m benchmarks.masking_study [--networks 20] [--planted 20]
[--samples 150] [--attacks quick]`.
Trains small networks on scikit-learn's digits (two architectures, some trained on adversarial inputs, some
for long), evaluates each, and then again with each kind of masking planted in it. Prints how often masking
was said, with exact 95 % intervals, what was said, and writes all of it to build/bench/masking_study.json.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import armour
from armour import attacks, data
from armour.model import ModuleModel
from armour.preprocessing import Preprocessing
from armour.stats import clopper_pearson
from armour.tensor import Tensor, cross_entropy, nn, optim, random, round

ROOT = Path(__file__).resolve().parents[2]
EPSILON = 0.1
SHAPE, CLASSES = (1, 8, 8), 10


class Scaled(nn.Module):
    """Logits times a number: a saturated softmax."""

    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.factor


class Quantised(nn.Module):
    """Inputs rounded to a few levels inside the network, without a gradient."""

    def __init__(self, inner: nn.Module, levels: int) -> None:
        super().__init__()
        self.inner, self.levels = inner, levels

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(round(x * (self.levels - 1)) * (1 / (self.levels - 1)))


class Noisy(nn.Module):
    """Normal noise on the inputs, drawn anew in each forward pass."""

    def __init__(self, inner: nn.Module, scale: float, seed: int) -> None:
        super().__init__()
        self.inner, self.scale, self.rng = inner, scale, np.random.default_rng(seed)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x + self.scale * random.normal(x.shape, rng=self.rng))


def model(module: nn.Module, name: str, **options: Any) -> ModuleModel:
    """The network as a model of digits."""
    return ModuleModel(module, input_shape=SHAPE, num_classes=CLASSES, name=name, **options)


def quantising(levels: int, straight_through: bool) -> Callable[[nn.Module, int], ModuleModel]:
    """A network that takes whole numbers 0..levels - 1."""

    def planted(module: nn.Module, seed: int) -> ModuleModel:
        steps = Preprocessing(scale=levels - 1, dtype="uint8", straight_through=straight_through)
        return model(Scaled16(module, 1 / (levels - 1)), "levels", preprocessing=steps)

    return planted


class Scaled16(nn.Module):
    """Whole numbers back to 0..1, for the network inside."""

    def __init__(self, inner: nn.Module, factor: float) -> None:
        super().__init__()
        self.inner, self.factor = inner, factor

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.astype("float32") * self.factor)


PLANTS: dict[str, Callable[[nn.Module, int], ModuleModel]] = {
    "logits * 1000": lambda m, seed: model(Scaled(m, 1_000.0), "scaled"),
    "temperature 0.05": lambda m, seed: model(Scaled(m, 20.0), "cold"),
    "4 levels inside the network": lambda m, seed: model(Quantised(m, 4), "quantised"),
    "16 levels inside the network": lambda m, seed: model(Quantised(m, 16), "quantised"),
    "8 levels before it, no gradient": quantising(8, False),
    "8 levels before it, straight through": quantising(8, True),
    "noise 0.1 in the forward pass": lambda m, seed: model(Noisy(m, 0.1, seed), "noisy"),
    "noise 0.01 in the forward pass": lambda m, seed: model(Noisy(m, 0.01, seed), "noisy"),
}


def build(kind: str, seed: int) -> nn.Module:
    """An untrained network."""
    rng = np.random.default_rng(seed)
    if kind == "mlp":
        layers = [nn.Flatten(), nn.Linear(64, 64, rng=rng), nn.ReLU(), nn.Linear(64, 32, rng=rng), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(32, CLASSES, rng=rng))
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1, rng=rng),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(24 * 16, CLASSES, rng=rng),
    )


def train(kind: str, seed: int, epochs: int, adversarial: bool) -> nn.Module:
    """A network trained on the digits, or on R+FGSM inputs of them."""
    module = build(kind, seed)
    wrapped = model(module, kind)
    samples, _ = data.load_split("digits")
    optimiser = optim.Adam(module.parameters(), 2e-3)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for x, y in data.batches(samples.x, samples.y, 64, rng):
            if adversarial:
                x = attacks.RFGSM().attack(wrapped, x, y, EPSILON, rng=rng).adv[0]
            module.train()
            for parameter in module.parameters():
                parameter.zero_grad()
            cross_entropy(module(Tensor(x)), y).mean().backward()
            optimiser.step()
            module.eval()
    return module


def healthy(number: int) -> tuple[nn.Module, str]:
    """The network of that number: every third trained on adversarial inputs, every fifth for long."""
    kind = ("mlp", "cnn")[number % 2]
    adversarial, epochs = number % 3 == 2, 40 if number % 5 == 4 else 12
    words = f"{kind}, seed {number}, {epochs} epochs{', adversarial' if adversarial else ''}"
    return train(kind, number, epochs, adversarial), words


def said(target: ModuleModel, x: np.ndarray, y: np.ndarray, arguments: argparse.Namespace) -> dict[str, Any]:
    """What an evaluation says about it."""
    threat = armour.Threat(epsilons=[EPSILON, EPSILON / 2])
    report = armour.evaluate(target, x, y, threat=threat, attacks=arguments.attacks, rng=0)
    section = report.evaluation
    assert section is not None and report.clean is not None
    return {
        "masking": section.masking,
        "signs": list(section.signs),
        "troubled": [f"{c.id} {c.status}" for c in report.checks if c.status in ("warning", "error")],
        "clean": report.clean.value,
        "robust": report.attacks[0].robust[report.attacks[0].headline].value,
    }


def interval(k: int, n: int) -> str:
    """k of n with its exact interval."""
    low, high = clopper_pearson(k, n)
    return f"{k:>3} of {n:<3} {100 * k / n:5.1f} %  (95 %: {100 * low:.1f} to {100 * high:.1f})"


def main() -> None:
    """Train, evaluate, plant, evaluate again, and print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--samples", type=int, default=150)
    parser.add_argument("--attacks", default="quick")
    parser.add_argument("--planted", type=int, default=20, help="plant masking in so many of the networks")
    arguments = parser.parse_args()
    _, test = data.load_split("digits")
    x, y = test.x[: arguments.samples], test.y[: arguments.samples]
    rows: list[dict[str, Any]] = []
    started = time.process_time()
    with threadpool_limits(1, user_api="blas"):
        for number in range(arguments.networks):
            module, words = healthy(number)
            found = {"none": said(model(module, words), x, y, arguments)}
            if number < arguments.planted:
                found |= {n: said(plant(module, number), x, y, arguments) for n, plant in PLANTS.items()}
            rows.append({"network": words, "found": found})
            plain = found["none"]
            print(
                f"{words:<44} clean {100 * plain['clean']:5.1f} %  robust <= {100 * plain['robust']:5.1f} %  "
                f"{plain['masking']}: {'; '.join(plain['signs']) or '-'}  {' '.join(plain['troubled'])}",
                flush=True,
            )
    n = len(rows)
    print(f"\nfalse alarms on healthy networks      {interval(_count(rows, 'none'), n)}")
    for name in PLANTS if arguments.planted else ():
        print(f"said of {name:<37} {interval(_count(rows, name), min(n, arguments.planted))}")
    for name in ("none", *PLANTS):
        words = Counter(t for row in rows for t in row["found"].get(name, {}).get("troubled", ()))
        print(f"  {name}: {dict(words.most_common(8))}")
    print(f"{time.process_time() - started:.0f} s of processor time")
    target = ROOT / "build/bench/masking_study.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _count(rows: list[dict[str, Any]], name: str) -> int:
    return sum(row["found"][name]["masking"] == "signs" for row in rows if name in row["found"])


if __name__ == "__main__":
    main()
