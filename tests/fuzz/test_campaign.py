"""One campaign: mutants that are not valid, state, and what the corpus keeps."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import small_models

from armour.fuzz import Campaign
from armour.fuzz import campaign as module
from armour.fuzz.campaign import Setup
from armour.fuzz.draw import draw_names, draw_steps
from armour.fuzz.execution import Executor
from armour.fuzz.mutation import Mutants, mutate
from armour.fuzz.mutators import names_for
from armour.fuzz.partners import Partners
from armour.fuzz.recipe import Recipe, apply_steps
from armour.fuzz.roots import select
from armour.fuzz.schedule import SCHEDULES, Parents
from armour.fuzz.sections import Profile
from armour.fuzz.validity import ValidityModel
from armour.rng import per_item


@pytest.fixture(scope="module")
def setup() -> Setup:
    """A small network on 200 digits, in rounds of 128."""
    x, y = small_models.digits(200)
    model = small_models.centroids(x, y)
    executor = Executor(model, 64)
    roots, outcome = select(executor, x, y)
    validity = ValidityModel.fit(x, model.bounds)
    return Setup(
        executor=executor, roots=roots, validity=validity, profile=Profile.fit(outcome.neurons),
        seed=5, round=128, required=2, sections=10,
    )  # fmt: skip


def test_a_dense_full_range_mutant_is_never_a_failure(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule of MindArmour's fuzzer is inverted: it lets every pixel change by any amount."""

    def inverted(parents: Parents, *rest: object) -> Mutants:
        x = np.ascontiguousarray(1 - parents.x)
        level = setup.validity.level(x, parents.x, [()] * len(x))
        steps = [(setup_step,) for _ in range(len(x))]
        return Mutants(x, parents.x, steps, np.ones(len(x), np.int64), level, 0)

    setup_step = draw_steps([("brightness",)], per_item(np.random.default_rng(0), 1))[0][0]
    monkeypatch.setattr(module, "mutate", inverted)
    campaign = Campaign(setup, "random", stream=0, shrink=False)
    found = [one for _ in range(3) for one in campaign.round().found]
    result = campaign.result(0.0)
    assert found == [] and result.failures == 0 and result.valid == 0
    # They are run and counted all the same, at the level they reached.
    assert result.levels["V0"] == result.executions == 384
    assert result.failing["V0"] > 100


@pytest.mark.parametrize("schedule", SCHEDULES.names())
def test_a_stored_state_goes_on_as_if_it_had_never_stopped(schedule: str, setup: Setup) -> None:
    one = Campaign(setup, schedule, stream=0, shrink=True)
    for _ in range(4):
        one.round()
    two = Campaign(setup, schedule, stream=0, shrink=True)
    two.restore({name: array.copy() for name, array in one.arrays().items()})
    for _ in range(3):
        first, second = one.round(), two.round()
        assert first.state == second.state and first.picks == second.picks
        assert [f.digest for f in first.found] == [f.digest for f in second.found]
        assert [str(s.recipe) for s in first.survivors] == [str(s.recipe) for s in second.survivors]
    for name, array in two.arrays().items():
        assert array.tobytes() == one.arrays()[name].tobytes(), name


def test_the_last_round_of_a_budget_is_cut(setup: Setup) -> None:
    whole, cut = (Campaign(setup, "niche", stream=0, shrink=False) for _ in range(2))
    first, part = whole.round(), cut.round(50)
    assert (first.executions, part.executions) == (128, 50)
    assert {f.digest for f in part.found} == {f.digest for f in first.found if f.execution < 50}
    assert part.survivors == [] or max(s.number for s in part.survivors) < 50


def test_streams_differ(setup: Setup) -> None:
    rounds = [Campaign(setup, "random", stream=stream, shrink=False).round() for stream in (0, 1)]
    seeded = Campaign(dataclasses.replace(setup, seed=6), "random", stream=0, shrink=False).round()
    assert rounds[0].picks != rounds[1].picks and rounds[0].picks != seeded.picks


def test_survivors_are_valid_correct_and_new(setup: Setup) -> None:
    campaign = Campaign(setup, "niche", stream=0, shrink=False)
    kept = [survivor for _ in range(6) for survivor in campaign.round().survivors]
    assert [survivor.number for survivor in kept] == list(range(len(kept)))
    x = np.stack([survivor.x for survivor in kept])
    labels = setup.roots.labels[[survivor.recipe.root for survivor in kept]]
    assert (setup.executor.run(x).predicted == labels).all()
    assert all(survivor.level >= 2 and survivor.margin > 0 for survivor in kept)
    quiet = [s for s in kept if s.gain == 0 and not s.niche]
    # What gains nothing and holds no niche is kept only for a new signature, four of a root at most.
    assert len({s.signature for s in quiet}) == len(quiet)
    root = np.array([s.recipe.root for s in kept])
    origin, partners = setup.roots.x[root], Partners(setup.roots, root)
    steps = [s.recipe.steps for s in kept]
    again, _ = apply_steps(origin, origin, steps, setup.validity.bounds, partners=partners)
    assert np.array_equal(again, x)


def test_mutants_keep_the_required_level_where_they_can(setup: Setup) -> None:
    n = 400
    rng = np.random.default_rng(1)
    root = rng.integers(0, len(setup.roots), n)
    x = setup.roots.x[root]
    parents = Parents(root, x, x, [()] * n)
    streams = per_item(rng, n)
    names = draw_names(streams.child(0), names_for((1, 8, 8)), probability=2.0)
    steps = draw_steps(names, streams.child(1))
    depth = rng.integers(1, 5, n)
    made = mutate(parents, steps, depth, setup.validity, 2, setup.roots)
    assert (made.level >= 2).mean() > 0.9
    partners = Partners(setup.roots, root)
    again, ref = apply_steps(x, x, made.steps, setup.validity.bounds, partners=partners)
    assert np.array_equal(again, made.x) and np.array_equal(ref, made.ref)
    assert np.array_equal(setup.validity.level(again, ref, made.steps), made.level)
    assert (made.added >= 1).all() and (made.added <= 4).all()
    # Valid ones that were valid whole have all their steps; each list is a sub-sequence of what was drawn.
    for own, drawn, count in zip(made.steps, steps, made.added.tolist(), strict=True):
        assert len(own) == count and [s for s in drawn if s in own] == list(own)
        assert isinstance(str(Recipe(0, own)), str)
    assert np.array_equal(parents.x, setup.roots.x[root]), "parents are not written to"


def test_gain_zero_is_not_kept(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    campaign = Campaign(setup, "random", stream=0, shrink=False)
    campaign.round()
    campaign.coverage.counts[:] = 1
    monkeypatch.setattr(module, "_SIGNATURES", 0)
    assert campaign.round().survivors == []
