"""Slow, many and rude clients; starting and stopping; and our client against our server."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import small_models
from http_fakes import guard
from http_requests import inference, read, request, talk

import armour
from armour.errors import InvalidArgument, RemoteError
from armour.model import CallableModel
from armour.remote import RemoteModel, RemoteOptions
from armour.serving import Limits, Server

X, Y = small_models.digits(60)
URL = "/v2/models/centroids"
MODEL = small_models.centroids(X, Y)


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    before = set(threading.enumerate())  # servers that other tests of this process keep
    with guard():
        yield
    assert not [t for t in threading.enumerate() if t.name == "armour-serve" and t not in before]


def connect(server: Server) -> socket.socket:
    host, port = server.url.split("/")[2].split(":")
    return socket.create_connection((host, int(port)), timeout=10)


@pytest.mark.parametrize("encoding", ["binary", "json"])
def test_our_client_gets_the_same_bits(encoding: str) -> None:
    with Server(MODEL) as server:
        model = armour.wrap(server.url, remote=RemoteOptions(encoding=encoding), batch_size=16)
        assert model.provenance["encoding"] == encoding
        assert (model.bounds, model.input_shape, model.num_classes) == (MODEL.bounds, (1, 8, 8), 10)
        expected = np.concatenate([MODEL.logits(X[i : i + 16]) for i in range(0, len(X), 16)])
        np.testing.assert_array_equal(model.logits(X), expected)
        assert model.accuracy(X, Y) == MODEL.accuracy(X, Y)


def test_all_that_the_server_knows_arrives() -> None:
    names = [f"class {i}" for i in range(10)]
    model = small_models.centroids(X, Y, bounds=(-1, 3))
    model.class_names, model.provenance["data"] = tuple(names), {"name": "digits"}
    with Server(model, name="my net, größer") as server:
        assert server.url.endswith("/v2/models/my%20net%2C%20gr%C3%B6%C3%9Fer")
        for url in (server.url, server.url.partition("/v2")[0]):
            seen = RemoteModel(url)
            assert tuple(seen.bounds) == (-1, 3) and list(seen.class_names) == names
            assert seen.name == "my net, größer" and seen.provenance["data"] == {"name": "digits"}


def test_a_request_over_the_limits_is_told() -> None:
    with Server(MODEL, limits=Limits(batch=8)) as server:
        with pytest.raises(RemoteError, match=r"status 413 \(expected at most 8 samples at once, got 16\)"):
            RemoteModel(server.url, batch_size=16).logits(X)
        assert RemoteModel(server.url, batch_size=8).logits(X).shape == (60, 10)


def test_many_clients_at_once() -> None:
    with Server(MODEL) as server:
        model = RemoteModel(server.url, batch_size=4)
        found: list[np.ndarray] = []
        threads = [threading.Thread(target=lambda: found.append(model.logits(X))) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = np.concatenate([MODEL.logits(X[i : i + 4]) for i in range(0, len(X), 4)])
    assert len(found) == 12 and all(np.array_equal(one, expected) for one in found)


def test_the_model_is_asked_by_one_at_a_time() -> None:
    inside, most = [0], [0]

    def function(x: np.ndarray) -> np.ndarray:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.005)
        inside[0] -= 1
        return np.zeros((len(x), 3), np.float32) + x.sum(axis=1, keepdims=True)

    model = CallableModel(function, input_shape=(2,), num_classes=3, outputs="logits")
    with Server(model) as server:
        remote = RemoteModel(server.url)
        threads = [
            threading.Thread(target=remote.logits, args=(np.zeros((1, 2), np.float32),)) for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == [1] and remote.client.answered == 10


def test_connections_beyond_the_limit_are_told_to_come_later() -> None:
    with Server(MODEL, limits=Limits(connections=2)) as server:
        with connect(server) as one, connect(server) as two:
            for held in (one, two):
                held.sendall(request("GET", URL))
                assert read(held.makefile("rb"))[0] == 200
            with connect(server) as third:
                status, headers, body = read(third.makefile("rb"))
                assert status == 503 and headers["retry-after"] == "1" and b"too many" in body
        deadline = time.monotonic() + 10
        while talk(server, request("GET", URL))[0][0] != 200:
            assert time.monotonic() < deadline
    # A client with patience gets through.
    with Server(MODEL, limits=Limits(connections=1)) as server, connect(server) as held:
        held.sendall(request("GET", URL))
        read(held.makefile("rb"))
        threading.Timer(0.3, held.close).start()
        assert RemoteModel(server.url, remote=RemoteOptions(longest_pause=2)).num_classes == 10


@pytest.mark.parametrize(
    "start",
    [b"", b"GET", b"GET /v2 HTTP/1.1\r\nX: ", request("POST", f"{URL}/infer", Content_Length="100") + b"{"],
    ids=["silent", "line", "headers", "body"],
)
def test_slow_clients_are_let_go(start: bytes) -> None:
    """A byte at a time keeps no connection: the time is for the whole request."""
    with Server(MODEL, limits=Limits(wait=1.0, transfer=1.0)) as server, connect(server) as slow:
        slow.sendall(start)
        ended = False
        for _ in range(200):
            try:
                slow.sendall(b"x" if start else b"")
                slow.settimeout(0.05)
                ended = slow.recv(1000) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
            if ended:
                break
        assert ended
        assert talk(server, request("GET", URL))[0][0] == 200


def test_rude_clients_do_no_harm(capfd: pytest.CaptureFixture[str]) -> None:
    whole = request("POST", f"{URL}/infer", b'{"inputs": []}')
    with Server(MODEL) as server:
        for cut in range(0, len(whole), 7):
            with connect(server) as rude:
                rude.sendall(whole[:cut])
        with connect(server) as half:
            half.sendall(whole[:40])
            half.shutdown(socket.SHUT_WR)
            assert half.recv(1000).startswith(b"HTTP/1.1 411 ")
        assert talk(server, request("GET", URL))[0][0] == 200
    assert capfd.readouterr() == ("", "")


def test_requests_in_a_row_and_pipelined() -> None:
    body = json.dumps(inference(X[:1])).encode()
    raw = (request("POST", f"{URL}/infer", body) + request("GET", URL, b"unwanted")) * 3
    with Server(MODEL) as server:
        assert [status for status, _, _ in talk(server, raw, answers=6)] == [200] * 6
        assert talk(server, request("GET", URL, Connection="close"))[0][0] == 200


def test_close_lets_an_answer_finish() -> None:
    started = threading.Event()

    def function(x: np.ndarray) -> np.ndarray:
        started.set()
        time.sleep(0.2)
        return np.ones((len(x), 3), np.float32)

    server = Server(CallableModel(function, input_shape=(2,), num_classes=3, outputs="logits"))
    remote = RemoteModel(server.url, remote=RemoteOptions(retries=0))
    found: list[np.ndarray] = []
    asking = threading.Thread(target=lambda: found.append(remote.logits(np.zeros((1, 2), np.float32))))
    idle = connect(server)
    asking.start()
    assert started.wait(10)
    server.close()
    asking.join()
    assert len(found) == 1 and idle.recv(10) == b""
    idle.close()
    with pytest.raises(RemoteError, match="no connection"):
        remote.logits(np.zeros((1, 2), np.float32))


def test_what_cannot_be_served() -> None:
    with pytest.raises(InvalidArgument, match="input_shape"):
        Server(CallableModel(lambda x: x, name="f"))
    for name in ("a/b", "", "a\nb", "x" * 300):
        with pytest.raises(InvalidArgument, match="name"):
            Server(MODEL, name=name)
    with Server(MODEL) as server:
        port = int(server.url.split(":")[2].split("/")[0])
        with pytest.raises(InvalidArgument, match=f"cannot listen on 127.0.0.1 port {port}.*0 for"):
            Server(MODEL, port=port)
    for port in (-1, 70_000):
        with pytest.raises(InvalidArgument):
            Server(MODEL, port=port)
    with pytest.raises(InvalidArgument, match="cannot listen"):
        Server(MODEL, host="192.0.2.1")
    for limits in ({"batch": 0}, {"body": 0}, {"connections": 0}, {"wait": 0}, {"transfer": -1}):
        with pytest.raises(InvalidArgument):
            Limits(**limits)  # type: ignore[arg-type]


def test_the_limit_of_a_body_follows_from_the_model() -> None:
    limits = Limits(batch=100)
    assert limits.body_bytes(64) == 100 * 64 * 32 + 2**18
    assert limits.body_bytes(10**9) == 2**26 and Limits(body=7).body_bytes(10**9) == 7
