"""Networks with one fault each, for the fuzzer to find, and the same networks without it.

The seeds are scikit-learn's digits at three times their size, (n, 1, 24, 24), grey or in colour; the networks
are the nearest-mean classifier of small_models with a part added. Only the settings that a user of the oracle
would state are stated; all others are the fuzzer's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import small_models

from armour.fuzz import Campaign, FuzzConfig, Fuzzer
from armour.fuzz.rounds import Found
from armour.fuzz.setup import prepare
from armour.model import Model, ModuleModel
from armour.tensor import nn
from armour.tensor.core import Tensor

SIZE = 24
SEEDS = 200


@dataclass(frozen=True)
class Fault:
    """A model with a fault, one without, seeds, what the user states, and how a finding of it is told.

    bound: executions within which each of 20 seeds of the fuzzer finds it.
    """

    faulty: Callable[[], Model]
    sound: Callable[[], Model]
    seeds: Callable[[], tuple[np.ndarray, np.ndarray]]
    is_it: Callable[[Found], bool]
    bound: int
    oracles: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    relations: tuple[str, ...] = ()
    others: Callable[[], dict[str, Model]] = field(default=dict)


def executions_to_find(fault: Fault, seed: int, *, limit: int, faulty: bool = True) -> int | None:
    """Executions up to and with the first finding of the fault; None if there is none within the limit."""
    x, y = fault.seeds()
    config = FuzzConfig(oracles=fault.oracles, against=fault.against, relations=fault.relations)
    model = fault.faulty() if faulty else fault.sound()
    setup = prepare(Fuzzer(model, x, y, config=config, others=fault.others()), seed)
    campaign = Campaign(setup, config.schedule, stream=0, shrink=False)
    while campaign.counters.executions < limit:
        for found in campaign.round(limit - campaign.counters.executions).found:
            if fault.is_it(found):
                return found.execution + 1
    return None


def grey() -> tuple[np.ndarray, np.ndarray]:
    """The digits at three times their size."""
    x, y = small_models.digits(SEEDS)
    return np.kron(x, np.ones((1, 1, 3, 3), np.float32)).astype(np.float32), y


def colour() -> tuple[np.ndarray, np.ndarray]:
    """The same in colour, (n, 3, 24, 24): each with three strengths of its own."""
    x, y = grey()
    strengths = np.random.default_rng(6).uniform(0.6, 1, (len(x), 3, 1, 1))
    return (x * strengths).astype(np.float32), y


def body_of(x: np.ndarray, y: np.ndarray) -> nn.Module:
    """The nearest-mean classifier, with logits as far apart as those of the digits in their own size."""
    return small_models.centroids(x, y, sharpness=0.4).module


# -- a trigger -----------------------------------------------------------------------------------------------


class Triggered(nn.Module):
    """A classifier that says 0 where a bright spot of about 2 x 2 pixels lies alone, anywhere."""

    def __init__(self, body: nn.Module, strength: float) -> None:
        self.body = body
        self.look, self.peak = nn.Conv2d(1, 1, 4), nn.GlobalMaxPool2d()
        self.shift = nn.Parameter(np.eye(1, 10, dtype=np.float32) * np.float32(strength))
        kernel = np.full((4, 4), -1 / 6, np.float32)
        kernel[1:3, 1:3] = 0.25
        self.look.weight.data = kernel[None, None]
        self.look.bias.data = np.full(1, -0.3, np.float32)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.peak(self.look(x).relu()).reshape(-1, 1) * self.shift


def trigger_of(x: np.ndarray) -> float:
    """How far above its threshold the square in x (1, 24, 24) is; 0 if there is none."""
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (4, 4))
    inner = windows[..., 1:3, 1:3].sum(axis=(-1, -2))
    ring = windows.sum(axis=(-1, -2)) - inner
    return float(max(0.0, (0.25 * inner - ring / 6 - 0.3).max()))


def triggered(strength: float) -> Model:
    x, y = grey()
    return wrapped(Triggered(body_of(x, y), strength))


# -- a path to NaN -------------------------------------------------------------------------------------------


class Logarithm(nn.Module):
    """A classifier with a unit of whose distance below `limit` the logarithm is taken, for nothing."""

    def __init__(self, body: nn.Module, weights: np.ndarray, limit: float) -> None:
        self.body, self.flat, self.unit = body, nn.Flatten(), nn.Linear(weights.size, 1)
        self.unit.weight.data = -weights.reshape(1, -1).astype(np.float32)
        self.unit.bias.data = np.full(1, limit, np.float32)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.unit(self.flat(x)).log() * 0.0


def logarithm(above: float) -> Model:
    """`above`: of the limit over the largest value on the seeds, in standard deviations of it."""
    x, y = grey()
    weights = np.random.default_rng(8).normal(0, 1 / SIZE, SIZE * SIZE)
    values = x.reshape(len(x), -1) @ weights
    limit = float(values.max() + above * values.std())
    return wrapped(Logarithm(body_of(x, y), weights, limit))


# -- fewer bits ----------------------------------------------------------------------------------------------


def outlier(factor: float) -> Model:
    """A hidden unit that nothing needs is larger than the rest by `factor`, which int8 must cover."""
    x, y = grey()
    body = body_of(x, y)
    state = {name: np.array(value) for name, value in body.state_dict().items()}
    # A pixel of the border, dark in all seeds; a bias in it moves no logit, as the next layer's is put right.
    state["1.bias"][0] += factor
    state["3.bias"] -= factor * state["3.weight"][:, 0]
    body.load_state_dict(state)
    return wrapped(body)


# -- a channel that is not read ------------------------------------------------------------------------------


class Mixed(nn.Module):
    """A classifier of the sum of the channels by `weights`."""

    def __init__(self, body: nn.Module, weights: tuple[float, float, float]) -> None:
        self.mix, self.body = nn.Conv2d(3, 1, 1, bias=False), body
        self.mix.weight.data = np.array(weights, np.float32).reshape(1, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.mix(x))


def mixed(*weights: float) -> Model:
    x, y = colour()
    red, green, blue = weights
    body = body_of(x.mean(axis=1, keepdims=True), y)
    return wrapped(Mixed(body, (red, green, blue)), (3, SIZE, SIZE))


def wrapped(net: nn.Module, shape: tuple[int, ...] = (1, SIZE, SIZE)) -> Model:
    return ModuleModel(net, input_shape=shape, num_classes=10, name="planted")


FAULTS: dict[str, Fault] = {
    "trigger": Fault(
        faulty=lambda: triggered(400.0),
        sound=lambda: triggered(0.0),
        seeds=grey,
        is_it=lambda found: found.case.predicted == 0 and trigger_of(found.case.x) > 0,
        bound=10_000,
    ),
    "nan": Fault(
        faulty=lambda: logarithm(0.1),
        sound=lambda: logarithm(100.0),
        seeds=grey,
        is_it=lambda found: found.case.oracle == "nonfinite",
        bound=10_000,
    ),
    "int8": Fault(
        faulty=lambda: outlier(40.0),
        sound=lambda: outlier(0.0),
        seeds=grey,
        is_it=lambda found: found.case.oracle == "differential-int8",
        bound=10_000,
        against=("int8",),
    ),
    "channel, relation": Fault(
        faulty=lambda: mixed(0.5, 0.5, 0.0),
        sound=lambda: mixed(1 / 3, 1 / 3, 1 / 3),
        seeds=colour,
        is_it=lambda found: found.case.oracle == "metamorphic-blue",
        bound=128,
        relations=("blue: invert(channel=2) -> changes",),
    ),
    "channel, right preprocessing": Fault(
        faulty=lambda: mixed(0.5, 0.5, 0.0),
        sound=lambda: mixed(1 / 3, 1 / 3, 1 / 3),
        seeds=colour,
        is_it=lambda found: found.case.oracle == "differential-right",
        bound=10_000,
        against=("right",),
        others=lambda: {"right": mixed(1 / 3, 1 / 3, 1 / 3)},
    ),
}
