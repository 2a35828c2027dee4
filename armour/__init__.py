"""armour: robustness and security evaluation of machine-learning models.

The names below are loaded on first use, so that `import armour` takes a few milliseconds and loads no NumPy.

>>> import armour
>>> armour.Bounds(0, 1).span
1.0
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

# In the repository the sub-packages stand beside this folder; in a wheel they are inside it.
_here = Path(__file__).resolve().parent
if not (_here / "tensor").is_dir():
    __path__.append(str(_here.parent))

if TYPE_CHECKING:
    from armour import attacks, criteria, data, defenses, errors, fuzz, privacy, tensor
    from armour.adapters import wrap
    from armour.bounds import Bounds
    from armour.data import Dataset
    from armour.errors import ArmourError
    from armour.evaluation import evaluate
    from armour.formats import load, save
    from armour.formats.onnx_export import export_onnx
    from armour.model import Model
    from armour.preprocessing import Preprocessing
    from armour.report import Report
    from armour.threat import Threat

    __version__: str

# A function here must not share its name with a sub-module: importing the module would replace it.
_FROM = {
    "ArmourError": "armour.errors",
    "Bounds": "armour.bounds",
    "Dataset": "armour.data",
    "Model": "armour.model",
    "Preprocessing": "armour.preprocessing",
    "Report": "armour.report",
    "Threat": "armour.threat",
    "evaluate": "armour.evaluation",
    "export_onnx": "armour.formats.onnx_export",
    "load": "armour.formats",
    "save": "armour.formats",
    "wrap": "armour.adapters",
}
_MODULES = frozenset({"attacks", "criteria", "data", "defenses", "errors", "fuzz", "privacy", "tensor"})

__all__ = [
    "ArmourError",
    "Bounds",
    "Dataset",
    "Model",
    "Preprocessing",
    "Report",
    "Threat",
    "__version__",
    "attacks",
    "criteria",
    "data",
    "defenses",
    "errors",
    "evaluate",
    "export_onnx",
    "fuzz",
    "load",
    "privacy",
    "save",
    "tensor",
    "wrap",
]


def __getattr__(name: str) -> Any:
    if name in _FROM:
        value = getattr(import_module(_FROM[name]), name)
    elif name in _MODULES:
        value = import_module(f"armour.{name}")
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module 'armour' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


def _version() -> str:
    # Another tool on the package index is called armour, hence the distribution's name.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("armour-toolkit")
    except PackageNotFoundError:
        return "0+source"
