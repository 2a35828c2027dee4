"""HopSkipJump beside Foolbox and cleverhans: same trained weights, starts and number of queries."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import trained
from benchmarks import peers

from armour import attacks, criteria

N = 10
QUERIES = 500
TURNS = 3  # of 100 probes, times the root of the turn: with the searches, about as many queries


class Counted(torch.nn.Module):
    """The network with the number of inputs it was asked about."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.queries = inner, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the network."""
        self.queries += len(x)
        return self.inner(x.float())


def foolbox_adv(module: Counted, x: np.ndarray, y: np.ndarray, starts: np.ndarray) -> np.ndarray:
    import foolbox

    model = foolbox.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = foolbox.attacks.HopSkipJumpAttack(steps=TURNS)
    goal = foolbox.criteria.Misclassification(torch.from_numpy(y))
    found: np.ndarray = attack.run(
        model, torch.from_numpy(x), goal, starting_points=torch.from_numpy(starts)
    ).numpy()
    return found


def cleverhans_adv(module: Counted, x: np.ndarray, y: np.ndarray, starts: np.ndarray) -> np.ndarray:
    from cleverhans.torch.attacks.hop_skip_jump_attack import hop_skip_jump_attack

    images = torch.from_numpy(starts)[:, None]
    settings = {"clip_min": 0, "clip_max": 1, "num_iterations": TURNS, "verbose": False}
    found: np.ndarray = hop_skip_jump_attack(
        module, torch.from_numpy(x), 2, image_target=images, **settings
    ).numpy()
    return found


def test_hop_skip_jump_comes_as_near_as_the_nearest_peer() -> None:
    ours = trained.network("lenet5")
    _, test = trained.digits()
    right = ours.predict(test.x) == test.y
    x, y = test.x[right][:N], test.y[right][:N]
    pool, labels = test.x[right][N : N + 40], test.y[right][N : N + 40]
    # Each peer is given an image of another class, which costs it nothing; ours has to find a start itself.
    starts = np.stack([pool[np.flatnonzero(labels != label)[i]] for i, label in enumerate(y)])
    medians: dict[str, Any] = {}
    for name, run in (("Foolbox", foolbox_adv), ("cleverhans", cleverhans_adv)):
        module = peers.build("lenet5", (1, 28, 28), 10)
        peers.load(module, {key: np.array(value) for key, value in ours.state_dict().items()})
        torch.manual_seed(0)
        counted = Counted(module)
        with torch.no_grad():
            adv = run(counted, x, y, starts)
        length = np.sqrt(((adv - x).reshape(N, -1).astype(np.float64) ** 2).sum(axis=1))
        length[ours.predict(np.clip(adv, 0, 1).astype(np.float32)) == y] = np.inf
        medians[name] = float(np.median(length))
        assert counted.queries > 0.8 * N * QUERIES, "a peer with fewer queries proves nothing"
    result = attacks.HopSkipJump(queries=QUERIES).attack(ours, x, y, rng=0)
    own = float(np.median(result.distance[0]))
    print(f"\nmedian l2 at {QUERIES} queries: armour {own:.3f}", {k: round(v, 3) for k, v in medians.items()})
    assert result.success.all() and result.spent.max() <= QUERIES
    assert own <= min(medians.values())


def test_a_class_is_reached_from_images_of_all_classes() -> None:
    ours = trained.network("lenet5")
    _, test = trained.digits()
    right = ours.predict(test.x) == test.y
    x, y = test.x[right][:N], test.y[right][:N]
    goal = criteria.Targeted((y + 1) % 10)
    attack = attacks.HopSkipJump(queries=400, starts=test.x[right][N : N + 100])
    result = attack.attack(ours, x, goal, rng=0)
    assert result.success.mean() > 0.6
    assert (ours.predict(result.adv[0]) == goal.labels)[result.success[0]].all()
