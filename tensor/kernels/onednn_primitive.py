"""oneDNN primitives that own what they use: descriptors, memory objects on NumPy arrays, scratch space.

Memory objects point at the arrays' own data, so nothing is copied on the way in or out. Each primitive has
its own stream and scratch space, so that Python threads can run different primitives at the same time
(ctypes releases the interpreter lock during a call); one primitive must not run twice at once.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from armour.checks import describe
from armour.errors import InvalidArgument
from armour.tensor.kernels.onednn_library import Library, library, one_thread

F32, ANY = 3, 1
SRC, DST, WEIGHTS, BIAS = 1, 17, 33, 41
DIFF_SRC, DIFF_DST, DIFF_WEIGHTS, DIFF_BIAS = 129, 145, 161, 169
SCRATCHPAD, POST_OP, SRC_1 = 80, 32768, 2
QUERY_IMPLEMENTATION, QUERY_ARGUMENT = 8, 255
RELU, BINARY_ADD = 0x20, 0x1FFF0
ALIGNMENT = 64  # bytes of a cache line and of an AVX-512 register

_Dims = ctypes.c_int64 * 12
Shape = tuple[int, ...]


class _Argument(ctypes.Structure):
    _fields_ = (("index", ctypes.c_int), ("memory", ctypes.c_void_p))


class Handle:
    """A oneDNN object, destroyed with its last Python reference; at exit the process takes care of it."""

    __slots__ = ("__weakref__", "value")

    def __init__(self, kind: str, value: int) -> None:
        self.value = value
        end = weakref.finalize(self, getattr(library().handle, f"dnnl_{kind}_destroy"), value)
        end.atexit = False


def aligned(shape: Shape) -> np.ndarray:
    """An uninitialised C-contiguous float32 array that starts on a cache line."""
    size = int(np.prod(shape, dtype=np.int64)) * 4
    room = np.empty(size + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    return room[start : start + size].view(np.float32).reshape(shape)


def dims(values: Sequence[int]) -> ctypes.Array[ctypes.c_int64]:
    """Integers as oneDNN takes them."""
    return _Dims(*values)


def plain(shape: Shape, order: Sequence[int] | None = None) -> Handle:
    """The descriptor of a C-contiguous array whose axis i is axis order[i] of the logical `shape`."""
    strides, step = [0] * len(shape), 1
    for axis in reversed(range(len(shape)) if order is None else order):
        strides[axis], step = step, step * max(1, shape[axis])
    made = library().make("memory_desc_create_with_strides", len(shape), dims(shape), F32, dims(strides))
    return Handle("memory_desc", made)


def free(shape: Shape) -> Handle:
    """A descriptor that leaves the order of elements to the primitive."""
    return Handle(
        "memory_desc", library().make("memory_desc_create_with_tag", len(shape), dims(shape), F32, ANY)
    )


def nhwc(array: np.ndarray) -> Handle:
    """The descriptor of an array (n, h, w, c), which oneDNN calls (n, c, h, w)."""
    n, h, w, c = array.shape
    return plain((n, c, h, w), (0, 2, 3, 1))


def check(name: str, array: Any, ndim: int) -> np.ndarray:
    """`array` if its memory can be handed to a kernel: float32, C-contiguous, `ndim` axes."""
    if not (
        isinstance(array, np.ndarray)
        and array.dtype == np.float32
        and array.ndim == ndim
        and array.flags.c_contiguous
    ):
        raise InvalidArgument(
            f"expected {name} to be a C-contiguous float32 array of {ndim} axes, got {describe(name, array)}"
        )
    return array


def check_like(name: str, array: Any, other: np.ndarray) -> np.ndarray:
    """`array` if it can be handed to a kernel in the place of `other`."""
    if check(name, array, other.ndim).shape != other.shape:
        raise InvalidArgument(f"expected {name} of shape {other.shape}, got {array.shape}")
    return check(name, array, other.ndim)


class Memory:
    """A descriptor with the array (or raw bytes) that holds its elements."""

    __slots__ = ("array", "desc", "handle")

    def __init__(self, desc: Handle | int, array: np.ndarray | None = None) -> None:
        lib = library()
        self.desc = desc
        raw = desc.value if isinstance(desc, Handle) else desc
        if array is None:
            array = aligned((-(-int(lib.handle.dnnl_memory_desc_get_size(raw)) // 4),))
        self.array = array
        self.handle = Handle("memory", lib.make("memory_create", raw, lib.engine, array.ctypes.data))

    def rebind(self, array: np.ndarray) -> None:
        """Point at another array of the same shape, which the caller has checked."""
        library().call("memory_set_data_handle", self.handle.value, array.ctypes.data)
        self.array = array


class Attributes:
    """Scratch space of the caller's, and what follows the operation: `add` (in place or an array), `relu`."""

    def __init__(self, relu: bool = False, add: Handle | bool = False) -> None:
        lib = library()
        self.handle = Handle("primitive_attr", lib.make("primitive_attr_create"))
        # oneDNN's own scratch space is shared by the primitives made on one thread.
        lib.call("primitive_attr_set_scratchpad_mode", self.handle.value, 1)
        if not relu and add is False:
            return
        post_ops = Handle("post_ops", lib.make("post_ops_create"))
        if isinstance(add, Handle):
            lib.call("post_ops_append_binary", post_ops.value, BINARY_ADD, add.value)
        elif add:
            lib.call("post_ops_append_sum", post_ops.value, 1.0, 0, F32)
        if relu:
            lib.call("post_ops_append_eltwise", post_ops.value, RELU, 0.0, 0.0)
        lib.call("primitive_attr_set_post_ops", self.handle.value, post_ops.value)


class Primitive:
    """One operation on fixed memory. `run()` is one C call; the callable keeps everything it needs alive."""

    def __init__(self, description: Handle, memories: dict[int, Memory]) -> None:
        lib = library()
        memories = dict(memories)
        if SCRATCHPAD not in memories:
            needed = lib.handle.dnnl_primitive_desc_query_md(description.value, QUERY_ARGUMENT, SCRATCHPAD)
            if needed and lib.handle.dnnl_memory_desc_get_size(needed):
                memories[SCRATCHPAD] = Memory(needed)
        with one_thread():
            primitive = Handle("primitive", lib.make("primitive_create", description.value))
        stream = Handle("stream", lib.make("stream_create", lib.engine, 1))
        arguments = (_Argument * len(memories))(*[_Argument(k, m.handle.value) for k, m in memories.items()])
        self.memories = memories
        self.implementation = _implementation(lib, description)
        run = partial(
            lib.handle.dnnl_primitive_execute,
            primitive.value,
            stream.value,
            len(memories),
            ctypes.addressof(arguments),
        )
        run.__dict__["keep"] = (primitive, stream, arguments, memories, description)
        self.run: Callable[[], Any] = run


def describe_operation(name: str, *arguments: object) -> Handle:
    """A primitive descriptor; UnsupportedError if oneDNN has no such operation."""
    lib = library()
    with one_thread():  # how work is split is decided here
        made = lib.make(f"{name}_primitive_desc_create", lib.engine, *map(_raw, arguments))
    return Handle("primitive_desc", made)


def wanted(description: Handle, argument: int) -> int:
    """The raw descriptor a primitive wants for an argument; it lives as long as `description`."""
    found = library().handle.dnnl_primitive_desc_query_md(description.value, QUERY_ARGUMENT, argument)
    return int(found)


def alike(a: Handle | int, b: Handle | int) -> bool:
    """True if two descriptors lay out memory in the same way."""
    return bool(library().handle.dnnl_memory_desc_equal(_raw(a), _raw(b)))


def reorder(source: Memory, target: Memory) -> Primitive:
    """The copy of `source` into the layout of `target`."""
    lib = library()
    attributes = Attributes()
    with one_thread():
        made = lib.make(
            "reorder_primitive_desc_create",
            _raw(source.desc), lib.engine, _raw(target.desc), lib.engine, attributes.handle.value,
        )  # fmt: skip
    return Primitive(Handle("primitive_desc", made), {SRC: source, DST: target})


def _raw(value: object) -> object:
    return value.value if isinstance(value, Handle) else value


def _implementation(lib: Library, description: Handle) -> str:
    name = ctypes.c_char_p()
    lib.call("primitive_desc_query", description.value, QUERY_IMPLEMENTATION, 0, ctypes.byref(name))
    return (name.value or b"").decode()
