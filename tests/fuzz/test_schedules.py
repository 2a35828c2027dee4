"""Schedules: what holds for all of them, and the energies of each against tables worked out by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import small_models
from fuzz_scenes import BOUNDS, children, many_roots, roots, scene

from armour.fuzz import Campaign, FuzzConfig, Fuzzer
from armour.fuzz.execution import Executor
from armour.fuzz.queue import LONGEST
from armour.fuzz.recipe import Step, apply_steps
from armour.fuzz.roots import Roots
from armour.fuzz.schedule import Parents, Schedule
from armour.fuzz.schedules import SCHEDULES
from armour.fuzz.schedules.deephunter import DeepHunter
from armour.fuzz.schedules.fast import Fast
from armour.fuzz.schedules.niche import MarginNiche
from armour.fuzz.schedules.queued import Queued
from armour.fuzz.schedules.rare import Rare
from armour.fuzz.schedules.tensorfuzz import TensorFuzz
from armour.fuzz.setup import prepare
from armour.model import CallableModel

every = pytest.mark.parametrize("name", SCHEDULES.names())


def made(name: str, given: Roots | None = None) -> Schedule:
    """A schedule of its own scene."""
    return SCHEDULES.get(name)(scene(many_roots() if given is None else given))


def go(schedule: Schedule, rounds: range, n: int = 40) -> list[Parents]:
    """Rounds of made-up children; the parents of each."""
    picked = []
    for number in rounds:
        parents = schedule.pick(np.random.default_rng(number), n)
        picked.append(dataclasses.replace(parents, x=parents.x.copy(), ref=parents.ref.copy()))
        schedule.learn(children(schedule.scene, parents, number))
    return picked


def equal(one: Parents, two: Parents) -> bool:
    """The same parents, bit for bit."""
    same = all(np.array_equal(getattr(one, f), getattr(two, f)) for f in ("root", "x", "ref"))
    return same and one.steps == two.steps


# -- the contract --------------------------------------------------------------------------------------------


@every
def test_parents_are_roots_or_what_was_valid_and_correct(name: str) -> None:
    schedule = made(name)
    start = schedule.roots
    allowed = {(): set(range(len(start)))} | {}
    known: dict[tuple[Step, ...], int] = {}
    for number in range(8):
        parents = schedule.pick(np.random.default_rng(number), 30)
        assert len(parents) == 30 == len(parents.steps) and parents.x.shape == (30, 1, 8, 8)
        assert not np.shares_memory(parents.x, start.x)
        for i, steps in enumerate(parents.steps):
            root = int(parents.root[i])
            assert root in allowed[()] if steps == () else known[steps] == root
            assert len(steps) <= LONGEST
            x, ref = apply_steps(start.x[[root]], start.x[[root]], [steps], BOUNDS)
            assert np.array_equal(parents.x[i], x[0]) and np.array_equal(parents.ref[i], ref[0])
        born = children(schedule.scene, parents, number)
        known |= {born.steps[i]: int(born.root[i]) for i in np.flatnonzero(born.correct).tolist()}
        kept = schedule.learn(born)
        assert kept.shape == (30,) and kept.dtype == bool and not (kept & ~born.correct).any()


@every
def test_the_same_rounds_give_the_same_parents(name: str) -> None:
    one, two = go(made(name), range(6)), go(made(name), range(6))
    assert all(equal(a, b) for a, b in zip(one, two, strict=True))


@every
def test_a_stored_state_is_taken_over_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # A small queue, of which little is held: it has gone round, and most of it is rebuilt.
    monkeypatch.setattr(Queued, "most", 16)
    monkeypatch.setattr("armour.fuzz.queue._HELD", 5 * 64)
    one, two = made(name), made(name)
    go(one, range(9))
    stored = {key: array.copy() for key, array in one.arrays().items()}
    two.scene.coverage.counts[:] = one.scene.coverage.counts
    two.restore(stored)
    for key, array in two.arrays().items():
        assert array.dtype == stored[key].dtype and array.tobytes() == stored[key].tobytes(), key
    assert all(equal(a, b) for a, b in zip(go(one, range(9, 14)), go(two, range(9, 14)), strict=True))
    for key, array in two.arrays().items():
        assert array.tobytes() == one.arrays()[key].tobytes(), key


@every
def test_only_growing_arrays_change_their_shape(name: str) -> None:
    schedule = made(name)
    before = {key: array.shape for key, array in schedule.arrays().items()}
    go(schedule, range(5))
    changed = {key for key, array in schedule.arrays().items() if array.shape != before[key]}
    assert changed <= set(schedule.growing) <= set(before)


@every
def test_memory_is_bounded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Queued, "most", 8)
    schedule = made(name)
    go(schedule, range(4))
    sizes = []
    for block in range(4):
        go(schedule, range(4 + 10 * block, 14 + 10 * block), n=60)
        sizes.append(sum(array.nbytes for key, array in schedule.arrays().items() if key != "recipes"))
        queue = getattr(schedule, "queue", None)
        assert queue is None or (len(queue) <= 28 and len(queue._x) <= 8 and len(queue._steps) <= 28)
    assert sizes[0] == sizes[-1]


@every
def test_a_damaged_state_is_refused(name: str) -> None:
    schedule = made(name)
    go(schedule, range(3))
    for key, array in schedule.arrays().items():
        if key == "recipes" and array.size:
            for text in (b"root=99999", b"root=0;nonsense(x=1)@1", b"\xff", b"root=0\nroot=0\nroot=0"):
                with pytest.raises((ValueError, UnicodeDecodeError)):
                    made(name).restore(schedule.arrays() | {key: np.frombuffer(text, np.uint8)})


class ByRow(Executor):
    """Each row by itself in float64, so that no bit depends on how many there are."""

    def _tapped(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        w = np.random.default_rng(0).normal(0, 1, (16, 64))
        values = np.tanh((x.reshape(len(x), 1, 64).astype(np.float64) * w).sum(axis=2))
        means = np.random.default_rng(1).normal(0, 1, (10, 16))
        logits = (values[:, None, :] * means).sum(axis=2)
        return logits.astype(np.float32), values.astype(np.float32)


@every
def test_the_batch_size_does_not_matter(name: str) -> None:
    x, y = small_models.digits(80)
    model = small_models.centroids(x, y)
    states = []
    for batch in (16, 128):
        executor = ByRow(model, batch)
        labels = executor.run(x).predicted
        setup = prepare(Fuzzer(model, x, labels, config=FuzzConfig(round=256)), 3)
        from armour.fuzz.roots import select

        own, outcome = select(executor, x, labels)
        setup = dataclasses.replace(setup, executor=executor, roots=own, panel=None)
        setup = dataclasses.replace(setup, profile=type(setup.profile).fit(outcome.neurons))
        campaign = Campaign(setup, name, stream=0, shrink=False)
        states.append([campaign.round().state for _ in range(4)])
        assert campaign.ledger.inputs and campaign.counters.survivors
    assert states[0] == states[1]


def labels_only(x: np.ndarray) -> np.ndarray:
    """The brighter half of an image, as a label."""
    return np.asarray(x[:, 0, :4].mean(axis=(1, 2)) > x[:, 0, 4:].mean(axis=(1, 2))).astype(np.int64)


def sometimes_nan(x: np.ndarray) -> np.ndarray:
    """Scores that are NaN for bright images."""
    score = x[:, 0, :4].mean(axis=(1, 2)) - x[:, 0, 4:].mean(axis=(1, 2))
    score = np.where(x.mean(axis=(1, 2, 3)) > 0.33, np.nan, score)
    return np.stack([score, -score], axis=1).astype(np.float32)


@every
@pytest.mark.parametrize("function", [labels_only, sometimes_nan])
def test_black_boxes_of_labels_and_of_nan(name: str, function: Callable[[np.ndarray], np.ndarray]) -> None:
    x, _ = small_models.digits(60)
    kind = "labels" if function is labels_only else "logits"
    model = CallableModel(function, outputs=kind, input_shape=(1, 8, 8), num_classes=2)
    y = np.nan_to_num(model.logits(x), nan=-1.0).argmax(axis=1)
    setup = prepare(Fuzzer(model, x, y, config=FuzzConfig(round=128)), 0)
    assert setup.roots.label_only is (function is labels_only)
    one, two = (Campaign(setup, name, stream=0, shrink=False) for _ in range(2))
    for _ in range(3):
        one.round()
    two.restore(one.arrays())
    assert [one.round().state for _ in range(2)] == [two.round().state for _ in range(2)]
    assert one.result(0.0).failures > 0
    oracles = {key.rpartition("-")[0] for key in one.ledger.pairs}
    assert any("nonfinite" in oracle for oracle in oracles) is (function is sometimes_nan)


# -- each by itself ------------------------------------------------------------------------------------------


def shares(schedule: Schedule, n: int = 20_000) -> np.ndarray:
    """How often each root is picked."""
    picked = schedule.pick(np.random.default_rng(5), n).root
    return np.bincount(picked, minlength=len(schedule.roots)) / n


def test_random_is_uniform_and_single_is_single() -> None:
    for name in ("random", "random-single"):
        assert np.allclose(shares(made(name)), 1 / 20, atol=5 * np.sqrt(0.05 / 20_000))
    x, y = small_models.digits(60)
    setup = prepare(Fuzzer(small_models.centroids(x, y), x, y, config=FuzzConfig(round=512)), 0)
    depths: dict[str, set[int]] = {"random": set(), "random-single": set()}
    for name, found in depths.items():
        campaign = Campaign(setup, name, stream=0, shrink=False)
        for _ in range(2):
            for survivor in campaign.round().survivors:
                found.add(len(survivor.recipe.steps))
    assert depths == {"random": {1, 2, 3, 4}, "random-single": {1}}


def test_deephunter_fades_to_a_floor() -> None:
    schedule = DeepHunter(scene(many_roots(5)))
    schedule.queue.picks[:] = [0, 1, 2, 3, 100]
    # .8 - f / 5: .8, .6, .4, and .3 from f = 2.5 on.
    assert schedule.energy() == pytest.approx([0.8, 0.6, 0.4, 0.3, 0.3])
    expected = np.array([0.8, 0.6, 0.4, 0.3, 0.3]) / 2.4
    assert np.allclose(shares(schedule), expected, atol=5 * np.sqrt(0.25 / 20_000))
    assert schedule.queue.picks.sum() == 106 + 20_000


def test_fast_has_the_factors_of_afl() -> None:
    schedule = Fast(scene(many_roots(9)))
    hits = [0, 3, 4, 15, 16, 32, 64, 128, 256]
    schedule.hits[: len(hits)] = hits
    schedule.queue.columns["path"][:] = np.arange(9)
    schedule.queue.columns["favoured"][:] = False
    # log2 of the hits, rounded down: 0 and 1 give 4, 2 and 3 give 3, 4 gives 2, 5 gives 1, and so on down.
    assert schedule.energy() == pytest.approx([4, 4, 3, 3, 2, 1, 0.8, 0.6, 0.4])
    schedule.queue.columns["favoured"][:] = True
    assert schedule.energy() == pytest.approx([4.6, 4.6, 3.45, 3.45, 2.3, 1.15, 1.15, 1.15, 1.15])


def test_fast_counts_the_paths_of_what_is_valid() -> None:
    schedule = Fast(scene(many_roots()))
    parents = schedule.pick(np.random.default_rng(0), 40)
    born = children(schedule.scene, parents, 0)
    schedule.learn(born)
    assert schedule.hits.sum() == born.valid.sum()
    own = [int(s % np.uint64(1 << 16)) for s, ok in zip(born.signature, born.valid, strict=True) if ok]
    assert all(schedule.hits[path] == own.count(path) for path in own)
    joined = np.flatnonzero(born.novel)
    assert len(schedule.queue) == 20 + len(joined)
    assert schedule.queue.columns["favoured"][20:].tolist() == (born.gain[joined] > 0).tolist()


def test_rare_prefers_the_sections_with_the_fewest_hits() -> None:
    schedule = Rare(scene(many_roots(2), neurons=3))
    parents = schedule.pick(np.random.default_rng(0), 2)
    ids = np.array([[1, 2, 3], [1, 2, 4]], np.int16)
    everything = np.ones(2, bool)
    counts = schedule.scene.coverage.counts
    counts[:] = 50
    counts[2, 4] = 5
    schedule.learn(children(schedule.scene, parents, 0, ids=ids, novel=everything, correct=everything))
    counts[:] = 50
    counts[2, 4] = 5
    schedule.queue.picks[:] = [0, 3, 0, 3]
    # The second descendant alone reaches the section with five hits; roots have the median of 50 and 5.
    assert schedule.energy() == pytest.approx([1 / 27.5, 1 / 55, 1 / 50, 1 / 10])


def test_rare_without_neurons_is_uniform() -> None:
    schedule = Rare(scene(many_roots(), neurons=0))
    go(schedule, range(3))
    assert schedule.energy() == pytest.approx(1 / np.sqrt(1 + schedule.queue.picks))


def test_tensorfuzz_picks_the_newest_and_one_at_random() -> None:
    schedule = TensorFuzz(scene(many_roots()))
    # The last five of 20 roots have a sixth each; the random one adds 1/120 to everybody.
    expected = np.full(20, 1 / 120) + np.where(np.arange(20) >= 15, 1 / 6, 0)
    assert np.allclose(shares(schedule), expected, atol=5 * np.sqrt(0.15 / 20_000))


def test_tensorfuzz_takes_in_what_is_far_from_all_others() -> None:
    # Logits less their mean, in hundredths, of two classes: (g, -g) / 2, so distances are those of the gaps.
    schedule = TensorFuzz(scene(roots([[0, 10_000], [0, 30_000], [0, 60_000]])))
    assert schedule.queue.columns["place"].tolist() == [[50, -50], [150, -150], [300, -300]]
    # Nearest others: 100, 100 and 150 apart along each of two axes; the median is 2 * 100 ** 2.
    assert schedule.radius == 2 * 100**2
    parents = schedule.pick(np.random.default_rng(0), 5)
    parents.root[:] = 0
    gaps = np.array([[0, 90_000], [0, 81_000], [0, 80_900], [0, 120_000], [0, 200_000]])
    sound = np.array([True, True, True, True, False])
    schedule.learn(children(schedule.scene, parents, 0, gaps=gaps, correct=sound))
    # 90,000 is 150 from the last root; 81,000 is 45 from that one; 120,000 is 150 from it; the last is wrong.
    assert schedule.queue.columns["place"][3:].tolist() == [[450, -450], [600, -600]]


def test_niches_near_failing_are_picked_more() -> None:
    schedule = MarginNiche(scene(roots([[0, 10, 9000], [9000, 0, 9000]])))
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
    schedule = MarginNiche(scene(roots([[0, 10], [20, 0]])))
    schedule.archive.solve(np.array([0, 1]), np.array([1, 0]))
    parents = schedule.pick(np.random.default_rng(0), 200)
    assert parents.steps == [()] * 200 and 70 < parents.root.sum() < 130


def test_mutators_that_find_something_new_are_drawn_more_but_all_have_a_floor() -> None:
    start = roots([[0, 10, 20]] * 60)
    schedule = MarginNiche(scene(start, mutators=8))
    used = np.zeros((60, 8), bool)
    used[:20, 2], used[20:40, 3], used[40:, 4] = True, True, True
    failed = np.arange(60) < 40
    parents = Parents(np.arange(60), start.x, start.x, [()] * 60)
    changes = {"used": used, "valid": failed | True, "correct": ~failed, "failed": failed, "gaps": start.gaps}
    changes |= {"predicted": np.where(failed, 1, 0)}
    born = children(schedule.scene, parents, 0, **changes)
    schedule.learn(born)
    assert schedule.wins.tolist() == [0, 0, 20, 20, 0, 0, 0, 0]
    assert schedule.misses.tolist() == [0, 0, 0, 0, 20, 0, 0, 0]
    weights = schedule.weights(np.random.default_rng(0))
    assert weights[2] > 2 * weights[4] and weights[3] > 2 * weights[4] and weights.min() >= 1 / 32
    # The same failures a second time solve nothing, so they count as misses.
    schedule.learn(born)
    assert schedule.wins[2] == 20 and schedule.misses[2] == 20


def test_niches_of_a_model_that_gives_labels_only_are_those_of_rare_coverage() -> None:
    schedule = MarginNiche(scene(roots([[0, 10_000, 10_000], [10_000, 0, 10_000]])))
    assert schedule.rest is not None
    parents = schedule.pick(np.random.default_rng(0), 100)
    assert schedule.rest.queue.picks.sum() == 50 and len(parents) == 100
    assert schedule.archive.picks.sum() == 0
