"""Data sets: load("mnist") or load("my.npz") gives arrays, load_split gives training and test Datasets.

Images are float32 (n, c, h, w) inside `bounds`, labels int64 (n,). Names are in the registry DATASETS;
anything else is a path to a .npz, .csv, idx file or folder (armour/datafiles.py).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from armour import checks
from armour.bounds import Bounds
from armour.errors import DataError, InvalidArgument
from armour.events import OnEvent
from armour.registry import Registry
from armour.rng import generator

# More classes than any classifier here has; a larger label is a mistake that would size arrays.
_MAX_CLASSES = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """Samples x (n, ...) float32 inside bounds, labels y (n,) int64 in 0..num_classes-1.

    name: what `load` takes to get it again. class_names: one per class, or empty. Raises DataError if x and y
    are not such arrays.
    """

    x: np.ndarray
    y: np.ndarray
    bounds: Bounds = field(default_factory=Bounds)
    name: str = "data"
    class_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        x, y = np.asarray(self.x), np.asarray(self.y)
        object.__setattr__(self, "bounds", Bounds.of(self.bounds))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        _check_labels(self.name, x, y, len(self.class_names))
        object.__setattr__(self, "x", _checked_inputs(self.name, x, self.bounds))
        object.__setattr__(self, "y", y.astype(np.int64))

    def __len__(self) -> int:
        return len(self.x)

    @property
    def num_classes(self) -> int:
        """Number of class names, or the largest label + 1."""
        return len(self.class_names) or (int(self.y.max()) + 1 if len(self.y) else 0)

    @property
    def digest(self) -> str:
        """Hex sha256 of shapes and values: the same data, whatever file it came from."""
        sha = hashlib.sha256(f"{self.x.shape}|{tuple(self.bounds)}|".encode())
        sha.update(np.ascontiguousarray(self.x, "<f4").data)
        sha.update(np.ascontiguousarray(self.y, "<i8").data)
        return sha.hexdigest()

    def __getitem__(self, index: slice | np.ndarray) -> Dataset:
        """The samples at a slice or index array."""
        return replace(self, x=self.x[index], y=self.y[index])


Loader: TypeAlias = Callable[[OnEvent], tuple[Dataset, Dataset]]
DATASETS: Registry[Loader] = Registry("data set")


def names() -> list[str]:
    """The data sets known by name."""
    return _registry().names()


def load_split(
    source: str | os.PathLike[str],
    *,
    bounds: Bounds | Sequence[float] | None = None,
    on_event: OnEvent = None,
) -> tuple[Dataset, Dataset]:
    """Training and test Dataset of a known name, or of a file or folder.

    A file without a split of its own is split 4 to 1, stratified, with seed 0. bounds: range of the values in
    a file that does not say it (default: uint8 and pixel tables are scaled to (0, 1), other values must lie
    in (0, 1)). Raises DataError for what is missing, damaged or unfit, BackendUnavailable for a missing
    extra.
    """
    name = os.fspath(source)
    registry = _registry()
    if name in registry:
        train, test = registry.get(name)(on_event)
        if bounds is not None and Bounds.of(bounds) != train.bounds:
            raise InvalidArgument(
                f"{name} has bounds {tuple(train.bounds)}, got {tuple(Bounds.of(bounds))}; leave bounds= out"
            )
        return train, test
    if not Path(name).exists():
        looks_like_path = os.sep in name or Path(name).suffix != ""
        hint = "; check the path" if looks_like_path else checks.suggest(name, registry.names())
        raise DataError(f"{name}: no such file or folder, and no data set of that name{hint}")
    from armour import datafiles

    return datafiles.read(Path(name), None if bounds is None else Bounds.of(bounds))


def load(
    source: str | os.PathLike[str],
    split: Literal["all", "train", "test"] = "all",
    *,
    bounds: Bounds | Sequence[float] | None = None,
    on_event: OnEvent = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(x, y) of a data set by name or path; "all" is the training samples followed by the test samples."""
    checks.one_of("split", split, ("all", "train", "test"))
    train, test = load_split(source, bounds=bounds, on_event=on_event)
    if split == "train":
        return train.x, train.y
    if split == "test":
        return test.x, test.y
    return np.concatenate([train.x, test.x]), np.concatenate([train.y, test.y])


def split_stratified(
    y: np.ndarray, test_share: float, rng: int | np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Training and test indices in random order; each class gives test_share of its samples to the test part.

    A class of two samples or more gives at least one to each part.
    """
    checks.fraction("test_share", test_share)
    rng = generator(rng)
    train, test = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for label in np.unique(y):
        members = rng.permutation(np.flatnonzero(y == label))
        take = round(test_share * len(members))
        if len(members) > 1 and 0 < test_share < 1:
            take = min(max(take, 1), len(members) - 1)
        test.append(members[:take])
        train.append(members[take:])
    return rng.permutation(np.concatenate(train)), rng.permutation(np.concatenate(test))


def split_dataset(
    data: Dataset, test_share: float, rng: int | np.random.Generator
) -> tuple[Dataset, Dataset]:
    """The two parts of split_stratified as Datasets."""
    train, test = split_stratified(data.y, test_share, rng)
    return data[train], data[test]


def batches(
    x: np.ndarray, y: np.ndarray, size: int, rng: int | np.random.Generator | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Batches of `size` samples (the last may be smaller): in order, or shuffled if an rng is given."""
    checks.count("size", size)
    if len(x) != len(y):
        raise InvalidArgument(f"expected as many labels as samples, got {len(x)} samples and {len(y)} labels")
    order = np.arange(len(x)) if rng is None else generator(rng).permutation(len(x))
    for i in range(0, len(x), size):
        rows = order[i : i + size]
        yield x[rows], y[rows]


def _registry() -> Registry[Loader]:
    from armour import datasets  # noqa: F401  (fills DATASETS)

    return DATASETS


def _check_labels(name: str, x: np.ndarray, y: np.ndarray, classes: int) -> None:
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y):
        raise DataError(f"{name}: expected samples (n, ...) and labels (n,), got x {x.shape} and y {y.shape}")
    if y.dtype.kind not in "iu" and not (y.dtype.kind == "f" and np.all(y == np.round(y))):
        raise DataError(
            f"{name}: expected whole numbers as labels, got dtype {y.dtype}; number the classes from 0"
        )
    if not len(y):
        return
    top = classes or _MAX_CLASSES
    if y.min() < 0 or y.max() >= top:
        what = f"{classes} classes" if classes else f"at most {_MAX_CLASSES} classes"
        raise DataError(f"{name}: expected labels in 0..{top - 1} ({what}), got {y.min():g}..{y.max():g}")


def _checked_inputs(name: str, x: np.ndarray, bounds: Bounds) -> np.ndarray:
    if x.dtype.kind != "f":
        raise DataError(
            f"{name}: expected floats in {tuple(bounds)} or uint8 pixels, got dtype {x.dtype}; convert it"
        )
    with np.errstate(over="ignore"):  # beyond float32 is infinity, which is refused by name
        x = np.ascontiguousarray(x, np.float32)
    if not bounds.contains(x):
        if not np.isfinite(x).all():
            raise DataError(f"{name}: the samples hold NaN or infinity; clean them first")
        raise DataError(
            f"{name}: expected values inside {tuple(bounds)}, got {x.min():g}..{x.max():g}; "
            "scale them, or state the range with bounds=(low, high)"
        )
    return x
