"""Where the sources of each module are, from pyproject.toml's own table. Used by the structural tests."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("armour", "tensor", "attacks", "fuzz", "defenses", "privacy", "cli")


@cache
def table() -> dict[str, Any]:
    """[tool.setuptools] of pyproject.toml."""
    read: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return read["tool"]["setuptools"]


@cache
def packages() -> dict[str, Path]:
    """Package name -> its folder in the repository."""
    folders: dict[str, Path] = {}
    for name in table()["packages"]:
        parent, _, last = name.rpartition(".")
        mapped = table()["package-dir"].get(name)
        folders[name] = ROOT / mapped if mapped else folders[parent] / last
    return folders


@cache
def modules() -> dict[str, Path]:
    """Module name -> file, for everything that is installed."""
    found: dict[str, Path] = {}
    for package, folder in packages().items():
        for file in sorted(folder.glob("*.py")):
            found[package if file.name == "__init__.py" else f"{package}.{file.stem}"] = file
    return found


def target(base: str, name: str) -> str:
    """The module that `from base import name` depends on: a sub-module, or the module behind a lazy name."""
    if f"{base}.{name}" in modules():
        return f"{base}.{name}"
    if base == "armour":
        import armour

        return armour._FROM.get(name, base)
    return base
