"""`armour serve` as a process: what it prints, how it ends, and the other commands against it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import small_models
import sources
from click.testing import CliRunner
from http_fakes import guard

import armour
from armour.cli import serve as command
from armour.cli.main import main


@pytest.fixture(autouse=True)
def _no_hanging() -> Iterator[None]:
    with guard(120):
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = small_models.centroids(*small_models.digits(1797))
    model.provenance["data"] = {"name": "digits"}
    path = tmp_path_factory.mktemp("model") / "small.ckpt"
    armour.save(model, path)
    return path


def start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "armour", *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": str(sources.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serving_attacking_and_fuzzing_from_the_command_line(
    checkpoint: Path, tmp_path: Path, number: int
) -> None:
    server = start("serve", checkpoint, "--port", 0, "--json", "--name", "net")
    try:
        assert server.stdout is not None
        said = json.loads(server.stdout.readline())
        url = said["url"]
        assert url.startswith("http://127.0.0.1:") and url.endswith("/v2/models/net")
        assert said == {"url": url, "name": "net", "model": str(checkpoint), "private": True}
        attack = start("attack", url, "--attack", "pgd", "--epsilon", "0.1")
        _, errors = attack.communicate(timeout=60)
        assert (
            attack.returncode == 2
            and "outputs alone: hop-skip-jump, square, " in errors
            and errors.count("\n") == 1
        )
        words = ("--attack", "square", "--queries", 20, "--epsilon", "0.2", "-n", 60, "--json")
        attack = start("attack", url, *words)
        output, errors = attack.communicate(timeout=60)
        assert attack.returncode == 0, errors
        found = json.loads(output)
        assert found["results"][0]["broken"] > 0 and found["gradients"] == 0 and found["queries"] > 120
        folder = tmp_path / "corpus"
        fuzz = start("fuzz", url, "--executions", 256, "-n", 60, "--corpus", folder, "--json")
        output, errors = fuzz.communicate(timeout=60)
        assert fuzz.returncode == 0, errors
        assert json.loads(output)["executions"] == 256 and (folder / "report.html").is_file()
        server.send_signal(number)
        output, errors = server.communicate(timeout=60)
        assert (server.returncode, output, errors) == (0, "", "")
    finally:
        server.kill()
        server.communicate()


def test_what_is_printed(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()
    stopped.set()
    monkeypatch.setattr(command, "_until_stopped", lambda: nullcontext(stopped))

    def run(*arguments: object) -> tuple[str, str]:
        result = CliRunner().invoke(main, ["serve", str(checkpoint), "--port", "0", *map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result.stdout, result.stderr

    out, err = run()
    assert out.startswith("centroids at http://127.0.0.1:") and "Ctrl-C" in out and err == ""
    assert run("--quiet") == ("", "")
    out, err = run("--host", "0.0.0.0", "--json")
    assert err.startswith("warning: ") and err.count("\n") == 1 and json.loads(out)["private"] is False


def test_mistakes_are_one_line(checkpoint: Path) -> None:
    for arguments, message in (
        (("none.ckpt",), "none.ckpt"),
        ((checkpoint, "--name", "a/b"), "name"),
        ((checkpoint, "--port", "70000"), "70000"),
        ((checkpoint, "--host", "192.0.2.1"), "cannot listen on 192.0.2.1"),
    ):
        result = CliRunner().invoke(main, ["serve", *map(str, arguments)])
        assert result.exit_code == 2 and message in result.stderr and result.stderr.count("\n") == 1
