"""Folders of images: classes by sub-folder, one size, damaged files named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from armour import data, folders
from armour.errors import DataError

RNG = np.random.default_rng(0)


def draw(path: Path, shape: tuple[int, ...] = (6, 5)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, shape, np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_grey(tmp_path: Path) -> None:
    drawn = {name: draw(tmp_path / name) for name in ("b/2.png", "a/1.png", "b/1.png", "a/0.bmp")}
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden").mkdir()
    found = folders.read_images(tmp_path, "pictures")
    assert found.class_names == ("a", "b") and list(found.y) == [0, 0, 1, 1] and found.name == "pictures"
    expected = np.stack([drawn[n] for n in ("a/0.bmp", "a/1.png", "b/1.png", "b/2.png")])[:, None]
    np.testing.assert_array_equal(found.x, expected.astype(np.float32) / np.float32(255))


def test_colour_and_grey_together_are_colour(tmp_path: Path) -> None:
    colour, grey = draw(tmp_path / "a" / "0.png", (6, 5, 3)), draw(tmp_path / "b" / "0.png")
    draw(tmp_path / "b" / "1.png", (6, 5, 4))
    x = folders.read_images(tmp_path, "pictures").x
    assert x.shape == (3, 3, 6, 5)
    np.testing.assert_array_equal(x[0], colour.transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(x[1], np.stack([grey] * 3).astype(np.float32) / np.float32(255))


def test_train_and_test_folders(tmp_path: Path) -> None:
    for part, classes in (("train", "abc"), ("test", "ac")):
        for name in classes:
            draw(tmp_path / part / name / "0.png")
    train, test = data.load_split(tmp_path)
    assert list(train.y) == [0, 1, 2] and list(test.y) == [0, 2] and test.class_names == ("a", "b", "c")
    assert train.name == test.name == str(tmp_path)


def test_no_split_of_its_own(tmp_path: Path) -> None:
    for name in "ab":
        for i in range(5):
            draw(tmp_path / name / f"{i}.png")
    train, test = data.load_split(tmp_path)
    assert len(train) == 8 and sorted(test.y) == [0, 1]


def test_another_size_is_named(tmp_path: Path) -> None:
    draw(tmp_path / "a" / "0.png")
    draw(tmp_path / "b" / "7.png", (6, 9))
    with pytest.raises(DataError, match=r"7\.png: expected the size of 0\.png"):
        data.load(tmp_path)


@pytest.mark.parametrize("damage", ["text", "cut", "empty"])
def test_a_damaged_image_is_named(tmp_path: Path, damage: str) -> None:
    draw(tmp_path / "a" / "0.png", (60, 50))
    path = tmp_path / "b" / "0.png"
    path.parent.mkdir()
    whole = (tmp_path / "a" / "0.png").read_bytes()
    path.write_bytes({"text": b"hello", "cut": whole[: len(whole) // 2], "empty": b""}[damage])
    with pytest.raises(DataError, match=r"b/0\.png: ") as caught:
        data.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "a" / "0.png", (60, 50))
    monkeypatch.setattr(folders, "_MAX_PIXELS", 1000)
    with pytest.raises(DataError, match="at most 1,000 pixels, got 50 x 60"):
        data.load(tmp_path)


def test_pillows_own_limit_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "a" / "0.png", (60, 50))
    draw(tmp_path / "b" / "0.png", (60, 50))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow warns above it
    assert len(data.load(tmp_path)[0]) == 2
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # and raises above twice as much
    with pytest.raises(DataError, match=r"0\.png"):
        data.load(tmp_path)


def test_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "a" / "0.png", (60, 50))
    monkeypatch.setattr(folders, "_MAX_BYTES", 1000)
    with pytest.raises(DataError, match="too many"):
        data.load(tmp_path)


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="one sub-folder with images per class"):
        data.load(tmp_path)
    draw(tmp_path / "0.png")
    with pytest.raises(DataError, match="one sub-folder with images per class"):
        data.load(tmp_path)
    shutil.rmtree(tmp_path / "a")
