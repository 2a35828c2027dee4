"""What issues 3, 5, 6 and 7 ask for, as ratios to the peers: printed and recorded, never asserted."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """Of one row of the issue. against: part of the opponent's name. limits: by kernels; "" for any."""

    subject: str
    networks: tuple[str, ...]
    batches: tuple[int, ...]
    against: str
    limits: dict[str, float]
    higher: bool = False  # True if more is better


RESNETS = ("resnet8", "resnet20")
EAGER, FOLDED = "torch eager", "torch folded"

TARGETS = (
    Target("forward_grad", ("mlp",), (32, 256), EAGER, {"numpy": 0.55, "fast": 0.5}),
    Target("forward_grad", ("lenet5",), (1,), EAGER, {"numpy": 0.28, "fast": 0.15}),
    Target("forward_grad", ("lenet5",), (32, 256), EAGER, {"numpy": 0.8, "fast": 0.5}),
    Target("forward_grad", RESNETS, (32, 256), EAGER, {"numpy": 1.05, "fast": 0.62}),
    Target("forward_grad", RESNETS, (32, 256), FOLDED, {"fast": 0.87}),
    Target("activations", ("lenet5",), (32,), EAGER, {"numpy": 0.6, "fast": 0.3}),
    Target("activations", ("resnet8",), (32,), EAGER, {"numpy": 1.2, "fast": 0.7}),
    Target("activations", ("resnet8",), (32,), FOLDED, {"numpy": 1.2, "fast": 0.7}),
    Target("per_sample", ("mlp",), (32, 256), "torch.func", {"numpy": 0.1, "fast": 0.1}),
    Target("per_sample", ("lenet5",), (32, 256), "torch.func", {"numpy": 0.5, "fast": 0.45}),
    Target("training", ("lenet5",), (64,), EAGER, {"numpy": 0.9, "fast": 0.7}),
    Target("training", ("resnet8",), (64,), EAGER, {"numpy": 1.2, "fast": 0.9}),
    Target("adversarial_training", ("lenet5",), (64,), EAGER, {"": 0.6}),
    Target("eager", ("100 tiny ops",), (1,), EAGER, {"": 0.8}),
    Target("workers", ("lenet5",), (256,), "one worker", {"": 1.7}, higher=True),
    Target("memory", ("resnet20",), (256,), EAGER, {"": 1.0}),
    Target("attacks", ("lenet5",), (500,), "", {"fast": 0.4}),
    Target("attacks", ("lenet5",), (20, 100), "ART", {"": 0.3}),
    Target("auto_attack", ("lenet5-0.1",), (500,), "pyautoattack", {"fast": 0.35}),
    Target("auto_attack", ("memory of lenet5-0.1",), (500,), "", {"": 1.0}),
    Target("fuzzing", ("cnn-16-32", "lenet5"), (1024,), "model.logits", {"": 1.05}),
    Target("fuzzing", ("resnet8",), (512,), "model.logits", {"": 1.05}),
    Target("fuzzing", ("cnn-16-32", "lenet5"), (1024,), "raw forwards", {"": 0.85}, higher=True),
    Target("fuzzing", ("resnet8",), (512,), "raw forwards", {"": 0.7}, higher=True),
    Target("fuzzing", ("mlp",), (1024,), "raw forwards", {"": 0.4}, higher=True),
    Target("fuzzing", ("cnn-16-32", "lenet5"), (1024,), "2,800 a second", {"": 1.0}, higher=True),
    Target("fuzzing", ("lenet5",), (1024,), "MindArmour", {"": 100.0}, higher=True),
    Target("cuda", ("lenet5",), (4096,), EAGER, {"": 1.0}),
    Target("cuda", ("resnet20",), (1024,), EAGER, {"": 1.0}),
)


def find(subject: str, network: str, n: int, against: str, kernels: str) -> tuple[float, bool] | None:
    """The limit, and whether more is better; None if the issue asks for nothing."""
    for target in TARGETS:
        fits = target.subject == subject and network in target.networks and n in target.batches
        if fits and against.startswith(target.against):
            limit = target.limits.get(kernels, target.limits.get(""))
            if limit is not None:
                return limit, target.higher
    return None
