"""What is loaded when, and what may not be in the sources at all."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import sources

HEAVY = (
    "cupy",
    "torch",
    "ray",
    "numba",
    "matplotlib",
    "sklearn",
    "dp_accounting",
    "onnx",
    "scipy",
    "mlxtend",
    "PIL",
)

# Each of these can run code that a file or an argument brings with it.
RUNS_CODE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
CALLS_CODE = {"eval", "exec", "compile", "__import__"}


def fresh(code: str) -> str:
    """The output of `code` in a fresh interpreter that runs on this source tree."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_", "COVERAGE"))}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=sources.ROOT,
        env=kept | {"PYTHONPATH": str(sources.ROOT)},
        text=True,
        capture_output=True,
        timeout=120,
        check=True,
    )
    return done.stdout


def loaded(code: str) -> set[str]:
    """Top-level packages in sys.modules after `code`."""
    out = fresh(f"import sys\n{code}\nprint('LOADED', *{{name.split('.')[0] for name in sys.modules}})")
    return set(out.split("LOADED")[-1].split())


def run_help(command: str = "") -> str:
    """Code that runs `armour COMMAND --help`."""
    return (
        f"from armour.cli.main import main\ntry:\n    main([{command}'--help'])\n"
        "except SystemExit as end:\n    assert not end.code"
    )


def test_import_is_fast() -> None:
    """`import armour` takes under 0.3 s: the best of five, as other work only ever slows a run."""
    code = "import time; t = time.perf_counter(); import armour; print(time.perf_counter() - t)"
    assert min(float(fresh(code)) for _ in range(5)) < 0.3


def test_import_loads_no_library() -> None:
    assert not loaded("import armour") & {"numpy", "click", "rich", *HEAVY}


def test_help_loads_no_library_and_no_command() -> None:
    names = "print('LOADED', *{n if n.startswith('armour.') else n.split('.')[0] for n in sys.modules})"
    after = set(fresh(f"import sys\n{run_help()}\n{names}").split("LOADED")[-1].split())
    assert not after & {"numpy", "rich", *HEAVY}
    assert {name for name in after if name.startswith("armour.cli.")} == {"armour.cli.main"}


@pytest.mark.parametrize(
    "command", ["train", "info", "attack", "fuzz", "corpus", "serve", "report", "doctor", "demo"]
)
def test_help_of_a_command_loads_no_plots_and_no_extras(command: str) -> None:
    assert not loaded(run_help(f"'{command}', ")) & (set(HEAVY) - {"scipy"})


@cache
def trees() -> list[tuple[str, Path, ast.AST]]:
    return [(m, p, ast.parse(p.read_text(encoding="utf-8"))) for m, p in sources.modules().items()]


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [(node.module or "").split(".")[0]]
    return []


def test_nothing_in_the_sources_can_run_code_from_a_file() -> None:
    wrong = []
    for _, path, tree in trees():
        for node in ast.walk(tree):
            if RUNS_CODE & set(imported(node)):
                wrong.append(f"{path}:{node.lineno}: imports a module that runs code from data")
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id in CALLS_CODE:
                wrong.append(f"{path}:{node.lineno}: calls {node.func.id}")
            if (
                isinstance(node.func, ast.Attribute)
                and node.func.attr == "load"
                and is_numpy(node.func.value)
            ):
                allow = [k.value for k in node.keywords if k.arg == "allow_pickle"]
                if not (allow and isinstance(allow[0], ast.Constant) and allow[0].value is False):
                    wrong.append(f"{path}:{node.lineno}: np.load without allow_pickle=False")
    assert not wrong, "\n".join(wrong)


def is_numpy(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("np", "numpy")


def test_only_the_backend_imports_cupy() -> None:
    named = {
        module
        for module, path, _ in trees()
        if re.search(r"""^\s*(import|from) cupy|import_module\(["']cupy""", path.read_text("utf-8"), re.M)
    }
    assert named <= {"armour.tensor.backend"}


def test_the_library_never_prints_and_never_configures_logging() -> None:
    wrong = []
    for module, path, tree in trees():
        if module.startswith("armour.cli"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = ast.unparse(node.func)
                if name in ("print", "logging.basicConfig", "log.addHandler", "log.setLevel"):
                    wrong.append(f"{path}:{node.lineno}: calls {name}")
    assert not wrong, "\n".join(wrong)


def test_no_file_is_too_long() -> None:
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in sources.modules().values()}
    long = {str(p): n for p, n in sizes.items() if n > 400}
    assert not long, f"split these: {long}"
