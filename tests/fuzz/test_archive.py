"""The archive of niches and the schedules that use it."""

from __future__ import annotations

import numpy as np
import pytest

from armour.bounds import Bounds
from armour.fuzz.archive import Archive
from armour.fuzz.kinds import IMAGE
from armour.fuzz.recipe import Step, apply_steps
from armour.fuzz.roots import Roots
from armour.fuzz.schedule import SCHEDULES, Children, MarginNiche

BOUNDS = Bounds(0, 1)


def roots(gaps: list[list[int]]) -> Roots:
    """Roots of 1 x 8 x 8; each one's label is where its gap is 0."""
    table = np.array(gaps, np.int64)
    x = np.random.default_rng(0).random((len(table), 1, 8, 8)).astype(np.float32)
    return Roots(x, (table == 0).argmax(axis=1), np.arange(len(table)), table)


def child(root: Roots, row: int, delta: float) -> tuple[np.ndarray, np.ndarray, tuple[Step, ...]]:
    """A descendant of a root by one change of brightness."""
    steps = (Step("brightness", (float(np.float32(delta)),), 1),)
    x, ref = apply_steps(root.x[[row]], root.x[[row]], [steps], BOUNDS)
    return x[0], ref[0], steps


def offer(archive: Archive, given: list[tuple[int, list[int], float]]) -> np.ndarray:
    """Offer descendants (root, gaps, brightness)."""
    made = [child(archive.roots, root, delta) for root, _, delta in given]
    return archive.improve(
        np.array([root for root, _, _ in given]),
        np.array([gaps for _, gaps, _ in given], np.int64),
        np.stack([x for x, _, _ in made]),
        np.stack([ref for _, ref, _ in made]),
        [steps for _, _, steps in made],
    )


def test_the_smallest_gap_takes_the_niche() -> None:
    archive = Archive(roots([[0, 500, 900], [700, 0, 800]]), delta=10)
    archive.picks[:] = 4
    held = offer(archive, [(0, [0, 400, 950], 0.1), (0, [0, 300, 950], 0.05), (1, [695, 0, 801], 0.1)])
    # The second beats the first; root 1 gains by less than delta.
    assert held.tolist() == [False, True, False]
    assert archive.gaps.tolist() == [[0, 300, 900], [700, 0, 800]]
    assert archive.picks.tolist() == [[4, 2, 4], [4, 4, 4]]
    x, _, steps = archive.parents(np.array([0, 0]), np.array([1, 2]))
    assert np.array_equal(x[0], child(archive.roots, 0, 0.05)[0]) and np.array_equal(x[1], archive.roots.x[0])
    assert len(steps[0]) == 1 and steps[1] == ()


def test_ties_go_to_the_earlier_one() -> None:
    archive = Archive(roots([[0, 500, 500]]), delta=1)
    held = offer(archive, [(0, [0, 300, 600], 0.1), (0, [0, 300, 200], 0.05)])
    assert held.tolist() == [True, True]
    x, _, _ = archive.parents(np.array([0]), np.array([1]))
    assert np.array_equal(x[0], child(archive.roots, 0, 0.1)[0])


def test_a_solved_niche_stays_closed_and_frees_its_place() -> None:
    archive = Archive(roots([[0, 500, 900]]), delta=1)
    offer(archive, [(0, [0, 100, 100], 0.1)])
    archive.solve(np.array([0, 0]), np.array([1, 1]))
    assert archive.open.tolist() == [[False, False, True]]
    assert archive.holder[0, 1] == -1 and archive.holder[0, 2] >= 0
    assert offer(archive, [(0, [0, 1, 950], 0.05)]).tolist() == [False]
    archive.solve(np.array([0]), np.array([2]))
    assert (archive._uses == 0).all()


@pytest.mark.parametrize("held", [1 << 26, 64 * 100, 1])
def test_stored_and_taken_over_bit_for_bit(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # However few inputs are held, the rest is rebuilt from its recipes.
    monkeypatch.setattr("armour.fuzz.archive._HELD", held)
    rng = np.random.default_rng(3)
    start = roots([[0, *rng.integers(400, 900, 3).tolist()] for _ in range(400)])
    archive, copy = Archive(start, delta=1), Archive(start, delta=1)
    for _ in range(3):
        given = [
            (root, [0, *rng.integers(1, 600, 3).tolist()], float(rng.uniform(-0.2, 0.2)))
            for root in range(400)
        ]
        offer(archive, given)
    archive.solve(np.arange(0, 400, 7), np.ones(58, np.int64))
    stored = archive.arrays()
    copy.restore(stored, BOUNDS)
    for name, array in copy.arrays().items():
        np.testing.assert_array_equal(array, stored[name])
    assert len(archive._x) <= max(1, held // 64)
    where = np.flatnonzero(archive.holder >= 0)[:50]
    owner, label = np.divmod(where, 4)
    x, ref, steps = archive.parents(owner, label)
    for i, own in enumerate(steps):
        origin = start.x[owner[[i]]]
        made, still = apply_steps(origin, origin, [own], BOUNDS)
        assert np.array_equal(x[i], made[0]) and np.array_equal(ref[i], still[0])
    everywhere = np.divmod(np.arange(400 * 4), 4)
    for one, two in zip(archive.parents(*everywhere), copy.parents(*everywhere), strict=True):
        assert np.array_equal(one, two) if isinstance(one, np.ndarray) else one == two
    # And both go on alike.
    again = [(root, [0, 1, 1, 1], 0.01) for root in range(400)]
    assert np.array_equal(offer(archive, again), offer(copy, again))
    for name, array in copy.arrays().items():
        np.testing.assert_array_equal(array, archive.arrays()[name])


def test_niches_near_failing_are_picked_more() -> None:
    schedule = MarginNiche(roots([[0, 10, 9000], [9000, 0, 9000]]), 4, IMAGE, Bounds(0, 1))
    schedule.tau = 1000.0
    parents = schedule.pick(np.random.default_rng(0), 400)
    guided = parents.root[200:]
    assert (guided == 0).mean() > 0.9
    # The unguided half is uniform.
    assert 0.35 < (parents.root[:200] == 0).mean() < 0.65
    assert schedule.archive.picks.sum() == 200
    # Once solved, it is not picked again.
    schedule.archive.solve(np.array([0]), np.array([1]))
    before = schedule.archive.picks[0, 1]
    schedule.pick(np.random.default_rng(1), 400)
    assert schedule.archive.picks[0, 1] == before


def test_with_every_niche_solved_all_is_random() -> None:
    schedule = MarginNiche(roots([[0, 10]]), 4, IMAGE, Bounds(0, 1))
    schedule.archive.solve(np.array([0]), np.array([1]))
    parents = schedule.pick(np.random.default_rng(0), 10)
    assert parents.root.tolist() == [0] * 10 and parents.steps == [()] * 10


def test_mutators_that_solve_niches_are_drawn_more_but_all_have_a_floor() -> None:
    start = roots([[0, 10, 20]] * 50)
    schedule = MarginNiche(start, 8, IMAGE, Bounds(0, 1))
    n = 50
    used = np.zeros((n, 8), bool)
    used[:25, 2], used[25:, 3] = True, True
    failed = np.arange(n) < 25
    steps = [child(start, i, 0.1)[2] for i in range(n)]
    children = Children(
        root=np.arange(n), x=start.x, ref=start.x, steps=steps, used=used, correct=~failed, failed=failed,
        predicted=np.where(failed, 1, 0), gaps=start.gaps,
    )  # fmt: skip
    schedule.learn(children)
    assert schedule.wins.tolist() == [0, 0, 25, 0, 0, 0, 0, 0]
    assert schedule.misses.tolist() == [0, 0, 0, 25, 0, 0, 0, 0]
    weights = schedule.weights(np.random.default_rng(0))
    assert weights[2] > 2 * weights[3] and weights.min() >= 1 / 32
    # The same failures a second time solve nothing, so they count as misses.
    schedule.learn(children)
    assert schedule.wins[2] == 25 and schedule.misses[2] == 25


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_every_schedule_gives_whole_batches_and_keeps_its_state(name: str) -> None:
    start = roots([[0, 500, 900], [700, 0, 800]])
    one, two = (SCHEDULES.get(name)(start, 5, IMAGE, Bounds(0, 1)) for _ in range(2))
    for n in (1, 2, 7):
        parents = one.pick(np.random.default_rng(n), n)
        assert len(parents) == n == len(parents.steps) and parents.x.shape == (n, 1, 8, 8)
        assert not np.shares_memory(parents.x, start.x)
    two.restore(one.arrays(), BOUNDS)
    first, second = (s.pick(np.random.default_rng(9), 6) for s in (one, two))
    assert np.array_equal(first.root, second.root) and np.array_equal(first.x, second.x)
