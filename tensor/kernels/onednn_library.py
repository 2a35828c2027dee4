"""Finding, checking and loading oneDNN's C library, on first use; the signatures of what is called in it.

oneDNN (libdnnl, Apache-2.0) comes with the extra `fast` on Linux x86-64 and is never required. It is looked
for in this order: the file named by ARMOUR_ONEDNN; `lib` of this environment and of the user's own packages;
the system.
A build on the SYCL runtime is refused: its kernels want a device queue, not arrays.
"""

from __future__ import annotations

import ctypes
import os
import site
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from armour.errors import BackendUnavailable, InvalidArgument, UnsupportedError

VARIABLE = "ARMOUR_ONEDNN"
NAME = "libdnnl.so.3"
MAJOR = 3
RUNTIMES = {1: "sequential", 2: "OpenMP", 4: "TBB"}
SYCL = 512
INSTALL = 'pip install "armour-toolkit[fast]"'

_P, _INT, _DIMS = ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int64)
_FLOAT, _OUT = ctypes.c_float, ctypes.POINTER(ctypes.c_void_p)
_WINDOW = [_DIMS] * 4  # strides, dilation, margins before and after

# Function -> its arguments. All return a status; those in _VALUES return something else.
_SIGNATURES: dict[str, list[object]] = {
    "engine_create": [_OUT, _INT, ctypes.c_size_t],
    "stream_create": [_OUT, _P, ctypes.c_uint],
    "memory_desc_create_with_strides": [_OUT, _INT, _DIMS, _INT, _DIMS],
    "memory_desc_create_with_tag": [_OUT, _INT, _DIMS, _INT, _INT],
    "memory_desc_equal": [_P, _P],
    "memory_desc_get_size": [_P],
    "memory_create": [_OUT, _P, _P, _P],
    "memory_set_data_handle": [_P, _P],
    "primitive_attr_create": [_OUT],
    "primitive_attr_set_post_ops": [_P, _P],
    "primitive_attr_set_scratchpad_mode": [_P, _INT],
    "post_ops_create": [_OUT],
    "post_ops_append_sum": [_P, _FLOAT, ctypes.c_int32, _INT],
    "post_ops_append_eltwise": [_P, _INT, _FLOAT, _FLOAT],
    "post_ops_append_binary": [_P, _INT, _P],
    "primitive_create": [_OUT, _P],
    "primitive_execute": [_P, _P, _INT, _P],
    "primitive_desc_query": [_P, _INT, _INT, _P],
    "primitive_desc_query_md": [_P, _INT, _INT],
    "reorder_primitive_desc_create": [_OUT, _P, _P, _P, _P, _P],
    "convolution_forward_primitive_desc_create": [_OUT, _P, _INT, _INT, _P, _P, _P, _P, *_WINDOW, _P],
    "convolution_backward_data_primitive_desc_create": [_OUT, _P, _INT, _P, _P, _P, *_WINDOW, _P, _P],
    "convolution_backward_weights_primitive_desc_create": [_OUT, _P, _INT, _P, _P, _P, _P, *_WINDOW, _P, _P],
    "matmul_primitive_desc_create": [_OUT, _P, _P, _P, _P, _P, _P],
    "inner_product_forward_primitive_desc_create": [_OUT, _P, _INT, _P, _P, _P, _P, _P],
    "inner_product_backward_weights_primitive_desc_create": [_OUT, _P, _P, _P, _P, _P, _P, _P],
    **{
        f"{kind}_destroy": [_P]
        for kind in (
            "memory", "memory_desc", "primitive", "primitive_desc", "primitive_attr", "post_ops", "stream",
        )
    },
}  # fmt: skip
_VALUES: dict[str, object] = {"memory_desc_get_size": ctypes.c_size_t, "primitive_desc_query_md": _P}
_STATUS = {1: "out of memory", 2: "invalid arguments", 3: "not implemented", 4: "no implementation left"}


class _Version(ctypes.Structure):
    _fields_ = (
        ("major", _INT), ("minor", _INT), ("patch", _INT), ("hash", ctypes.c_char_p),
        ("cpu_runtime", ctypes.c_uint), ("gpu_runtime", ctypes.c_uint),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Library:
    """A loaded libdnnl. version: "3.2.0". runtime: a value of RUNTIMES. path: as it was asked for.

    engine: the CPU, for the life of the process.
    """

    handle: ctypes.CDLL
    version: str
    runtime: str
    path: str
    engine: int

    def call(self, name: str, *arguments: object) -> None:
        """dnnl_NAME(*arguments); UnsupportedError with oneDNN's reason if it does not succeed."""
        status = getattr(self.handle, f"dnnl_{name}")(*arguments)
        if status:
            raise UnsupportedError(
                f"oneDNN {self.version}: {name}: {_STATUS.get(status, f'status {status}')}"
            )

    def make(self, name: str, *arguments: object) -> int:
        """The handle that dnnl_NAME(&handle, *arguments) makes; UnsupportedError if it makes none."""
        made = ctypes.c_void_p()
        self.call(name, ctypes.byref(made), *arguments)
        return made.value or 0


def available() -> bool:
    """True if oneDNN's kernels can be used; the first call loads the library."""
    return why_not() is None


def why_not() -> str | None:
    """Why oneDNN cannot be used and what to do about it, or None if it can."""
    return _attempt()[1]


def library() -> Library:
    """The library, loaded on first use; BackendUnavailable with the reason if there is none."""
    found, reason = _attempt()
    if found is None:
        raise BackendUnavailable(f"oneDNN cannot be used: {reason}")
    return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Kernels called by this Python thread use no other thread inside.

    oneDNN's OpenMP asks, on each call, how many threads the calling thread may use; the answer belongs to
    that thread and is put back afterwards. Costs about a microsecond, so wrap a whole pass and not each call.
    """
    before = limit_threads(1)
    try:
        yield
    finally:
        limit_threads(before)


def limit_threads(count: int) -> int:
    """Set how many threads kernels called by this Python thread may use; the number before, 0 if unknown."""
    get, put = _openmp()
    if get is None or put is None or count < 1:
        return 0
    before: int = get()
    if before != count:
        put(count)
    return before


@lru_cache(maxsize=1)
def _openmp() -> tuple[ctypes._NamedFuncPointer | None, ctypes._NamedFuncPointer | None]:
    # The symbols are looked up in libdnnl and what it was linked with, so this is the OpenMP it really uses.
    found = library()
    if found.runtime != "OpenMP":
        return None, None
    put = found.handle.omp_set_num_threads
    put.argtypes, put.restype = [_INT], None
    get = found.handle.omp_get_max_threads
    get.argtypes, get.restype = [], _INT
    return get, put


@lru_cache(maxsize=1)
def _attempt() -> tuple[Library | None, str | None]:
    named = os.environ.get(VARIABLE)
    places = [named] if named else [*map(str, _installed()), NAME]
    reasons = []
    for place in places:
        try:
            return _load(place), None
        except (OSError, UnsupportedError, InvalidArgument) as error:
            reasons.append(str(error))
    if named:
        return None, f"{VARIABLE}: {reasons[-1]}"
    if sys.platform != "linux":
        return None, f"no {NAME} on {sys.platform}; NumPy's kernels are used"
    return None, f"{reasons[0]}; run: {INSTALL}"


def _installed() -> list[Path]:
    places = [Path(sys.prefix, "lib", NAME)]
    if site.ENABLE_USER_SITE and site.USER_BASE:
        places.append(Path(site.USER_BASE, "lib", NAME))
    return [place for place in places if place.is_file()]


def _load(path: str) -> Library:
    handle = ctypes.CDLL(path)
    try:
        handle.dnnl_version.restype = ctypes.POINTER(_Version)
        version: _Version = handle.dnnl_version().contents
        for name, arguments in _SIGNATURES.items():
            function = getattr(handle, f"dnnl_{name}")
            function.argtypes, function.restype = arguments, _VALUES.get(name, _INT)
    except AttributeError as error:
        raise InvalidArgument(f"{path} is not oneDNN {MAJOR}: {error}") from None
    number = f"{version.major}.{version.minor}.{version.patch}"
    if version.major != MAJOR:
        raise UnsupportedError(f"expected oneDNN {MAJOR}, got {number} in {path}")
    if version.cpu_runtime not in RUNTIMES:
        kind = "SYCL" if version.cpu_runtime == SYCL else f"an unknown runtime ({version.cpu_runtime})"
        wanted = ", ".join(RUNTIMES.values())
        raise UnsupportedError(f"{path} is built for {kind}; expected a build for one of: {wanted}")
    bare = Library(handle, number, RUNTIMES[version.cpu_runtime], path, 0)
    return Library(handle, number, bare.runtime, path, bare.make("engine_create", 1, 0))
