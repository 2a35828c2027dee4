"""The command `armour`: loads a command's module when it is called, and turns errors into exit codes.

Exit codes: 0 passed; 1 a gate failed or a finding; 2 usage, configuration or bad input; 3 unsound evidence;
4 internal error; 5 nothing was evaluated; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from armour.checks import suggest
from armour.errors import ArmourError

# Command -> (where it is, its line in --help). Nothing here is imported until it is called.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (
        "armour.cli.demo:demo",
        "Train, fuzz and attack a small network on real images; write a report.",
    ),
    "train": ("armour.cli.train:train", "Train a network by name and write a checkpoint."),
    "info": ("armour.cli.model:info", "Show a model: network, shapes, bounds, provenance, hashes."),
    "convert": ("armour.cli.convert:convert", "Write a model or its weights in another format."),
    "attack": ("armour.cli.attack:attack", "Run one attack on a model."),
    "evaluate": (
        "armour.cli.evaluate:evaluate",
        "Measure robust accuracy by several attacks, with checks of the evidence.",
    ),
    "certify": ("armour.cli.certify:certify", "Prove robustness, and attack what is not proved."),
    "fuzz": ("armour.cli.fuzz:fuzz", "Search for failures with coverage-guided fuzzing."),
    "harden": ("armour.cli.harden:harden", "Retrain with failures of some seeds; fuzz again from others."),
    "serve": (
        "armour.cli.serve:serve",
        "Serve a model over HTTP, by the Open Inference Protocol v2.",
    ),
    "corpus": ("armour.cli.corpus:corpus", "Show or replay what fuzzing found."),
    "report": ("armour.cli.report:report", "Render a result file as a page."),
    "doctor": ("armour.cli.doctor:doctor", "Check this environment: BLAS, threads, extras, GPU, speed."),
}
DEBUG = "ARMOUR_DEBUG"
INTERRUPTED = 130
INTERNAL = 4
USAGE = 2
_BROKEN_PIPE = 141  # what a shell reports for a process ended by SIGPIPE


class LazyGroup(click.Group):
    """A group whose commands come from COMMANDS, with armour's exit codes instead of click's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, its module imported now; None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with the nearest names in the message for an unknown command."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"unknown command {args[0]!r}{suggest(args[0], COMMANDS)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table, from its own lines, so that --help imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a reader that went away (`armour ... | head`) is no error of ours."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(_BROKEN_PIPE)

    def main(self, *args: Any, standalone_mode: bool = True, **options: Any) -> Any:
        """Run and end the process with the exit code; standalone_mode=False returns or raises like click."""

        # By this name in every message, also for `python -m armour`.
        options.setdefault("prog_name", "armour")
        run: Any = partial(super().main, *args, standalone_mode=False, **options)
        if not standalone_mode:
            return run()
        try:
            result = run()
        except Exception as error:
            _end(error)
        except KeyboardInterrupt as error:
            _end(error)
        # click returns the code given to ctx.exit() here.
        sys.exit(result if isinstance(result, int) else 0)


def _end(error: BaseException) -> NoReturn:
    """Say what went wrong in one line on stderr and leave with its exit code."""
    if os.environ.get(DEBUG) and not isinstance(error, (click.ClickException, click.Abort)):
        traceback.print_exception(error)
    code = INTERNAL
    if isinstance(error, NoArgsIsHelpError):
        error.show()
        code = USAGE
    elif isinstance(error, click.ClickException):
        # click's own exit code for a file that cannot be opened is 1, which here means a finding.
        code = USAGE
        _say(_line(error.format_message()) + _where_to_look(error))
    elif isinstance(error, (click.Abort, KeyboardInterrupt)):
        code = INTERRUPTED
        _say("; ".join(["interrupted", *_notes(error)]))
    elif isinstance(error, ArmourError):
        code = error.exit_code
        _say("; ".join([_line(str(error)) or type(error).__name__, *_notes(error)]))
    elif isinstance(error, OSError):
        code = USAGE
        _say(_os_error(error))
    elif isinstance(error, MemoryError):
        code = USAGE
        _say("out of memory; use a smaller batch, fewer samples or a smaller model")
    else:
        _say(
            f"internal: {type(error).__name__}: {_line(str(error))}; set {DEBUG}=1 and run again to see where"
        )
    sys.exit(code)


def _notes(error: BaseException) -> list[str]:
    """What a command has added to an error: what is saved, and how to go on."""
    if isinstance(error, click.Abort) and error.__cause__ is not None:
        error = error.__cause__  # click makes this of Ctrl-C
    return [_line(note) for note in getattr(error, "__notes__", ())]


def _where_to_look(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see: {context.command_path} --help)" if isinstance(context, click.Context) else ""


def _os_error(error: OSError) -> str:
    reason = error.strerror or _line(str(error)) or type(error).__name__
    return f"{error.filename}: {reason}" if error.filename else reason


def _line(text: str) -> str:
    return " ".join(text.split())


def _say(text: str) -> None:
    with suppress(OSError, ValueError):
        click.echo(f"error: {text}", err=True)


def _version(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        import armour

        click.echo(f"armour {armour.__version__}")
        ctx.exit()


def _no_color(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        ctx.color = False
        os.environ["NO_COLOR"] = "1"  # rich reads it


@click.group("armour", cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
@click.option(
    "--no-color", is_flag=True, is_eager=True, expose_value=False, callback=_no_color, help="No colours."
)
def main() -> None:
    """Robustness and security evaluation of machine-learning models.

    `armour demo` shows everything once, on real images, in a few minutes.
    """
