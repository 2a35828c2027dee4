"""Strict types over the whole package: `python tests/typecheck.py [mypy options]`.

mypy knows nothing of package-dir or of `__path__`, and would check a handful of files and call it a success.
So the installed layout is built from links under build/typecheck, from pyproject's own table, and mypy's
count of files is compared with ours.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FARM = ROOT / "build" / "typecheck"


def make_farm() -> int:
    """Link the sources as an installation lays them out; the number of Python files."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    links = {Path("armour", entry.name): entry for entry in (ROOT / table["package-dir"]["armour"]).iterdir()}
    links |= {Path(*name.split(".")): ROOT / folder for name, folder in table["package-dir"].items()}
    del links[Path("armour")]
    (FARM / "armour").mkdir(parents=True, exist_ok=True)
    for old in (FARM / "armour").iterdir():
        if old.relative_to(FARM) not in links:
            old.unlink()
    for link, target in links.items():
        if not (FARM / link).exists():
            (FARM / link).unlink(missing_ok=True)
            (FARM / link).symlink_to(target, target_is_directory=target.is_dir())
    return sum(len(list((FARM / Path(*name.split("."))).glob("*.py"))) for name in table["packages"])


def main() -> int:
    """Build the farm, run mypy, and insist that it looked at every file."""
    files = make_farm()
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *sys.argv[1:]]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=False)
    print(done.stdout, end="")
    counts = [int(n) for n in re.findall(r"(?:found in|checked) (\d+) source files?", done.stdout)]
    if counts and counts[-1] != files:
        print(f"mypy looked at {counts[-1]} files, the package has {files}")
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
