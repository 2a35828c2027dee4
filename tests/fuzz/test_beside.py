"""The baseline in this process and in a fork."""

from __future__ import annotations

import os
import signal
import sys

import numpy as np
import pytest
import small_models

from armour.errors import ArmourError
from armour.fuzz import Campaign
from armour.fuzz.beside import Forked, InTurn, beside
from armour.fuzz.campaign import Setup
from armour.fuzz.execution import Executor
from armour.fuzz.roots import select
from armour.fuzz.sections import Profile
from armour.fuzz.validity import ValidityModel
from armour.model import CallableModel, ModuleModel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


@pytest.fixture(scope="module")
def world() -> tuple[ModuleModel, Setup]:
    """A model and what campaigns on it share."""
    x, y = small_models.digits(80)
    model = small_models.centroids(x, y)
    executor = Executor(model, 64)
    roots, outcome = select(executor, x, y)
    setup = Setup(
        executor=executor, roots=roots, validity=ValidityModel.fit(x, model.bounds),
        profile=Profile.fit(outcome.neurons), seed=1, round=128, required=2, sections=10,
    )  # fmt: skip
    return model, setup


def test_both_give_the_same_bits(world: tuple[ModuleModel, Setup]) -> None:
    model, setup = world
    here = beside(Campaign(setup, "random", stream=1, shrink=False), model, jobs=1)
    there = beside(Campaign(setup, "random", stream=1, shrink=False), model, jobs=2)
    assert isinstance(here, InTurn) and isinstance(there, Forked)
    try:
        for limit in (None, None, 50):
            here.start(limit)
            there.start(limit)
            assert here.finish() == there.finish()
        one, two = here.arrays(), there.arrays()
        assert one.keys() == two.keys()
        for name, array in one.items():
            assert array.dtype == two[name].dtype
            np.testing.assert_array_equal(array, two[name])
        assert here.result(1.5) == there.result(1.5)
    finally:
        here.close()
        there.close()


def test_a_killed_process_is_one_clear_error(world: tuple[ModuleModel, Setup]) -> None:
    model, setup = world
    there = beside(Campaign(setup, "random", stream=1, shrink=False), model, jobs=2)
    assert isinstance(there, Forked)
    assert there._process.pid is not None
    os.kill(there._process.pid, signal.SIGKILL)
    there._process.join()
    with pytest.raises(ArmourError, match="process of the baseline campaign has ended"):
        there.start(None)
        there.finish()
    there.close()


def test_a_black_box_is_not_forked(world: tuple[ModuleModel, Setup]) -> None:
    model, setup = world
    box = CallableModel(model.logits, outputs="logits", input_shape=(1, 8, 8), num_classes=10)
    assert isinstance(beside(Campaign(setup, "random", stream=1, shrink=False), box, jobs=4), InTurn)
