"""A model in a process of its own: what kills it, or keeps it from answering, does not end the campaign.

The process is forked, so that nothing has to be packed up, and made again after it died. Inputs and answers
are raw numbers over a pipe. Which inputs killed it is found by halving the batch.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import resource
import signal
import statistics
import sys
import time
import warnings
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np

from armour.errors import UnsupportedError
from armour.model import Model

from .execution import Executor, Trouble, said
from .oracles.base import Oracle
from .oracles.crash import HUNG, Hang

_START = 60.0  # seconds that the very first answer may take
_KNOWN = 5  # answers after which a median is known


class IsolatedExecutor(Executor):
    """An Executor whose model answers from a forked process.

    factor, least: no answer within factor times the median and within `least` seconds is none. Needs a system
    that can fork and a model on the processor: UnsupportedError otherwise.
    """

    def __init__(self, model: Model, batch: int, factor: float = 10.0, least: float = 1.0) -> None:
        super().__init__(model, batch)
        if sys.platform != "linux" or model.device != "cpu" or model.remote:
            raise UnsupportedError(
                f"crash and hang need a process of its own for {model.name}, which only models on the "
                "processor of a Linux machine can have; leave these oracles out"
            )
        self.factor, self.least = factor, least
        self._pid = self._owner = 0
        self._pipe: Connection | None = None
        self._times: deque[float] = deque(maxlen=64)
        self._first: float | None = None  # seconds of the first answer, in which plans are made
        self._fresh = True

    def answer(self, x: np.ndarray, taps: bool) -> tuple[np.ndarray, np.ndarray]:
        """Logits and neurons of a padded batch, from the process; Trouble if it raises, dies or hangs."""
        pipe = self._running()
        start = time.monotonic()
        try:
            pipe.send_bytes(json.dumps({"shape": x.shape, "taps": taps}).encode())
            pipe.send_bytes(np.asarray(x, np.float32).tobytes())
            limit = self._limit()
            if not pipe.poll(limit):
                self.close()
                raise Trouble(f"{HUNG} within {self.factor:g} times the median of a batch")
            head = json.loads(pipe.recv_bytes())
            if "trouble" in head:
                raise Trouble(head["trouble"])
            logits, neurons = (_array(pipe.recv_bytes(), shape) for shape in head["shapes"])
        except (EOFError, OSError):
            raise Trouble(self._end()) from None
        self._note(time.monotonic() - start)
        self.layers, self._rows, self._widths = head["layers"], head["rows"], head["widths"]
        return logits, neurons

    def fingerprint(self) -> str:
        """The model's, found out in the process."""
        try:
            pipe = self._running()
            pipe.send_bytes(json.dumps({"fingerprint": True}).encode())
            if pipe.poll(_START):
                return str(json.loads(pipe.recv_bytes())["fingerprint"])
            self.close()
            how = HUNG
        except (EOFError, OSError):
            how = self._end()
        return hashlib.sha256(f"{self.model.name}|{how}".encode()).hexdigest()

    def close(self) -> None:
        """End the process."""
        if self._pipe is not None:
            self._pipe.close()
        if self._pid and self._owner == os.getpid():
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
        self._pid, self._pipe = 0, None

    def _running(self) -> Connection:
        if self._pipe is not None and self._owner == os.getpid():
            return self._pipe
        # A campaign that was forked off has inherited the other one's process, and makes its own.
        self._pid, self._owner, self._fresh = 0, os.getpid(), True
        mine, theirs = Pipe()
        with warnings.catch_warnings():
            # Newer Pythons warn that other threads are not copied. The child needs none of them.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._pid = os.fork()
        if not self._pid:
            mine.close()
            self._serve(theirs)
        theirs.close()
        self._pipe = mine
        return mine

    def _limit(self) -> float:
        if self._first is None or len(self._times) < _KNOWN:
            return _START
        limit = max(self.least, self.factor * statistics.median(self._times))
        return max(limit, self.factor * self._first) if self._fresh else limit

    def _note(self, seconds: float) -> None:
        self._first = seconds if self._first is None else self._first
        if not self._fresh:
            self._times.append(seconds)
        self._fresh = False

    def _end(self) -> str:
        """How the process ended, in words."""
        _, status = os.waitpid(self._pid, 0)
        self._pid = 0
        self.close()
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            name = signal.Signals(number).name if number in set(signal.Signals) else "unknown"
            return f"killed by signal {number} ({name})"
        return f"ended its process with exit code {os.waitstatus_to_exitcode(status)}"

    def _serve(self, pipe: Connection) -> None:
        """What the forked process does: answer until the pipe ends."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # A death is a finding, told in one line: it leaves no trace on the screen and no core on the disk.
        faulthandler.disable()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        try:
            if hasattr(self.model, "_session"):  # onnxruntime's sessions do not survive a fork
                self.model.__setstate__(self.model.__getstate__())  # type: ignore[attr-defined]
            while True:
                head = json.loads(pipe.recv_bytes())
                if "fingerprint" in head:
                    pipe.send_bytes(json.dumps({"fingerprint": Executor.fingerprint(self)}).encode())
                    continue
                x = _array(pipe.recv_bytes(), head["shape"])
                try:
                    logits, neurons = Executor.answer(self, x, head["taps"])
                except Exception as error:  # whatever a model may raise
                    pipe.send_bytes(json.dumps({"trouble": said(error)}).encode())
                    continue
                layers = None if self.layers is None else list(self.layers)
                answer = {
                    "shapes": [logits.shape, neurons.shape],
                    "layers": layers,
                    "rows": self._rows,
                    "widths": self._widths,
                }
                pipe.send_bytes(json.dumps(answer).encode())
                for array in (logits, neurons):
                    pipe.send_bytes(np.asarray(array, np.float32).tobytes())
        except (EOFError, OSError):
            pass
        finally:
            # Nothing that this process inherited is to be flushed or cleaned up a second time.
            os._exit(0)


def _array(raw: bytes, shape: Sequence[int]) -> np.ndarray:
    return np.array(np.frombuffer(raw, np.float32) if raw else (), np.float32).reshape(shape)


def executor_for(model: Model, batch: int, oracles: Sequence[Oracle]) -> Executor:
    """The executor that these oracles ask for: isolated if one of them says so."""
    if not any(one.isolates for one in oracles):
        return Executor(model, batch)
    hang = next((one for one in oracles if isinstance(one, Hang)), Hang())
    return IsolatedExecutor(model, batch, hang.factor, hang.least)
