"""Data sets in files: kinds told by content, pixels scaled, channels moved first, everything else refused."""

from __future__ import annotations

import gzip
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import idx_files
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour import data
from armour.bounds import Bounds
from armour.errors import ArmourError, DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (20, 5, 4), np.uint8)
LABELS = np.arange(20) % 4


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def everything(path: Path, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """All samples of a file, in an order that does not depend on the split."""
    x, y = data.load(path, **options)
    order = np.lexsort(x.reshape(len(x), -1).T)
    return x[order], y[order]


def same(path: Path, x: np.ndarray, y: np.ndarray, **options: Any) -> None:
    order = np.lexsort(x.reshape(len(x), -1).T)
    found, labels = everything(path, **options)
    np.testing.assert_array_equal(found, x[order])
    np.testing.assert_array_equal(labels, y[order])


@pytest.mark.parametrize(
    "names", [("x", "y"), ("X", "Y"), ("images", "labels"), ("data", "target"), ("inputs", "classes")]
)
def test_names(tmp_path: Path, names: tuple[str, str]) -> None:
    path = save(tmp_path / "a.npz", **dict(zip(names, (PIXELS, LABELS), strict=True)))
    same(path, PIXELS[:, None].astype(np.float32) / np.float32(255), LABELS)
    train, test = data.load_split(path)
    assert len(train) == 16 and len(test) == 4 and sorted(test.y) == [0, 1, 2, 3]
    assert train.name == str(path) and train.bounds == Bounds(0, 1)


@pytest.mark.parametrize(
    "names",
    [
        ("train_x", "train_y", "test_x", "test_y"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
    ],
)
def test_a_split_of_its_own_is_kept(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = save(
        tmp_path / "a.npz",
        **dict(zip(names, (PIXELS[:15], LABELS[:15], PIXELS[15:], LABELS[15:]), strict=True)),
    )
    train, test = data.load_split(path)
    np.testing.assert_array_equal(train.y, LABELS[:15])
    np.testing.assert_array_equal(test.x, PIXELS[15:, None].astype(np.float32) / np.float32(255))


def test_half_a_split_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", train_x=PIXELS, train_y=LABELS)
    with pytest.raises(DataError, match="train_x, train_y"):
        data.load_split(path)


def test_layouts(tmp_path: Path) -> None:
    first = RNG.uniform(size=(8, 3, 6, 5)).astype(np.float32)
    y = LABELS[:8]
    same(save(tmp_path / "first.npz", x=first, y=y), first, y)
    same(save(tmp_path / "last.npz", x=first.transpose(0, 2, 3, 1), y=y), first, y)
    same(save(tmp_path / "fortran.npz", x=np.asfortranarray(first), y=y), first, y)
    flat = first.reshape(8, -1)
    same(save(tmp_path / "flat.npz", x=flat, y=y), flat, y)
    for bad, message in (
        ((8, 3, 6, 3), "both axes"),
        ((8, 6, 5, 4), "neither axis"),
        ((8, 1, 1, 2, 2), "shape"),
    ):
        path = save(tmp_path / "bad.npz", x=np.zeros(bad, np.float32), y=y)
        with pytest.raises(DataError, match=message):
            data.load(path)


def test_bounds(tmp_path: Path) -> None:
    x = RNG.uniform(-1, 1, (8, 1, 4, 4)).astype(np.float32)
    path = save(tmp_path / "a.npz", x=x, y=LABELS[:8])
    with pytest.raises(DataError, match=r"state the range with bounds="):
        data.load(path)
    same(path, x, LABELS[:8], bounds=(-1, 1))
    inside = save(tmp_path / "b.npz", x=x, y=LABELS[:8], bounds=np.array([-1.0, 1.0]))
    assert data.load_split(inside)[0].bounds == Bounds(-1, 1)
    with pytest.raises(DataError, match="uint8 pixels are scaled"):
        data.load(save(tmp_path / "c.npz", x=PIXELS, y=LABELS), bounds=(-1, 1))


def test_class_names(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", x=PIXELS, y=LABELS, class_names=np.array(["cat", "dog", "hen", "owl"]))
    assert data.load_split(path)[0].class_names == ("cat", "dog", "hen", "owl")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": PIXELS, "y": LABELS[:5]}, "labels"),
        ({"x": PIXELS}, "expected arrays x and y"),
        ({"a": PIXELS, "b": LABELS}, "got a, b"),
        ({"x": PIXELS[:0], "y": LABELS[:0]}, "at least one sample"),
        ({"x": PIXELS[:1], "y": LABELS[:1]}, "at least two samples"),
        ({"x": PIXELS, "y": np.eye(20)}, r"one-hot rows \(20, 20\); save y.argmax"),
        ({"x": PIXELS, "y": LABELS - 1}, "labels in 0.."),
        ({"x": PIXELS, "y": LABELS + 0.5}, "whole numbers"),
        ({"x": PIXELS.astype(np.int32), "y": LABELS}, "dtype int32"),
        ({"x": PIXELS.astype(complex), "y": LABELS}, "<c16"),
        ({"x": np.full((20, 5), np.nan), "y": LABELS}, "NaN or infinity"),
        ({"x": PIXELS, "y": LABELS, "class_names": np.array(["cat"])}, "1 classes"),
        ({"x": PIXELS.astype(object), "y": LABELS}, "pickle"),
        ({"x": PIXELS, "y": np.array([str(v) for v in LABELS], object)}, "pickle"),
        ({"x": PIXELS, "y": LABELS, "bounds": np.array([1.0, 0.0])}, "low < high"),
        ({"x": PIXELS, "y": LABELS, "bounds": np.array([1.0])}, "pair of numbers"),
    ],
)
def test_unfit_arrays(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = save(tmp_path / "a.npz", **arrays)
    with pytest.raises(ArmourError, match=message) as caught:
        data.load(path)
    assert "\n" not in str(caught.value)


class Bomb:
    """Leaves a mark if it is ever unpickled."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (exec, ("import builtins; builtins.unpickled = True",))


def contents() -> list[tuple[str, bytes, str]]:
    one = io.BytesIO()
    np.save(one, PIXELS)
    objects = io.BytesIO()
    np.savez(objects, x=np.array([Bomb()], dtype=object), y=np.array([0]))
    return [
        ("empty", b"", "the file is empty"),
        ("blank", b" \n\n", "the file is empty"),
        ("pickle", pickle.dumps(Bomb()), "a pickle, which can run code"),
        ("objects", objects.getvalue(), "a pickle"),
        ("npy", one.getvalue(), "a single array without labels"),
        ("hdf5", b"\x89HDF\r\n\x1a\n" + b"\0" * 40, "HDF5"),
        ("zip", b"PK\x03\x04" + b"\0" * 40, "truncated or damaged"),
        ("noise", bytes(range(192, 256)) * 4, "no format that is known"),
        ("zeros", bytes(100), "no format that is known"),
        ("gzip", gzip.compress(b"\xff\xfe\xfd" * 99), "no format that is known"),
        ("cut gzip", gzip.compress(PIXELS.tobytes())[:-30], "truncated or damaged"),
    ]


@pytest.mark.parametrize(("raw", "message"), [c[1:] for c in contents()], ids=[c[0] for c in contents()])
def test_other_files(tmp_path: Path, raw: bytes, message: str) -> None:
    import builtins

    path = tmp_path / "data.npz"
    path.write_bytes(raw)
    with pytest.raises(DataError, match=message) as caught:
        data.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)
    assert not hasattr(builtins, "unpickled")


def whole_files() -> dict[str, bytes]:
    """A valid data set of each kind, in one file."""
    small, packed = io.BytesIO(), io.BytesIO()
    np.savez(small, x=PIXELS[:4, :2, :2], y=LABELS[:4])
    np.savez_compressed(
        packed, x=PIXELS[:4].astype(np.float32) / 255, y=LABELS[:4], bounds=np.array([0.0, 1.0])
    )
    table = "a,b,class\n0.5,1,cat\n0.25,0,dog\n0.125,1,cat\n"
    pixels = "\n".join(",".join(map(str, [*row.reshape(-1)[:16], 1])) for row in PIXELS[:3])
    return {
        "npz": small.getvalue(),
        "npz deflate": packed.getvalue(),
        "idx": idx_files.packed(PIXELS[:4]),
        "idx gzip": gzip.compress(idx_files.packed(PIXELS[:4])),
        "csv": table.encode(),
        "csv of pixels": pixels.encode(),
        "csv gzip": gzip.compress(table.encode()),
    }


@pytest.mark.parametrize("kind", sorted(whole_files()))
@given(draw=st.data())
def test_bytes_changed_at_random_are_refused_in_one_line_or_read(
    tmp_path_factory: pytest.TempPathFactory, kind: str, draw: st.DataObject
) -> None:
    raw = bytearray(whole_files()[kind])
    folder = tmp_path_factory.mktemp("data")
    path = folder / "some-images-idx3"
    (folder / "some-labels-idx1").write_bytes(idx_files.packed(LABELS[:4].astype(np.uint8)))
    for _ in range(draw.draw(st.integers(0, 4))):
        raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.one_of(st.just(0), st.integers(0, len(raw))))
    path.write_bytes(raw[: len(raw) - cut])
    try:
        train, test = data.load_split(path)
    except ArmourError as error:
        assert error.exit_code == 2 and "\n" not in str(error)
    else:
        assert len(train) and len(test) and train.bounds.contains(train.x) and train.x.dtype == np.float32


def test_one_sample_a_class(tmp_path: Path) -> None:
    train, test = data.load_split(save(tmp_path / "a.npz", x=PIXELS[:3], y=LABELS[:3]))
    assert len(train) == 2 and len(test) == 1


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no image file"):
        data.load(tmp_path)
