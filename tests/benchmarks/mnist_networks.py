"""Networks for comparisons of attacks: trained on 5,000 real MNIST digits by `armour train`'s own recipe.

With an epsilon, each batch is replaced by PGD-7 inputs of that linf budget, after a third of the epochs in
which the budget grows to it. A network is trained once and kept under build/networks.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

import armour
from armour import attacks, data, training
from armour.data import Dataset
from armour.model import ModuleModel
from armour.rng import generator
from armour.tensor import zoo

FOLDER = Path(__file__).resolve().parents[2] / "build" / "networks"
# A list of settings that stand for the networks a user has: undefended, and adversarially trained.
SETTINGS = (("mlp", 0.0), ("lenet5", 0.0), ("lenet5", 0.1))


def network(arch: str, epsilon: float = 0.0, seed: int = 0) -> ModuleModel:
    """The trained network; made on the first call (half a minute, three with an epsilon)."""
    path = folder() / f"{arch}-{epsilon:g}-{seed}.ckpt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        armour.save(_train(arch, epsilon, seed), path)
    return armour.load(path)


def folder() -> Path:
    """Where networks are kept: ARMOUR_NETWORKS, or build/networks."""
    return Path(os.environ.get("ARMOUR_NETWORKS", FOLDER))


def samples(n: int) -> tuple[np.ndarray, np.ndarray]:
    """The first n of the 1,000 test digits, which are in random order."""
    _, test = data.load_split("mnist")
    return test.x[:n], test.y[:n]


def peer(model: ModuleModel) -> Any:
    """The same weights and normalisation in PyTorch."""
    import torch

    from benchmarks import peers

    class Normalised(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = peers.build(str(model.provenance["arch"]), (1, 28, 28), 10)
            self.register_buffer("mean", torch.tensor(model.mean, dtype=torch.float32).view(1, -1, 1, 1))
            self.register_buffer("std", torch.tensor(model.std, dtype=torch.float32).view(1, -1, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.net((x - self.mean) / self.std)
            return out

    module = Normalised().eval().requires_grad_(False)
    peers.load(module.net, {key: np.array(value) for key, value in model.state_dict().items()})
    return module


def _train(arch: str, epsilon: float, seed: int) -> ModuleModel:
    train, _ = data.load_split("mnist")
    rng = generator(seed)
    module = zoo.build(arch, (1, 28, 28), 10, rng)
    fitting, validation = data.split_dataset(train, 0.1, rng)
    mean, std = training.normalisation(fitting.x)
    model = ModuleModel(
        module, mean=mean, std=std, input_shape=(1, 28, 28), num_classes=10, name=f"{arch}-{epsilon:g}"
    )
    model.provenance["arch"] = arch
    config = training.recipe(arch)
    transform = _adversarial(model, epsilon, config, fitting) if epsilon else None
    for _ in training.fit(module, fitting, validation, config, rng, mean=mean, std=std, transform=transform):
        pass
    return model


def _adversarial(
    model: ModuleModel, epsilon: float, config: training.TrainConfig, fitting: Dataset
) -> training.Transform:
    attack = attacks.PGD(steps=7, step_size=0.35)
    ramp = config.epochs * -(-len(fitting) // config.batch_size) / 3
    done = 0

    def transform(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        nonlocal done
        done += 1
        found = attack.attack(model, x, y, epsilon * min(1.0, done / ramp), rng=rng)
        return found.adv[0]

    return transform
