"""Forward with the outputs of all leaf layers kept, what the fuzzer asks for: public call against hooks.

PyTorch: no_grad and a forward hook on every leaf module that keeps its output. Against eager PyTorch the
layers are the same ones on both sides, batch normalisation included (model.activations: all leaf layers).
Folded PyTorch (channels_last) has no output of a convolution before its normalisation: model.activations,
which gives those too, does more than it does, and the plan of the layers left after folding does the same.
Plans alone leave the outputs in their own memory, and the public call gives new arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from armour.model import ModuleModel
from armour.tensor import Tensor, compile, no_grad
from armour.tensor.watch import capture
from benchmarks import flops, networks
from benchmarks.harness import Candidate
from benchmarks.kernels import within
from benchmarks.rows import Case, Options, Row, timed

CASES = (("lenet5", 32), ("resnet8", 32))
WORK = "forward, all activations kept"


def run(options: Options) -> Iterator[Row]:
    """The networks and batch of the issue's table."""
    for name, n in CASES:
        work = flops.forward(networks.module(name).eval(), networks.batch(name, n)[0])
        case = Case("activations", WORK, name, n, lambda name=name, n=n: candidates(name, n, options), work)
        yield from timed(case, options)


def candidates(name: str, n: int, options: Options) -> list[Candidate]:
    """PyTorch with hooks, eager and folded, and ours; every layer's output is compared first."""
    from benchmarks import peers

    ours, theirs = networks.pair(name)
    x, _ = networks.batch(name, n)
    hooked = torch_activations(theirs, x)
    expected = {layer: out.numpy() for layer, out in hooked().items()}
    found = [Candidate("torch eager, hooks", hooked)]
    left: set[str] = set()
    if peers.has_norms(theirs):
        folded = torch_activations(peers.folded(theirs), x, last=True)
        found.append(Candidate("torch folded, channels_last, hooks", folded))
        outputs = after_folding(theirs, folded())
        left = set(outputs)
        check(f"{name} folded", {k: expected[k] for k in left}, outputs)
    for choice in options.kernels:
        around = within(choice)
        with around():
            check(f"{name} {choice}", ours.activations(x), expected)
        found.append(Candidate("model.activations", lambda: ours.activations(x), choice, True, around))
        kept = [(set(expected), "bare plan"), (left, "bare plan, layers left")]
        for names, form in kept:
            if not names:
                continue
            with around():
                bare = Bare(ours, x, names)
                check(f"{name} {choice} {form}", bare.results(), {k: expected[k] for k in names})
            found.append(Candidate(form, bare, choice, False, around))
    return found


def check(what: str, ours: dict[str, Any], expected: dict[str, Any]) -> None:
    """The same layers with the same outputs."""
    if set(ours) != set(expected):
        raise SystemExit(f"{what}: other layers: {sorted(set(ours) ^ set(expected))}")
    for layer, out in expected.items():
        networks.same(f"{what}: {layer}", ours[layer], out)


class Bare:
    """The captured forward that gives some layers' outputs, run as a plan that keeps them in its memory."""

    def __init__(self, model: ModuleModel, x: np.ndarray, names: set[str]) -> None:
        net = model.module

        def forward(x: Tensor) -> dict[str, Tensor]:
            with no_grad(), capture(net, names) as layers:
                net(x)
            return {name: Tensor(array) for name, array in layers.items()}

        self.x, self.compiled = x, compile(forward)
        self.plan = self.compiled.plan(x)

    def __call__(self) -> Any:
        """Run it."""
        return self.plan.run(self.x)

    def results(self) -> dict[str, np.ndarray]:
        """Layer -> output, copied."""
        return {name: out.numpy() for name, out in self.compiled(self.x).items()}


def torch_activations(module: Any, x: np.ndarray, last: bool = False) -> Callable[[], dict[str, Any]]:
    """Leaf module's name -> output, by forward hooks."""
    import torch

    images = torch.from_numpy(x.copy())
    if last:
        images = images.contiguous(memory_format=torch.channels_last)
    kept: dict[str, Any] = {}

    def keep(name: str) -> Any:
        def hook(module: Any, inputs: Any, output: Any) -> None:
            kept[name] = output

        return hook

    for name, part in module.named_modules():
        # What stands where a normalisation was folded away gives its input again: nothing to keep.
        if not list(part.children()) and not isinstance(part, torch.nn.Identity):
            part.register_forward_hook(keep(name))

    def call() -> dict[str, Any]:
        kept.clear()
        with torch.no_grad():
            module(images)
        return dict(kept)

    return call


def after_folding(module: Any, outputs: dict[str, Any]) -> dict[str, Any]:
    """The folded network's outputs by the names that the layers have in the network with normalisation."""
    import torch

    names = {}
    for path, part in module.named_modules():
        children = list(part.named_children())
        for (conv, _), (norm, second) in pairwise(children):
            if isinstance(second, torch.nn.BatchNorm2d):
                prefix = f"{path}." if path else ""
                names[prefix + conv] = prefix + norm
    return {names.get(name, name): out for name, out in outputs.items()}
