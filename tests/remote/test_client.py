"""Asking a served model: pace, budget, retries, secrets, what is sent and how it is read."""

from __future__ import annotations

import json
import logging
import pickle
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
from http_fakes import METADATA, Fake, Reply, Request, guard, http, right, scores, tensor

import armour
from armour.errors import InvalidArgument, RemoteError, UnsupportedError
from armour.preprocessing import Preprocessing
from armour.remote import RemoteModel, RemoteOptions, client

X = np.linspace(0, 1, 5 * 4, dtype=np.float32).reshape(5, 1, 2, 2)


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    with guard():
        yield


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client would have slept; it does not."""
    found: list[float] = []
    monkeypatch.setattr(client.time, "sleep", found.append)
    return found


def model(fake: Fake, *, remote: dict[str, Any] | None = None, **options: Any) -> RemoteModel:
    options.setdefault("bounds", (0, 1))
    return RemoteModel(fake.url, remote=RemoteOptions(**{"timeout": 10.0, **(remote or {})}), **options)


# -- retries, pace and budget ----------------------------------------------------------------------------


def test_pauses_double_and_are_bounded(pauses: list[float]) -> None:
    with Fake(lambda request: http("", 503)) as fake:
        asked = model(fake, remote={"retries": 5, "backoff": 0.5, "longest_pause": 3.0})
        with pytest.raises(RemoteError, match="asked 6 times"):
            asked.logits(X)
    assert pauses == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_jitter_shortens_by_up_to_half(pauses: list[float]) -> None:
    with Fake(lambda request: http("", 503)) as fake:
        jitter = np.random.default_rng(5)
        with pytest.raises(RemoteError):
            model(fake, remote={"retries": 5, "backoff": 1.0, "jitter": jitter}).logits(X)
    again = np.random.default_rng(5)
    assert pauses == [2.0**i * again.uniform(0.5, 1.0) for i in range(5)]


@pytest.mark.parametrize(
    ("text", "pause"), [("2", 2.0), ("0", 0.5), ("never", 0.5), ("1e9", 0.5), ("-3", 0.5)]
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(text: str, pause: float, status: int, pauses: list[float]) -> None:
    def infer(request: Request) -> Reply:
        return http("", status, {"Retry-After": text}) if request.number == 0 else right(request)

    with Fake(infer) as fake:
        np.testing.assert_array_equal(model(fake).logits(X), scores(X))
    assert pauses == [pause]


def test_retry_after_as_a_date(pauses: list[float]) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    with Fake(lambda request: http("", 429, {"Retry-After": when})) as fake, pytest.raises(RemoteError):
        model(fake, remote={"retries": 1}).logits(X)
    assert len(pauses) == 1 and 30 < pauses[0] <= 40


def test_a_server_that_asks_for_too_long_a_pause_is_given_up(pauses: list[float]) -> None:
    with Fake(lambda request: http("", 429, {"Retry-After": "86400"})) as fake:
        with pytest.raises(
            RemoteError, match=r"status 429, and it asks to wait 86,400 s; asked once.*--rate"
        ):
            model(fake).logits(X)
        assert fake.inferred() == 1
    assert pauses == []


def test_the_budget_is_checked_before_sending() -> None:
    with Fake() as fake:
        asked = model(fake, remote={"budget": 12}, batch_size=5)
        asked.logits(X)
        asked.logits(X)
        with pytest.raises(RemoteError, match=r"budget of 12 samples is used up: 10 were sent and 5 more"):
            asked.logits(X)
        assert fake.inferred() == 2 and asked.client.sent == 10
        asked.logits(X[:2])
        assert asked.client.sent == asked.client.answered == 12


def test_retries_count_against_the_budget() -> None:
    with Fake(lambda request: http({"error": "sick"}, 500)) as fake:
        with pytest.raises(RemoteError, match=r"10 were sent and 5 more.*after: status 500 \(sick\)"):
            model(fake, remote={"budget": 12, "retries": 9, "backoff": 0}).logits(X)
        assert fake.inferred() == 2


def test_the_rate_spaces_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a clock that only moves when the client sleeps."""
    clock = [0.0]
    with Fake() as fake:
        asked = model(fake, remote={"rate": 4.0}, batch_size=1)
        monkeypatch.setattr(client.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(client.time, "sleep", lambda s: clock.__setitem__(0, clock[0] + s))
        asked.client._next = 0.0
        monkeypatch.setattr("armour.remote.deadline.time.monotonic", lambda: clock[0])
        asked.logits(X)
    assert clock[0] == pytest.approx(4 * 0.25)


def test_connections_are_used_again_and_remade() -> None:
    class Counting(Fake):
        connections = 0

        def _serve(self, connection: Any) -> None:
            self.connections += 1
            super()._serve(connection)

    with Counting() as fake:
        asked = model(fake, batch_size=1)
        asked.logits(X)
        assert fake.connections == 1
        for connection in fake._open:
            connection.shutdown(2)
        time.sleep(0.05)
        asked.logits(X)
        assert fake.connections == 2 and asked.client.sent == 10, "an ended connection costs no attempt"
        asked.close()
        asked.logits(X)
        assert fake.connections == 3


def test_threads_share_a_model() -> None:
    with Fake() as fake:
        asked = model(fake, batch_size=1)
        found: list[np.ndarray] = []
        threads = [threading.Thread(target=lambda: found.append(asked.logits(X))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8 and all(np.array_equal(one, scores(X)) for one in found)
        assert asked.client.sent == asked.client.answered == asked.counter.queries == 40
        copy = pickle.loads(pickle.dumps(asked.client))
        assert copy.address == asked.client.address and copy.sent == 0


# -- secrets ---------------------------------------------------------------------------------------------

SECRET = "s3cr3t-t0k3n"


def test_tokens_are_sent_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ARMOUR_TEST_TOKEN", SECRET)
    monkeypatch.setenv("ARMOUR_TEST_KEY", f"key-{SECRET}")
    caplog.set_level(logging.DEBUG)
    options = RemoteOptions(
        header_env=("ARMOUR_TEST_TOKEN", "X-Api-Key=ARMOUR_TEST_KEY"), headers={"X-Team": f"team-{SECRET}"}
    )
    echo = http({"error": f"who is {SECRET} and Bearer {SECRET}?"}, 403)
    with Fake(lambda request: right(request) if request.number == 0 else echo) as fake:
        asked = RemoteModel(fake.url, bounds=(0, 1), remote=options)
        asked.logits(X)
        with pytest.raises(RemoteError, match=r"who is \*\*\* and \*\*\*") as caught:
            asked.logits(X)
        for request in fake.requests:
            assert request.headers["authorization"] == f"Bearer {SECRET}"
            assert request.headers["x-api-key"] == f"key-{SECRET}"
            assert request.headers["x-team"] == f"team-{SECRET}"
        shown = [repr(options), repr(asked), str(asked.provenance), str(caught.value), caplog.text]
        assert SECRET not in "".join(shown) and SECRET.encode() not in pickle.dumps(asked.endpoint)


def test_a_token_without_encryption_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("ARMOUR_TEST_TOKEN", SECRET)
    options = RemoteOptions(header_env="ARMOUR_TEST_TOKEN")
    client.Client(client.Address("http", "127.0.0.1", 1), options)
    client.Client(client.Address("https", "example.org", 1), options)
    assert not caplog.records
    client.Client(client.Address("http", "example.org", 1), options)
    assert "without encryption" in caplog.text and SECRET not in caplog.text


@pytest.mark.parametrize("value", ["", "  ", "a\r\nX-Evil: 1", "é", "\x00"])
def test_headers_cannot_be_smuggled_in(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidArgument, match="ARMOUR_TEST_NONE"):
        RemoteOptions(header_env="ARMOUR_TEST_NONE")
    with pytest.raises(InvalidArgument, match="header X-A") as caught:
        RemoteOptions(headers={"X-A": value})
    assert "Evil" not in str(caught.value)
    for name in ("Host", "content-length", "Transfer-Encoding", "a b", "a:", "", "x\n"):
        with pytest.raises(InvalidArgument, match="name of a header"):
            RemoteOptions(headers={name: "v"})


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": float("nan")},
        {"retries": -1},
        {"retries": 1.5},
        {"backoff": -1},
        {"longest_pause": float("inf")},
        {"rate": 0},
        {"budget": 0},
        {"max_bytes": 0},
        {"encoding": "xml"},
        {"jitter": 3},
    ],
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        RemoteOptions(**options)


# -- addresses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://",
        "http://:80/v2",
        "ftp://host/v2/models/m",
        "http://user:pass@host/v2/models/m",
        "http://host/v2/models/m?key=1",
        "http://host/v2/models/m#x",
        "http://host:99999/v2/models/m",
        "http://host:0/v2/models/m",
        "http://[::1/v2",
        "http://ho st/v2/models/m",
        "http://host/v2/models/m\r\nX: y",
        "http://höst/v2/models/m",
        "http://host/v2/models/m/versions",
        "http://host/v2/other",
        "http://host/v2/models/m/versions/1/ready",
        "http://host/" + "a" * 3000,
    ],
)
def test_wrong_urls(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        RemoteModel(url, bounds=(0, 1))
    assert "\n" not in str(caught.value) and "pass" not in str(caught.value).replace("password", "")


@pytest.mark.parametrize("tail", ["/v2/models/fake", "/v2/models/fake/", "/v2/models/fake/infer"])
def test_urls_of_a_model(tail: str) -> None:
    with Fake() as fake:
        asked = RemoteModel(fake.server + tail, bounds=(0, 1))
        np.testing.assert_array_equal(asked.logits(X), scores(X))
        assert asked.name == "fake" and asked.provenance["url"] == fake.url


def test_a_prefix_and_a_version() -> None:
    def other(request: Request) -> Reply | None:
        if request.path == "/serving/a/v2/models/my%20net/versions/7":
            return http(METADATA)
        if request.path == "/serving/a/v2/models/my%20net/versions/7/infer":
            return right(request)
        return http("", 404)

    with Fake(other=other) as fake:
        asked = RemoteModel(f"{fake.server}/serving/a/v2/models/my%20net/versions/7", bounds=(0, 1))
        np.testing.assert_array_equal(asked.logits(X), scores(X))
        assert asked.name == "my net"


INDEXES: list[tuple[str, Any]] = [
    ("POST /v2/repository/index", [{"name": "fake", "version": "1", "state": "READY"}]),
    ("POST /v2/repository/index", [{"name": "fake"}, {"name": "old", "state": "UNAVAILABLE"}]),
    ("GET /v2/models", {"models": ["fake"]}),
]


@pytest.mark.parametrize(("where", "listed"), INDEXES)
@pytest.mark.parametrize("tail", ["", "/", "/v2", "/v2/models"])
def test_the_only_model_is_found(where: str, listed: Any, tail: str) -> None:
    def other(request: Request) -> Reply | None:
        if f"{request.method} {request.path}" == where:
            return http(listed)
        return None if "fake" in request.path or request.path == "/v2" else http("", 404)

    with Fake(other=other) as fake:
        assert RemoteModel(fake.server + tail, bounds=(0, 1)).provenance["url"] == fake.url


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ([{"name": "a"}, {"name": "b"}], "lists a, b"),
        ([], "lists none"),
        ({"models": 3}, "lists none"),
        ([3, {"name": 4}], "lists none"),
        ('"text"', "lists none"),
    ],
)
def test_no_only_model(listed: Any, expected: str) -> None:
    with (
        Fake(other=lambda request: http(listed) if "index" in request.path else None) as fake,
        pytest.raises(RemoteError, match=expected) as caught,
    ):
        RemoteModel(fake.server, bounds=(0, 1))
    assert f"name one: {fake.server}/v2/models/NAME" in str(caught.value)


# -- metadata --------------------------------------------------------------------------------------------


def changed(**changes: Any) -> dict[str, Any]:
    return METADATA | changes


IN, OUT = METADATA["inputs"][0], METADATA["outputs"][0]


def test_what_the_metadata_say() -> None:
    with Fake() as fake:
        asked = model(fake)
        assert (asked.input_shape, asked.num_classes, asked.name) == ((1, 2, 2), 3, "fake")
        assert asked.provenance["platform"] == "onnx" and asked.provenance["encoding"] == "json"
        assert not asked.can_grad and asked.endpoint.versions == ("3",)
        with pytest.raises(UnsupportedError, match="black box"):
            asked.loss_gradient(X, np.zeros(5, int))
        with pytest.raises(InvalidArgument, match=r"state it: bounds=\(0, 1\)"):
            RemoteModel(fake.url)
        with pytest.raises(InvalidArgument, match="bounds"):
            asked.logits(X + 1)


@pytest.mark.parametrize(
    ("metadata", "options", "error", "expected"),
    [
        (changed(inputs=[IN, IN | {"name": "z"}]), {}, InvalidArgument, "'x', 'z'"),
        (changed(inputs=[IN, IN | {"name": "z"}]), {"input": "x"}, UnsupportedError, "several inputs"),
        (changed(outputs=[OUT, OUT | {"name": "z"}]), {}, InvalidArgument, "state output=NAME"),
        (METADATA, {"output": "score"}, InvalidArgument, "did you mean scores"),
        (changed(inputs=[]), {}, InvalidArgument, "state input=NAME"),
        (changed(inputs=[IN | {"datatype": "BYTES"}]), {}, UnsupportedError, "BYTES"),
        (changed(inputs=[IN | {"datatype": "UINT8"}]), {}, InvalidArgument, "Preprocessing"),
        (METADATA, {"input_shape": (3, 2, 2)}, InvalidArgument, r"\(1, 2, 2\)"),
        (changed(inputs=[IN | {"shape": "x"}]), {}, RemoteError, "without a name and a shape"),
        (changed(inputs=[IN | {"shape": [-7]}]), {}, RemoteError, "without a name and a shape"),
        (changed(inputs=3), {}, RemoteError, "no list"),
        (changed(inputs=[None]), {}, RemoteError, "without a name and a shape"),
        (changed(inputs=[{"name": 3}]), {}, RemoteError, "without a name and a shape"),
        (changed(parameters=[]), {}, RemoteError, "parameters"),
        ([], {}, RemoteError, "no JSON object"),
        (METADATA, {"outputs": "votes"}, InvalidArgument, "outputs"),
    ],
)
def test_wrong_metadata(metadata: Any, options: dict[str, Any], error: Any, expected: str) -> None:
    with Fake(metadata=metadata) as fake, pytest.raises(error, match=expected) as caught:
        model(fake, **options)
    assert "\n" not in str(caught.value)


def test_a_server_without_a_root_or_metadata_of_tensors() -> None:
    with Fake(
        metadata={"name": "fake", "inputs": [], "outputs": []},
        other=lambda request: http("", 404) if request.path == "/v2" else None,
    ) as fake:
        assert model(fake, input="x", flatten=True).logits(X).shape == (5, 3)
        assert json.loads(fake.requests[-1].body)["inputs"][0]["shape"] == [5, 4]
        asked = model(fake, input="x")
        assert asked.input_shape is None and asked.num_classes is None
        np.testing.assert_array_equal(asked.logits(X), scores(X))
        assert asked.num_classes == 3 and asked.input_shape == (1, 2, 2)


# -- what is sent and how it is read ---------------------------------------------------------------------


def as_probabilities(request: Request) -> bytes:
    out = np.exp(scores(request.rows()).astype(np.float64))
    out /= out.sum(axis=1, keepdims=True)
    return http(tensor(out.tolist(), list(out.shape), "FP64"))


def as_labels(shape: tuple[int, ...]) -> Any:
    def infer(request: Request) -> bytes:
        out = scores(request.rows()).argmax(axis=1)
        return http(tensor(out.tolist(), [len(out), *shape], "INT64"))

    return infer


def test_probabilities_are_told() -> None:
    with Fake(as_probabilities) as fake:
        asked = model(fake)
        out = asked.logits(X)
        assert asked.provenance["outputs"].startswith("probabilities")
        expected = scores(X) - np.log(np.exp(scores(X)).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)
        assert model(fake, outputs="probabilities").provenance["url"]
        np.testing.assert_allclose(model(fake, outputs="logits").logits(X), np.exp(expected), rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("kind", ["auto", "labels"])
def test_labels_become_scores(shape: tuple[int, ...], kind: Any) -> None:
    metadata = changed(outputs=[OUT | {"datatype": "INT64", "shape": [-1, *shape]}])
    with Fake(as_labels(shape), metadata=metadata) as fake:
        asked = model(fake, num_classes=3, outputs=kind)
        np.testing.assert_array_equal(asked.logits(X), np.eye(3)[scores(X).argmax(axis=1)])
        assert asked.provenance["outputs"].startswith("labels")
        with pytest.raises(RemoteError, match="num_classes to be stated"):
            model(fake).logits(X)
        with pytest.raises(RemoteError, match=r"expected labels \(n,\) in 0\.\.1"):
            model(fake, num_classes=2).logits(X)


@pytest.mark.parametrize("sigmoid", [True, False])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_one_score_of_two_classes(sigmoid: bool, shape: tuple[int, ...]) -> None:
    def infer(request: Request) -> bytes:
        one = scores(request.rows())[:, 0] - 1
        return http(tensor((1 / (1 + np.exp(-one)) if sigmoid else one).tolist(), [len(one), *shape]))

    with Fake(infer, metadata=changed(outputs=[OUT | {"shape": [-1, *shape]}])) as fake:
        asked = model(fake)
        out, expected = asked.logits(X), scores(X)[:, 0] - 1
        np.testing.assert_allclose(out[:, 1] - out[:, 0], expected, rtol=1e-5, atol=1e-6)
        assert asked.num_classes == 2 and asked.provenance["outputs"].startswith("one ")


@pytest.mark.parametrize(
    "told",
    [
        {"armour.class_names": "[1, 2, 3]"},
        {"armour.class_names": '"abc"'},
        {"armour.class_names": '["a", "b"]'},
        {"armour.class_names": '["a", "b", "c\\u0000"]'},
        {"armour.class_names": "[" * 5000, "armour.data": "3", "armour.input_shape": "[-1]"},
        {"armour.class_names": 3, "armour.data": '"\\u001b"', "armour.input_shape": '["a"]'},
        {"armour.bounds": "[0, 1, 2]", "armour.input_shape": "[]"},
    ],
)
def test_what_a_server_says_of_itself_may_be_nonsense(told: dict[str, Any]) -> None:
    with Fake(metadata=changed(parameters=told)) as fake:
        asked = model(fake)
        assert asked.class_names == () and asked.input_shape == (1, 2, 2) and "data" not in asked.provenance
        with pytest.raises(InvalidArgument, match="bounds"):
            RemoteModel(fake.url)


def test_the_output_is_chosen_by_name() -> None:
    def infer(request: Request) -> bytes:
        out = scores(request.rows())
        both = tensor([0] * len(out), [len(out)], "INT64", "labels")["outputs"]
        return http({"outputs": both + tensor(out.tolist(), list(out.shape))["outputs"]})

    both = [OUT | {"name": "labels", "datatype": "INT64", "shape": [-1]}, OUT]
    with Fake(infer, metadata=changed(outputs=both)) as fake:
        np.testing.assert_array_equal(model(fake, output="scores").logits(X), scores(X))
        assert set(model(fake, output="labels", num_classes=3).predict(X)) == {0}


def test_a_fixed_batch_is_filled_up() -> None:
    sizes = []

    def infer(request: Request) -> bytes:
        sizes.append(len(request.rows()))
        return right(request)

    with Fake(infer, metadata=changed(inputs=[IN | {"shape": [2, 1, 2, 2]}])) as fake:
        asked = model(fake)
        np.testing.assert_array_equal(asked.logits(X), scores(X))
        assert sizes == [2, 2, 2] and asked.client.sent == 6 and asked.counter.queries == 5


def test_images_are_flattened_for_a_table() -> None:
    with Fake(metadata=changed(inputs=[IN | {"shape": [-1, 4]}])) as fake:
        asked = model(fake, input_shape=(1, 2, 2))
        np.testing.assert_array_equal(asked.logits(X), scores(X))
        assert model(fake).input_shape == (4,)


def test_preprocessing_is_done_before_sending() -> None:
    seen = []

    def infer(request: Request) -> bytes:
        seen.append(request)
        return http(tensor([0.0, 1.0, 2.0] * 2, [2, 3]))

    steps = Preprocessing(scale=255, dtype="uint8", layout="NHWC", channels="bgr")
    shape = {"shape": [-1, 2, 2, 3], "datatype": "UINT8"}
    x = np.linspace(0, 1, 2 * 12, dtype=np.float32).reshape(2, 3, 2, 2)
    with Fake(infer, metadata=changed(inputs=[IN | shape])) as fake:
        asked = model(fake, input_shape=(3, 2, 2), preprocessing=steps)
        asked.logits(x)
        assert asked.provenance["preprocessing"]["layout"] == "NHWC"
        with pytest.raises(InvalidArgument, match="layout='NHWC'"):
            model(fake, input_shape=(3, 2, 2), preprocessing=Preprocessing(dtype="uint8"))
    sent = seen[0].rows()
    assert b'"UINT8"' in seen[0].body
    np.testing.assert_array_equal(sent, np.rint(x * 255)[:, ::-1].transpose(0, 2, 3, 1))


@pytest.mark.parametrize("named", [True, False])
def test_the_binary_form(named: bool) -> None:
    """Written by hand from the extension's description: the sizes in the JSON, the bytes behind it."""
    import json

    def infer(request: Request) -> bytes:
        end = int(request.headers["inference-header-content-length"])
        head, raw = json.loads(request.body[:end]), request.body[end:]
        assert request.headers["content-type"] == "application/octet-stream"
        assert head["inputs"][0]["parameters"] == {"binary_data_size": len(raw) == 80 and 80}
        if named:
            assert head["outputs"] == [{"name": "scores", "parameters": {"binary_data": True}}]
        else:
            assert head["parameters"] == {"binary_data_output": True} and "outputs" not in head
        out = scores(np.array(struct.unpack("<20f", raw), np.float32).reshape(5, 4))
        entry = {
            "name": "scores",
            "shape": [5, 3],
            "datatype": "FP32",
            "parameters": {"binary_data_size": 60},
        }
        text = json.dumps({"outputs": [entry]}).encode()
        return http(text + out.tobytes(), 200, {"inference-header-content-length": str(len(text))})

    metadata = METADATA if named else changed(outputs=[])
    with Fake(infer, metadata=metadata, extensions=("sequence", "binary_tensor_data")) as fake:
        asked = model(fake)
        assert asked.provenance["encoding"] == "binary"
        np.testing.assert_array_equal(asked.logits(X), scores(X))
    with Fake(extensions=("binary_tensor_data",)) as fake:
        np.testing.assert_array_equal(model(fake, remote={"encoding": "json"}).logits(X), scores(X))


def test_the_fingerprint_is_asked_for_once() -> None:
    with Fake() as fake:
        one, two = model(fake), model(fake)
        assert one.fingerprint == two.fingerprint and one.fingerprint == one.fingerprint
        assert one.client.sent == 16 and len(one.fingerprint) == 64

    def other(request: Request) -> bytes:
        out = -scores(request.rows())
        return http(tensor(out.tolist(), list(out.shape)))

    with Fake(other) as fake:
        assert model(fake).fingerprint != one.fingerprint


def test_wrap_takes_a_url() -> None:
    with Fake() as fake:
        asked = armour.wrap(fake.url, bounds=(0, 1), name="mine", remote=RemoteOptions(budget=5))
        assert isinstance(asked, RemoteModel) and asked.name == "mine"
        np.testing.assert_array_equal(asked.logits(X), scores(X))
        with pytest.raises(InvalidArgument, match="no such setting"):
            armour.wrap(fake.url, bounds=(0, 1), steps=3)
        with pytest.raises(InvalidArgument, match="state it: bounds"):
            armour.wrap(fake.url)
