"""Running a second campaign beside the first: in this process, or at the same time in a forked one.

Either way the campaign makes the same rounds with the same bits, so results do not depend on which it was.
The forked process speaks JSON and .npz over a pipe; it holds the model as this process had it, so nothing has
to be packed up. It ends when its pipe does.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import sys
import threading
import warnings
from abc import ABC, abstractmethod
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from armour.errors import ArmourError
from armour.model import Model, ModuleModel
from armour.npz import write_arrays

from .campaign import Campaign
from .result import CampaignResult, GrowthPoint


class Beside(ABC):
    """A campaign that runs in lock-step with another."""

    @abstractmethod
    def start(self, limit: int | None) -> None:
        """Begin a round, of at most `limit` executions."""

    @abstractmethod
    def finish(self) -> list[float]:
        """Wait for the round; the last row of the growth curve."""

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """The campaign's state."""

    @abstractmethod
    def result(self, seconds: float) -> CampaignResult:
        """The campaign's figures."""

    @abstractmethod
    def close(self) -> None:
        """Give back what it holds."""


class InTurn(Beside):
    """The campaign runs in this process, after the first one's round."""

    def __init__(self, campaign: Campaign) -> None:
        self.campaign = campaign
        self._limit: int | None = None

    def start(self, limit: int | None) -> None:
        """Note the limit; the round is made in finish()."""
        self._limit = limit

    def finish(self) -> list[float]:
        """Make the round."""
        self.campaign.round(self._limit)
        return self.campaign.curve[-1]

    def arrays(self) -> dict[str, np.ndarray]:
        """The campaign's state."""
        return self.campaign.arrays()

    def result(self, seconds: float) -> CampaignResult:
        """The campaign's figures."""
        return self.campaign.result(seconds)

    def close(self) -> None:
        """Nothing to give back."""


class Forked(Beside):
    """The campaign runs in a forked process, at the same time as the first."""

    def __init__(self, campaign: Campaign) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(campaign, other, self._pipe), daemon=True)
        with warnings.catch_warnings():
            # Newer Pythons warn that other threads are not copied. The child needs none of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process.start()
        other.close()

    def start(self, limit: int | None) -> None:
        """Begin a round."""
        self._send("round", limit=limit)

    def finish(self) -> list[float]:
        """Wait for the round."""
        return [float(value) for value in json.loads(self._receive())]

    def arrays(self) -> dict[str, np.ndarray]:
        """The campaign's state."""
        self._send("arrays")
        with np.load(io.BytesIO(self._receive()), allow_pickle=False) as arrays:
            return dict(arrays)

    def result(self, seconds: float) -> CampaignResult:
        """The campaign's figures."""
        self._send("result", seconds=seconds)
        values = json.loads(self._receive())
        pairs = {(true, predicted): n for true, predicted, n in values.pop("pair_counts")}
        curve = tuple(GrowthPoint(**point) for point in values.pop("curve"))
        return CampaignResult(**values, pair_counts=pairs, curve=curve)

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def _send(self, command: str, **values: Any) -> None:
        try:
            self._pipe.send_bytes(json.dumps({"command": command, **values}).encode())
        except OSError as error:
            raise _gone() from error

    def _receive(self) -> bytes:
        try:
            answer = self._pipe.recv_bytes()
        except (EOFError, OSError) as error:
            raise _gone() from error
        if answer[:1] == b"!":
            raise ArmourError(answer[1:].decode())
        return answer[1:]


def beside(campaign: Campaign, model: Model, jobs: int) -> Beside:
    """The campaign in a process of its own if `jobs` is above 1 and this system and model allow it.

    Only networks of ours on the processor are run in a fork: a black box may hold threads, files or a GPU,
    which do not survive it.
    """
    may = jobs > 1 and sys.platform == "linux" and isinstance(model, ModuleModel) and model.device == "cpu"
    return (
        Forked(campaign)
        if may and threading.current_thread() is threading.main_thread()
        else InTurn(campaign)
    )


def _serve(campaign: Campaign, pipe: Connection, other: Connection) -> None:
    """What the forked process does: answer until the pipe ends."""
    other.close()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            try:
                request = json.loads(pipe.recv_bytes())
            except (EOFError, OSError):
                break
            try:
                answer = b"=" + _answer(campaign, request)
            except Exception as error:
                answer = f"!the baseline campaign ended with {type(error).__name__}: {error}".encode()
            pipe.send_bytes(answer)
    except OSError:
        os._exit(1)
    # Nothing that this process inherited is to be flushed or cleaned up a second time.
    os._exit(0)


def _answer(campaign: Campaign, request: dict[str, Any]) -> bytes:
    if request["command"] == "round":
        campaign.round(request["limit"])
        return json.dumps(campaign.curve[-1]).encode()
    if request["command"] == "arrays":
        buffer = io.BytesIO()
        write_arrays(buffer, campaign.arrays())
        return buffer.getvalue()
    values = asdict(campaign.result(request["seconds"]))
    values["pair_counts"] = [[*pair, n] for pair, n in values["pair_counts"].items()]
    return json.dumps(values).encode()


def _gone() -> ArmourError:
    return ArmourError("the process of the baseline campaign has ended; run again, or with jobs=1")
