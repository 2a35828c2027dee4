"""Imports point down: every module has a rank, and may import only lower ranks or its own folder's.

Read from the sources with ast, so imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import sources

# The longest prefix wins. A new file in armour/ must be given a rank here.
_IN_ARMOUR: dict[float, str] = {
    # standard library and NumPy only
    0: """
        checks errors events files registry rng
    """,
    # models, data, norms, image functions, statistics
    1: """
        adapters archive averaging black_box blur bounds compression contract counter criteria data datafiles
        datasets dense_losses detection distances download estimator_model fields folders formats geometry
        grid hyperplanes idx model noise npz objective occlusion onnxruntime_model options outputs
        planned preprocessing projections regions series stats subset summaries tables threat torch_model
        python_model training training_method training_state transforms weather
    """,
    # what is said about results
    4: """
        environment markdown page_charts page_evaluation page_hardening page_tables pages plots records
        render report report_build report_checks report_compare report_evaluation report_fuzz
        report_hardening report_sections selfcheck thumbnails verdict
    """,
}
RANKS: dict[str, float] = {
    **{f"armour.{name}": rank for rank, names in _IN_ARMOUR.items() for name in names.split()},
    "armour.tensor": 0.5,
    "armour.remote": 1,
    "armour.serving": 2,
    "armour.attacks": 2,
    "armour.fuzz": 3,
    "armour.defenses": 3,
    "armour.privacy": 3,
    "armour.evaluation": 4.5,
    "armour.cli": 5,
    "armour.__main__": 6,
    # The lazy facade names modules of all ranks; nothing below the command line may import it.
    "armour": 5,
}
NOT_BELOW = {"armour.privacy": ("armour.attacks",)}
# In a source tree the guard in armour/__init__.py makes these importable, as second copies.
TWICE = ("armour.armour", "armour.tests")


def rank(module: str) -> float:
    """The rank of the longest prefix in the table."""
    prefix = module
    while prefix not in RANKS:
        prefix = prefix.rpartition(".")[0]
    return RANKS[prefix]


def folder(module: str) -> str:
    """What a module may import freely within: its sub-package, or armour/ with formats/ and remote/."""
    parts = module.split(".")
    top = ".".join(parts[:2])
    inside = ("armour.formats", "armour.remote")
    return top if top in sources.packages() and top not in inside else "armour"


def imports(tree: ast.AST, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, imported module) of every import of ours."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parent = module.split(".") if is_package else module.split(".")[:-1]
                base = ".".join(
                    [*parent[: len(parent) - node.level + 1], *([node.module] if node.module else [])]
                )
            for alias in node.names:
                yield node.lineno, sources.target(base, alias.name)


def faults(text: str, module: str, is_package: bool = False) -> list[str]:
    """What is wrong with the imports of a module whose source is `text`."""
    found = []
    for line, imported in imports(ast.parse(text), module, is_package):
        top = imported.split(".")[0]
        if top in sources.FOLDERS and top != "armour":
            found.append(f"{line}: imports {top} as a top-level name; write armour.{top}")
        if top != "armour":
            continue
        if imported.startswith(TWICE):
            found.append(f"{line}: {imported} exists only in a source tree, as a second copy")
        elif module == "armour":
            continue
        elif imported == "armour":
            if rank(module) < RANKS["armour.cli"]:
                found.append(f"{line}: imports the facade armour; name the module that is meant")
        elif folder(imported) == folder(module) and rank(imported) <= rank(module):
            continue
        elif rank(imported) >= rank(module):
            found.append(f"{line}: {module} (rank {rank(module)}) imports {imported} (rank {rank(imported)})")
        elif any(imported.startswith(other) for other in NOT_BELOW.get(folder(module), ())):
            found.append(f"{line}: {module} must not import {imported}")
    return found


@pytest.mark.parametrize("module", sorted(sources.modules()))
def test_imports_point_down(module: str) -> None:
    path = sources.modules()[module]
    wrong = faults(path.read_text(encoding="utf-8"), module, path.name == "__init__.py")
    assert not wrong, "\n".join(f"{path}:{each}" for each in wrong)


def test_every_module_has_a_rank_of_its_own() -> None:
    missing = [m for m in sources.modules() if m.count(".") == 1 and m not in RANKS]
    assert not missing, f"give these a rank in tests/test_layers.py: {sorted(missing)}"
    gone = [m for m in RANKS if m not in sources.modules()]
    assert not gone, f"these ranks belong to no file: {gone}"


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("armour.tensor.core", "from armour.model import Model"),
        ("armour.tensor.core", "def f():\n    import armour.cli.main"),
        ("armour.fuzz.engine", "from armour.defenses import base"),
        ("armour.fuzz.engine", "from armour import defenses"),
        ("armour.fuzz.engine", "import tensor"),
        ("armour.fuzz.engine", "from tensor.core import Tensor"),
        ("armour.attacks.pgd", "from armour.armour import report"),
        ("armour.attacks.pgd", "from armour import Report"),
        ("armour.attacks.pgd", "import armour"),
        ("armour.rng", "from armour.tensor import Tensor"),
        ("armour.model", "from armour.report import Report"),
        ("armour.model", "if TYPE_CHECKING:\n    from armour.report import Report"),
        ("armour.privacy.audit", "from armour.attacks import PGD"),
        ("armour.formats", "from ..report import Report"),
    ],
)
def test_a_planted_fault_is_found(module: str, line: str) -> None:
    if module not in sources.modules():
        module_known = module.rpartition(".")[0]
        assert module_known in sources.modules()
    assert faults(line, module, module == "armour.formats")


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("armour.tensor.linalg", "from .core import Tensor"),
        ("armour.fuzz.engine", "from armour.tensor import Tensor"),
        ("armour.model", "from armour import checks"),
        ("armour.cli.main", "import armour"),
        ("armour.cli.demo", "from armour import load"),
        ("armour.attacks.pgd", "import numpy as np"),
    ],
)
def test_a_right_import_passes(module: str, line: str) -> None:
    assert not faults(line, module)


def test_sources_lie_where_the_table_says() -> None:
    assert all(isinstance(path, Path) and path.is_file() for path in sources.modules().values())
