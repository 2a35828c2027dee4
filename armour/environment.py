"""Where a result was made: versions, processor, BLAS kernel and threads; no host name, no path."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path

# What a result can depend on. Optional ones appear only where installed.
PACKAGES = (
    "armour-toolkit", "numpy", "scipy", "scikit-learn", "onnx", "safetensors", "mlxtend", "pillow", "numba",
    "onednn-cpu-gomp", "cupy-cuda12x", "torch", "dp-accounting", "ray",
)  # fmt: skip

# Settings of the numerical libraries; their values are names and numbers.
SETTINGS = (
    "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE", "ARMOUR_DEVICE",
    "ARMOUR_KERNELS", "ARMOUR_PLANS",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Versions and hardware behind a result.

    blas: library, version, kernel and threads in words. cores: those this process may use. packages: version
    by distribution name. settings: environment variables of SETTINGS that were set.
    """

    armour: str
    python: str
    system: str
    machine: str
    processor: str
    cores: int
    blas: str
    device: str = "cpu"
    packages: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)


def collect(device: str = "cpu") -> Environment:
    """The environment of this process."""
    packages = _versions()
    return Environment(
        armour=packages.get("armour-toolkit", "0+source"),
        python=platform.python_version(),
        system=f"{platform.system()} {_release()}".strip(),
        machine=platform.machine() or "unknown",
        processor=processor(),
        cores=cores(),
        blas=blas(),
        device=device,
        packages=packages,
        settings={name: os.environ[name][:40] for name in SETTINGS if name in os.environ},
    )


def blas() -> str:
    """The BLAS that NumPy multiplies with: "OpenBLAS 0.3.30, kernel SkylakeX, 1 thread"."""
    import numpy  # the library is found among those the process has loaded
    from threadpoolctl import threadpool_info

    del numpy
    found = [info for info in threadpool_info() if info.get("user_api") == "blas"]
    if not found:
        return "unknown"
    info = next((one for one in found if "numpy" in str(one.get("filepath", ""))), found[0])
    name = {"openblas": "OpenBLAS", "mkl": "MKL", "blis": "BLIS", "flexiblas": "FlexiBLAS"}.get(
        str(info.get("internal_api")), str(info.get("internal_api"))
    )
    parts = [f"{name} {info.get('version') or ''}".strip()]
    if info.get("architecture"):
        parts.append(f"kernel {info['architecture']}")
    threads = int(info.get("num_threads") or 1)
    parts.append(f"{threads} thread{'s' if threads != 1 else ''}")
    return ", ".join(parts)


def processor() -> str:
    """The processor's model name, or the architecture where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return " ".join(line.split(":", 1)[1].split())
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def cores() -> int:
    """Processor cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _release() -> str:
    # A kernel release may carry the name of a hosting company; its number is enough.
    if sys.platform == "linux":
        return platform.release().split("-", 1)[0]
    return platform.release()
