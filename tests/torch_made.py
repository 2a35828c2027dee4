"""Files in PyTorch's two forms, written without PyTorch: a zip, and the row of pickles from before 1.6."""

from __future__ import annotations

import collections
import io
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

_STORAGES = {
    "<f4": "FloatStorage", "<f8": "DoubleStorage", "<f2": "HalfStorage", "<i8": "LongStorage",
    "<i4": "IntStorage", "|u1": "ByteStorage", "|b1": "BoolStorage", "<u2": "BFloat16Storage",
}  # fmt: skip


class Tensor:
    """An array as PyTorch would pickle it; everything about it can be forged."""

    def __init__(
        self,
        data: np.ndarray,
        *,
        key: str | None = None,
        storage: str | None = None,
        shape: tuple[Any, ...] | None = None,
        strides: tuple[int, ...] | None = None,
        offset: int = 0,
        count: int | None = None,
    ) -> None:
        self.data, self.key, self.offset = data, key, offset
        self.storage = storage or _STORAGES[data.dtype.str]
        self.shape = data.shape if shape is None else shape
        own = tuple(s // data.itemsize for s in data.strides)
        self.strides = own if strides is None else strides
        self.count = data.size if count is None else count


class Parameter:
    """A tensor that is trained."""

    def __init__(self, data: Tensor) -> None:
        self.data = data


class _Storage:
    """What stands for a storage until the pickler asks for its persistent id."""

    def __init__(self, identity: tuple[Any, ...]) -> None:
        self.identity = identity


def tensors(state: Mapping[str, np.ndarray]) -> collections.OrderedDict[str, Tensor]:
    """A state dict, with the `_metadata` that PyTorch's have."""
    made = collections.OrderedDict(
        (name, Tensor(np.ascontiguousarray(a).reshape(a.shape))) for name, a in state.items()
    )
    made._metadata = collections.OrderedDict([("", {"version": 1})])  # type: ignore[attr-defined]
    return made


@contextmanager
def _pretended() -> Iterator[types.ModuleType]:
    """Modules with PyTorch's names for as long as something is pickled: the names are all that is written."""
    before = {name: sys.modules.get(name) for name in ("torch", "torch._utils")}
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in {*_STORAGES.values(), "CharStorage", "ShortStorage"}:
        setattr(torch, name, type(name, (), {"__module__": "torch"}))
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter"):
        function = types.FunctionType((lambda *_: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(utils, name, function)
    torch._utils = utils  # type: ignore[attr-defined]
    sys.modules |= {"torch": torch, "torch._utils": utils}
    try:
        yield torch
    finally:
        for name, module in before.items():
            del sys.modules[name]
            if module is not None:
                sys.modules[name] = module


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, protocol: int, torch: Any, legacy: bool) -> None:
        super().__init__(stream, protocol)
        self.torch, self.legacy = torch, legacy
        self.stored: dict[str, Tensor] = {}

    def persistent_id(self, obj: Any) -> Any:
        return obj.identity if isinstance(obj, _Storage) else None

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Parameter):
            return self.torch._utils._rebuild_parameter, (obj.data, True, collections.OrderedDict())
        if not isinstance(obj, Tensor):
            return NotImplemented
        key = str(len(self.stored)) if obj.key is None else obj.key
        self.stored[key] = obj
        kind = getattr(self.torch, obj.storage)
        extra = (None,) if self.legacy else ()
        storage = _Storage(("storage", kind, key, "cpu", obj.count, *extra))
        rest = (False, collections.OrderedDict())
        return self.torch._utils._rebuild_tensor_v2, (storage, obj.offset, obj.shape, obj.strides, *rest)


def zipped(
    tree: Any, protocol: int = 2, *, deflated: bool = False, order: bytes = b"little", leave_out: str = ""
) -> bytes:
    """A file of 1.6 and later."""
    pickled, stored = _pickled(tree, protocol, legacy=False)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        members = {"data.pkl": pickled, "byteorder": order, "version": b"3\n"}
        members |= {f"data/{key}": tensor.data.tobytes() for key, tensor in stored.items()}
        for name, raw in members.items():
            if name != leave_out:
                archive.writestr(f"archive/{name}", raw)
    return out.getvalue()


def legacy_head(protocol: int = 2) -> bytes:
    """Magic number, version and system information of an older file."""
    system = {
        "protocol_version": 1001,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    return b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, system))


def legacy(tree: Any, protocol: int = 2) -> bytes:
    """A file from before 1.6."""
    pickled, stored = _pickled(tree, protocol, legacy=True)
    parts = [legacy_head(), pickled, pickle.dumps(list(stored), protocol)]
    for tensor in stored.values():
        parts += [struct.pack("<q", tensor.count), tensor.data.tobytes()]
    return b"".join(parts)


def _pickled(tree: Any, protocol: int, *, legacy: bool) -> tuple[bytes, dict[str, Tensor]]:
    stream = io.BytesIO()
    with _pretended() as torch:
        pickler = _Pickler(stream, protocol, torch, legacy)
        pickler.dump(tree)
    return stream.getvalue(), pickler.stored


WRITERS: dict[str, Callable[[Any, int], bytes]] = {"zip": zipped, "legacy": legacy}
