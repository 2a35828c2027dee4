"""PyTorch's files, made here by hand: what is read, and what is refused without being run.

That files written by PyTorch itself are read as PyTorch reads them is tested in tests/parity.
"""

from __future__ import annotations

import collections
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import torch_made

from armour.errors import CheckpointError
from armour.formats import kinds
from armour.formats.torch_state import Reader

State = dict[str, np.ndarray]


@pytest.fixture
def state() -> State:
    rng = np.random.default_rng(0)
    return {
        "conv1.weight": rng.normal(size=(6, 1, 5, 5)).astype(np.float32),
        "bn1.num_batches_tracked": np.array(7, np.int64),
        "fc.weight": rng.normal(size=(3, 4)),
        "half": rng.normal(size=5).astype(np.float16),
        "flags": np.array([True, False, True]),
        "bytes": np.arange(4, dtype=np.uint8),
        "empty": np.zeros((0, 3), np.float32),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("form", ["zip", "legacy"])
def test_arrays_by_name(tmp_path: Path, state: State, protocol: int, form: str) -> None:
    path = tmp_path / "m.pt"
    tree = {"epoch": 3, "model": torch_made.tensors(state), "rates": [0.1, None, (True, "x")]}
    path.write_bytes(torch_made.WRITERS[form](tree, protocol))
    kind, arrays, leftovers = kinds.read_arrays(path)
    assert kind.name == {"zip": "torch", "legacy": "torch-legacy"}[form]
    assert arrays.keys() == {f"model.{name}" for name in state}
    for name, array in state.items():
        np.testing.assert_array_equal(arrays[f"model.{name}"], array, strict=True)
    assert leftovers == {"epoch": "3", "rates.0": "0.1", "rates.1": "None", "rates.2": "tuple of 2"}


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    values = np.array([1.0, -2.5, 3.140625, 0.0], np.float32)  # exact in bfloat16
    raw = (values.view(np.uint32) >> 16).astype("<u2")
    path = tmp_path / "m.pt"
    path.write_bytes(torch_made.zipped({"a": torch_made.Tensor(raw, storage="BFloat16Storage")}))
    np.testing.assert_array_equal(kinds.read_arrays(path)[1]["a"], values, strict=True)


def test_views_and_tied_storages(tmp_path: Path) -> None:
    base = np.arange(12, dtype=np.float32)
    tree = {
        "whole": torch_made.Tensor(base, key="7"),
        "turned": torch_made.Tensor(base, key="7", shape=(3, 2), strides=(1, 3), offset=4),
        "parameter": torch_made.Parameter(torch_made.Tensor(base, key="7", shape=(2,), strides=(5,))),
    }
    path = tmp_path / "m.pt"
    path.write_bytes(torch_made.zipped(tree))
    arrays = kinds.read_arrays(path)[1]
    expected = np.lib.stride_tricks.as_strided(base[4:], (3, 2), (4, 12))
    np.testing.assert_array_equal(arrays["turned"], expected, strict=True)
    np.testing.assert_array_equal(arrays["parameter"], [0, 5])
    assert np.shares_memory(arrays["whole"], arrays["turned"])
    assert not arrays["turned"].flags.writeable


def test_deflated_members_are_read(tmp_path: Path, state: State) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(torch_made.zipped(torch_made.tensors(state), deflated=True))
    np.testing.assert_array_equal(kinds.read_arrays(path)[1]["fc.weight"], state["fc.weight"])


# -- code is refused by its name, and nothing runs ---------------------------------------------------------


def _reduce(module: str, name: str, *arguments: str) -> bytes:
    inside = b"".join(b"X" + struct.pack("<I", len(a)) + a.encode() for a in arguments)
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(" + inside + b"tR."


def _text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


FORGED: dict[str, tuple[bytes, str]] = {
    "REDUCE": (_reduce("os", "system", "touch ran"), "os.system"),
    "GLOBAL alone": (b"\x80\x02cposix\nsystem\n.", "posix.system"),
    "builtins": (_reduce("builtins", "eval", "1"), "builtins.eval"),
    "STACK_GLOBAL": (
        b"\x80\x04" + _text("os") + _text("system") + b"\x93" + _text("x") + b"\x85R.",
        "os.system",
    ),
    "INST": (b"\x80\x02(X\x05\x00\x00\x00touchios\nsystem\n.", "os.system"),
    "OBJ": (b"\x80\x02(cos\nsystem\nX\x05\x00\x00\x00toucho.", "os.system"),
    "OBJ of a known name": (b"\x80\x02(ccollections\nOrderedDict\no.", "OBJ"),
    "NEWOBJ": (b"\x80\x02cos\nsystem\n)\x81.", "os.system"),
    "NEWOBJ_EX": (b"\x80\x04ccollections\nOrderedDict\n)}\x92.", "NEWOBJ_EX"),
    "BUILD": (b"\x80\x02ctorch\nFloatStorage\n}X\x01\x00\x00\x00aK\x01sb.", "torch.FloatStorage"),
    "BUILD by __setstate__": (b"\x80\x02cos\n_wrap_close\n)\x81}b.", "os._wrap_close"),
    "EXT1": (b"\x80\x02\x82\x07.", "extension 7"),
    "EXT2": (b"\x80\x02\x83\x07\x01.", "extension 263"),
    "EXT4": (b"\x80\x02\x84\x07\x00\x00\x01.", "extension 16777223"),
    "a dotted name": (
        b"\x80\x04" + _text("collections") + _text("OrderedDict.fromkeys") + b"\x93.",
        "fromkeys",
    ),
    "a whole module": (_reduce("torchvision.models.resnet", "ResNet"), "torchvision.models.resnet.ResNet"),
    "calling a storage": (b"\x80\x02ctorch\nFloatStorage\n)R.", "FloatStorage"),
    "a persistent id of text": (b"\x80\x02Pstorage\n.", "persistent"),
    "a name with an escape": (b"\x80\x02c\x1b[2J\nx\n.", "x1b"),
}


@pytest.mark.parametrize("form", ["zip", "legacy"])
@pytest.mark.parametrize("name", FORGED)
def test_code_is_refused_by_name(
    tmp_path: Path, name: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw, what = FORGED[name]
    if form == "zip":
        (tmp_path / "m.pt").write_bytes(hostile.packed(("a/data.pkl", raw), ("a/byteorder", b"little")))
    else:
        (tmp_path / "m.pt").write_bytes(torch_made.legacy_head() + raw + pickle.dumps([], 2))
    with pytest.raises(CheckpointError) as caught:
        kinds.read_arrays(tmp_path / "m.pt")
    text = str(caught.value)
    assert "holds code" in text and what in text and "nothing of it was run" in text, text
    assert text.isprintable() and not (tmp_path / "ran").exists()


def test_python_would_have_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The payloads are real: Python's own unpickler runs the first of them."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(FORGED["REDUCE"][0])
    assert (tmp_path / "ran").exists()


# -- damaged and forged tensors ----------------------------------------------------------------------------


def _tensor(**changes: Any) -> bytes:
    made = torch_made.Tensor(np.arange(6, dtype=np.float32), **changes)
    return torch_made.zipped({"a": made})


def _pickled(raw: bytes) -> bytes:
    return hostile.packed(("a/data.pkl", raw), ("a/byteorder", b"little"))


def _laughs() -> bytes:
    """Tuples of three references to the one before: 14 million entries in 150 bytes."""
    levels = b"".join(b"0h%ch%ch%c\x87q%c" % (i, i, i, i + 1) for i in range(15))
    return _pickled(b")q\0" + levels + b".")


DAMAGED: dict[str, tuple[bytes, str]] = {
    "past its storage": (_tensor(shape=(7,), strides=(1,)), "reaches past"),
    "an offset past it": (_tensor(shape=(2,), strides=(1,), offset=5), "reaches past"),
    "an empty view past it": (_tensor(shape=(0,), strides=(1,), offset=7), "reaches past"),
    "a stride past it": (_tensor(shape=(2, 2), strides=(5, 1)), "reaches past"),
    "a huge shape": (_tensor(shape=(1 << 40, 1 << 40), strides=(0, 0)), "repeats its storage"),
    "a huge shape of nothing": (_tensor(shape=(0, 1 << 47, 1 << 47), strides=(1, 1, 1)), "repeats its"),
    "an expanded number": (_tensor(shape=(100,), strides=(0,)), "repeats its storage"),
    "a negative offset": (_tensor(offset=-1), "offset"),
    "a negative size": (_tensor(shape=(-1,), strides=(1,)), "natural numbers"),
    "a negative stride": (_tensor(shape=(2,), strides=(-1,)), "natural numbers"),
    "strides of another rank": (_tensor(shape=(2, 3), strides=(1,)), "natural numbers"),
    "a size that is true": (_tensor(shape=(True,), strides=(1,)), "natural numbers"),
    "100 axes": (_tensor(shape=(1,) * 100, strides=(1,) * 100), "natural numbers"),
    "a longer storage": (_tensor(count=7), "bytes instead of"),
    "a shorter storage": (_tensor(count=5, shape=(5,), strides=(1,)), "above the limit"),
    "a storage of 2^40": (_tensor(count=1 << 40), "bytes instead of"),
    "a key that climbs": (_tensor(key="../0"), "points outside"),
    "a key with a folder": (_tensor(key="x/0"), "no plain name"),
    "another byte order": (torch_made.zipped({}, order=b"big"), "big-endian"),
    "two pickles": (hostile.packed(("a/data.pkl", b"."), ("b/data.pkl", b".")), "one data.pkl"),
    "no pickle in it": (_pickled(b""), "cut short"),
    "only a mark": (_pickled(b"(."), "missing"),
    "an unknown opcode": (_pickled(b"\xff."), "opcode 0xff"),
    "text of 2 GB": (_pickled(b"X\xff\xff\xff\x7f."), "stated"),
    "text of 2^60 bytes": (_pickled(b"\x8d" + bytes(7) + b"\x10."), "stated"),
    "a number of 2 GB": (_pickled(b"\x8b\xff\xff\xff\x7f."), "bytes"),
    "a number of 600 digits": (_pickled(b"L" + b"9" * 600 + b"L\n."), "does not end"),
    "a key that is a tuple": (_pickled(b"})K\x01s."), "a key of a dict"),
    "a list in itself": (_pickled(b"]q\x00h\x00a."), "nested deeper"),
    "laughs": (_laughs(), "more than 200,000"),
    "no end": (_pickled(b"N0" * 1_500_000 + b"."), "instructions"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_one_line(tmp_path: Path, name: str) -> None:
    raw, message = DAMAGED[name]
    path = tmp_path / "m.pt"
    path.write_bytes(raw)
    with pytest.raises(CheckpointError, match=message) as caught:
        kinds.read_arrays(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and text.isprintable() and len(text) < 500 + len(str(path))


@pytest.mark.parametrize("members", [1, 12])
def test_zip_bombs(tmp_path: Path, members: int) -> None:
    """One large member, or several that are each small enough; 600 kB that would be 600 MB."""
    parts = [(f"a/data/{i}", bytes((600 << 20) // members)) for i in range(members)]
    path = tmp_path / "m.pt"
    path.write_bytes(hostile.packed(*parts, ("a/data.pkl", b"}."), compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(CheckpointError, match="zip bomb"):
        kinds.read_arrays(path)


def test_a_storage_used_over_and_over(tmp_path: Path) -> None:
    base = np.arange(1 << 18, dtype=np.float32)
    path = tmp_path / "m.pt"
    path.write_bytes(torch_made.zipped({str(i): torch_made.Tensor(base, key="0") for i in range(20)}))
    with pytest.raises(CheckpointError, match="which no real file has"):
        kinds.read_arrays(path)


def test_a_storage_that_is_missing_or_stated_twice(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(torch_made.zipped({"a": torch_made.Tensor(np.ones(3, np.float32))}, leave_out="data/0"))
    with pytest.raises(CheckpointError, match="storage '0' is missing"):
        kinds.read_arrays(path)
    tree = {
        "a": torch_made.Tensor(np.ones(4, np.float32), key="0"),
        "b": torch_made.Tensor(np.ones(2, np.float64), key="0"),
    }
    path.write_bytes(torch_made.zipped(tree))
    with pytest.raises(CheckpointError, match="stated in two ways"):
        kinds.read_arrays(path)


@pytest.mark.parametrize("cut", [17, 40, 200, -1, -5])
def test_a_legacy_file_cut_short(tmp_path: Path, state: State, cut: int) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(torch_made.legacy(torch_made.tensors(state))[:cut])
    with pytest.raises(CheckpointError, match="damaged"):
        kinds.read_arrays(path)
    path.write_bytes(torch_made.legacy(torch_made.tensors(state)) + b"x")
    with pytest.raises(CheckpointError, match="1 bytes at the end"):
        kinds.read_arrays(path)


def test_plain_pickles_are_what_python_makes_of_them() -> None:
    """For every protocol: values without names come out as the standard unpickler gives them."""
    tree = {
        "numbers": [0, 1, 255, 256, -1, 1 << 31, -(1 << 40), 1 << 200, 0.5, float("inf"), True, False, None],
        "texts": ["", "é ☃", "x" * 300, b"", b"\xff" * 300],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        "shared": [[1, 2]] * 3,
        1: {2.5: {None: "deep"}},
    }
    for protocol in range(6):
        raw = pickle.dumps(tree, protocol)
        if protocol < 3:  # bytes are written as a call there
            raw = pickle.dumps({key: value for key, value in tree.items() if key != "texts"}, protocol)
        if protocol == 0:
            raw = pickle.dumps([1, -5, 1 << 70, 2.5, True, None, {}, [], (1, 2)], 0)
        assert Reader().parse(memoryview(raw))[0] == pickle.loads(raw)
    ordered = collections.OrderedDict([("b", 1), ("a", 2)])
    found, at = Reader().parse(memoryview(pickle.dumps(ordered, 2) + b"more"))
    assert found == {"b": 1, "a": 2} and list(found) == ["b", "a"]
    assert at == len(pickle.dumps(ordered, 2))
