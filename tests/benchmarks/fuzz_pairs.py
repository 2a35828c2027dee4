"""The four pairs of network and data on which schedules are compared, and seeds apart to tune them on.

Networks are trained by `armour train`'s own recipe, once, and kept under build/networks (or ARMOUR_NETWORKS).
MNIST comes with an installed package; Fashion-MNIST and CIFAR-10 are read from ARMOUR_DATA.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import armour
from armour import data, training
from armour.data import Dataset
from armour.model import ModuleModel
from armour.rng import generator
from armour.tensor import zoo
from benchmarks import mnist_networks

SEEDS = 1000  # inputs a campaign starts from, less those that the network misreads
_CIFAR_FITTED = 3000  # of the 4,000 training images that the subset of CIFAR-10 has
_CIFAR_TUNED = 300
_FASHION_FITTED = 20_000


@dataclass(frozen=True, slots=True)
class Pair:
    """A network with the inputs that it is fuzzed from."""

    name: str
    model: ModuleModel
    x: np.ndarray
    y: np.ndarray


def pair(name: str, tuning: bool = False) -> Pair:
    """The pair of that name; tuning: with other seeds, none of which the study or the training saw."""
    return PAIRS[name](tuning)


def _mnist(arch: str) -> Callable[[bool], Pair]:
    def make(tuning: bool) -> Pair:
        # The packaged digits are of the 60,000 that MNIST has for training, so these have never been seen.
        test = data.load_split("mnist-full" if tuning else "mnist")[1]
        return Pair(f"mnist-{arch}", mnist_networks.network(arch), test.x[:SEEDS], test.y[:SEEDS])

    return make


def _fashion(tuning: bool) -> Pair:
    train, test = data.load_split("fashion-mnist")
    model = _network("fashion-lenet5", "lenet5", train[:_FASHION_FITTED])
    part = test[SEEDS : 2 * SEEDS] if tuning else test[:SEEDS]
    return Pair("fashion-lenet5", model, part.x, part.y)


def _cifar(tuning: bool) -> Pair:
    train, test = data.load_split("cifar10")
    # Ten epochs are too few for so few images.
    model = _network("cifar10-resnet8", "resnet8", train[:_CIFAR_FITTED], epochs=30)
    rest = train[_CIFAR_FITTED:]
    if tuning:
        return Pair("cifar10-resnet8", model, rest.x[:_CIFAR_TUNED], rest.y[:_CIFAR_TUNED])
    x = np.concatenate([test.x, rest.x[_CIFAR_TUNED:]])
    y = np.concatenate([test.y, rest.y[_CIFAR_TUNED:]])
    return Pair("cifar10-resnet8", model, x[:SEEDS], y[:SEEDS])


PAIRS: dict[str, Callable[[bool], Pair]] = {
    "mnist-lenet5": _mnist("lenet5"),
    "mnist-mlp": _mnist("mlp"),
    "fashion-lenet5": _fashion,
    "cifar10-resnet8": _cifar,
}


def _network(name: str, arch: str, samples: Dataset, epochs: int | None = None) -> ModuleModel:
    path = mnist_networks.folder() / f"{name}.ckpt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        armour.save(_train(name, arch, samples, epochs), path)
    return armour.load(path)


def _train(name: str, arch: str, samples: Dataset, epochs: int | None) -> ModuleModel:
    rng = generator(0)
    shape = samples.x.shape[1:]
    module = zoo.build(arch, shape, 10, rng)
    fitting, validation = data.split_dataset(samples, 0.1, rng)
    mean, std = training.normalisation(fitting.x)
    config = training.recipe(arch, epochs=epochs)
    for _ in training.fit(module, fitting, validation, config, rng, mean=mean, std=std):
        pass
    return ModuleModel(module, mean=mean, std=std, input_shape=shape, num_classes=10, name=name)
