"""What a model file is, told by its content and never by its name: one row per kind of file.

A row says how the kind is recognised, from the first bytes or the names in a zip, and then one of three
things: that the file carries a network (`model`), that it holds weights (`weights`), or what to do instead.
Rows exclude one another as far as the formats do; the first that matches counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from armour.archive import GIB, file_size, open_zip
from armour.errors import CheckpointError
from armour.formats.protobuf import varint

if TYPE_CHECKING:
    from armour.model import Model
    from armour.options import LoadOptions

MAX_BYTES = 4 * GIB
MAX_NAME = 1000  # characters
_HEAD = 512
# Members of a zip may expand this often, all together, once they are large: deflate reaches 1,032, real
# arrays about 20.
_MAX_RATIO, _LARGE = 16, 512 << 20


@dataclass(frozen=True, slots=True)
class Head:
    """What is looked at: the first bytes, the file's size, and the names of its members if it is a zip."""

    first: bytes
    size: int
    members: tuple[str, ...] | None = None

    def has(self, *names: str) -> bool:
        """True for a zip with a member of such a name, at its root or in a folder of the root."""
        return any(m in names or m.partition("/")[2] in names for m in self.members or ())


class Weights(NamedTuple):
    """Arrays by name, and what else the file held: (name, what it was) of everything left out."""

    arrays: dict[str, np.ndarray]
    leftovers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of file. what: its name in messages, with an article. layout: of weights, if not ours."""

    name: str
    what: str
    matches: Callable[[Head], bool]
    model: Callable[[Path, LoadOptions], Model] | None = None
    weights: Callable[[Path], Weights] | None = None
    advice: str = ""
    layout: str = ""


def load(path: Path, options: LoadOptions) -> Model:
    """The model in a file of any kind, read by its row; CheckpointError, in one line, if there is none."""
    kind = detect(path)
    if kind.model is not None:
        return kind.model(path, options)
    from armour.formats import arrays

    return arrays.load(path, kind, read_weights(path, kind), options)


def read_arrays(path: Path) -> tuple[Kind, dict[str, np.ndarray], dict[str, str]]:
    """(kind, arrays by name, what was left out) of a file of weights; CheckpointError for anything else."""
    kind = detect(path)
    weights = read_weights(path, kind)
    return kind, weights.arrays, weights.leftovers


def read_weights(path: Path, kind: Kind) -> Weights:
    """The weights of a file of this kind; CheckpointError with the kind's advice if it holds none."""
    if kind.weights is None:
        advice = kind.advice or "it holds a network; read it without arch="
        raise CheckpointError(f"{path}: this is {kind.what}; {advice}")
    weights = kind.weights(path)
    for name in (*weights.arrays, *weights.leftovers):
        if not name.isprintable() or len(name) > MAX_NAME:
            raise CheckpointError(
                f"{path}: an entry has the name {ascii(name)[:60]}, which is too long or not printable"
            )
    return weights


def detect(path: Path) -> Kind:
    """The kind of a file; CheckpointError if it is missing, empty, too large, or of no kind that is known."""
    head = look(path)
    if head.size == 0:
        raise CheckpointError(f"{path}: the file is empty; write or download it again")
    for kind in KINDS:
        if kind.matches(head):
            return kind
    raise CheckpointError(
        f"{path}: expected an armour checkpoint (a zip of manifest.json and weights.safetensors), a model or "
        f"weights in another format ({', '.join(readable())}), got other content; check the path"
    )


def look(path: Path) -> Head:
    """The start of a file, with its zip's listing checked; CheckpointError as for `detect`."""
    size = file_size(path, CheckpointError)
    if size > MAX_BYTES:
        raise CheckpointError(f"{path}: expected at most {MAX_BYTES:,} bytes, got {size:,}; check the path")
    with path.open("rb") as stream:
        first = stream.read(_HEAD)
    if first[:2] != b"PK":
        return Head(first, size)
    with open_zip(path, CheckpointError, MAX_BYTES, MAX_BYTES) as archive:
        expanded = sum(info.file_size for info in archive.infolist())
        if expanded > max(_LARGE, _MAX_RATIO * size):
            raise CheckpointError(
                f"{path}: its members expand from {size:,} to {expanded:,} bytes, which no real model does "
                "(a zip bomb)"
            )
        return Head(first, size, tuple(archive.namelist()))


def readable() -> list[str]:
    """The names of the kinds that can be read."""
    return [kind.name for kind in KINDS if kind.model or kind.weights]


# -- how each is recognised --------------------------------------------------------------------------------

# A pickle of the number that files from before PyTorch 1.6 start with, in each protocol.
_TORCH_MAGIC = re.compile(
    rb"\x80[\x02-\x05](?:\x95.{8})?\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", re.DOTALL
)
_OLD_PICKLE = re.compile(rb"\(?c[\w.]{1,99}\n[\w.]{1,99}\n|\([ld](?:p\d+)?\n")
# The fields of ONNX's ModelProto: number -> wire type. Those of text may not hold control characters.
_ONNX_FIELDS = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2, 26: 2}
_ONNX_TEXT = (2, 3, 4, 6)
_TENSOR_STARTS = (b"", b"\x08", b"\x0a", b"\x12", b"\x1a")  # dims, packed dims, type, content


def _starts(*firsts: bytes) -> Callable[[Head], bool]:
    return lambda head: head.first.startswith(firsts)


def _is_safetensors(head: Head) -> bool:
    # Eight bytes of length, of which the last three are zero for any header that is taken.
    return head.first[8:9] == b"{" and head.first[5:8] == b"\0\0\0"


def _is_npz(head: Head) -> bool:
    return head.members is not None and all(name.endswith(".npy") for name in head.members)


def _is_mindspore(head: Head) -> bool:
    """A Value (field 1) that starts with its tag (field 1) and a TensorProto that looks like one.

    TensorFlow's frozen graphs start the same way, with the name of an op where the TensorProto would be.
    """
    value = _field(head.first, 0, 0x0A)
    tag = None if value is None else _field(head.first, value[0], 0x0A)
    if tag is None or not 0 < tag[1] <= _HEAD:
        return False
    rest = head.first[sum(tag) :]
    tensor = _field(rest, 0, 0x12)
    return rest[:1] in (b"", b"\x1a") if tensor is None else rest[tensor[0] :][:1] in _TENSOR_STARTS


def _is_mindir(head: Head) -> bool:
    version = _field(head.first, 0, 0x0A)
    return version is not None and bool(
        re.fullmatch(rb"\d+\.\d+\.\d+", head.first[version[0] : sum(version)])
    )


def _is_onnx(head: Head) -> bool:
    """ir_version first, then fields of a ModelProto only, as far as the first bytes show."""
    raw, at, fields = head.first, 0, 0
    if raw[:1] != b"\x08":
        return False
    while at < len(raw):
        try:
            key, at = varint(raw, at)
            value, at = varint(raw, at)
        except CheckpointError:
            return fields > 0
        number, wire = key >> 3, key & 7
        if _ONNX_FIELDS.get(number) != wire or (number == 1 and not 0 < value < 64):
            return False
        if wire == 2:
            if number in _ONNX_TEXT and any(c < 32 and c not in b"\t\n\r" for c in raw[at : at + value]):
                return False
            at += value
        fields += 1
    return fields > 0


def _field(raw: bytes, at: int, key: int) -> tuple[int, int] | None:
    """(where it starts, length) of the length-delimited field at `at`, if it has this key byte."""
    if raw[at : at + 1] != bytes([key]):
        return None
    try:
        length, start = varint(raw, at + 1)
    except CheckpointError:
        return None
    return start, length


def _is_pickle(head: Head) -> bool:
    if _TORCH_MAGIC.match(head.first):
        return False
    return (head.first[:1] == b"\x80" and head.first[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) or bool(
        _OLD_PICKLE.match(head.first)
    )


# -- their readers, imported when they are needed ----------------------------------------------------------


def _armour(path: Path, options: LoadOptions) -> Model:
    from armour.formats import ckpt

    return ckpt.load(path, options)


def _onnx(path: Path, options: LoadOptions) -> Model:
    reader = "armour.formats.onnx_import" if options.runtime == "armour" else "armour.onnxruntime_model"
    model: Model = import_module(reader).load(path, options)
    return model


def _safetensors(path: Path) -> Weights:
    from armour.formats import safetensors

    return Weights(safetensors.parse(path.read_bytes(), str(path)), {})


def _npz(path: Path) -> Weights:
    from armour import npz

    return Weights(npz.read_arrays(path, CheckpointError, max_bytes=MAX_BYTES), {})


def _npy(path: Path) -> Weights:
    from armour import npz

    return Weights({"weight": npz.parse_array(path.read_bytes(), path, "the array", CheckpointError)}, {})


def _torch(path: Path) -> Weights:
    from armour.formats import torch_files

    return Weights(*torch_files.read_zip(path, MAX_BYTES))


def _torch_legacy(path: Path) -> Weights:
    from armour.formats import torch_files

    return Weights(*torch_files.read_legacy(path))


def _mindspore(path: Path) -> Weights:
    from armour.formats import mindspore_ckpt

    return Weights(*mindspore_ckpt.read(path))


def _keras(path: Path) -> Weights:
    from armour.formats import keras_h5

    return Weights(*keras_h5.read_archive(path, MAX_BYTES))


def _hdf5(path: Path) -> Weights:
    from armour.formats import keras_h5

    return Weights(*keras_h5.read_file(path))


_EXPORT = "export the network as ONNX"
_CODE = "it is never opened"

KINDS: tuple[Kind, ...] = (
    Kind(name="onnx", what="an ONNX model", matches=_is_onnx, model=_onnx),
    Kind(name="safetensors", what="a safetensors file", matches=_is_safetensors, weights=_safetensors),
    Kind(name="npz", what="an .npz of arrays", matches=_is_npz, weights=_npz),
    Kind(
        name="torch-script",
        what="a TorchScript or exported PyTorch program, which is code",
        matches=lambda head: head.has("constants.pkl", "archive_format", "serialized_exported_program.json"),
        advice=f"{_CODE}. {_EXPORT[0].upper()}{_EXPORT[1:]}",
    ),
    Kind(
        name="torch",
        what="a PyTorch state dict",
        matches=lambda head: head.has("data.pkl"),
        weights=_torch,
    ),
    Kind(
        name="keras",
        what="a Keras file",
        matches=lambda head: head.members is not None and "model.weights.h5" in head.members,
        weights=_keras,
        layout="since its weights have the channels last",
    ),
    Kind(
        name="armour",
        what="an armour checkpoint",
        matches=lambda head: head.members is not None,
        model=_armour,
    ),
    Kind(
        name="hdf5",
        what="a Keras or HDF5 file",
        matches=_starts(b"\x89HDF"),
        weights=_hdf5,
        layout="since its weights have the channels last",
    ),
    Kind(
        name="npy",
        what="a single NumPy array",
        matches=_starts(b"\x93NUMPY"),
        weights=_npy,
    ),
    Kind(
        name="mindspore-encrypted",
        what="an encrypted MindSpore checkpoint",
        matches=_starts(b"\xd8\x5e\x3a\x7f", b"\xd9\x5e\x3a\x7f", b"\xda\x5e\x3a\x7f"),
        advice="decrypt it with MindSpore first",
    ),
    Kind(
        name="mindspore",
        what="a MindSpore checkpoint",
        matches=_is_mindspore,
        weights=_mindspore,
    ),
    Kind(
        name="mindir",
        what="a MindIR file, which is not read yet",
        matches=_is_mindir,
        advice="export the network from MindSpore as ONNX (file_format='ONNX')",
    ),
    Kind(
        name="torch-legacy",
        what="a PyTorch state dict from before 1.6",
        matches=lambda head: bool(_TORCH_MAGIC.match(head.first)),
        weights=_torch_legacy,
    ),
    Kind(
        name="pickle",
        what="a pickle (or joblib file), which can run code when it is read",
        matches=_is_pickle,
        advice=f"{_CODE}. Save the weights without pickle",
    ),
    Kind(
        name="tflite",
        what="a TensorFlow Lite model",
        matches=lambda head: head.first[4:8] == b"TFL3",
        advice="convert it to ONNX",
    ),
    Kind(
        name="compressed",
        what="a compressed file",
        matches=_starts(b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"7z\xbc\xaf"),
        advice="unpack it first",
    ),
)
