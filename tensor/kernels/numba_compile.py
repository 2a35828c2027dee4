"""Functions compiled by Numba on first use, without the interpreter lock and without Numba at import.

Numba comes with the extra `fast` and is never required. A kernel is compiled for one signature, which the
decorator names, and kept in Numba's cache on disk where that can be written to. Compiled code may fuse and
reorder sums, but may not assume that NaN and infinity never occur.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.util import find_spec
from types import FunctionType
from typing import Any

from armour.errors import BackendUnavailable

INSTALL = 'pip install "armour-toolkit[fast]"'
# LLVM's "nnan" and "ninf" are left out: a network that makes NaN must show it.
FAST_MATH = frozenset({"contract", "nsz", "reassoc"})
_lock = threading.Lock()


def available() -> bool:
    """True if Numba can be imported; the first call imports it, which takes about 0.3 s."""
    return why_not() is None


def why_not() -> str | None:
    """Why Numba cannot be used and what to do about it, or None if it can."""
    return _attempt()[1]


def version() -> str:
    """Numba's version; BackendUnavailable if there is none."""
    return str(_numba().__version__)


class Kernel:
    """A function that is compiled when it is first called, or bound to arguments.

    Arguments must have the types of the signature: C-contiguous float32 arrays that can be written to.
    """

    def __init__(self, signature: str, function: Callable[..., Any]) -> None:
        self.signature, self.function = signature, function
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Run it."""
        return self.compiled()(*arguments)

    def bind(self, *arguments: Any) -> Callable[[], Any]:
        """A call without arguments, for a plan: about a third of a microsecond beside the work."""
        return partial(self.compiled(), *arguments)

    def compiled(self) -> Callable[..., Any]:
        """The compiled function; compiling takes up to a second, once for each version of the source."""
        if self._compiled is None:
            with _lock:  # Numba's own lock covers compilation, not this attribute
                if self._compiled is None:
                    self._compiled = self._compile()
        return self._compiled

    def _compile(self) -> Callable[..., Any]:
        jit = partial(_numba().njit, self.signature, nogil=True, fastmath=set(FAST_MATH), error_model="numpy")
        function = _with_helpers(self.function)
        try:
            compiled: Callable[..., Any] = jit(cache=True)(function)
        except (RuntimeError, OSError):  # no folder for the cache, or none that can be written to
            compiled = jit(cache=False)(function)
        return compiled


class Helper:
    """A function of numbers that kernels of the same module call, compiled into each of them.

    Without Numba it is an ordinary function.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._compiled: Callable[..., Any] | None = None

    def __call__(self, *arguments: Any) -> Any:
        """Run it as it is written."""
        return self.function(*arguments)

    def compiled(self) -> Callable[..., Any]:
        """What kernels call."""
        if self._compiled is None:
            jit = _numba().njit(fastmath=set(FAST_MATH), error_model="numpy")
            self._compiled = jit(_with_helpers(self.function))
        return self._compiled


def _with_helpers(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the helpers among its globals compiled."""
    if not isinstance(function, FunctionType):
        return function
    known = function.__globals__
    names = [n for n in function.__code__.co_names if isinstance(known.get(n), Helper)]
    if not names:
        return function
    given = known | {name: known[name].compiled() for name in names}
    made = FunctionType(
        function.__code__, given, function.__name__, function.__defaults__, function.__closure__
    )
    made.__qualname__, made.__module__ = function.__qualname__, function.__module__
    return made


def kernel(signature: str) -> Callable[[Callable[..., Any]], Kernel]:
    """Decorate a function with its signature in Numba's notation, such as "void(f4[::1], f4[::1])"."""
    return lambda function: Kernel(signature, function)


def _numba() -> Any:
    found, reason = _attempt()
    if found is None:
        raise BackendUnavailable(f"Numba cannot be used: {reason}")
    return found


@lru_cache(maxsize=1)
def _attempt() -> tuple[Any, str | None]:
    if find_spec("numba") is None:
        return None, f"not installed; run: {INSTALL}"
    try:
        import numba
    except Exception as error:  # a Numba that is too old for this NumPy fails in several ways
        return None, f"{type(error).__name__}: {error}; run: {INSTALL}"
    return numba, None
