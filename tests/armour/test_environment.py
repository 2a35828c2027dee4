"""The environment says what a result can depend on, and nothing about whose machine it was."""

from __future__ import annotations

import getpass
import json
import platform
import socket
from pathlib import Path

import pytest

from armour import environment, records


def test_it_names_versions_and_the_blas_kernel() -> None:
    found = environment.collect()
    assert found.python == platform.python_version()
    assert "numpy" in found.packages
    assert found.cores >= 1
    assert "thread" in found.blas or found.blas == "unknown"
    assert found.device == "cpu"


def test_it_holds_no_host_user_or_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    text = json.dumps(records.to_tree(environment.collect()))
    assert '"OMP_NUM_THREADS": "1"' in text
    assert "hunter2" not in text and "SECRET" not in text
    assert str(Path.home()) not in text and str(Path(__file__).parents[2]) not in text
    for name in (socket.gethostname(), getpass.getuser()):
        assert len(name) < 5 or name not in text
