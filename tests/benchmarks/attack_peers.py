"""Public implementations of attacks on a PyTorch network, all as functions of arrays.

Each returns what it found as float32 (n, ...); whoever compares asks the network again. The imports stand in
the functions: a package that is missing costs only its own comparison.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Array = np.ndarray


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the packages' own output."""
    logging.getLogger("auto-attack").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def predict(module: Any, x: Array) -> Array:
    """Labels (n,) of x (n, ...)."""
    import torch

    with torch.no_grad():
        labels: Array = module(torch.from_numpy(x)).argmax(1).numpy()
    return labels


def foolbox_attack(
    name: str, module: Any, x: Array, y: Array, epsilon: float | None, **settings: Any
) -> Array:
    """An attack of Foolbox by its class name, at one epsilon, or (None) without a budget."""
    import foolbox
    import torch

    torch.manual_seed(settings.pop("seed", 0))
    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = getattr(foolbox.attacks, name)(**settings)
    with quiet():
        _, found, _ = attack(model, torch.from_numpy(x), torch.from_numpy(y), epsilons=epsilon)
    adv: Array = found.detach().numpy()
    return adv


def auto_attack(
    module: Any,
    x: Array,
    y: Array,
    epsilon: float,
    norm: str = "linf",
    only: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    queries: int | None = None,
) -> Array:
    """The public AutoAttack: version standard, or `only` one of its attacks with standard's settings.

    steps, queries: others than standard's.
    """
    import pyautoattack
    import torch

    kind = {"linf": "Linf", "l2": "L2", "l1": "L1"}[norm]
    with quiet():
        attack = pyautoattack.AutoAttack(module, norm=kind, eps=epsilon, seed=seed)
        if only is not None:
            attack.attacks_to_run = [only]
        if steps is not None:
            attack.apgd.n_iter = attack.apgd_targeted.n_iter = attack.fab.n_iter = steps
        if queries is not None:
            attack.square.n_queries = queries
        found = attack.run_standard_evaluation(torch.from_numpy(x), torch.from_numpy(y), batch_size=500)
    adv: Array = (found[0] if isinstance(found, tuple) else found).detach().numpy()
    return adv


class QuerySpent(Exception):
    """A peer has asked as often as it may."""


def best_within(
    queries: int, module: Any, x: Array, y: Array, attack: Callable[[Any, Array, Array], Any]
) -> Array:
    """What an attack has come across after so many queries of each sample: (n, ...) nearest in l2.

    The attack runs on one sample at a time, on a network that counts. Every input it asks about counts as
    found if it is misread, also those that the attack itself would throw away: the most one can credit it
    with. Where nothing was found, NaN.
    """
    import torch

    found = np.full_like(x, np.nan)
    for i in range(len(x)):
        one, best = x[i : i + 1], np.inf
        left = queries

        class Counting(torch.nn.Module):
            def forward(self, at: Any, one: Array = one, label: int = int(y[i]), row: int = i) -> Any:
                nonlocal left, best
                if left <= 0:
                    raise QuerySpent
                at, rest = at[:left].float(), at[left:]  # ART asks about doubles now and then
                left -= len(at)
                with torch.no_grad():
                    out = module(at)
                wrong = np.flatnonzero(out.argmax(1).numpy() != label)
                if wrong.size:
                    asked = at.detach().numpy()[wrong]
                    distance = np.linalg.norm((asked - one).reshape(len(wrong), -1), axis=1)
                    if distance.min() < best:
                        best = float(distance.min())
                        found[row] = asked[int(distance.argmin())]
                if len(rest):
                    raise QuerySpent
                return out

        with contextlib.suppress(QuerySpent), quiet():
            attack(Counting().eval(), one, y[i : i + 1])
    return found


def foolbox_hop_skip_jump(module: Any, x: Array, y: Array) -> None:
    """Foolbox's HopSkipJump without an end of its own; where its start fails, it has nothing."""
    try:
        foolbox_attack("HopSkipJumpAttack", module, x, y, None, steps=64)
    except ValueError as error:
        if "init_attack failed" not in str(error):
            raise


def art_hop_skip_jump(module: Any, x: Array, y: Array) -> None:
    """ART's HopSkipJump without an end of its own; it draws from NumPy's global state, restored here."""
    from art.attacks.evasion import HopSkipJump

    with seeded(0):
        HopSkipJump(art_classifier(module, x.shape[1:]), norm=2, max_iter=64, verbose=False).generate(
            x, y=None
        )


def cleverhans_hop_skip_jump(module: Any, x: Array, y: Array) -> None:
    """CleverHans' HopSkipJump without an end of its own."""
    import torch
    from cleverhans.torch.attacks.hop_skip_jump_attack import hop_skip_jump_attack

    with seeded(0):
        torch.manual_seed(0)
        hop_skip_jump_attack(module, torch.from_numpy(x), 2, num_iterations=64, verbose=False)


def art_classifier(module: Any, shape: tuple[int, ...], classes: int = 10) -> Any:
    """The network as ART wants it."""
    import torch
    from art.estimators.classification import PyTorchClassifier

    return PyTorchClassifier(
        module, torch.nn.CrossEntropyLoss(), shape, classes, clip_values=(0.0, 1.0), device_type="cpu"
    )


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """NumPy's global state with that seed, and as it was afterwards."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
