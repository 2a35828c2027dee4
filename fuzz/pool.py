"""Campaigns shared out among this process and others that are forked from it.

Where a campaign runs changes nothing in what it does. A process that dies is forked again, put back to the
last state that was asked for, and told again what it was told since then, so nothing is lost and nothing
differs. Processes speak over pipes and end with the one they were forked from.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from armour.errors import ArmourError
from armour.model import Model, ModuleModel

from .campaign import Campaign
from .exchange import adopt, gifts, offer
from .result import CampaignResult, GrowthPoint
from .rounds import Counters, Round
from .wire import pack, round_in, round_out, unpack

_TRIES = 3  # of what a process died of, before the run gives up
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


@dataclass(frozen=True, slots=True)
class Brief:
    """What a round of one campaign brought.

    row: the last one of its growth curve. counters: its sums so far. hits: (N, k + 2) uint32, by how much the
    counts of its section map grew; per_root: (R,) int64, how many survivors of each root only had a new
    signature. signatures: of the survivors, (m,) uint64. From another process a baseline's round comes
    without its survivors.
    """

    round: Round
    row: list[float]
    counters: Counters
    hits: np.ndarray
    per_root: np.ndarray
    signatures: np.ndarray


class Pool:
    """Campaigns at work: the n-th one in the n-th of `jobs` processes, counted round and round.

    The first process is this one. Only networks of ours on the processor are run in a fork: a black box may
    hold threads, files or a GPU, which do not survive it.
    """

    def __init__(self, campaigns: Sequence[Campaign], model: Model, jobs: int) -> None:
        self.campaigns = list(campaigns)
        count = min(jobs, len(self.campaigns)) if may_fork(model) else 1
        self.workers: list[Worker] = []
        for number in range(1, count):
            own = [(place, self.campaigns[place]) for place in range(number, len(self.campaigns), count)]
            self.workers.append(Worker(own, self.workers))
        away = {place for worker in self.workers for place in worker.places}
        self.here = [place for place in range(len(self.campaigns)) if place not in away]

    def rounds(self, limits: Sequence[Sequence[int | None]]) -> list[list[Brief]]:
        """Rounds of each campaign, one for each of its limits: the most executions, None for no limit."""
        plain = self._all("rounds", [list(own) for own in limits])
        return [[_brief_in(one) if isinstance(one, dict) else one for one in own] for own in plain]

    def offers(self) -> list[dict[str, np.ndarray]]:
        """What each campaign has for the others (exchange.offer)."""
        return self._all("offer", [None] * len(self.campaigns))

    def gifts(self, cells: Sequence[np.ndarray]) -> list[list[str]]:
        """The recipes that hold those niches of each campaign (exchange.gifts)."""
        return self._all("gifts", list(cells))

    def adopt(self, messages: Sequence[dict[str, Any]]) -> None:
        """Tell each campaign what all of them have found (exchange.adopt)."""
        self._all("adopt", list(messages))

    def arrays(self) -> list[dict[str, np.ndarray]]:
        """The state of each campaign; also what a process that dies later starts again from."""
        return self._all("arrays", [None] * len(self.campaigns))

    def result(self, place: int, seconds: float) -> CampaignResult:
        """The figures of the campaign with that number."""
        arguments: list[Any] = [None] * len(self.campaigns)
        arguments[place] = seconds
        found = self._all("result", arguments)[place]
        return found if isinstance(found, CampaignResult) else _result_in(found)

    def close(self) -> None:
        """End the processes, all at once."""
        for worker in self.workers:
            worker.hang_up()
        for worker in self.workers:
            worker.close()

    def _all(self, command: str, arguments: list[Any]) -> list[Any]:
        answers: list[Any] = [None] * len(self.campaigns)
        for worker in self.workers:
            worker.send(command, [arguments[place] for place in worker.places])
        for place in self.here:
            answers[place] = _DO[command](self.campaigns[place], arguments[place])
        for worker in self.workers:
            for place, answer in zip(worker.places, worker.receive(), strict=True):
                answers[place] = answer
        return answers


def may_fork(model: Model) -> bool:
    """Whether campaigns on this model may run in other processes."""
    ours = isinstance(model, ModuleModel) and model.device == "cpu"
    main = threading.current_thread() is threading.main_thread()
    return ours and main and sys.platform == "linux"


class Worker:
    """A forked process and the campaigns that it runs. others: whose pipes it is not to hold open."""

    def __init__(self, campaigns: Sequence[tuple[int, Campaign]], others: Sequence[Worker]) -> None:
        self.places = [place for place, _ in campaigns]
        self._campaigns = [campaign for _, campaign in campaigns]
        self._others = others  # those before it; later ones are added while it runs
        self._base: Any = None
        self._told: list[bytes] = []
        self._fork()

    def send(self, command: str, arguments: list[Any]) -> None:
        """Ask for something of each of its campaigns."""
        request = pack([command, arguments])
        self._told.append(request)
        try:
            self._pipe.send_bytes(request)
        except OSError:
            pass  # it is gone, which receive() will see

    def receive(self) -> list[Any]:
        """The answers to what was asked last, from a new process if the old one has died."""
        for _ in range(_TRIES):
            try:
                command, answers = self._answer()
            except (EOFError, OSError):
                self._again()
                continue
            if command == "arrays":
                self._base, self._told = answers, []
            return answers
        raise ArmourError(
            f"a process has ended {_TRIES} times in the same place, for lack of memory perhaps; "
            "run again, or with jobs=1"
        )

    def hang_up(self) -> None:
        """Let the process end when it is done with what it does."""
        self._pipe.close()

    def close(self) -> None:
        """End the process."""
        self.hang_up()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.process.close()

    def _fork(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        foreign = [self._pipe, *(worker._pipe for worker in self._others if worker is not self)]
        arguments = (self._campaigns, other, foreign, os.getpid())
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        with warnings.catch_warnings():
            # Newer Pythons warn that other threads are not copied. The child needs none of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        other.close()

    def _again(self) -> None:
        """A new process, brought to where the old one was asked the last question."""
        self.close()
        self._fork()
        last = self._told[-1]
        before = self._told[:-1]
        if self._base is not None:
            before = [pack(["restore", self._base]), *before]
        try:
            for request in before:
                self._pipe.send_bytes(request)
                self._answer()
            self._pipe.send_bytes(last)
        except (EOFError, OSError):
            pass  # the next try will tell

    def _answer(self) -> tuple[str, list[Any]]:
        answer = self._pipe.recv_bytes()
        if answer[:1] == b"!":
            raise ArmourError(answer[1:].decode())
        command, answers = unpack(answer[1:])
        return command, answers


def _serve(campaigns: list[Campaign], pipe: Connection, foreign: list[Connection], parent: int) -> None:
    """What a forked process does: answer until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent)
    for one in foreign:
        one.close()
    try:
        while True:
            try:
                command, arguments = unpack(pipe.recv_bytes())
            except (EOFError, OSError):
                break
            try:
                pairs = zip(campaigns, arguments, strict=True)
                answer = b"=" + pack([command, [_outward(one, _DO[command](one, own)) for one, own in pairs]])
            except Exception as error:
                answer = f"!a process of the fuzzer ended with {type(error).__name__}: {error}".encode()
            pipe.send_bytes(answer)
    except OSError:
        os._exit(1)
    # Nothing that this process inherited is to be flushed or cleaned up a second time.
    os._exit(0)


def _die_with(parent: int) -> None:
    """Have the system end this process when its parent ends, even in the middle of a round."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


# -- what campaigns are asked --------------------------------------------------------------------------------


def _rounds(campaign: Campaign, limits: list[int | None]) -> list[Brief]:
    briefs = []
    for limit in limits:
        counts, per_root = campaign.coverage.counts.copy(), campaign.per_root.copy()
        one = campaign.round(limit)
        briefs.append(
            Brief(
                round=one,
                row=campaign.curve[-1],
                counters=Counters.of(asdict(campaign.counters)),
                hits=campaign.coverage.counts - counts,
                per_root=campaign.per_root - per_root,
                signatures=np.array([survivor.signature for survivor in one.survivors], np.uint64),
            )
        )
    return briefs


def _result(campaign: Campaign, seconds: float | None) -> CampaignResult | None:
    return None if seconds is None else campaign.result(seconds)


def _restore(campaign: Campaign, arrays: dict[str, np.ndarray]) -> None:
    campaign.restore(arrays)


_DO: dict[str, Any] = {
    "rounds": _rounds,
    "offer": lambda campaign, _: offer(campaign),
    "gifts": gifts,
    "adopt": adopt,
    "arrays": lambda campaign, _: campaign.arrays(),
    "restore": _restore,
    "result": _result,
}


def _outward(campaign: Campaign, value: Any) -> Any:
    """A campaign's answer as values to pack."""
    if isinstance(value, CampaignResult):
        pairs = [[*pair, n] for pair, n in value.pair_counts.items()]
        return {**asdict(value), "pair_counts": pairs}
    if isinstance(value, list) and value and isinstance(value[0], Brief):
        # What minimises nothing is a baseline, whose inputs nobody keeps.
        return [_brief_out(one, bare=not campaign.triage.shrink) for one in value]
    return value


def _brief_out(one: Brief, *, bare: bool) -> dict[str, Any]:
    return {
        "round": round_out(one.round, bare=bare),
        "row": one.row,
        "counters": asdict(one.counters),
        "hits": one.hits,
        "per_root": one.per_root,
        "signatures": one.signatures,
    }


def _brief_in(values: dict[str, Any]) -> Brief:
    return Brief(
        round=round_in(values["round"]),
        row=[float(value) for value in values["row"]],
        counters=Counters.of(values["counters"]),
        hits=values["hits"],
        per_root=values["per_root"],
        signatures=values["signatures"],
    )


def _result_in(values: dict[str, Any]) -> CampaignResult:
    pairs = {(true, predicted): n for true, predicted, n in values.pop("pair_counts")}
    curve = tuple(GrowthPoint(**point) for point in values.pop("curve"))
    return CampaignResult(**values, pair_counts=pairs, curve=curve)
