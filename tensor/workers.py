"""Worker threads that share the tiles of a batch, each with plans of its own and kernels on one thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from itertools import count
from typing import Any

from armour.checks import count as whole

MOST = 16  # threads; more would wait for memory, or for each other


class _State:
    stated: int | None = None
    pool: ThreadPoolExecutor | None = None
    size = 0


_inside = threading.local()


def workers() -> int:
    """How many threads share a batch: as many as BLAS may use, so that whoever limits BLAS limits us too."""
    if getattr(_inside, "worker", False):
        return 1
    return min(MOST, _blas_threads() if _State.stated is None else _State.stated)


@contextmanager
def use_workers(n: int | None) -> Iterator[None]:
    """Inside, n threads share each batch; None: as many as BLAS may use. Results do not depend on n."""
    before, _State.stated = _State.stated, None if n is None else whole("workers", n)
    try:
        yield
    finally:
        _State.stated = before


def share(jobs: Sequence[Callable[[], None]]) -> None:
    """Do every job, in this thread or in several; the first error is raised when all have stopped."""
    n = min(workers(), len(jobs))
    if n <= 1:
        for job in jobs:
            job()
        return
    numbers, failed = count(), threading.Event()

    def work() -> None:
        was, _inside.worker = getattr(_inside, "worker", False), True
        try:
            while not failed.is_set():
                number = next(numbers)  # one step under the interpreter's lock: no job is taken twice
                if number >= len(jobs):
                    return
                jobs[number]()
        except BaseException:
            failed.set()
            raise
        finally:
            _inside.worker = was

    with _one_blas_thread():
        # Each in a copy of the caller's context, which holds what NumPy does about overflow and the like.
        others = [_pool(n - 1).submit(copy_context().run, work) for _ in range(n - 1)]
        try:
            work()
        finally:
            errors = [other.exception() for other in others]
    for error in errors:
        if error is not None:
            raise error


def _pool(size: int) -> ThreadPoolExecutor:
    if _State.pool is None or _State.size < size:
        _State.pool = ThreadPoolExecutor(max_workers=size, thread_name_prefix="armour")
        _State.size = size
    return _State.pool


def _forget() -> None:
    # Threads do not survive a fork.
    _State.pool, _State.size = None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


@cache
def _controller() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def _blas_threads() -> int:
    threads = [int(library.get_num_threads() or 1) for library in _controller().lib_controllers]
    return max(1, min(threads, default=1))


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    libraries = _controller().lib_controllers
    before = [library.get_num_threads() for library in libraries]
    for library in libraries:
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, threads in zip(libraries, before, strict=True):
            library.set_num_threads(threads)
