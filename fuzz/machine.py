"""What a run needs of the machine: its environment in words, and Ctrl-C as a flag."""

from __future__ import annotations

import platform
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

from armour.tensor.compiled import plans_enabled
from armour.tensor.families import families


def environment() -> dict[str, Any]:
    """What the bits of a result depend on besides the seed."""
    libraries = [info for info in threadpool_info() if info.get("user_api") == "blas"]
    info: dict[str, Any] = next((one for one in libraries if "numpy" in str(one.get("filepath", ""))), {})
    return {
        "numpy": np.__version__,
        "blas": str(info.get("internal_api", "unknown")),
        "blas_version": str(info.get("version", "unknown")),
        "blas_kernel": str(info.get("architecture", "unknown")),
        "threads": int(info.get("num_threads", 1)),
        "kernels": list(families()) if plans_enabled() else [],
        "machine": platform.machine(),
        "dtype": "float32",
    }


def armour_version() -> str:
    """The installed version, or "0+source"."""
    try:
        return version("armour-toolkit")
    except PackageNotFoundError:
        return "0+source"


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets; a second Ctrl-C interrupts at once.

    Elsewhere than in the main thread: never set.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
