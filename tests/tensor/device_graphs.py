"""cupy.cuda on the host: streams whose capture repeats what was called, and refuses what CUDA refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any, ClassVar

from tests.tensor.strict import repeating, transfers


class Graph:
    """Repeats the calls that were captured."""

    def __init__(self, calls: list[Callable[[], Any]]) -> None:
        self.calls, self.launched = calls, 0

    def launch(self, stream: Any = None) -> None:
        """Make them."""
        self.launched += 1
        for call in self.calls:
            call()


class Stream:
    """What armour uses of cupy.cuda.Stream. `made` lists all that there have been."""

    made: ClassVar[list[Stream]] = []

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking, "the default stream cannot be captured"
        self.graph: Graph | None = None
        self.ended = False
        Stream.made.append(self)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.graph is None or self.ended, "left while it captures"

    def synchronize(self) -> None:
        """Nothing to wait for."""
        assert self.graph is None or self.ended, "waits while it captures"

    def begin_capture(self) -> None:
        """Start."""
        self._stack = ExitStack()
        self._moves = self._stack.enter_context(transfers())
        self.graph = Graph(self._stack.enter_context(repeating()))

    def end_capture(self) -> Graph:
        """Stop; RuntimeError if something was copied to or from the host."""
        assert self.graph is not None and not self.ended
        self.ended = True
        self._stack.close()
        if self._moves:
            raise RuntimeError(f"cudaErrorStreamCaptureInvalidated: {self._moves}")
        return self.graph


def cuda(devices: int = 1) -> SimpleNamespace:
    """The part of cupy.cuda that armour uses."""

    @contextmanager
    def using_allocator(allocator: Any) -> Iterator[None]:
        assert callable(allocator)
        yield

    return SimpleNamespace(
        runtime=SimpleNamespace(getDeviceCount=lambda: devices),
        Stream=Stream,
        MemoryPool=lambda: SimpleNamespace(malloc=lambda nbytes: None),
        Device=lambda: SimpleNamespace(synchronize=lambda: None),
        using_allocator=using_allocator,
    )
