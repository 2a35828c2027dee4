"""Islands: results depend on how many there are, not on how many processes run them or which of those die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models

from armour.errors import ArmourError, FormatError, InvalidArgument
from armour.events import Event
from armour.fuzz import Corpus, FuzzConfig, Fuzzer, FuzzResult, exchange, islands, pool
from armour.fuzz.campaign import Campaign, Setup
from armour.fuzz.execution import Executor
from armour.fuzz.islands import Islands, meet
from armour.fuzz.pool import Pool, Worker
from armour.fuzz.replay import replay
from armour.fuzz.roots import select
from armour.fuzz.schedules.niche import MarginNiche
from armour.fuzz.sections import Profile
from armour.fuzz.validity import ValidityModel
from armour.fuzz.wire import pack, unpack
from armour.model import CallableModel, ModuleModel

forking = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")
EXECUTIONS = 1100


@pytest.fixture(scope="module")
def world() -> tuple[ModuleModel, Setup, np.ndarray, np.ndarray]:
    """A model, what campaigns on it share, and its seeds."""
    x, y = small_models.digits(120)
    model = small_models.centroids(x, y)
    executor = Executor(model, 64)
    roots, outcome = select(executor, x, y)
    setup = Setup(
        executor=executor, roots=roots, validity=ValidityModel.fit(x, model.bounds),
        profile=Profile.fit(outcome.neurons), seed=1, round=128, required=2, sections=10,
    )  # fmt: skip
    return model, setup, x, y


World = tuple[ModuleModel, Setup, np.ndarray, np.ndarray]


@pytest.fixture(autouse=True)
def short_legs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A barrier every two steps."""
    monkeypatch.setattr(islands, "_LEG", 256)


def fuzz(world: World, folder: Path | None, jobs: int, count: int = 2, **options: object) -> FuzzResult:
    model, _, x, y = world
    fuzzer = Fuzzer(model, x, y, corpus=folder, config=FuzzConfig(round=128, islands=count))
    return fuzzer.run(executions=EXECUTIONS, rng=1, jobs=jobs, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def undisturbed(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FuzzResult]:
    """A corpus of two islands that one process made."""
    folder = tmp_path_factory.mktemp("undisturbed") / "corpus"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(islands, "_LEG", 256)
        return folder, fuzz(world, folder, 1)


@forking
@pytest.mark.parametrize("jobs", [2, 3])
def test_processes_change_nothing(
    jobs: int, world: World, undisturbed: tuple[Path, FuzzResult], tmp_path: Path
) -> None:
    result = fuzz(world, tmp_path / "corpus", jobs)
    assert small_models.contents(tmp_path / "corpus") == small_models.contents(undisturbed[0])
    assert result.guided.class_counts == undisturbed[1].guided.class_counts
    one, two = result.baseline, undisturbed[1].baseline
    assert one is not None and two is not None and one.class_counts == two.class_counts


@forking
@pytest.mark.parametrize("count", [1, 2])
def test_processes_that_die_change_nothing(
    count: int, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuzz(world, tmp_path / "one", 1, count)
    asked, rng = Worker.receive, np.random.default_rng(3)
    deaths = []

    def receive(worker: Worker) -> list[object]:
        # Before it is done, or when it is, but its answer is not read yet; sometimes twice in the same place.
        for _ in range(int(rng.choice([0, 0, 1, 2]))):
            if worker.process.is_alive() and worker.process.pid is not None:
                deaths.append(worker.process.pid)
                os.kill(worker.process.pid, signal.SIGKILL)
                worker.process.join()
            if rng.random() < 0.5:
                worker._again()
        return asked(worker)

    monkeypatch.setattr(Worker, "receive", receive)
    fuzz(world, tmp_path / "two", 2, count)
    assert len(deaths) >= 3
    assert small_models.contents(tmp_path / "one") == small_models.contents(tmp_path / "two")


@forking
def test_a_process_that_dies_again_and_again_is_one_clear_error(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pool._DO, "rounds", lambda campaign, _: os.kill(os.getpid(), signal.SIGKILL))
    one, two = (Campaign(world[1], "random", stream=i, shrink=False) for i in range(2))
    crew = Pool([one, two], world[0], 2)
    crew.here = []
    with pytest.raises(ArmourError, match=r"ended 3 times in the same place.*jobs=1"):
        crew.rounds([[None], [None]])
    crew.close()


@forking
def test_processes_end_with_their_parent(world: World) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        campaigns = [Campaign(world[1], "random", stream=i, shrink=False) for i in range(3)]
        crew = Pool(campaigns, world[0], 3)
        os.write(writer, f"{' '.join(str(worker.process.pid) for worker in crew.workers)}\n".encode())
        for worker in crew.workers:
            worker.send("rounds", [[None] * 1000])
        signal.pause()
    pids = [int(pid) for pid in os.read(reader, 100).split()]
    assert len(pids) == 2 and all(Path(f"/proc/{pid}").exists() for pid in pids)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for _ in range(500):
        if not any(alive(pid) for pid in pids):
            break
        signal.sigtimedwait([], 0.02)
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    """Whether there is such a process that is more than an entry in the table."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def test_a_black_box_is_not_forked(world: World) -> None:
    model, setup, *_ = world
    box = CallableModel(model.logits, outputs="logits", input_shape=(1, 8, 8), num_classes=10)
    assert Pool([Campaign(setup, "random", stream=i, shrink=False) for i in range(2)], box, 4).workers == []


def test_the_corpus_of_two_islands_is_one_corpus(world: World, undisturbed: tuple[Path, FuzzResult]) -> None:
    folder, result = undisturbed
    assert result.executions == EXECUTIONS == result.guided.executions and result.islands == 2
    assert result.baseline is not None and result.baseline.executions == EXECUTIONS
    corpus = Corpus.read(folder)
    cases = replay(corpus, world[0])
    assert len(cases) == result.guided.failures == sum(result.guided.class_counts.values())
    assert all(one.rebuilt and one.fails and one.same for one in cases)
    records = corpus.records()
    assert sum(record["first"] for record in records) == result.classes == len(result.failures)
    assert len({record["execution"] for record in records}) == len(records)
    assert {record["class"] for record in records} == set(result.guided.class_counts)
    assert sum(result.guided.levels.values()) == EXECUTIONS
    assert [point.executions for point in result.guided.curve][-1] == EXECUTIONS
    counts = np.load(folder / "coverage" / "counts.npy", allow_pickle=False)
    assert (counts.sum(axis=1) == result.guided.valid).all()


def test_one_island_is_a_campaign_as_it_was(world: World) -> None:
    group = Islands(world[1], "niche", 1, stream=0, shrink=True, place=0)
    alone = Campaign(world[1], "niche", stream=0, shrink=True)
    crew = Pool(group.campaigns, world[0], 1)
    for _ in range(3):
        ((brief,),) = crew.rounds(group.sizes(1, None))
        assert group.absorb(0, brief).state == alone.round().state
        group.close_step()
        meet([group], crew)
    assert group.result(crew, 1.0) == alone.result(1.0)


def test_what_is_packed_is_unpacked() -> None:
    nested = [1, -2.5, float("inf"), None, "ä", [np.arange(6).reshape(2, 3)]]
    value: dict[str, Any] = {"a": nested, "b": {"c": np.zeros((0, 2))}}
    value["d"] = np.array([True, False])
    found = unpack(pack(value))
    assert found["a"][:5] == nested[:5] and found["b"]["c"].shape == (0, 2)
    np.testing.assert_array_equal(found["a"][5][0], [[0, 1, 2], [3, 4, 5]])
    assert found["d"].dtype == bool and found["d"].tolist() == [True, False]
    found["d"][0] = False


def run_leg(world: World, count: int) -> tuple[Islands, Pool]:
    """Islands just before their first barrier."""
    group = Islands(world[1], "niche", count, stream=0, shrink=True, place=0)
    crew = Pool(group.campaigns, world[0], 1)
    briefs = crew.rounds(group.sizes(group.leg, None))
    for step in range(group.leg):
        for number in range(count):
            group.absorb(number, briefs[number][step])
        group.close_step()
    return group, crew


def test_after_a_barrier_all_islands_know_what_any_has_found(world: World) -> None:
    group, crew = run_leg(world, 3)
    before = [
        (set(one.ledger.inputs), one.coverage.counts.copy(), set(one.signatures)) for one in group.campaigns
    ]
    won = [one.schedule.tallies()[0].copy() for one in group.campaigns]
    open_ = [one.schedule.elites().open.copy() for one in group.campaigns]  # type: ignore[union-attr]
    assert before[0][0] != before[1][0] != before[2][0]
    meet([group], crew)
    whole = group.whole
    assert whole.ledger.inputs == set().union(*(one for one, _, _ in before))
    assert whole.signatures == set().union(*(one for _, _, one in before))
    np.testing.assert_array_equal(whole.coverage.counts, sum(counts for _, counts, _ in before))
    for one in group.campaigns:
        assert one.ledger.inputs == whole.ledger.inputs and one.ledger.classes == whole.ledger.classes
        assert one.ledger.groups == whole.ledger.groups
        assert one.signatures == whole.signatures
        np.testing.assert_array_equal(one.coverage.counts, whole.coverage.counts)
        np.testing.assert_array_equal(one.schedule.tallies()[0], sum(won))
        archive = one.schedule.elites()
        assert archive is not None
        np.testing.assert_array_equal(archive.open, np.logical_and.reduce(open_))
    # The second barrier adds what is new since the first, and nothing twice.
    counts = [one.schedule.tallies()[0].copy() for one in group.campaigns]
    meet([group], crew)
    np.testing.assert_array_equal(group.campaigns[1].schedule.tallies()[0], counts[1])


def test_elites_are_taken_over_where_others_came_nearer(world: World) -> None:
    group, crew = run_leg(world, 2)
    offers = crew.offers()
    archives = [one.schedule.elites() for one in group.campaigns]
    assert archives[0] is not None and archives[1] is not None
    delta = archives[0].delta
    gaps = [archive.gaps.copy() for archive in archives if archive is not None]
    open_ = archives[0].open & archives[1].open
    held = archives[1].holder >= 0
    wanted = np.flatnonzero((open_ & held & (gaps[1] < gaps[0] - delta)).reshape(-1))
    assert len(wanted) > exchange.ELITES, "the test needs more elites than may be taken over"
    cells, values, owners = exchange.choose(offers, delta)[0]
    assert len(cells) == exchange.ELITES and set(cells.tolist()) <= set(wanted.tolist())
    rest = np.setdiff1d(wanted, cells)
    assert gaps[1].reshape(-1)[cells].max() <= gaps[1].reshape(-1)[rest].min() and (owners == 1).all()
    origin = archives[1].parents(*np.divmod(cells, gaps[0].shape[1]))[0]
    meet([group], crew)
    np.testing.assert_array_equal(archives[0].gaps.reshape(-1)[cells], values)
    np.testing.assert_array_equal(archives[0].parents(*np.divmod(cells, gaps[0].shape[1]))[0], origin)
    changed = np.flatnonzero(archives[0].gaps.reshape(-1) != gaps[0].reshape(-1))
    assert set(changed.tolist()) == set(cells.tolist())


def test_islands_exchange_nothing_but_what_the_schedule_has(world: World) -> None:
    group = Islands(world[1], "random", 2, stream=0, shrink=False, place=0)
    assert exchange.offer(group.campaigns[0]) == {} and exchange.gifts(group.campaigns[0], np.zeros(0)) == []
    niche = Islands(world[1], "niche", 2, stream=0, shrink=False, place=0)
    assert isinstance(niche.whole.schedule, MarginNiche) and len(niche.whole.schedule.tallies()) == 2


@pytest.mark.parametrize("left", [1, 3, 4, 100, 255, 256, 257, 900])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_budget_is_shared_out_exactly(left: int, count: int, world: World) -> None:
    group = Islands(world[1], "random", count, stream=0, shrink=False, place=0)
    limits = group.sizes(50, left)
    made = [sum(128 if limit is None else limit for limit in own) for own in limits]
    assert sum(made) == left and max(made) - min(made) <= 1
    assert all(limit is None for own in limits for limit in own[:-1])


def test_resumed_in_the_middle_of_a_leg(
    world: World, undisturbed: tuple[Path, FuzzResult], tmp_path: Path
) -> None:
    """Ctrl-C after each step: the run goes on from there, to the same corpus."""
    folder, calls = tmp_path / "corpus", 0

    def interrupt(event: Event) -> None:
        if event.stage == "fuzz":
            os.kill(os.getpid(), signal.SIGINT)

    while (result := fuzz(world, folder, 1, resume=True, on_event=interrupt)).interrupted:
        calls += 1
    assert calls >= 4 and result.executions == EXECUTIONS
    assert small_models.contents(folder) == small_models.contents(undisturbed[0])


def leg(change: Callable[[list[Any]], object]) -> Callable[[dict[str, np.ndarray]], object]:
    """A change of what was kept for the next barrier."""

    def spoil(arrays: dict[str, np.ndarray]) -> None:
        stored = json.loads(arrays["guided.leg"].tobytes())
        change(stored)
        arrays["guided.leg"] = np.frombuffer(json.dumps(stored).encode(), np.uint8)

    return spoil


SPOILT: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "an island is missing": lambda arrays: [arrays.pop(name) for name in [*arrays] if ".1." in name],
    "no sums": lambda arrays: [arrays.pop(name) for name in [*arrays] if ".all." in name],
    "no leg": lambda arrays: arrays.pop("guided.leg"),
    "no JSON": lambda arrays: arrays.update({"guided.leg": np.zeros(9, np.uint8)}),
    "another map": lambda arrays: arrays.update({"guided.all.coverage": np.zeros((3, 12), np.uint32)}),
    "a short failure": leg(lambda stored: stored[0][0].pop()),
    "another root": leg(lambda stored: stored[0][0].__setitem__(3, 10**6)),
    "a text for a root": leg(lambda stored: stored[0][0].__setitem__(3, "1")),
    "an unknown failure": leg(lambda stored: stored[0][0].__setitem__(0, "0" * 16)),
    "an unknown class": leg(lambda stored: stored[0][0].__setitem__(2, "label-flip-0-1-none")),
    "an unknown group": leg(lambda stored: stored[1].update({"x": "y"})),
    "an unknown signature": leg(lambda stored: stored[2].append(-1)),
    "too few parts": leg(lambda stored: stored.pop()),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_damaged_state_is_refused_in_one_line_and_nothing_is_lost(
    spoil: Callable[[dict[str, np.ndarray]], object],
    world: World,
    undisturbed: tuple[Path, FuzzResult],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(undisturbed[0], folder)
    with np.load(folder / "state.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    spoil(arrays)
    np.savez(folder / "state.npz", **arrays)  # type: ignore[arg-type]
    before = small_models.contents(folder)
    with pytest.raises(FormatError) as caught:
        fuzz(world, folder, 1, resume=True)
    message = str(caught.value)
    assert "\n" not in message and str(folder / "state.npz") in message and "start a new corpus" in message
    assert small_models.contents(folder) == before


def test_islands_are_a_setting(world: World, undisturbed: tuple[Path, FuzzResult], tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"other settings \(islands 2, now 3\)"):
        fuzz(world, undisturbed[0], 1, 3, resume=True)
    with pytest.raises(InvalidArgument, match="islands"):
        FuzzConfig(islands=0)
    with pytest.raises(InvalidArgument, match="at most 256"):
        FuzzConfig(islands=257)
