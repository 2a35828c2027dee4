"""A run that is killed and taken up again ends with the same corpus as one that was left alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import small_models

SCRIPT = Path(__file__).with_name("fuzz_until_killed.py")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of seeds, so that the script need not load scikit-learn."""
    path = tmp_path_factory.mktemp("seeds") / "seeds.npz"
    x, y = small_models.digits(150)
    np.savez(path, x=x, y=y)
    return path


def start(folder: Path, seeds: Path, when: int = 0) -> subprocess.Popen[bytes]:
    """The script on a folder, dying at a file operation."""
    command = [sys.executable, str(SCRIPT), str(folder), str(seeds), str(when)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(folder: Path, seeds: Path) -> dict[str, bytes]:
    """Run to the end; what is in the folder then."""
    done = start(folder, seeds)
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 0, errors.decode()
    return small_models.contents(folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, seeds: Path) -> dict[str, bytes]:
    """The corpus of a run that nobody disturbed."""
    found = finish(tmp_path_factory.mktemp("undisturbed") / "corpus", seeds)
    assert sum(name.endswith("meta.json") for name in found) > 20
    assert {"corpus/00001.npz", "state.npz", "coverage/counts.npy", "manifest.json"} <= set(found)
    return found


def test_killed_at_ten_random_moments(undisturbed: dict[str, bytes], seeds: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    folder = tmp_path / "corpus"
    for _ in range(10):
        run = start(folder, seeds)
        assert run.stdout is not None
        run.stdout.readline()
        time.sleep(float(rng.uniform(0.0, 0.5)))
        run.kill()
        run.communicate()
    assert finish(folder, seeds) == undisturbed


def test_killed_in_the_middle_of_writing(undisturbed: dict[str, bytes], seeds: Path, tmp_path: Path) -> None:
    # The first ones hit the start, later ones failures, shards and the state; negative: just after.
    folder = tmp_path / "corpus"
    for when in (1, -1, 4, -7, 17, -30, 41, -52):
        run = start(folder, seeds, when)
        run.communicate(timeout=120)
        assert run.returncode == -signal.SIGKILL, when
    assert finish(folder, seeds) == undisturbed


def test_ctrl_c_saves_and_says_so(seeds: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    run = start(folder, seeds)
    assert run.stdout is not None
    run.stdout.readline()
    time.sleep(0.3)
    os.kill(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0 and b"Traceback" not in errors
    assert (folder / "state.npz").is_file()
