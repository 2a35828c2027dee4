"""Tables with commas: labels found, pixels recognised, everything else refused with its row."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour import tables
from armour.bounds import Bounds
from armour.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 64), np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0])


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "a.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def lines(header: str | None = None, last: bool = True) -> str:
    rows = [[*p, y] if last else [y, *p] for p, y in zip(PIXELS, LABELS, strict=True)]
    return "\n".join([*([header] if header else []), *(",".join(map(str, row)) for row in rows)]) + "\n"


@pytest.mark.parametrize(
    "text",
    [
        lines(),
        lines().rstrip("\n"),
        lines().replace("\n", "\r\n"),
        lines("label," + ",".join(f"pixel{i}" for i in range(64)), last=False),
        lines(",".join(f"1x{i}" for i in range(64)) + ",Class"),
        lines(",".join(f"p{i}" for i in range(64)) + ",what"),
        lines().replace(",", ", "),
        "\ufeff" + lines(),
    ],
)
def test_pixels(tmp_path: Path, text: str) -> None:
    for raw in (text.encode(), gzip.compress(text.encode())):
        found = tables.read_csv(write(tmp_path, raw))
        np.testing.assert_array_equal(
            found.x, PIXELS.reshape(6, 1, 8, 8).astype(np.float32) / np.float32(255)
        )
        np.testing.assert_array_equal(found.y, LABELS)


def test_features_stay_as_they_are(tmp_path: Path) -> None:
    found = tables.read_csv(write(tmp_path, "a,b,target\n0.5,1,0\n0.25,0,1\n"))
    np.testing.assert_array_equal(found.x, np.array([[0.5, 1], [0.25, 0]], np.float32))
    assert found.bounds == Bounds(0, 1) and found.class_names == ()
    wide = tables.read_csv(write(tmp_path, "3,-7,0\n40,2,1\n"), Bounds(-50, 50))
    np.testing.assert_array_equal(wide.x, [[3, -7], [40, 2]])
    with pytest.raises(DataError, match="state the range with bounds="):
        tables.read_csv(write(tmp_path, "3,7,0\n40,2,1\n"))


def test_labels_that_are_names(tmp_path: Path) -> None:
    found = tables.read_csv(write(tmp_path, 'x,class\n0.1,dog\n0.2,"cat, grey"\n0.3,dog\n'))
    assert found.class_names == ("cat, grey", "dog") and list(found.y) == [1, 0, 1]


@given(st.integers(2, 9), st.lists(st.integers(0, 999), min_size=1, max_size=60))
def test_whole_numbers_without_a_loop(width: int, numbers: list[int]) -> None:
    numbers = numbers[: len(numbers) // width * width] or [5] * width
    table = np.array(numbers).reshape(-1, width)
    text = "\n".join(",".join(map(str, row)) for row in table).encode()
    np.testing.assert_array_equal(tables._whole_numbers(text), table)
    np.testing.assert_array_equal(tables._whole_numbers(text + b"\n"), table)


@pytest.mark.parametrize(
    "text",
    [
        "1,2\n3\n",
        "1,2\n\n3,4\n",
        "1,2\n3,4,5\n",
        "1,1000\n",
        "1,\n",
        ",1\n",
        "1\n",
        "1.5,2\n",
        "-1,2\n",
        "\n",
    ],
)
def test_other_text_is_left_to_the_slow_way(text: str) -> None:
    assert tables._whole_numbers(text.encode()) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,0\n3,1\n", "row 2 has 2 columns instead of 3"),
        ("a,b,label\n1,2,0\n3,1\n", "row 3 has 2 columns"),
        ("a,b,label\n1,2\n", "row 2 has 2 columns instead of 3"),
        ("a,b,label\n", "at least one row"),
        ("0.1,x,0\n0.2,0.3,1\n", "expected numbers in every column but the label"),
        ("0.1,,0\n0.2,0.3,1\n", "expected numbers"),
        ("0.1,nan,0\n0.2,0.3,1\n", "NaN or infinity"),
        ("0.1,1e999,0\n0.2,0.3,1\n", "NaN or infinity"),
        ("0.1,0.2,-1\n0.2,0.3,1\n", "labels in 0.."),
        ("0.1,0.2,0.5\n0.2,0.3,1\n", "whole numbers"),
        ("0.1,0.2,nan\n0.2,0.3,1\n", "whole numbers"),
        ("0.1,0.2,1e300\n0.2,0.3,1\n", "labels in 0.."),
        ("one column\nof words\n", "got one column"),
        ('0.1,"0.2,0\n', "not a table with commas"),
        ("0.1,0.2\0,0\n", "not text"),
    ],
)
def test_refused(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        tables.read_csv(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_cell_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a table with commas"):
        tables.read_csv(write(tmp_path, "x," * 1_000 + '"' + "y" * 140_000 + '",1\n'))


def test_text_that_expands_too_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_MAX_TEXT", 1 << 16)
    with pytest.raises(DataError, match=r"expands to more than 65,536 bytes"):
        tables.read_csv(write(tmp_path, gzip.compress(b"0,1\n" * (1 << 20))))
    with pytest.raises(DataError, match="at most 65,536 bytes"):
        tables.read_csv(write(tmp_path, b"0,1\n" * (1 << 15)))


def test_numbers_beyond_float32_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NaN or infinity"):
        tables.read_csv(write(tmp_path, "a,b,label\n1e300,2,0\n0.5,1,1\n"))
