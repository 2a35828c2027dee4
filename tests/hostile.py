"""Checkpoints that are damaged, forged or of another kind; each must end as one line that says what to do."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from armour.formats import safetensors

MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
Json = dict[str, Any]


def members(raw: bytes) -> tuple[Json, bytes]:
    """The manifest and the weights of a checkpoint."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        return json.loads(archive.read(MANIFEST)), archive.read(WEIGHTS)


def packed(*entries: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these members, also with one name twice."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, raw in entries:
            archive.writestr(zipfile.ZipInfo(name), raw, compress_type=compression)
    return out.getvalue()


def forged(manifest: Json, weights: bytes, *, sign: bool = True) -> bytes:
    """A checkpoint of these parts, its hash made to fit the weights."""
    if sign:
        manifest = manifest | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    return packed((MANIFEST, json.dumps(manifest).encode()), (WEIGHTS, weights))


def changed(raw: bytes, change: Callable[[Json], None]) -> bytes:
    """The checkpoint with its manifest changed in place by `change`, otherwise whole."""
    manifest, weights = members(raw)
    manifest = copy.deepcopy(manifest)
    change(manifest)
    return forged(manifest, weights)


def with_arrays(raw: bytes, change: Callable[[dict[str, np.ndarray]], None]) -> bytes:
    """The checkpoint with its weights changed in place by `change` and signed anew."""
    manifest, weights = members(raw)
    arrays = safetensors.parse(weights, "valid")
    change(arrays)
    return forged(manifest, safetensors.dump(arrays))


def field(key: str, value: Any) -> Callable[[bytes], bytes]:
    """A maker: the manifest with another value in one field."""
    return lambda raw: changed(raw, lambda m: m.__setitem__(key, value))


def without(key: str) -> Callable[[bytes], bytes]:
    """A maker: the manifest without one field."""
    return lambda raw: changed(raw, lambda m: m.pop(key))


def node(kind: str, attrs: Json, inputs: list[Any] | None = None) -> Callable[[bytes], bytes]:
    """A maker: the input of the network goes through one more op first."""

    def change(manifest: Json) -> None:
        graph = manifest["graph"]
        name = graph["inputs"][0]["name"]
        for other in graph["nodes"]:
            other["inputs"] = ["hostile" if i == name else i for i in other["inputs"]]
        graph["nodes"].insert(0, {"name": "hostile", "op": kind, "inputs": inputs or [name], "attrs": attrs})

    return lambda raw: changed(raw, change)


def chain(length: int, kind: str) -> Callable[[bytes], bytes]:
    """A maker: the input is joined with itself over and over, and cut at the end."""

    def change(manifest: Json) -> None:
        graph = manifest["graph"]
        name = before = graph["inputs"][0]["name"]
        for other in graph["nodes"]:
            other["inputs"] = ["last" if i == name else i for i in other["inputs"]]
        own = []
        for i in range(length):
            own.append({"name": f"h{i}", "op": kind, "inputs": [before, before], "attrs": {"axis": 0}})
            before = f"h{i}"
        index = {"index": {"slice": [0, 2, None]}}
        own.append({"name": "last", "op": "getitem", "inputs": [before], "attrs": index})
        graph["nodes"] = own + graph["nodes"]

    return lambda raw: changed(raw, change)


def npz() -> bytes:
    """An .npz of arrays."""
    out = io.BytesIO()
    np.savez(out, a=np.zeros(3))
    return out.getvalue()


def lying(raw: bytes) -> bytes:
    """The checkpoint whose zip says that the manifest is smaller than it is."""
    manifest, weights = members(raw)
    data = bytearray(packed((MANIFEST, json.dumps(manifest).encode() + b" " * 90_000), (WEIGHTS, weights)))
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"PK\x01\x02"))  # the directory's first entry
    data[at + 20 : at + 28] = struct.pack("<2I", 2_000, 2_000)
    return bytes(data)


def bomb(_raw: bytes) -> bytes:
    """A manifest of 100 MB of spaces in 100 KB."""
    chunk, out = b" " * (1 << 20), io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        with archive.open(MANIFEST, "w") as stream:
            for _ in range(100):
                stream.write(chunk)
        archive.writestr(WEIGHTS, b"")
    return out.getvalue()


class Trap:
    """Its pickle would end the process."""

    def __reduce__(self) -> Any:
        import os

        return os._exit, (77,)


def poisoned(arrays: dict[str, np.ndarray]) -> None:
    """NaN into the first weight."""
    name = min(arrays)
    arrays[name].reshape(-1)[0] = np.nan


def _first(raw: bytes) -> str:
    return str(min(safetensors.parse(members(raw)[1], "valid")))


def renamed(arrays: dict[str, np.ndarray]) -> None:
    """One weight under another name."""
    arrays["other"] = arrays.pop(min(arrays))


def flattened(arrays: dict[str, np.ndarray]) -> None:
    """One weight in another shape."""
    name = min(arrays)
    arrays[name] = arrays[name].reshape(1, -1)


def widened(arrays: dict[str, np.ndarray]) -> None:
    """One weight in float64, with a value that float32 cannot hold."""
    name = min(arrays)
    arrays[name] = np.full(arrays[name].shape, 1e300)


# Name -> (how it is made from a valid checkpoint, what the message says).
CASES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda raw: b"", "empty"),
    "one byte": (lambda raw: b"P", "expected an armour checkpoint"),
    "half": (lambda raw: raw[: len(raw) // 2], "truncated or damaged"),
    "without its end": (lambda raw: raw[:-1], "truncated or damaged"),
    "text": (lambda raw: b"hello, world", "expected an armour checkpoint"),
    "bomb": (bomb, "zip bomb"),
    "lying about sizes": (lying, "unpacked|instead of|larger than"),
    "compressed weights": (
        lambda raw: packed(
            (MANIFEST, json.dumps(members(raw)[0]).encode()),
            (WEIGHTS, members(raw)[1]),
            compression=zipfile.ZIP_DEFLATED,
        ),
        "uncompressed",
    ),
    "tampered": (lambda raw: forged(members(raw)[0], members(raw)[1][:-1] + b"\x55", sign=False), "sha256"),
    "pickle": (lambda raw: pickle.dumps(Trap(), protocol=4), "pickle"),
    "old pickle": (lambda raw: pickle.dumps(Trap(), protocol=2), "pickle"),
    "torch": (
        lambda raw: packed(("archive/data.pkl", pickle.dumps(Trap())), ("archive/version", b"3")),
        "holds code: posix._exit",
    ),
    "npy": (lambda raw: b"\x93NUMPY\x01\x00v\x00{}", "no .npy array"),
    "encrypted mindspore": (lambda raw: b"\xd8\x5e\x3a\x7f" + bytes(100), "encrypted"),
    "NaN weight": (lambda raw: with_arrays(raw, poisoned), "NaN or infinite"),
    "weight renamed": (lambda raw: with_arrays(raw, renamed), "has no values|belongs to no layer"),
    "weight of another shape": (lambda raw: with_arrays(raw, flattened), "the graph says"),
    "weight of another dtype": (lambda raw: with_arrays(raw, widened), "the graph says"),
    "weights missing": (lambda raw: with_arrays(raw, dict.clear), "has no values"),
    "next version": (field("format", "armour-ckpt/2"), "another version"),
    "no version": (without("format"), "format"),
    "no bounds": (without("bounds"), "bounds"),
    "null bounds": (field("bounds", None), "bounds"),
    "bounds upside down": (field("bounds", [1, 0]), "low < high"),
    "three bounds": (field("bounds", [0, 1, 2]), "bounds"),
    "bounds of text": (field("bounds", ["0", "1"]), "bounds"),
    "no mean": (without("mean"), "mean"),
    "null std": (field("std", None), "std"),
    "std 0": (field("std", [0]), "std"),
    "std tiny": (field("std", [1e-320]), "std"),
    "mean beyond float32": (field("mean", [10**400]), "mean"),
    "means of three channels": (field("mean", [0.1, 0.2, 0.3]), "mean"),
    "no graph": (without("graph"), "graph"),
    "graph of numbers": (field("graph", [1, 2]), "graph"),
    "empty graph": (field("graph", {}), "graph"),
    "no input shape": (field("input_shape", None), "input_shape"),
    "huge input": (field("input_shape", [1, 1 << 20, 1 << 20]), "input_shape"),
    "another input": (field("input_shape", [1, 9, 9]), "belong together"),
    "huge class count": (field("num_classes", 1 << 40), "num_classes"),
    "another class count": (field("num_classes", 3), "3 "),
    "true classes": (field("num_classes", True), "num_classes"),
    "class names of another count": (field("class_names", ["a", "b"]), "class names"),
    "class names that are no text": (field("class_names", [{}] * 10), "class_names"),
    "name with an escape": (field("name", "\x1b[2Jgone"), "name"),
    "name with a line feed": (field("name", "two\nlines"), "name"),
    "provenance with an escape": (field("provenance", {"data": {"name": "\x1b]0;x\x07"}}), "provenance"),
    "provenance with half a character": (field("provenance", {"a": "\ud800"}), "provenance"),
    "provenance nested deep": (field("provenance", {"a": json.loads("[" * 50 + "]" * 50)}), "provenance"),
    "provenance of text": (field("provenance", {"data": "mnist"}), "provenance"),
    "graph of nothing": (field("graph", {"version": 1}), "graph"),
    "extra member": (
        lambda raw: packed(
            (MANIFEST, json.dumps(members(raw)[0]).encode()), (WEIGHTS, members(raw)[1]), ("x.py", b"1")
        ),
        "exactly",
    ),
    "member outside": (
        lambda raw: packed((MANIFEST, b"{}"), (WEIGHTS, b""), ("../x", b"1")),
        "outside",
    ),
    "member with a line feed": (lambda raw: packed((MANIFEST, b"{}"), ("a\nb", b"")), "exactly"),
    "weights missing from the zip": (lambda raw: packed((MANIFEST, b"{}")), "exactly"),
    "manifest twice": (
        lambda raw: packed((MANIFEST, b"{}"), (WEIGHTS, b""), ("m2nifest.json", b"{}")).replace(
            b"m2nifest", b"manifest"
        ),
        "twice",
    ),
    "manifest no JSON": (
        lambda raw: packed((MANIFEST, b"{"), (WEIGHTS, b"")),
        "manifest.json cannot be read",
    ),
    "manifest with a key twice": (
        lambda raw: packed((MANIFEST, b'{"format": 1, "format": 2}'), (WEIGHTS, b"")),
        "twice",
    ),
    "manifest nested deep": (
        lambda raw: packed((MANIFEST, b"[" * 100_000), (WEIGHTS, b"")),
        "manifest.json cannot be read",
    ),
    "manifest a list": (lambda raw: packed((MANIFEST, b"[]"), (WEIGHTS, b"")), "format"),
    "manifest of NaN": (lambda raw: packed((MANIFEST, b'{"format": NaN}'), (WEIGHTS, b"")), "NaN"),
    "output that is the input": (
        lambda raw: changed(raw, lambda m: m["graph"].update(outputs=[m["graph"]["inputs"][0]["name"]])),
        "one output",
    ),
    "two outputs": (
        lambda raw: changed(raw, lambda m: m["graph"]["outputs"].append(m["graph"]["nodes"][0]["name"])),
        "one output",
    ),
    "output of another shape": (
        lambda raw: changed(raw, lambda m: m["graph"].update(outputs=[m["graph"]["nodes"][0]["name"]])),
        "expected",
    ),
    "padded to a terabyte": (node("pad", {"widths": [[0, 0], [1 << 40, 0], [0, 0], [0, 0]]}), "MiB"),
    "repeated to a terabyte": (node("broadcast_to", {"shape": [1 << 40, 2, 1, 8, 8]}), "MiB|broadcast"),
    "an index that repeats": (
        node("getitem", {"index": {"array": [0] * 90_000, "shape": [300, 300], "dtype": "int64"}}),
        "op|node",
    ),
    "doubled 60 times": (chain(60, "concat"), "MiB"),
    "padded below 0": (node("pad", {"widths": [[0, 0], [-1, 0], [0, 0], [0, 0]]}), "pad"),
    "an unknown op": (node("system", {"command": "rm"}), "unknown|damaged"),
    "an op with another's attributes": (node("relu", {"axis": 1}), "relu"),
}
