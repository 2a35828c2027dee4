"""VNN-LIB files: what is written is read again, known texts mean what they say, hostile ones are refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.defenses import vnnlib
from armour.errors import FormatError, InvalidArgument

HEAD = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n"
BOX = "(assert (>= X_0 0))(assert (<= X_0 1))(assert (<= X_1 0.5))(assert (>= X_1 -0.5))\n"
LESS = "(assert (<= Y_0 Y_1))"


def test_a_known_property() -> None:
    text = (
        HEAD
        + BOX
        + "; a comment (\n(assert (or (and (>= Y_0 1.5) (<= Y_1 (* 2 Y_0))) (and (>= Y_1 (+ Y_0 3)))))"
    )
    prop = vnnlib.parse(text)
    assert prop.low.tolist() == [0, -0.5] and prop.high.tolist() == [1, 0.5]
    first, second = prop.cases
    assert first.weights.tolist() == [[-1, 0], [-2, 1]] and first.limits.tolist() == [-1.5, 0]
    assert second.weights.tolist() == [[1, -1]] and second.limits.tolist() == [-3]
    outputs = np.array([[1.5, 3.0], [1.5, 3.1], [0, 3.0], [0, 2.9]])
    assert prop.violated(outputs).tolist() == [True, False, True, False]
    assert prop.contains(np.array([[0, 0.5], [1, 0.6]])).tolist() == [True, False]


def test_asserts_are_joined_by_and() -> None:
    more = "(assert (or (<= Y_0 0) (>= Y_0 1)))(assert (or (and (<= Y_1 0)) (and (>= Y_1 1) (<= Y_1 2))))"
    prop = vnnlib.parse(HEAD + BOX + more)
    assert len(prop.cases) == 4
    grid = np.array([[a, b] for a in (-1, 0.5, 2) for b in (-1, 0.5, 1.5, 3)], float)
    expected = [(a <= 0 or a >= 1) and (b <= 0 or 1 <= b <= 2) for a, b in grid]
    assert prop.violated(grid).tolist() == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(2, 5), st.floats(0, 2))
def test_a_sample_round_trips(
    tmp_path_factory: pytest.TempPathFactory, seed: int, d: int, k: int, eps: float
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 1, (1, d)).astype(np.float32), int(rng.integers(k))
    prop = vnnlib.robustness(x, y, eps, classes=k)
    path = tmp_path_factory.mktemp("v") / "p.vnnlib"
    vnnlib.write(path, prop, comment="digits 3\nüber")
    again = vnnlib.read(path)
    np.testing.assert_array_equal(again.low, prop.low)
    np.testing.assert_array_equal(again.high, prop.high)
    outputs = rng.normal(size=(50, k)).round(1)
    ranks = outputs - outputs[:, [y]]
    ranks[:, y] = -np.inf
    np.testing.assert_array_equal(again.violated(outputs), (ranks >= 0).any(axis=1))
    np.testing.assert_array_equal(prop.violated(outputs), again.violated(outputs))
    corners = np.clip(x.astype(np.float64) + eps * rng.choice([-1, 1], (20, d)), 0, 1)
    assert again.contains(corners).all()


def test_a_counterexample_is_checked_and_written(tmp_path: Path) -> None:
    prop = vnnlib.robustness(np.array([0.5, 0.5]), 0, 0.125, classes=2)
    path = tmp_path / "c.txt"
    vnnlib.write_counterexample(path, prop, np.array([0.6, 0.4]), np.array([1.0, 1.25]))
    text = path.read_text()
    assert text.startswith("sat\n((X_0 0.6)")
    pairs = dict(re.findall(r"\((\w+) ([^()\s]+)\)", text))
    assert {name: float(value) for name, value in pairs.items()} == {
        "X_0": 0.6,
        "X_1": 0.4,
        "Y_0": 1,
        "Y_1": 1.25,
    }
    for x, y in (([0.7, 0.4], [1.0, 1.25]), ([0.6, 0.4], [1.25, 1.0]), ([0.6], [1.0, 1.25])):
        with pytest.raises(InvalidArgument):
            vnnlib.write_counterexample(tmp_path / "no.txt", prop, np.array(x), np.array(y))
    assert not (tmp_path / "no.txt").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "to be declared"),
        (HEAD + BOX, "a condition of the outputs"),
        (HEAD + LESS, "a lower and an upper bound"),
        (HEAD + BOX + "(assert (>= X_0 2))" + LESS, "empty range for X_0"),
        (HEAD + BOX + "(assert (<= Y_0 Y_7))", "not declared"),
        (HEAD + BOX + "(assert (<= X_7 1))" + LESS, "declared input"),
        (HEAD + BOX + "(assert (<= X_0 Y_0))", "inputs or of outputs"),
        (HEAD + BOX + "(assert (or (<= X_0 1) (<= Y_0 1)))", "of their own"),
        (HEAD + BOX + "(assert (or (<= X_0 1) (>= X_0 2)))" + LESS, "one box"),
        (HEAD + BOX + "(assert (<= (* Y_0 Y_1) 1))", "linear expression"),
        (HEAD + BOX + "(assert (< Y_0 Y_1))", "expected (<= a b)"),
        (HEAD + BOX + "(assert (<= Y_0 1e999))", "finite"),
        (HEAD + BOX + "(assert (<= Y_0 nan))", "a number"),
        (HEAD + BOX + "(assert (<= 1 2))", "inputs or of outputs"),
        (HEAD + BOX + "(assert (or))", "expected (<= a b)"),
        ("(declare-const X_1 Real)", "declared next"),
        ("(declare-const X_0 Real)(declare-const X_0 Real)", "declared next"),
        ("(declare-const X_99999999999999999999 Real)", "X_i or Y_j"),
        ("(define-fun f () Real 1)", "declare-const"),
        ("exit", "in brackets"),
        ("(" * 100_000, "deep"),
        (HEAD + ")", "one ) too many"),
        (HEAD + "(assert ", "never closed"),
        (HEAD + BOX + "(assert (or (<= Y_0 0) (<= Y_1 0)))" * 40, "cases"),
        (HEAD + BOX + LESS + "\n(assert\n(foo\nbar))", "expected (<= a b)"),
    ],
)
def test_hostile_texts_are_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.vnnlib"
    path.write_text(text)
    with pytest.raises(FormatError, match=re.escape(message)) as caught:
        vnnlib.read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FormatError, match="cannot be read"):
        vnnlib.read(tmp_path / "none")
    path = tmp_path / "p"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FormatError, match="cannot be read"):
        vnnlib.read(path)
    monkeypatch.setattr(vnnlib, "MAX_BYTES", 1)
    with pytest.raises(FormatError, match="at most 1 bytes"):
        vnnlib.read(path)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [*"()", "assert", "<=", ">=", "or", "and", "+", "-", "*", "X_0", "Y_0", "1", "-2.5e3"]
        )
    )
)
def test_any_tokens_give_a_property_or_a_format_error(tokens: list[str]) -> None:
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))"
    try:
        prop = vnnlib.parse(f"{text}(assert (<= Y_0 1)) {' '.join(tokens)}")
    except FormatError:
        return
    assert prop.outputs == 1 and (prop.low <= prop.high).all()


def test_samples_that_make_no_property() -> None:
    for x, y, eps, k in (
        (np.ones(2), 2, 0.1, 2),
        (np.ones(2), 0, -1, 2),
        (np.full(2, np.nan), 0, 0.1, 2),
        (np.full(2, 9.0), 0, 0.1, 2),
    ):
        with pytest.raises(InvalidArgument):
            vnnlib.robustness(x, y, eps, classes=k)
