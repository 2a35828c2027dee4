"""What a PyTorch state dict is made of: storages and views of them, found in a pickle and checked.

Nothing of PyTorch is imported or called: the few names that state dicts use become plain values here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from armour.archive import holdable
from armour.errors import CheckpointError
from armour.formats import pickles
from armour.formats.bfloat16 import widened
from armour.formats.pickles import Imported

_BFLOAT16 = "bfloat16"
_STORAGES = {
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "BFloat16": _BFLOAT16, "Long": "<i8", "Int": "<i4",
    "Short": "<i2", "Char": "i1", "Byte": "u1", "Bool": "?",
}  # fmt: skip
_DTYPES = {
    "float32": "<f4", "float": "<f4", "float64": "<f8", "double": "<f8", "float16": "<f2", "half": "<f2",
    "bfloat16": _BFLOAT16, "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "i1", "uint8": "u1",
    "uint16": "<u2", "uint32": "<u4", "uint64": "<u8", "bool": "?",
}  # fmt: skip
_UNTYPED = "untyped"
_KINDS = {f"torch.{key}Storage": code for key, code in _STORAGES.items()}
_KINDS |= {f"torch.storage.{key}Storage": code for key, code in _STORAGES.items()}
_KINDS |= {"torch.UntypedStorage": _UNTYPED, "torch.storage.UntypedStorage": _UNTYPED}
_MAX_AXES = 32
_MAX_ENTRIES = 200_000
_MAX_DEPTH = 16
_MAX_REUSE = 4  # how often all bytes may be used over, by tied weights


@dataclass(frozen=True, slots=True)
class Storage:
    """A row of numbers in the file. code: NumPy's name of the type; count: numbers (bytes if untyped)."""

    key: str
    code: str
    count: int

    @property
    def nbytes(self) -> int:
        """Bytes that it must have in the file."""
        return self.count * itemsize(self.code)


@dataclass(frozen=True, slots=True)
class View:
    """An array inside a storage, by offset, shape and strides in elements of type `code`."""

    storage: Storage
    code: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def itemsize(code: str) -> int:
    """Bytes of a number."""
    if code == _UNTYPED:
        return 1
    return 2 if code == _BFLOAT16 else np.dtype(code).itemsize


class Reader:
    """Reads pickles of state dicts; `storages` collects what they refer to, by key."""

    def __init__(self) -> None:
        self.storages: dict[str, Storage] = {}

    def parse(self, raw: memoryview, at: int = 0) -> tuple[Any, int]:
        """(value, position after it) of a pickle; tensors are `View`s. CheckpointError as `pickles.parse`."""
        return pickles.parse(raw, _NAMES, self._persistent, at)

    def _persistent(self, identity: Any) -> Storage:
        storage = _storage(identity)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise CheckpointError(f"the storage {storage.key!r} is stated in two ways")
        return storage


def arrays(value: Any, read: Callable[[Storage], memoryview]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """(arrays by dotted name, what else there was) of a value; `read` gives the bytes of a storage.

    Arrays are read-only views of their storages, so tied weights share memory. bfloat16 becomes float32.
    Raises CheckpointError for names that are there twice, and for a few bytes that are used over and over.
    """
    views, leftovers = _flatten(value)
    wanted = sum(math.prod(view.shape) * itemsize(view.code) for view in views.values())
    stored = sum(storage.nbytes for storage in {view.storage for view in views.values()})
    if wanted > _MAX_REUSE * stored + (1 << 20):
        raise CheckpointError(
            f"arrays of {wanted:,} bytes over storages of {stored:,} bytes, which no real file has"
        )
    rows: dict[tuple[str, str], np.ndarray] = {}
    found = {}
    for name, view in views.items():
        at = (view.storage.key, view.code)
        if at not in rows:
            rows[at] = _numbers(read(view.storage), view.storage, view.code)
        row = rows[at]
        steps = tuple(step * row.itemsize for step in view.strides)
        found[name] = np.lib.stride_tricks.as_strided(row[view.offset :], view.shape, steps, writeable=False)
    return found, leftovers


def _numbers(raw: memoryview, storage: Storage, code: str) -> np.ndarray:
    if len(raw) != storage.nbytes:
        raise CheckpointError(
            f"the storage {storage.key[:40]!r} has {len(raw):,} bytes instead of {storage.nbytes:,}"
        )
    whole = raw[: len(raw) - len(raw) % itemsize(code)]
    if code == _BFLOAT16:
        return widened(np.frombuffer(whole, "<u2"))
    if code == "?":
        return np.not_equal(np.frombuffer(whole, np.uint8), 0)
    numbers: np.ndarray = np.frombuffer(whole, code)
    return numbers


def _flatten(value: Any) -> tuple[dict[str, View], dict[str, str]]:
    """Views and everything else by dotted names. What is nested too deep or without end is refused."""
    views: dict[str, View] = {}
    others: dict[str, str] = {}
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    count = 0
    while waiting:
        name, item, depth = waiting.pop()
        count += 1
        if count > _MAX_ENTRIES or depth > _MAX_DEPTH or len(name) > 1000:
            raise CheckpointError(
                f"more than {_MAX_ENTRIES:,} entries, or nested deeper than {_MAX_DEPTH}; no state dict is"
            )
        if isinstance(item, View):
            if name in views:
                raise CheckpointError(f"two arrays have the name {name[:80]!r}")
            views[name or "weight"] = item
        elif isinstance(item, dict) and item:
            inside = [(str(key), child) for key, child in item.items()]
            waiting += [(f"{name}.{k}" if name else k, child, depth + 1) for k, child in reversed(inside)]
        elif isinstance(item, (list, tuple)) and any(isinstance(v, (View, dict, list, tuple)) for v in item):
            numbered = list(enumerate(item))
            waiting += [(f"{name}.{i}" if name else str(i), v, depth + 1) for i, v in reversed(numbered)]
        else:
            others[name] = _describe(item)
    return views, others


def _describe(item: Any) -> str:
    if item is None or isinstance(item, (bool, int, float, str)):
        text = ascii(item[:61] if isinstance(item, str) else item)
        return text if len(text) <= 60 else text[:57] + "..."
    if isinstance(item, (dict, list, tuple)):
        return f"{type(item).__name__} of {len(item)}"
    return item.name if isinstance(item, Imported) else type(item).__name__.lower()


# -- the names that a state dict may use -------------------------------------------------------------------


def _storage(identity: Any) -> Storage:
    """('storage', type, key, place, count), and in old files a sixth entry that must be None."""
    if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
        raise CheckpointError("the pickle refers to something that is no storage")
    _, kind, key, _, count = identity[:5]
    if not isinstance(kind, Imported) or kind.name not in _KINDS:
        raise CheckpointError("the pickle refers to a storage of an unknown type")
    if not isinstance(key, str) or not 0 < len(key) <= 64 or not key.isascii() or not key.isalnum():
        raise CheckpointError(f"the storage {ascii(key)[:40]} has no plain name")
    if type(count) is not int or not 0 <= count < 1 << 48:
        raise CheckpointError(f"the storage {key!r} has a length that is none")
    if identity[5:] not in ((), (None,)):
        raise CheckpointError(f"the storage {key!r} is a view of another one; save the file with PyTorch 1.6")
    return Storage(key, _KINDS[kind.name], count)


def _view(storage: Any, offset: Any, shape: Any, strides: Any, code: str) -> View:
    if not isinstance(storage, Storage):
        raise CheckpointError("a tensor has no storage")
    sizes = _naturals(shape)
    steps = _naturals(strides)
    if sizes is None or steps is None or len(sizes) != len(steps) or len(sizes) > _MAX_AXES:
        raise CheckpointError("a tensor has sizes or strides that are no natural numbers, one for each axis")
    if type(offset) is not int or not 0 <= offset < 1 << 48:
        raise CheckpointError("a tensor has an offset that is no natural number")
    there = storage.nbytes // itemsize(code)
    count = math.prod(sizes)
    last = offset + sum((n - 1) * step for n, step in zip(sizes, steps, strict=True)) + 1
    if (count and last > there) or offset > there:
        raise CheckpointError(
            f"a tensor of shape {sizes} reaches past its storage of {there:,} numbers"[:300]
        )
    if count > there or not holdable(sizes, itemsize(code)):
        raise CheckpointError(f"a tensor of shape {sizes} repeats its storage of {there:,} numbers"[:300])
    return View(storage, code, offset, sizes, steps)


def _rebuild(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> View:
    """torch._utils._rebuild_tensor and _rebuild_tensor_v2; what follows is for training."""
    code = storage.code if isinstance(storage, Storage) else ""
    if code == _UNTYPED:
        raise CheckpointError("a tensor states no type")
    return _view(storage, offset, shape, strides, code)


def _rebuild_typed(
    storage: Any, offset: Any, shape: Any, strides: Any, grad: Any, hooks: Any, dtype: Any, *_: Any
) -> View:
    """torch._utils._rebuild_tensor_v3, which states the type."""
    code = _DTYPES.get(dtype.name.removeprefix("torch.")) if isinstance(dtype, Imported) else None
    if code is None:
        raise CheckpointError("a tensor states a type that is not known")
    return _view(storage, offset, shape, strides, code)


def _naturals(values: Any) -> tuple[int, ...] | None:
    if isinstance(values, (tuple, list)) and all(type(v) is int and 0 <= v < 1 << 48 for v in values):
        return tuple(values)
    return None


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _mapping(*arguments: Any) -> dict[Any, Any]:
    """An OrderedDict or a Counter, empty or of pairs; a Counter's argument is a dict."""
    if not arguments:
        return {}
    if len(arguments) != 1:
        raise CheckpointError("the pickle is damaged: a dict of more than one argument")
    items = arguments[0].items() if isinstance(arguments[0], dict) else arguments[0]
    made: dict[Any, Any] = {}
    for pair in items if isinstance(items, (list, tuple)) or isinstance(arguments[0], dict) else ():
        if (
            not isinstance(pair, (tuple, list))
            or len(pair) != 2
            or not isinstance(pair[0], (str, int, float))
        ):
            raise CheckpointError("the pickle is damaged: an entry of a dict is no pair")
        made[pair[0]] = pair[1]
    return made


def _size(values: Any = ()) -> tuple[int, ...]:
    sizes = _naturals(values)
    if sizes is None:
        raise CheckpointError("a torch.Size holds what is no natural number")
    return sizes


def _device(*arguments: Any) -> str:
    return "torch.device"


_NAMES: Mapping[str, pickles.Maker | None] = {
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_tensor_v3": _rebuild_typed,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
    **dict.fromkeys(_KINDS),
    **dict.fromkeys(f"torch.{name}" for name in _DTYPES),
}
