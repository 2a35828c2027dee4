"""Data sets by name: found in ARMOUR_DATA in each of their forms, or a line that says what to do."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import write as write_idx

from armour import data, datasets, download
from armour.errors import BackendUnavailable, DataError

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (30, 28, 28), np.uint8)
Y = (np.arange(30) % 10).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty ARMOUR_DATA, and no network."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setenv("ARMOUR_DATA", str(tmp_path))
    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    return tmp_path


def save(path: Path, images: np.ndarray) -> None:
    half = len(images) // 2
    np.savez(path, train_x=images[:half], train_y=Y[:half], test_x=images[half:], test_y=Y[half:])


@pytest.mark.parametrize(
    ("name", "file", "first"),
    [("mnist-full", "mnist.npz", "0"), ("fashion-mnist", "fashion_mnist.npz", "T-shirt/top")],
)
def test_npz(folder: Path, name: str, file: str, first: str) -> None:
    save(folder / file, GREY)
    train, test = data.load_split(name)
    assert train.name == test.name == name and train.class_names[0] == first and train.num_classes == 10
    np.testing.assert_array_equal(test.x, GREY[15:, None].astype(np.float32) / np.float32(255))


@pytest.mark.parametrize(("name", "place"), [("mnist-full", "MNIST/raw"), ("fashion-mnist", "fashion-mnist")])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx(folder: Path, name: str, place: str, suffix: str) -> None:
    (folder / place).mkdir(parents=True)
    write_idx(folder / place, "train", GREY[:20], Y[:20], suffix)
    write_idx(folder / place, "t10k", GREY[20:], Y[20:], suffix)
    train, test = data.load_split(name)
    assert len(train) == 20 and train.name == name and len(train.class_names) == 10
    np.testing.assert_array_equal(test.y, Y[20:])


def batches(images: np.ndarray) -> dict[str, bytes]:
    """CIFAR-10's six files with two records each."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    records = [bytes([Y[i]]) + images[i].tobytes() for i in range(12)]
    return {name: b"".join(records[2 * i : 2 * i + 2]) for i, name in enumerate(names)}


@pytest.mark.parametrize("form", ["folder", "archive", "npz", "subset"])
def test_cifar10(folder: Path, form: str, caplog: pytest.LogCaptureFixture) -> None:
    images = RNG.integers(0, 256, (12, 3, 32, 32), np.uint8)
    last = images.transpose(0, 2, 3, 1)
    if form == "folder":
        (folder / "cifar-10-batches-bin").mkdir()
        for name, raw in batches(images).items():
            (folder / "cifar-10-batches-bin" / name).write_bytes(raw)
    elif form == "archive":
        with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
            for name, raw in batches(images).items():
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(raw)
                archive.addfile(info, io.BytesIO(raw))
    else:
        file = "cifar10.npz" if form == "npz" else "cifar10_subset.npz"
        np.savez(folder / file, train_x=last[:10], train_y=Y[:10], test_x=last[10:], test_y=Y[10:12])
    train, test = data.load_split("cifar10")
    np.testing.assert_array_equal(train.x, images[:10].astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(test.y, Y[10:12])
    assert train.class_names[3] == "cat" and train.name == "cifar10"
    assert ("subset" in caplog.text) == (form == "subset")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"not a tar", "cannot be unpacked"), (b"", "cannot be unpacked"), (None, r"no data_batch_1\.bin")],
)
def test_a_damaged_archive(folder: Path, content: bytes | None, message: str) -> None:
    path = folder / "cifar-10-binary.tar.gz"
    if content is None:
        tarfile.open(path, "w:gz").close()
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        data.load("cifar10")


def test_a_cut_batch(folder: Path) -> None:
    (folder / "cifar-10-batches-bin").mkdir()
    for name, raw in batches(RNG.integers(0, 256, (12, 3, 32, 32), np.uint8)).items():
        (folder / "cifar-10-batches-bin" / name).write_bytes(raw[:-1])
    with pytest.raises(DataError, match="3,073 bytes"):
        data.load("cifar10")
    (folder / "cifar-10-batches-bin" / "data_batch_1.bin").unlink()
    with pytest.raises(DataError, match=r"data_batch_1\.bin: no such file"):
        data.load("cifar10")


@pytest.mark.parametrize("name", ["mnist-full", "fashion-mnist", "cifar10"])
def test_neither_folder_nor_network(folder: Path, name: str) -> None:
    with pytest.raises(
        DataError, match=rf"{name}: .* could not be downloaded .*set ARMOUR_DATA to a folder"
    ) as caught:
        data.load(name)
    assert "\n" not in str(caught.value)


def test_armour_data_that_is_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMOUR_DATA", str(folder / "none"))
    with pytest.raises(DataError, match=r"ARMOUR_DATA=.* is not a folder"):
        data.load("cifar10")


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match=r'pip install "armour-toolkit\[data\]"'):
        data.load("mnist")


@pytest.mark.skipif("ARMOUR_DATA" not in os.environ, reason="needs ARMOUR_DATA with the real data sets")
@pytest.mark.parametrize("name", ["mnist-full", "fashion-mnist", "cifar10"])
def test_the_real_ones(name: str) -> None:
    train, test = data.load_split(name)
    assert len(train) >= 4000 and len(test) >= 300 and train.num_classes == 10
    assert set(train.y) == set(range(10)) and train.x.min() == 0 and train.x.max() == 1
