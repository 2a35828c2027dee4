"""Spatial grid search beside Foolbox's SpatialAttack, on the same weights.

Two things differ there. Its shift is 27/28 of the pixels that are asked for (a share of the side is taken for
one of the distance between corner centres), so that ours is asked for as much. And it shifts before it turns,
where the paper turns first: with one of the two alone it is the same transformation; with both, its grid is
ours with every shift turned, which is what is compared image by image.
"""

from __future__ import annotations

from typing import Any

import foolbox
import numpy as np
import pytest
import torch
import trained
from benchmarks import peers

from armour import attacks
from armour.attacks.spatial import _View
from armour.bounds import Bounds
from armour.model import ModuleModel

N = 200


@pytest.fixture(scope="module", params=[("mlp", 0.0), ("lenet5", 0.0)], ids=["mlp", "lenet5"])
def pair(request: pytest.FixtureRequest) -> tuple[ModuleModel, Any]:
    """The network here and, with the same weights, behind Foolbox."""
    name, epsilon = request.param
    ours = trained.network(name, epsilon)
    theirs = peers.build(name, (1, 28, 28), 10)
    peers.load(theirs, {key: np.array(value) for key, value in ours.state_dict().items()})
    return ours, foolbox.PyTorchModel(theirs, bounds=(0, 1), device="cpu")


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize(
    ("degrees", "pixels", "angles", "shifts"),
    [(40.0, 0.0, 9, 1), (0.0, 2.0, 1, 5), (15.0, 1.0, 5, 3)],
    ids=["turned", "shifted", "both"],
)
def test_the_grid_leaves_as_many(
    pair: tuple[ModuleModel, Any], degrees: float, pixels: float, angles: int, shifts: int
) -> None:
    """Image by image; with both, .02 of robust accuracy between the two orders."""
    _, test = trained.digits()
    x, y = test.x[:N], test.y[:N]
    peer = foolbox.attacks.SpatialAttack(
        max_translation=pixels, max_rotation=degrees, num_translations=shifts, num_rotations=angles
    )
    theirs = peer(pair[1], torch.from_numpy(x), torch.from_numpy(y))[2].numpy()
    attack = attacks.Spatial(
        rotation=degrees, translation=pixels / 28 * 27 / 28, angles=angles, shifts=shifts
    )
    ours = attack.attack(pair[0], x, y)
    print(
        f"\n{pair[0].name} {degrees:g} degrees, {pixels:g} pixels: Foolbox {1 - theirs.mean():.3f}, ", end=""
    )
    print(f"armour {ours.robust_accuracy[0]:.3f}")
    if degrees and pixels:
        assert abs(ours.success.mean() - theirs.mean()) <= 0.02
        found = pair[0].predict(x) != y
        view = _View(x, degrees, pixels / 28 * 27 / 28, "low", Bounds(0, 1))
        for point in attack.grid():
            angle = np.deg2rad(point[0] * degrees)
            turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
            place = np.r_[point[0], -turn.T @ point[1:]].astype(np.float32)
            found |= pair[0].predict(view.moved(np.tile(place, (N, 1)))) != y
        differ = found != theirs
    else:
        differ = ours.success[0] != theirs
    assert differ.sum() <= 1
    assert 0.05 < theirs.mean() < 0.95
