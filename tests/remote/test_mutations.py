"""Valid messages with bytes and values changed at random: each is read, or refused in one line.

20,000 answers at the client, 20,000 requests at the server; all distinct, and the same on every run.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from armour.model import CallableModel
from armour.remote.address import Address
from armour.remote.client import Client
from armour.remote.connection import Answer
from armour.remote.options import RemoteOptions
from armour.remote.scores import as_table, read_scores
from armour.remote.strict import WireError
from armour.remote.tensors import HEADER
from armour.serving.limits import Limits
from armour.serving.service import Refused, Service

CASES = 10_000
X = np.linspace(0, 1, 3 * 4, dtype=np.float32).reshape(3, 1, 2, 2)
VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 2.5, 1 << 40, 10**30, 1e308, "", "FP32", "INT64", "BOOL", "x" * 99, [], {}),
    *([1], [[1, 2], [3]], {"binary_data_size": 4}, [-1, 3], [3, 0], [0], float("nan"), float("inf")),
]


def nodes(tree: Any) -> list[tuple[Any, Any]]:
    """(container, key) of everything inside a JSON value, of the first few items of a list."""
    keys = list(tree) if isinstance(tree, dict) else range(min(len(tree), 4))
    found = [(tree, key) for key in keys]
    for key in keys:
        if isinstance(tree[key], (dict, list)):
            found += nodes(tree[key])
    return found


def mutated(text: bytes, blob: bytes, rng: np.random.Generator) -> tuple[bytes, str | None]:
    """A message with a value of its JSON exchanged or removed, or some bytes, or its length header."""
    kind = rng.integers(0, 4)
    if kind < 2:
        tree = json.loads(text)
        for _ in range(int(rng.integers(1, 3))):
            places = nodes(tree)
            container, key = places[int(rng.integers(len(places)))]
            if rng.random() < 0.2:
                del container[key]
            elif rng.random() < 0.2 and isinstance(container, list):
                container.append(container[key])
            else:
                container[key] = copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
            if not nodes(tree):
                break
        text = json.dumps(tree).encode()
    raw = bytearray(text + blob)
    if kind == 2:
        for at in rng.integers(0, len(raw), int(rng.integers(1, 5))):
            raw[at] = int(rng.choice(list(b'[]{}",:-0129e.\x00\xff tn')))
    length = None if not blob else str(len(text))
    if kind == 3:
        raw = raw[: int(rng.integers(0, len(raw) + 1))]
        length = [length, None, "0", "-1", "7", str(len(raw)), "9" * 30][int(rng.integers(7))]
    return bytes(raw), length


def check(text: bytes, blob: bytes, use: Callable[[bytes, str | None], bool], seed: int) -> tuple[int, int]:
    """How many of CASES mutants are read, and how many refused."""
    rng, seen, read = np.random.default_rng(seed), set(), 0
    while len(seen) < CASES:
        mutant = mutated(text, blob, rng)
        if mutant not in seen:
            seen.add(mutant)
            read += use(*mutant)
    return read, CASES - read


@pytest.mark.parametrize("binary", [False, True])
def test_answers(binary: bool) -> None:
    out = np.arange(9, dtype=np.float32)
    entry: dict[str, Any] = {"name": "s", "shape": [3, 3], "datatype": "FP32"}
    entry |= {"parameters": {"binary_data_size": 36}} if binary else {"data": out.tolist()}
    text = json.dumps({"model_name": "m", "outputs": [entry]}).encode()
    client = Client(Address("http", "127.0.0.1", 1), RemoteOptions())

    def use(body: bytes, length: str | None) -> bool:
        answer = Answer(200, {} if length is None else {HEADER.lower(): length}, body)
        try:
            table = as_table(read_scores(client, answer, 3, "s"), 3)
        except WireError as error:
            assert "\n" not in str(error) and len(str(error)) < 300
            return False
        assert len(table) == 3 and np.isfinite(table).all()
        return True

    read, refused = check(text, out.tobytes() if binary else b"", use, 11)
    assert read > 100 and refused > 5000


@pytest.mark.parametrize("binary", [False, True])
def test_requests(binary: bool) -> None:
    # A model that takes no time: what is tested stands in front of it.
    shape = {"input_shape": (1, 2, 2), "num_classes": 10, "outputs": "logits"}
    model = CallableModel(lambda x: np.zeros((len(x), 10), np.float32), **shape)
    service = Service(model, "m", Limits(batch=4), "0")
    entry: dict[str, Any] = {"name": "input", "shape": [3, 1, 2, 2], "datatype": "FP32"}
    entry |= {"parameters": {"binary_data_size": X.nbytes}} if binary else {"data": X.tolist()}
    text = json.dumps({"id": "1", "inputs": [entry], "outputs": [{"name": "logits"}]}).encode()

    def use(body: bytes, length: str | None) -> bool:
        headers = {} if length is None else {HEADER.lower(): length}
        try:
            reply = service.answer("infer", headers, body)
        except Refused as error:
            assert error.status in (400, 413) and len(str(error)) < 500
            return False
        assert reply.status == 200 and reply.headers["Content-Type"] == "application/json"
        return True

    read, refused = check(text, X.tobytes() if binary else b"", use, 12)
    assert read > 100 and refused > 3000
