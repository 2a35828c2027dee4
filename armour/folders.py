"""Data sets in folders: one sub-folder per class, one image file per sample."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from armour.archive import GIB
from armour.data import Dataset
from armour.errors import DataError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
_MAX_PIXELS = 64 << 20  # of one image
_MAX_BYTES = 4 * GIB


def read_images(folder: Path, name: str, class_names: tuple[str, ...] | None = None) -> Dataset:
    """A Dataset from class folders in alphabetical order; grey images give one channel, all others three.

    class_names: the order to use (a test part that may lack a class). All images must have one size. Raises
    DataError naming the first file that is damaged or of another size.
    """
    classes = class_names or tuple(
        sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    )
    files = [
        (path, label)
        for label, name_of in enumerate(classes)
        for path in sorted((folder / name_of).glob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    if not files:
        raise DataError(f"{folder}: expected one sub-folder with images per class, found no image file")
    modes = {_mode(path) for path, _ in files}
    mode = "L" if modes == {"L"} else "RGB"
    first = _pixels(files[0][0], mode)
    if len(files) * first.size > _MAX_BYTES // 4:
        raise DataError(f"{folder}: {len(files):,} images of {first.shape} are too many; make them smaller")
    x = np.empty((len(files), *first.shape), np.uint8)
    for i, (path, _) in enumerate(files):
        image = _pixels(path, mode)
        if image.shape != first.shape:
            raise DataError(
                f"{path}: expected the size of {files[0][0].name}, {first.shape[1:]}, got {image.shape[1:]}; "
                "resize them first"
            )
        x[i] = image
    y = np.array([label for _, label in files])
    return Dataset(x.astype(np.float32) / np.float32(255), y, name=name, class_names=classes)


def _mode(path: Path) -> str:
    with _open(path) as image:
        return "L" if image.mode in ("L", "1", "I;16") else "RGB"


def _pixels(path: Path, mode: str) -> np.ndarray:
    """(c, h, w) uint8."""
    with _open(path) as image:
        width, height = image.size
        if width * height > _MAX_PIXELS:
            raise DataError(f"{path}: expected at most {_MAX_PIXELS:,} pixels, got {width} x {height}")
        try:
            array = np.asarray(image.convert(mode), np.uint8)
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(
                f"{path}: cannot be decoded ({error}); the image is truncated or damaged"
            ) from error
    return array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))


def _open(path: Path):  # type: ignore[no-untyped-def]  # Pillow is imported on first use
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # _MAX_PIXELS is below the size from which Pillow warns.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(path)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: not a readable image; remove it or convert it to PNG") from error
