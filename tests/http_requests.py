"""HTTP by hand, for tests of a server: no library in between."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np

from armour.serving import Server


def talk(server: Server, raw: bytes, answers: int = 1) -> list[tuple[int, dict[str, str], bytes]]:
    """Send bytes and read so many answers: (status, headers by lower-case name, body)."""
    host, port = server.url.split("/")[2].rsplit(":", 1)
    with socket.create_connection((host.strip("[]"), int(port)), timeout=10) as connection:
        connection.sendall(raw)
        with connection.makefile("rb") as stream:
            return [read(stream) for _ in range(answers)]


def read(stream: Any) -> tuple[int, dict[str, str], bytes]:
    """One answer."""
    line = stream.readline().decode()
    assert line.startswith("HTTP/1.1 ") and line.endswith("\r\n"), line
    headers = {}
    while (header := stream.readline().decode().strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    return int(line.split()[1]), headers, stream.read(int(headers["content-length"]))


def request(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """The bytes of a request; an underscore in a header's name stands for a hyphen."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


def inference(x: np.ndarray, **more: Any) -> dict[str, Any]:
    """The JSON of a request to infer."""
    entry = {"name": "input", "shape": list(x.shape), "datatype": "FP32", "data": x.tolist()}
    return {"inputs": [entry], **more}
