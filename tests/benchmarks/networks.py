"""The zoo's networks with the same weights here and in PyTorch, inputs, and whether two results agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from armour.model import ModuleModel
from armour.tensor import zoo

SHAPES = {"mlp": (1, 28, 28), "lenet5": (1, 28, 28), "resnet8": (3, 32, 32), "resnet20": (3, 32, 32)}
CLASSES = 10
CLOSE = 1e-4  # of the length of the peer's result: float32 rounding of a network
TIES = 0.05  # and so much where rounding decides a tie of relu or of a maximum in a sample or two
MOST = 0.95  # of the samples, which must be close whatever ties do


def module(name: str) -> Any:
    """One of the zoo's, with running statistics that make batch normalisation no identity."""
    net = zoo.build(name, SHAPES[name], CLASSES, rng=0)
    rng = np.random.default_rng(0)
    state = {key: np.array(value, np.float32) for key, value in net.state_dict().items()}
    for key, value in state.items():
        if key.endswith("running_mean"):
            state[key] = rng.normal(0, 0.1, value.shape).astype(np.float32)
        elif key.endswith("running_var"):
            state[key] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
    net.load_state_dict(state)
    return net


def model(name: str, **options: Any) -> ModuleModel:
    """The network as a Model of ours."""
    return ModuleModel(module(name), input_shape=SHAPES[name], num_classes=CLASSES, **options)


def peer(name: str, net: Any) -> Any:
    """The network in PyTorch with the weights of `net`, a module of ours; parameters ask for no gradient."""
    from benchmarks import peers

    theirs = peers.build(name, SHAPES[name], CLASSES)
    peers.load(theirs, {key: np.array(value) for key, value in net.state_dict().items()})
    return theirs


def pair(name: str) -> tuple[ModuleModel, Any]:
    """The same network twice: as a Model of ours, and in PyTorch."""
    ours = model(name)
    return ours, peer(name, ours.module)


def batch(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n images in [0, 1] and labels."""
    rng = np.random.default_rng(1)
    return rng.random((n, *SHAPES[name]), dtype=np.float32), rng.integers(0, CLASSES, n)


def same(what: str, ours: Any, theirs: Any, samples: bool = False, close: float = CLOSE) -> None:
    """Stop if two results differ by more than rounding: a fast wrong answer is no answer.

    samples: the first axis counts samples, of which a few may differ by a tie that rounding decides. close:
    how far apart the two may be, as a share of the length of `theirs`.
    """
    a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    if a.shape != b.shape:
        raise SystemExit(f"{what}: armour gives {a.shape} and PyTorch {b.shape}")
    apart = distance(a, b)
    if apart <= close:
        return
    if samples and apart <= TIES:
        each = [distance(x, y) <= close for x, y in zip(a, b, strict=True)]
        if np.mean(each) >= MOST:
            return
    raise SystemExit(f"{what}: armour and PyTorch differ by {apart:.2e} of the length of the result")


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """|a - b| / |b|."""
    return float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-30))
