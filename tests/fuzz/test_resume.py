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


def start(
    folder: Path, seeds: Path, where: str = "", count: int = 0, islands: int = 1, jobs: int = 1
) -> subprocess.Popen[bytes]:
    """The script on a folder, dying at a file operation."""
    command = [
        sys.executable,
        str(SCRIPT),
        str(folder),
        str(seeds),
        where,
        str(count),
        str(islands),
        str(jobs),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(folder: Path, seeds: Path, islands: int = 1, jobs: int = 1) -> dict[str, bytes]:
    """Run to the end; what is in the folder then."""
    done = start(folder, seeds, islands=islands, jobs=jobs)
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


@pytest.fixture(scope="module")
def islanders(tmp_path_factory: pytest.TempPathFactory, seeds: Path) -> dict[str, bytes]:
    """The same of two islands, in one process."""
    return finish(tmp_path_factory.mktemp("islands") / "corpus", seeds, islands=2)


@pytest.mark.parametrize(("islands", "jobs", "times"), [(1, 1, 8), (1, 2, 6), (2, 2, 6)])
def test_killed_at_random_moments(
    islands: int, jobs: int, times: int, request: pytest.FixtureRequest, seeds: Path, tmp_path: Path
) -> None:
    """Twenty times in all, in one process and in several."""
    rng = np.random.default_rng(7 + islands + jobs)
    folder, resumed = tmp_path / "corpus", 0
    for _ in range(times):
        run = start(folder, seeds, islands=islands, jobs=jobs)
        assert run.stdout is not None
        resumed += int(run.stdout.readline())
        # Two events of the seeds, then one of each round: the moment lies somewhere in the round after.
        for _ in range(int(rng.integers(0, 6))):
            run.stdout.readline()
        time.sleep(float(rng.uniform(0.0, 0.1)))
        run.kill()
        run.communicate()
    assert resumed >= times // 3, "too few of the runs went on from a stored state"
    expected = request.getfixturevalue("undisturbed" if islands == 1 else "islanders")
    assert finish(folder, seeds, islands, jobs) == expected


def test_killed_in_the_middle_of_writing(undisturbed: dict[str, bytes], seeds: Path, tmp_path: Path) -> None:
    # The start, then failures, shards, coverage and the state; negative: just after.
    moments = [("manifest.json", 1), ("seeds", -1), ("roots.npz", 1), (".building", 40), ("state.npz", 1)]
    moments += [
        ("state.npz", -2),
        ("counts.npy", -1),
        (".building", -3),
        ("corpus/corpus/0", -1),
        ("state.npz", 2),
    ]
    folder, resumed = tmp_path / "corpus", 0
    for where, count in moments:
        run = start(folder, seeds, where, count)
        output, _ = run.communicate(timeout=120)
        resumed += int(output.split()[0])
        assert run.returncode == -signal.SIGKILL, (where, count)
    assert resumed >= 4, "too few of the runs went on from a stored state"
    assert finish(folder, seeds) == undisturbed


def test_ctrl_c_saves_and_says_so(seeds: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    run = start(folder, seeds)
    assert run.stdout is not None
    run.stdout.readline()
    run.stdout.readline()
    os.kill(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0 and b"Traceback" not in errors
    assert (folder / "state.npz").is_file()
