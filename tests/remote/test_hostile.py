"""Whatever a server does, a call ends in one line, within its time, and takes little memory."""

from __future__ import annotations

import json
import re
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from http_fakes import CLASSES, CLOSE, RESET, Fake, Reply, Request, guard, http, right, scores, tensor

from armour.errors import RemoteError
from armour.remote import RemoteModel, RemoteOptions

X = np.linspace(0, 1, 5 * 4, dtype=np.float32).reshape(5, 1, 2, 2)
FINE = scores(X).reshape(-1).tolist()


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    before = set(threading.enumerate())  # servers that other tests of this process keep
    with guard():
        yield
    assert not [t for t in threading.enumerate() if t.name == "armour-serve" and t not in before]


def model(fake: Fake, **options: Any) -> RemoteModel:
    """A model whose metadata are read with patience; only then the timeout holds."""
    options = {"timeout": 10.0, "retries": 2, "backoff": 0.01, "max_bytes": 100_000} | options
    asked = RemoteModel(fake.url, bounds=(0, 1), remote=RemoteOptions(**options | {"timeout": 10.0}))
    asked.client.options = RemoteOptions(**options)
    return asked


def failure(infer: Callable[[Request], Reply], **options: Any) -> tuple[RemoteError, int]:
    """The error of a call, and how often the server was asked."""
    with Fake(infer) as fake:
        asked = model(fake, **options)
        with pytest.raises(RemoteError) as caught:
            asked.logits(X)
        text = str(caught.value)
        assert "\n" not in text and text.startswith(f"{fake.url}/infer: ") and len(text) < 600
        assert caught.value.url == f"{fake.url}/infer" and caught.value.exit_code == 2
        assert caught.value.attempts == fake.inferred() and asked.counter.queries == 0
        return caught.value, fake.inferred()


def with_data(data: str, shape: str = "[5,3]", datatype: str = "FP32") -> bytes:
    """An answer whose data are this text."""
    head = f'{{"outputs":[{{"name":"scores","shape":{shape},"datatype":"{datatype}","data":'
    return http(f"{head}{data}}}]}}")


NUMBERS = json.dumps(FINE)
WRONG: dict[str, tuple[Reply, str]] = {
    "wrong shape": (http(tensor(FINE, [3, 5])), "3 rows of scores for 5 samples"),
    "fewer rows": (http(tensor(FINE[:-3], [4, 3])), "4 rows of scores for 5 samples"),
    "more rows": (http(tensor(FINE + FINE[:3], [6, 3])), "6 rows of scores for 5 samples"),
    "other classes": (http(tensor(FINE[:10], [5, 2])), "2 scores for each sample where 3 classes"),
    "one score": (http(tensor(FINE[:5], [5, 1])), "expected 3 logits per sample"),
    "three axes": (http(tensor(FINE * 2, [5, 3, 2])), "(5, 3, 2)"),
    "fewer values than the shape": (http(tensor(FINE[:-1], [5, 3])), "14 values where the shape says 15"),
    "negative shape": (http(tensor(FINE, [-5, -3])), "a shape that is no list of sizes"),
    "absurd shape": (http(tensor(FINE, [5, 1 << 60])), "more than"),
    "shape of text": (with_data(NUMBERS, '"5"'), "a shape that is no list of sizes"),
    "no shape": (http({"outputs": [{"name": "scores", "datatype": "FP32", "data": FINE}]}), "a shape"),
    "unknown datatype": (with_data(NUMBERS, datatype="BYTES"), "the datatype 'BYTES'"),
    "NaN": (with_data(NUMBERS.replace("0.0", "NaN", 1)), "NaN, which JSON does not have"),
    "Infinity": (with_data(NUMBERS.replace("0.0", "-Infinity", 1)), "-Infinity, which JSON does not have"),
    "a number beyond": (with_data(NUMBERS.replace("0.0", "1e999", 1)), "NaN or infinity in the scores of 1"),
    "beyond float32": (with_data(NUMBERS.replace("0.0", "1e200", 1), datatype="FP64"), "float32"),
    "null": (with_data(NUMBERS.replace("0.0", "null", 1)), "no numbers"),
    "text for numbers": (with_data('["a","b","c"]', "[1,3]"), "no numbers"),
    "long texts": (with_data(json.dumps(["x" * 50_000, *"abcdefghijklmn"])), "no numbers"),
    "true for a number": (with_data(NUMBERS.replace("0.0", "true", 1)), "no numbers"),
    "a number of 70 bits": (with_data(NUMBERS.replace("0.0", "2361183241434822606848", 1)), "answer has"),
    "depth of 20": (with_data("[" * 20 + NUMBERS + "]" * 20), "1 values where"),
    "ragged": (with_data("[[1,2],[3]]"), "rows differ in length"),
    "no data": (with_data("{}"), "without a list of data"),
    "no outputs": (http({"model_name": "fake"}), "no list of tensors"),
    "another output": (http(tensor(FINE, [5, 3], name="other")), "without one output 'scores'"),
    "the output twice": (http({"outputs": tensor(FINE, [5, 3])["outputs"] * 2}), "without one output"),
    "a list": (http([1, 2]), "JSON that is no object but list"),
    "a name twice": (http('{"outputs":[],"outputs":[]}'), "a name twice"),
    "invalid JSON": (http('{"outputs": ['), "not JSON"),
    "nothing": (http(b""), "not JSON"),
    "not UTF-8": (http(b'{"outputs": "\xff\xfe"}'), "not UTF-8"),
    "deep nesting": (http(b"[" * 50_000), "nested too deeply"),
    "a number of 50,000 digits": (with_data("[" + "9" * 50_000 + "]"), "not JSON"),
    "an HTML page": (http("<html>hi</html>", 200, {"Content-Type": "text/html; charset=x"}), "an HTML page"),
    "gzip": (http(b"\x1f\x8b\x08", 200, {"Content-Encoding": "gzip"}), "compressed ('gzip')"),
    "length of JSON beyond": (
        http(tensor(FINE, [5, 3]), 200, {"Inference-Header-Content-Length": "99999"}),
        "whose Inference-Header-Content-Length says 99,999",
    ),
    "length of JSON is text": (
        http(tensor(FINE, [5, 3]), 200, {"Inference-Header-Content-Length": "-1"}),
        "which is no length",
    ),
    "bytes behind": (
        http(
            json.dumps(tensor(FINE, [5, 3])).encode() + b"more",
            200,
            {"Inference-Header-Content-Length": str(len(json.dumps(tensor(FINE, [5, 3]))))},
        ),
        "4 bytes behind the last tensor",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_refused_at_once(name: str) -> None:
    answer, expected = WRONG[name]
    error, asked = failure(lambda request: answer)
    assert expected in str(error) and asked == 1
    assert error.status == 200 and "asked once, 0 samples were answered before" in str(error)


def binary(size: int, values: np.ndarray) -> bytes:
    """An answer in the binary form that announces `size` bytes."""
    entry = {"name": "scores", "shape": [5, 3], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    text = json.dumps({"outputs": [entry]}).encode()
    return http(text + values.tobytes(), 200, {"Inference-Header-Content-Length": str(len(text))})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (binary(60, np.full((5, 3), np.nan, np.float32)), "NaN or infinity in the scores of 5 of 5 samples"),
        (binary(60, np.full((5, 3), -np.inf, np.float32)), "NaN or infinity in the scores of 5 of 5 samples"),
        (binary(61, np.zeros((5, 3), np.float32)), "a binary_data_size that does not fit the 60 bytes"),
        (binary(-1, np.zeros((5, 3), np.float32)), "a binary_data_size that does not fit"),
        (binary(56, np.zeros((5, 3), np.float32)), "4 bytes behind the last tensor"),
        (binary(48, np.zeros((4, 3), np.float32)), "48 bytes for shape (5, 3) of FP32"),
    ],
)
def test_wrong_binary_answers(answer: bytes, expected: str) -> None:
    assert expected in str(failure(lambda request: answer)[0])


def test_timeouts_are_retried_and_end() -> None:
    with Fake() as fake:
        fake.infer = lambda request: fake.hang()
        asked = model(fake, timeout=0.2)
        with pytest.raises(RemoteError, match=r"timed out; asked 3 times, 0 samples.*--timeout") as caught:
            asked.logits(X)
    assert (caught.value.attempts, caught.value.status) == (3, 0)


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
        (b"HTTP/1.1 200 OK", b"x"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["chunks", "body", "headers", "status line", "continue"],
)
def test_a_server_that_drips_is_timed_out(start: bytes, piece: bytes) -> None:
    """Each byte comes in time, the whole never does: the deadline is for all of it."""
    with Fake() as fake:
        fake.infer = lambda request: fake.drip(start, piece, 0.005)
        with pytest.raises(RemoteError, match=r"timed out|100 headers"):
            model(fake, timeout=0.3, retries=0).logits(X)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (CHUNKED, b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"),
        (CHUNKED + b"ffffffffffff\r\n", b"x" * 65_536),
        (CHUNKED + b"-1\r\n", b"x" * 65_536),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
        (b"HTTP/1.1 200 OK\r\n", b"A: " + b"b" * 60_000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nA: ", b"x" * 65_536),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    ],
    ids=["chunks", "one chunk", "negative chunk", "no length", "headers", "one header", "continue"],
)
def test_an_endless_answer_ends(start: bytes, piece: bytes) -> None:
    with Fake() as fake:
        fake.infer = lambda request: fake.drip(start, piece, 0)
        with pytest.raises(RemoteError) as caught:
            model(fake, timeout=10, retries=0).logits(X)
    assert "timed out" not in str(caught.value)


def test_a_huge_content_length_is_refused_unread() -> None:
    error, asked = failure(lambda request: http(b"{}", length=1 << 50))
    assert "an answer of more than 100,000 bytes" in str(error) and asked == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([RESET], "Connection reset"),
        ([http(b"{", length=100)[:-1], RESET], "reset|middle"),
        ([http(b"{", length=100), CLOSE], "middle of the answer"),
        ([CHUNKED + b"5\r\nab", CLOSE], "middle of the answer"),
        ([CHUNKED + b"zz\r\nab", CLOSE], "middle of the answer|literal"),
        ([CLOSE], "without response"),
        ([b"SMTP ready\r\n", CLOSE], "SMTP ready"),
        ([b"\x16\x03\x01\x00\x00", CLOSE], r"asked 3 times"),
        ([http({"error": "it broke"}, 500)], r"status 500 \(it broke\)"),
        ([http("<html>502</html>", 502, {"Content-Type": "text/html"})], r"status 502 \(an HTML page\)"),
        ([http(b"\xff", 503)], r"status 503 \(not UTF-8\)"),
        ([http("", 504)], "status 504; asked"),
        ([http("Out of\n order", 500, {"Content-Type": "text/plain"})], r"status 500 \(Out of order\)"),
        ([http({"detail": ["no", 1]}, 500)], r"status 500 \(\['no', 1\]\)"),
        ([http([], 500)], r"status 500; asked"),
    ],
)
def test_what_may_pass_is_retried(answer: list[bytes], expected: str) -> None:
    error, asked = failure(lambda request: list(answer))
    assert asked == 3 and "asked 3 times" in str(error)
    assert re.search(expected, str(error)), str(error)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "status 400 (bad shape); asked once"),
        (401, "--header-env"),
        (403, "--header-env"),
        (404, "check the model's name"),
        (413, "smaller batch_size"),
        (301, "a redirect, which is refused"),
        (307, "a redirect, which is refused"),
        (418, "status 418"),
        (501, "status 501"),
    ],
)
def test_what_will_not_pass_is_not_retried(status: int, expected: str) -> None:
    body = {"error": "bad\n shape"}
    error, asked = failure(lambda request: http(body, status, {"Location": "http://127.0.0.1:1/x"}))
    assert asked == 1 and error.status == status and expected in str(error)


def test_errors_then_an_answer() -> None:
    def infer(request: Request) -> Reply:
        sick: list[Reply] = [http("", 500), [RESET], http("", 429)]
        return sick[request.number] if request.number < len(sick) else right(request)

    with Fake(infer) as fake:
        asked = model(fake, retries=3)
        np.testing.assert_array_equal(asked.logits(X), scores(X))
        assert fake.inferred() == 4 and asked.client.answered == 5 and asked.client.sent == 20


def test_what_was_answered_before_is_said() -> None:
    def infer(request: Request) -> Reply:
        return right(request) if request.number < 2 else http("", 500)

    with Fake(infer) as fake:
        asked = model(fake)
        asked.batch_size = 2
        with pytest.raises(RemoteError, match="asked 3 times, 4 samples were answered before") as caught:
            asked.logits(X)
        assert caught.value.answered == 4


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\r\nb", "é" * 500, '"', "x" * 10_000])
def test_the_servers_words_cannot_break_the_line(text: str) -> None:
    error, _ = failure(lambda request: http({"error": text}, 400))
    assert str(error).isascii() and str(error).isprintable()


def test_a_struct_of_zeros_is_no_score_table() -> None:
    """Whole numbers of another kind than the metadata say are read as what they are."""
    raw = struct.pack("<15q", *range(15))
    entry = {"name": "scores", "shape": [5, 3], "datatype": "INT64", "parameters": {"binary_data_size": 120}}
    text = json.dumps({"outputs": [entry]}).encode()
    answer = http(text + raw, 200, {"Inference-Header-Content-Length": str(len(text))})
    with Fake(lambda request: answer) as fake:
        out = model(fake).logits(X)
    assert out.dtype == np.float32 and out.shape == (5, CLASSES)
    np.testing.assert_array_equal(out, np.arange(15).reshape(5, 3))
