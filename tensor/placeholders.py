"""Weights of layers as they are made: drawn, or placeholders without memory that a file's weights replace."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from armour.errors import InvalidArgument
from armour.tensor.backend import Array


class _Making(threading.local):
    skip = False


_making = _Making()


@contextmanager
def skip_init() -> Iterator[None]:
    """Inside, constructors of layers make placeholders: right shapes, no memory, nothing drawn, read-only.

    load_state_dict replaces them. A network described by a file is built this way, so that no number in the
    file can make the program allocate.
    """
    before = _making.skip
    _making.skip = True
    try:
        yield
    finally:
        _making.skip = before


def initial(shape: Sequence[int], make: Callable[[], Array]) -> Array:
    """`make()`, or inside skip_init a float32 placeholder of that shape."""
    if not _making.skip:
        return make()
    if any(n < 0 for n in shape) or math.prod(shape) >= 2**48:
        raise InvalidArgument(f"expected a shape with fewer than 2^48 elements, got {tuple(shape)}")
    return np.broadcast_to(np.zeros((), np.float32), tuple(shape))


def is_placeholder(array: Array) -> bool:
    """True for an array made inside skip_init, which must be loaded before it is used."""
    return isinstance(array, np.ndarray) and not array.flags.writeable and not any(array.strides)
