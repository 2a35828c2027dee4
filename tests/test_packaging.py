"""What is installed is what is here: the table of packages, the wheel built from it, and the wheel in use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path

import pytest
import sources


def project() -> dict[str, object]:
    text = (sources.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    table: dict[str, object] = tomllib.loads(text)["project"]
    return table


def data_files() -> dict[str, Path]:
    """Path in the wheel -> file, for everything in the packages that is no Python."""
    found = {}
    for package, folder in sources.packages().items():
        for file in folder.iterdir():
            if file.is_file() and file.suffix not in (".py", ".pyc"):
                found[f"{package.replace('.', '/')}/{file.name}"] = file
    return found


def run(command: Sequence[str | Path], cwd: Path, timeout: float = 300) -> str:
    # Nothing of this checkout may leak into the process through the environment.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_", "COVERAGE"))}
    done = subprocess.run(
        command, cwd=cwd, env=kept, text=True, capture_output=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_table_lists_the_tree() -> None:
    """A folder that is missing from the table would be left out of the wheel without a word."""
    tree = {
        f.parent
        for top in sources.FOLDERS
        for f in (sources.ROOT / top).rglob("*.py")
        if "__pycache__" not in f.parts
    }
    assert set(sources.packages().values()) == tree


def test_every_package_has_a_documented_init() -> None:
    for package, folder in sources.packages().items():
        assert (folder / "__init__.py").is_file(), f"{package} has no __init__.py"


def test_every_data_file_is_named_in_package_data() -> None:
    patterns = sources.table()["package-data"]
    for path in data_files():
        package, _, name = path.rpartition("/")
        known = patterns.get(package.replace("/", "."), [])
        assert any(fnmatch(name, pattern) for pattern in known), f"{path} would not be in the wheel"


def test_the_core_needs_what_the_contract_says() -> None:
    names = {str(line).split(">")[0] for line in project()["dependencies"]}  # type: ignore[attr-defined]
    contract = "numpy scipy click rich jinja2 matplotlib onnx safetensors scikit-learn"
    assert names == {*contract.split(), "threadpoolctl", "pillow"}
    assert {"gpu", "fast", "privacy", "ray", "torch", "onnxruntime", "keras", "data", "all", "dev"} == set(
        project()["optional-dependencies"]  # type: ignore[call-overload]
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, so that an old build/ cannot help or harm."""
    pytest.importorskip("build", reason="building the wheel needs the package build (extra dev)")
    pytest.importorskip("setuptools", minversion="77", reason="building the wheel needs setuptools>=77")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(sources.ROOT / name, source)
    for name in sources.FOLDERS:
        shutil.copytree(sources.ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder / "dist", source], folder)
    (built,) = (folder / "dist").glob("*.whl")
    assert built.name == f"armour_toolkit-{project()['version']}-py3-none-any.whl"
    return built


def test_the_wheel_holds_every_module_and_data_file_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        (top,) = (name for name in archive.namelist() if name.endswith(".dist-info/top_level.txt"))
        assert archive.read(top).decode().split() == ["armour"]
        assert any(name.endswith("LICENSE") for name in archive.namelist())
    modules = {
        f"{m.replace('.', '/')}{'/__init__' if f.name == '__init__.py' else ''}.py"
        for m, f in sources.modules().items()
    }
    assert names == modules | set(data_files())


def test_the_wheel_runs_from_another_folder(wheel: Path, tmp_path: Path) -> None:
    """Installed in an environment of its own; only the dependencies come from the tests' environment."""
    home = tmp_path / "venv"
    venv.create(home, symlinks=os.name != "nt")
    binaries = home / ("Scripts" if os.name == "nt" else "bin")
    python = binaries / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel], tmp_path)
    site = Path(
        run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], tmp_path).strip()
    )
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    # Files of a user with the same names must not get in the way.
    for name in ("tensor.py", "cli.py", "attacks.py"):
        (tmp_path / name).write_text("raise RuntimeError('imported a file of the user')\n", encoding="utf-8")

    where = run([python, "-c", "import armour.tensor; print(armour.tensor.__file__)"], tmp_path).strip()
    assert Path(where).is_relative_to(site)
    assert run([binaries / "armour", "--version"], tmp_path).split() == ["armour", str(project()["version"])]
    run([binaries / "armour", "train", "digits", "--arch", "mlp", "--epochs", "1", "-o", "m.ckpt"], tmp_path)
    out = run([python, "-m", "armour", "fuzz", "m.ckpt", "--executions", "300", "--json"], tmp_path)
    assert out.lstrip().startswith("{")
