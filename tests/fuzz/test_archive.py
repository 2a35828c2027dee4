"""The archive of niches."""

from __future__ import annotations

import numpy as np
import pytest
from fuzz_scenes import BOUNDS, roots

from armour.fuzz.archive import Archive
from armour.fuzz.recipe import Step, apply_steps
from armour.fuzz.roots import Roots


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
