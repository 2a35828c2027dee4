"""A server of the Open Inference Protocol v2 that misbehaves as it is told, by hand-written bytes."""

from __future__ import annotations

import json
import signal
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np

CLASSES, SIDE = 3, 2
Reply = bytes | Iterable[bytes]


@dataclass(frozen=True)
class Request:
    """What came, and the how-manieth request to infer it was (from 0)."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    number: int

    def rows(self) -> np.ndarray:
        """The input (n, 1, SIDE, SIDE) of a request in JSON."""
        entry = json.loads(self.body)["inputs"][0]
        return np.array(entry["data"], np.float32).reshape(entry["shape"])


def http(
    body: bytes | str | dict[str, Any] | list[Any] = b"",
    status: int = 200,
    headers: dict[str, str] | None = None,
    length: int | None = None,
) -> bytes:
    """An answer; length: what Content-Length says, the truth by default, none at all if below 0."""
    raw = (
        body
        if isinstance(body, bytes)
        else body.encode()
        if isinstance(body, str)
        else json.dumps(body).encode()
    )
    lines = [f"HTTP/1.1 {status} Word", *(f"{k}: {v}" for k, v in (headers or {}).items())]
    if length is None or length >= 0:
        lines.append(f"Content-Length: {len(raw) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode() + raw


def scores(rows: np.ndarray) -> np.ndarray:
    """The logits that a well-behaved fake gives: (n, CLASSES)."""
    flat = rows.reshape(len(rows), -1)
    return np.stack([flat.sum(axis=1), flat[:, 0], 1 - flat[:, 1]], axis=1).astype(np.float32)


def tensor(values: Any, shape: list[int], datatype: str = "FP32", name: str = "scores") -> dict[str, Any]:
    """An answer to infer with one output."""
    return {"outputs": [{"name": name, "shape": shape, "datatype": datatype, "data": values}]}


def right(request: Request) -> bytes:
    """What a well-behaved server answers to infer."""
    out = scores(request.rows())
    return http(tensor(out.reshape(-1).tolist(), list(out.shape)))


METADATA: dict[str, Any] = {
    "name": "fake",
    "versions": ["3"],
    "platform": "onnx",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 1, SIDE, SIDE]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, CLASSES]}],
}


class Fake:
    """Answers metadata from `metadata`, and infer from `infer`; every request is kept in `requests`."""

    def __init__(
        self,
        infer: Callable[[Request], Reply] = right,
        metadata: Any = None,
        extensions: tuple[str, ...] = (),
        other: Callable[[Request], Reply | None] = lambda request: None,
    ) -> None:
        self.infer, self.other = infer, other
        self.metadata = METADATA if metadata is None else metadata
        self.extensions = list(extensions)
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._socket.getsockname()[1]
        self.server = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.server}/v2/models/fake"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Fake:
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._open:
            connection.close()

    def inferred(self) -> int:
        """How many requests to infer came."""
        return sum(request.path.endswith("/infer") for request in self.requests)

    def hang(self) -> Iterator[bytes]:
        """Nothing, until the test is over."""
        self.closing.wait(60)
        return iter(())

    def drip(self, start: bytes, piece: bytes, every: float = 0.02) -> Iterator[bytes]:
        """`start`, then `piece` again and again, slowly and without end."""
        yield start
        while not self.closing.wait(every):
            yield piece

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError), connection, connection.makefile("rb") as stream:
            while line := stream.readline():
                method, path, _ = line.decode().split()
                headers = {}
                while (line := stream.readline().strip()) != b"":
                    name, _, value = line.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = stream.read(int(headers.get("content-length", 0)))
                request = Request(method, path, headers, body, self.inferred())
                self.requests.append(request)
                reply = self._reply(request)
                for piece in [reply] if isinstance(reply, bytes) else reply:
                    if piece == RESET:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        return
                    if piece == CLOSE:
                        return
                    connection.sendall(piece)

    def _reply(self, request: Request) -> Reply:
        chosen = self.other(request)
        if chosen is not None:
            return chosen
        if request.path.endswith("/infer"):
            return self.infer(request)
        if request.path == "/v2":
            return http({"name": "fake", "version": "1", "extensions": self.extensions})
        if request.path.startswith("/v2/models/fake"):
            return http(self.metadata)
        return http({"error": "not here"}, 404)


RESET, CLOSE = b"<reset>", b"<close>"


@contextmanager
def guard(seconds: int = 30) -> Iterator[None]:
    """A test that hangs fails instead; only in the main thread of a system with SIGALRM."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still waiting after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
