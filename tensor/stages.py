"""A plan's calls on a CUDA device as one: a CUDA graph of them, launched with a single call.

A graph repeats exactly what was launched while it was captured: kernels and products on the same memory. So
what a call takes from the pool must stay the graph's own, and no call may copy from the host, wait for the
device or draw on the host; where one does, the stage goes on call by call and says why.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from armour.tensor.backend import Namespace
from armour.tensor.program import Step

log = logging.getLogger(__name__)

# Rows whose own rule copies between host and device or waits; tests/tensor/test_stages.py finds them.
HOST_ROWS = frozenset(
    (
        "activation_grad",
        "cross_entropy",
        "erf",
        "erfc",
        "erfinv",
        "gelu",
        "getitem",
        "getitem_grad",
    )
)


def needs_host(step: Step) -> bool:
    """True if the host has a part in a step run by its own rule."""
    drawn = any(isinstance(v, (np.random.Generator, np.ndarray)) for v in step.attrs.values())
    exact = step.attrs.get("kind", "gelu") == "gelu"  # the only activation whose slope needs erf
    return not step.outs or drawn or (step.row.name in HOST_ROWS and exact)


class Stage:
    """Call it to make all calls: one by one at first, as a CUDA graph from the third time on.

    host: what in it needs the host, which rules a graph out. plain: why there is no graph, or "".
    """

    def __init__(self, xp: Namespace, calls: Sequence[Callable[[], Any]], host: Sequence[str]) -> None:
        self.xp, self.calls = xp, tuple(calls)
        self.plain = f"{', '.join(dict.fromkeys(host))} needs the host" if host else ""
        self._runs = 0
        self._graph: Any = None
        self._pool: Any = None

    def __call__(self) -> None:
        if self._graph is not None:
            self._graph.launch()
            return
        self._runs += 1
        if self._runs == 1 or self.plain:
            self._plainly()
        else:
            self._capture()

    def _plainly(self) -> None:
        for call in self.calls:
            call()

    def forget(self) -> None:
        """Drop the graph: an array that it reads was replaced. It is made again after a run without one."""
        self._graph, self._runs = None, 0

    @property
    def captured(self) -> bool:
        """True if it is replayed as a graph."""
        return self._graph is not None

    def _capture(self) -> None:
        """Do the present run where the graph will be captured, and capture it; without one, say why.

        The run compiles kernels and gives the pool and cuBLAS what they need. It is not repeated: calls may
        have written over their inputs. What is captured is not carried out.
        """
        cuda = self.xp.cuda
        stream, pool = cuda.Stream(non_blocking=True), cuda.MemoryPool()
        cuda.Device().synchronize()  # what was begun elsewhere is read here
        with cuda.using_allocator(pool.malloc), stream:
            self._plainly()
            stream.synchronize()
            try:
                self._graph = self._recorded(stream)
            except Exception as error:  # CuPy's errors, and whatever a call raises that may not be captured
                detail = " ".join(str(error).split())[:200]
                self.plain = f"capturing failed: {type(error).__name__}: {detail}"
                log.info("a plan on the device is run call by call: %s", self.plain)
        self._pool = pool  # the graph uses the pool's memory as long as it lives

    def _recorded(self, stream: Any) -> Any:
        stream.begin_capture()
        try:
            self._plainly()
        except BaseException:
            try:
                stream.end_capture()  # or the stream would go on capturing
            except Exception:  # the first error is the one that says why
                log.debug("the capture could not be ended either")
            raise
        return stream.end_capture()
