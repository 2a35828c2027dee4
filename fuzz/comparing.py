"""Running a comparison: campaigns of several schedules, each with the seed of its repeat, one after another.

Each run is a file of its own in the folder as soon as it ends, so that what was interrupted goes on, and more
repeats or schedules can be added later.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TYPE_CHECKING, NamedTuple, Protocol

from threadpoolctl import threadpool_limits

from armour import checks
from armour.errors import ArmourError, InvalidArgument
from armour.events import OnEvent, emit
from armour.model import ModuleModel

from . import comparison_files as files
from .campaign import Campaign, Setup
from .comparison import BASELINE, CURVE, Comparison, Run, area
from .execution import Executor
from .machine import stopping
from .roots import digest
from .schedules import SCHEDULES
from .setup import prepare

if TYPE_CHECKING:
    from .engine import Fuzzer

REPEATS = 20


class Stop(Protocol):
    """An event of threading or of multiprocessing."""

    def is_set(self) -> bool:
        """Whether all work is to end."""

    def set(self) -> None:
        """Ask for it."""


class Task(NamedTuple):
    """A run that is to be made."""

    schedule: str
    repeat: int


def compare(
    fuzzer: Fuzzer,
    schedules: Sequence[str] | None,
    repeats: int,
    executions: int,
    seed: int,
    resume: bool,
    jobs: int,
    on_event: OnEvent,
) -> Comparison:
    """As Fuzzer.compare, with a seed."""
    names = chosen(schedules)
    checks.count("repeats", repeats)
    budget, workers = checks.count("executions", executions), checks.count("jobs", jobs)
    data = digest(fuzzer.x, fuzzer.y)
    notes: list[str] = []
    runs: dict[Task, Run] = {}
    if fuzzer.corpus is not None:
        notes = files.begin(fuzzer, fuzzer.corpus, data, budget, seed, resume)
        for run in files.runs(fuzzer.corpus, budget, seed):
            runs[Task(run.schedule, run.repeat)] = run
    wanted = [Task(name, repeat) for repeat in range(repeats) for name in names]
    missing = [task for task in wanted if task not in runs]
    with threadpool_limits(1), stopping() as stop:
        setup = prepare(fuzzer, seed, on_event)
        total, done = len(wanted) * budget, (len(wanted) - len(missing)) * budget
        emit(on_event, "compare", done, total, f"{len(missing)} of {len(wanted)} runs to go")
        maker = Maker(setup, budget, stop, on_event, done, total)
        forked = min(workers, len(missing)) > 1 and may_fork(fuzzer, setup)
        try:
            for run in maker.forked(missing, workers) if forked else maker.in_turn(missing):
                runs[Task(run.schedule, run.repeat)] = run
                if fuzzer.corpus is not None:
                    files.keep(fuzzer.corpus, run)
        finally:
            setup.executor.close()
    return Comparison(
        model=fuzzer.model.name,
        fingerprint=fuzzer.model.fingerprint,
        data_sha256=data,
        schedules=names,
        repeats=repeats,
        executions=budget,
        seed=seed,
        validity=fuzzer.config.validity,
        roots=len(setup.roots),
        runs=tuple(runs[task] for task in wanted if task in runs),
        interrupted=any(task not in runs for task in wanted),
        notes=tuple(notes),
    )


def chosen(schedules: Sequence[str] | None) -> tuple[str, ...]:
    """The names as registered, stacked random first; all of them for None. InvalidArgument for others."""
    known = {name.replace("-", ""): name for name in SCHEDULES.names()}
    names = []
    for name in SCHEDULES.names() if schedules is None else schedules:
        SCHEDULES.get(name)
        names.append(known[name.lower().replace("_", "").replace("-", "")])
    if not [name for name in names if name != BASELINE]:
        raise InvalidArgument(f"expected a schedule to compare with {BASELINE}, such as niche; got none")
    return tuple(dict.fromkeys([BASELINE, *names]))


def may_fork(fuzzer: Fuzzer, setup: Setup) -> bool:
    """Only networks of ours on the processor run in forks: a black box may hold threads, files or a GPU."""
    model = fuzzer.model
    ours = isinstance(model, ModuleModel) and model.device == "cpu" and type(setup.executor) is Executor
    return sys.platform == "linux" and ours and threading.current_thread() is threading.main_thread()


class Maker:
    """Makes runs until `stop` is set; what has been begun then is given up."""

    def __init__(
        self, setup: Setup, executions: int, stop: threading.Event, on_event: OnEvent, done: int, total: int
    ) -> None:
        self.setup, self.executions, self.stop = setup, executions, stop
        self.on_event, self.done, self.total = on_event, done, total

    def in_turn(self, tasks: Sequence[Task]) -> Iterator[Run]:
        """The runs of the tasks, in this process."""
        for task in tasks:
            run = self.make(task, self.stop, self._note)
            if run is None:
                return
            self.done += self.executions
            yield run

    def forked(self, tasks: Sequence[Task], workers: int) -> Iterator[Run]:
        """The same runs from so many forked processes, as they end."""
        context = multiprocessing.get_context("fork")
        stop = context.Event()
        try:
            with ProcessPoolExecutor(
                workers, mp_context=context, initializer=_begin, initargs=(self, stop)
            ) as pool:
                try:
                    left: set[Future[Run | None]] = {pool.submit(_work, task) for task in tasks}
                    while left:
                        if self.stop.is_set():
                            stop.set()
                            pool.shutdown(wait=True, cancel_futures=True)
                        ended, left = wait(left, 0.5, FIRST_COMPLETED)
                        for run in (one.result() for one in ended if not one.cancelled()):
                            if run is not None:
                                self.done += self.executions
                                self._note(Task(run.schedule, run.repeat), 0)
                                yield run
                finally:
                    stop.set()  # before the pool waits for what was begun
                    pool.shutdown(wait=False, cancel_futures=True)
        except BrokenProcessPool as error:
            raise ArmourError(
                "a process of the comparison has ended; go on with resume and jobs=1"
            ) from error

    def make(self, task: Task, stop: Stop, note: Callable[[Task, int], None] | None) -> Run | None:
        """One run; None if `stop` was set. note: is told of the executions so far."""
        seed = self.setup.seed + task.repeat
        setup = dataclasses.replace(self.setup, seed=seed)
        # The streams of Fuzzer.run: `armour fuzz --schedule NAME --seed S` makes the same rounds.
        one = Campaign(setup, task.schedule, stream=1 if task.schedule == BASELINE else 0, shrink=False)
        start = time.process_time()
        while one.counters.executions < self.executions:
            if stop.is_set():
                return None
            one.round(self.executions - one.counters.executions)
            if note is not None:
                note(task, one.counters.executions)
        return _figures(one, task, seed, time.process_time() - start)

    def _note(self, task: Task, executions: int) -> None:
        text = f"{task.schedule}, repeat {task.repeat + 1}"
        emit(self.on_event, "compare", min(self.total, self.done + executions), self.total, text)


def _figures(campaign: Campaign, task: Task, seed: int, seconds: float) -> Run:
    result = campaign.result(seconds)
    curve = tuple(tuple(float(getattr(point, name)) for name in CURVE) for point in result.curve)
    names = ("distinct", "classes", "pairs", "roots", "failures")
    return Run(
        schedule=task.schedule,
        repeat=task.repeat,
        seed=seed,
        counts={name: float(getattr(result, name)) for name in names}
        | {"class_area": area(curve, "classes"), "root_area": area(curve, "roots")},
        valid=result.valid / result.executions,
        seconds=seconds,
        curve=curve,
    )


_INHERITED: list[tuple[Maker, Stop]] = []  # of a forked process, which needs nothing packed up


def _begin(maker: Maker, stop: Stop) -> None:
    # Ctrl-C is for the process that hands out the work.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _INHERITED.append((maker, stop))


def _work(task: Task) -> Run | None:
    maker, stop = _INHERITED[0]
    return maker.make(task, stop, None)
