"""Drawing stacks of mutators: depth, weights, limits, and independence of the batch."""

from collections import Counter

import numpy as np
import pytest

from armour.fuzz.draw import draw_names, draw_steps
from armour.fuzz.mutators import get, names_for
from armour.fuzz.recipe import Step
from armour.rng import generator, per_item

ROTATE, NOISE = Step("rotate", (3.0,), 1), Step("gaussian-noise", (0.0625,), 2)
NAMES = names_for((1, 28, 28))


def batches(count, n=128, **options):
    for seed in range(count):
        yield draw_names(per_item(generator(seed), n), NAMES, **options)


def test_depth_is_one_and_up_to_three_more_each_by_the_toss_of_a_coin():
    depth = np.bincount([len(own) for plan in batches(20) for own in plan], minlength=5) / (20 * 128)
    assert depth[0] == 0 and depth.sum() == pytest.approx(1)
    assert depth[1:] == pytest.approx([1 / 8, 3 / 8, 3 / 8, 1 / 8], abs=0.04)


def test_at_most_one_mutator_moves_pixels():
    for plan in batches(10, extra=6, probability=1.0):
        for own in plan:
            assert len(own) == 7
            assert sum(get(name).geometric for name in own) <= 1


def test_what_an_item_has_been_through_counts():
    before = [(ROTATE,), (NOISE,) * 7, (NOISE,) * 8, ()] * 16
    for plan in batches(10, n=64, probability=1.0, before=before):
        for own, steps in zip(plan, before, strict=True):
            assert len(own) == min(4, 8 - len(steps))
            assert not (ROTATE in steps and any(get(name).geometric for name in own))


def test_a_batch_uses_a_palette_but_all_mutators_come_up_by_weight():
    weights = np.ones(len(NAMES))
    weights[0], weights[1] = 4.0, 0.0
    seen = Counter()
    for plan in batches(400, n=16, weights=weights, extra=0):
        seen.update(name for own in plan for name in own)
        assert len({name for own in plan for name in own}) <= 12
    share = np.array([seen[name] for name in NAMES]) / (400 * 16)
    assert share == pytest.approx(weights / weights.sum(), abs=0.02)
    assert seen[NAMES[1]] == 0 and all(seen[name] for name in NAMES[2:])


def test_only_geometric_mutators_on_offer_still_leave_a_second_step():
    plan = draw_names(
        per_item(generator(0), 64), ["rotate", "brightness"], weights=np.array([1.0, 1e-9]), extra=3
    )
    for own in plan:
        assert own[0] == "rotate" and set(own[1:]) <= {"brightness"}


def test_draws_repeat_for_a_seed_and_differ_between_items():
    first, again = (
        draw_steps(draw_names(per_item(generator(1), 64), NAMES), per_item(generator(2), 64))
        for _ in range(2)
    )
    assert first == again
    assert len({step.key for own in first for step in own}) == sum(map(len, first))
    streams = per_item(generator(2), 64)
    names = [("rotate", "snow", "fog")] * 64
    assert draw_steps(names, streams)[5] == draw_steps(names[5:6], streams[5:6])[0]
    assert draw_steps(names, streams)[5][:2] == draw_steps([("rotate", "snow")], streams[5:6])[0]


def test_an_empty_batch():
    assert draw_names(per_item(generator(0), 0), NAMES) == []
    assert draw_steps([], per_item(generator(0), 0)) == []
    assert draw_steps([()], per_item(generator(0), 1)) == [()]
