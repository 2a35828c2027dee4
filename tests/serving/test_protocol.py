"""A served model against requests written by hand from the protocol's description."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import small_models
from http_fakes import guard
from http_requests import inference, request, talk

from armour.model import CallableModel, ModuleModel
from armour.serving import Limits, Server

X, Y = small_models.digits(60)
URL = "/v2/models/centroids"


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    with guard():
        yield


@pytest.fixture(scope="module")
def model() -> ModuleModel:
    net = small_models.centroids(X, Y)
    net.provenance["data"] = {"name": "digits"}
    return net


@pytest.fixture(scope="module")
def server(model: ModuleModel) -> Iterator[Server]:
    with Server(model, limits=Limits(batch=32, body=60_000, wait=20, transfer=20)) as running:
        yield running


def ask(server: Server, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and JSON of one request."""
    raw = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
    status, found, content = talk(server, request(method, path, raw, **headers))[0]
    assert found["content-type"] == "application/json" and b"\n" not in content
    return status, json.loads(content)


def test_health(server: Server) -> None:
    paths = ["/v2/health/live", "/v2/health/ready", f"{URL}/ready", f"{URL}/versions/1/ready"]
    answers = talk(server, b"".join(request("GET", path) for path in paths), answers=4)
    assert [(status, body) for status, _, body in answers] == [(200, b"")] * 4


def test_metadata(server: Server) -> None:
    status, found = ask(server, "GET", "/v2")
    assert status == 200 and found["name"] == "armour" and found["extensions"] == ["binary_tensor_data"]
    status, found = ask(server, "GET", URL)
    assert status == 200 and (found["name"], found["versions"]) == ("centroids", ["1"])
    assert found["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 1, 8, 8]}]
    assert found["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}]
    assert json.loads(found["parameters"]["armour.bounds"]) == [0, 1]
    assert json.loads(found["parameters"]["armour.data"]) == "digits"
    assert ask(server, "GET", f"{URL}/versions/1") == (200, found)


def test_the_list_of_models(server: Server) -> None:
    entry = {"name": "centroids", "version": "1", "state": "READY", "reason": ""}
    assert ask(server, "POST", "/v2/repository/index", {}) == (200, [entry])
    assert ask(server, "GET", "/v2/models") == (200, {"models": ["centroids"]})


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("path", [f"{URL}/infer", f"{URL}/versions/1/infer", "/v2/models/centroid%73/infer"])
def test_inference_in_json(server: Server, model: ModuleModel, nested: bool, path: str) -> None:
    body = inference(X[:5], id="a-1", outputs=[{"name": "logits"}])
    if not nested:
        body["inputs"][0]["data"] = X[:5].reshape(-1).tolist()
    status, found = ask(server, "POST", path, body)
    assert status == 200 and found["id"] == "a-1" and found["model_name"] == "centroids"
    (out,) = found["outputs"]
    assert (out["name"], out["datatype"], out["shape"]) == ("logits", "FP32", [5, 10])
    np.testing.assert_array_equal(np.array(out["data"], np.float32).reshape(5, 10), model.logits(X[:5]))


def test_inference_in_binary(server: Server, model: ModuleModel) -> None:
    raw = struct.pack("<192f", *X[:3].reshape(-1).tolist())
    entry = {"name": "input", "shape": [3, 1, 8, 8], "datatype": "FP32"}
    entry["parameters"] = {"binary_data_size": len(raw)}
    for more in (
        {"outputs": [{"name": "logits", "parameters": {"binary_data": True}}]},
        {"parameters": {"binary_data_output": True}},
    ):
        text = json.dumps({"inputs": [entry], **more}).encode()
        sent = request(
            "POST", f"{URL}/infer", text + raw, Inference_Header_Content_Length=str(len(text)),
            Content_Type="application/octet-stream",
        )  # fmt: skip
        status, headers, body = talk(server, sent)[0]
        assert status == 200 and headers["content-type"] == "application/octet-stream"
        end = int(headers["inference-header-content-length"])
        (out,) = json.loads(body[:end])["outputs"]
        assert out["parameters"] == {"binary_data_size": 120} and "data" not in out
        found = np.array(struct.unpack("<30f", body[end:]), np.float32).reshape(3, 10)
        np.testing.assert_array_equal(found, model.logits(X[:3]))


def test_an_empty_batch(server: Server) -> None:
    status, found = ask(server, "POST", f"{URL}/infer", inference(X[:0].reshape(0, 1, 8, 8)))
    assert status == 200 and found["outputs"][0]["shape"] == [0, 10] and found["outputs"][0]["data"] == []


def wrong(**changes: Any) -> dict[str, Any]:
    body = inference(X[:2])
    body["inputs"][0] |= changes
    return body


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (wrong(name="x"), 400, "one input named 'input'"),
        (wrong(shape=[2, 64]), 400, "expected shape [n, 1, 8, 8]"),
        (wrong(shape=[2, 1, 8, 9]), 400, "expected shape"),
        (wrong(shape="2"), 400, "expected shape"),
        (wrong(shape=[-2, 1, 8, 8]), 400, "no list of sizes"),
        (wrong(shape=[2.0, 1, 8, 8]), 400, "no list of sizes"),
        (wrong(shape=[10**30, 1, 8, 8]), 413, "at most 32 samples"),
        (wrong(shape=[33, 1, 8, 8]), 413, "at most 32 samples"),
        (wrong(shape=[3, 1, 8, 8]), 400, "128 values where the shape says 192"),
        (wrong(datatype="FP64"), 400, "as FP32"),
        (wrong(datatype=None), 400, "as FP32"),
        (wrong(data=["a"] * 128), 400, "no numbers"),
        (wrong(data=[[1, 2], [3]]), 400, "differ in length"),
        (wrong(data=None), 400, "without a list of data"),
        (wrong(data=[2.0] * 128), 400, "inside the model's bounds"),
        (wrong(parameters={"binary_data_size": 512}), 400, "binary_data_size"),
        (wrong(parameters=3), 400, "parameters that are no object"),
        ({"inputs": []}, 400, "one input"),
        ({"inputs": 3}, 400, "no list of tensors"),
        ({}, 400, "no list of tensors"),
        ([], 400, "no object"),
        (inference(X[:2], outputs=[{"name": "other"}]), 400, "only output is named 'logits'"),
        (inference(X[:2], outputs="logits"), 400, "outputs"),
        (inference(X[:2], outputs=[{"name": "logits", "parameters": {"binary_data": 3}}]), 400, "neither"),
        (b'{"inputs": [', 400, "not JSON"),
        (b"", 400, "not JSON"),
        (b"\xff", 400, "not UTF-8"),
        (b"[" * 50_000, 400, "nested too deeply"),
        (json.dumps(wrong(data=[0.5] * 128)).replace("0.5", "NaN", 1).encode(), 400, "NaN"),
        (json.dumps(wrong(data=[0.5] * 128)).replace("0.5", "1e999", 1).encode(), 400, "NaN or infinity"),
        (b'{"inputs":[],"inputs":[]}', 400, "a name twice"),
        (b"x" * 60_001, 413, "at most 60,000 bytes"),
    ],
)  # fmt: skip
def test_wrong_requests(server: Server, body: Any, status: int, expected: str) -> None:
    got, found = ask(server, "POST", f"{URL}/infer", body)
    assert got == status and list(found) == ["error"] and expected in found["error"], found
    assert "Traceback" not in found["error"] and len(found["error"]) <= 500


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/models", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", f"{URL}/versions/2", 404),
        ("GET", f"{URL}/versions", 404),
        ("GET", f"{URL}/stats", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", "/v2/../../etc/passwd", 404),
        ("GET", "/v2/models/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/v2/%00", 404),
        ("GET", f"{URL}/infer", 405),
        ("POST", "/v2", 405),
        ("POST", f"{URL}/ready", 405),
        ("GET", "/v2/repository/index", 405),
        ("PUT", URL, 405),
        ("DELETE", URL, 405),
        ("OPTIONS", "*", 405),
        ("BREW", URL, 405),
    ],
)
def test_wrong_paths_and_methods(server: Server, method: str, path: str, status: int) -> None:
    got, headers, body = talk(server, request(method, path, b"{}" if method == "POST" else None))[0]
    assert got == status and list(json.loads(body)) == ["error"]
    assert ("allow" in headers) == (status == 405)


def test_head_is_refused_without_a_body_that_would_confuse(server: Server) -> None:
    host, port = server.url.split("/")[2].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request("HEAD", URL))
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 405 ")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (request("POST", f"{URL}/infer"), 411),
        (request("POST", f"{URL}/infer", Transfer_Encoding="chunked") + b"2\r\n{}\r\n0\r\n\r\n", 411),
        (request("POST", f"{URL}/infer", Content_Length="-1"), 400),
        (request("POST", f"{URL}/infer", Content_Length="+2") + b"{}", 400),
        (request("POST", f"{URL}/infer", Content_Length="9" * 5000), 413),
        (request("POST", f"{URL}/infer", b"{}", Content_Length="3"), 400),
        (request("POST", f"{URL}/infer", b"{}", Content_Type="text/plain"), 415),
        (request("POST", f"{URL}/infer", b"{}", Content_Type="application/x-www-form-urlencoded"), 415),
        (request("POST", f"{URL}/infer", b"{}", Inference_Header_Content_Length="9"), 400),
        (request("GET", URL).replace(b"Host: 127.0.0.1", b"Host: evil.example"), 403),
        (request("GET", URL).replace(b"Host: 127.0.0.1", b"Host: 127.0.0.1.evil.example:80"), 403),
        (request("GET", URL).replace(b"Host: 127.0.0.1", b"Host: [::"), 403),
        (request("GET", URL, **{f"X{i}": "y" for i in range(150)}), 431),
        (request("GET", URL, X="y" * 70_000), 431),
        (request("GET", "/" + "a" * 70_000), 414),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
)
def test_wrong_headers(server: Server, raw: bytes, status: int) -> None:
    got, headers, body = talk(server, raw)[0]
    assert got == status and list(json.loads(body)) == ["error"] and headers["connection"] == "close"


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1:80", "[::1]:80", "127.8.8.8"])
def test_names_of_this_machine(server: Server, host: str) -> None:
    assert talk(server, request("GET", URL).replace(b"127.0.0.1", host.encode()))[0][0] == 200


def failing(error: Exception) -> CallableModel:
    def function(x: np.ndarray) -> np.ndarray:
        raise error

    return CallableModel(function, input_shape=(2,), num_classes=3, name="failing")


def test_a_model_that_fails_says_nothing_of_its_inside(caplog: pytest.LogCaptureFixture) -> None:
    with Server(failing(ZeroDivisionError("/home/secret/path"))) as running:
        status, found = ask(running, "POST", "/v2/models/failing/infer", inference(np.zeros((1, 2))))
    assert status == 500 and "secret" not in found["error"] and "secret" in caplog.text


def test_scores_that_json_does_not_have() -> None:
    def function(x: np.ndarray) -> np.ndarray:
        return np.full((len(x), 3), np.nan)

    model = CallableModel(function, input_shape=(2,), num_classes=3, name="nan", outputs="logits")
    with Server(model) as running:
        body = inference(np.zeros((1, 2)))
        status, found = ask(running, "POST", "/v2/models/nan/infer", body)
        assert status == 500 and "NaN" in found["error"]
        raw = json.dumps(body | {"parameters": {"binary_data_output": True}}).encode()
        status, headers, content = talk(running, request("POST", "/v2/models/nan/infer", raw))[0]
    assert status == 200
    assert np.isnan(np.frombuffer(content[int(headers["inference-header-content-length"]) :], "<f4")).all()
