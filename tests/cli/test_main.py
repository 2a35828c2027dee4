"""The group: lazy commands, one line for each error, and the exit codes of the contract."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import click
import pytest
import sources
from click.testing import CliRunner, Result

from armour import errors
from armour.cli import main as module
from armour.cli.main import COMMANDS, main


def invoke(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """A command `fail` that raises what the test puts into the list."""
    holder: list[BaseException] = []

    @click.command("fail")
    def fail() -> None:
        raise holder[0]

    monkeypatch.setitem(COMMANDS, "fail", ("somewhere:fail", "Fails."))
    known = main.get_command
    monkeypatch.setattr(main, "get_command", lambda ctx, name: fail if name == "fail" else known(ctx, name))
    return holder


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.InvalidArgument("expected a, got b"), 2, "error: expected a, got b"),
        (errors.CheckpointError("torn"), 2, "error: torn"),
        (errors.GateFailed("found one"), 1, "error: found one"),
        (errors.UnsoundEvidence("masked"), 3, "error: masked"),
        (errors.AnomalyError("op log made 1 NaN"), 3, "error: op log made 1 NaN"),
        (errors.NothingEvaluated("empty"), 5, "error: empty"),
        (errors.Interrupted("state saved"), 130, "error: state saved"),
        (errors.InvalidArgument("two\n  lines"), 2, "error: two lines"),
        (
            OSError(errno.ENOSPC, "No space left on device", "m.ckpt"),
            2,
            "error: m.ckpt: No space left on device",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 2, "error: /x: Permission denied"),
        (MemoryError(), 2, "error: out of memory; use a smaller batch, fewer samples or a smaller model"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
        (click.Abort(), 130, "error: interrupted"),
        (click.FileError("f", "gone"), 2, "error: Could not open file 'f': gone"),
        (
            ZeroDivisionError("division by zero"),
            4,
            "error: internal: ZeroDivisionError: division by zero; set ARMOUR_DEBUG=1 and run again "
            "to see where",
        ),
    ],
)
def test_each_error_is_one_line_and_a_code(
    failing: list[BaseException], error: BaseException, code: int, line: str
) -> None:
    failing.append(error)
    result = invoke("fail")
    assert result.exit_code == code
    assert result.stderr.strip().splitlines() == [line]
    assert result.stdout == ""


def test_every_error_class_has_an_exit_code_of_the_contract() -> None:
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.ArmourError)]
    assert {c.exit_code for c in classes} == {1, 2, 3, 5, 130}


def test_debug_shows_the_traceback(failing: list[BaseException], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(module.DEBUG, "1")
    failing.append(ZeroDivisionError("division by zero"))
    result = invoke("fail")
    assert "Traceback" in result.stderr
    assert result.exit_code == 4


def test_unknown_commands_and_options_are_one_line_with_the_nearest_name() -> None:
    result = invoke("fuz")
    assert result.exit_code == 2
    assert result.stderr.strip() == "error: unknown command 'fuz'; did you mean fuzz? (see: armour --help)"
    result = invoke("doctor", "--no-such")
    assert result.exit_code == 2
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.strip().endswith("(see: armour doctor --help)")


def test_no_command_shows_the_help_and_is_a_usage_error() -> None:
    result = invoke()
    assert result.exit_code == 2
    assert "Commands" in result.output


def test_help_and_version() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)
    assert invoke("--version").stdout.split()[0] == "armour"


def test_a_command_that_asks_for_an_exit_code_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command("leave")
    @click.pass_context
    def leave(ctx: click.Context) -> None:
        ctx.exit(3)

    monkeypatch.setitem(COMMANDS, "leave", ("somewhere:leave", "Leaves."))
    monkeypatch.setattr(main, "get_command", lambda _ctx, _name: leave)
    assert invoke("leave").exit_code == 3


@pytest.mark.skipif(os.name == "nt", reason="pipes end differently on Windows")
def test_a_reader_that_goes_away_is_not_an_error() -> None:
    code = (
        "import click, sys\nfrom armour.cli import main as m\n"
        "@click.command('flood')\ndef flood():\n    for _ in range(20000): click.echo('x' * 80)\n"
        "m.COMMANDS['flood'] = ('', 'Floods.')\nm.LazyGroup.get_command = lambda self, ctx, name: flood\n"
        "m.main(['flood'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=sources.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        shown = process.stderr.read()
        assert process.wait(60) == 141
    assert shown == b""


def test_the_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "armour", "nope"],
        cwd=sources.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown command 'nope'")


def test_no_color_is_told_to_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    assert invoke("--no-color", "--help").exit_code == 0
    assert os.environ["NO_COLOR"] == "1"
