"""MindSpore checkpoints written by hand, byte for byte as MindSpore writes them."""

from __future__ import annotations

import struct
import zlib

import numpy as np

LENET = {
    "conv1.weight": (6, 1, 5, 5), "conv2.weight": (16, 6, 5, 5), "fc1.weight": (120, 400), "fc1.bias": (120,),
    "fc2.weight": (84, 120), "fc2.bias": (84,), "fc3.weight": (10, 84), "fc3.bias": (10,),
}  # fmt: skip


def number(value: int) -> bytes:
    """A varint, written here once more: the reader's own encoder is not its judge."""
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def entry(tag: bytes, dims: tuple[int, ...], kind: bytes, content: bytes) -> bytes:
    """One Value in its Checkpoint."""
    tensor = b"".join(b"\x08" + number(n) for n in dims)
    tensor += b"\x12" + number(len(kind)) + kind + b"\x1a" + number(len(content)) + content
    value = b"\x0a" + number(len(tag)) + tag + b"\x12" + number(len(tensor)) + tensor
    return b"\x0a" + number(len(value)) + value


def lenet() -> tuple[bytes, dict[str, np.ndarray]]:
    """The 18 values of the LeNet of MindSpore's tutorial, and the eight weights."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(0, 0.1, shape).astype("<f4") for name, shape in LENET.items()}
    parts = [entry(n.encode(), a.shape, b"Float32", a.tobytes()) for n, a in weights.items()]
    for name, value in (("learning_rate", 0.01), ("momentum", 0.9)):
        parts.append(entry(name.encode(), (0,), b"Float64", struct.pack("<d", value)))
    parts += [
        entry(b"moments." + n.encode(), a.shape, b"Float32", bytes(a.nbytes)) for n, a in weights.items()
    ]
    return b"".join(parts), weights


def signed(raw: bytes) -> bytes:
    """With the checksum at its end."""
    return raw + b"crc_num" + zlib.crc32(raw).to_bytes(10, "big")
