"""`armour fuzz MODEL --compare`: schedules run repeatedly, and compared with stacked random."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import click
from click.core import ParameterSource

from armour import report_compare
from armour.cli.options import print_json
from armour.cli.remote import FLAGS, repeated
from armour.cli.stop_options import RULES
from armour.errors import ArmourError, FormatError, InvalidArgument
from armour.events import OnEvent
from armour.files import write_text
from armour.fuzz import Comparison, Fuzzer
from armour.fuzz.comparing import REPEATS, chosen
from armour.fuzz.comparison import BASELINE, COUNTS
from armour.fuzz.engine import EXECUTIONS
from armour.fuzz.schedules import SCHEDULES

PAGE, RESULT = "report.html", "report.json"
ALL = "all"
_MEANINGLESS = ("schedule", "islands", "no_baseline", "fail_on_finding")
_SAID_AGAIN = ("samples", "validity", "inputs", "coverage", "mutators", "data", "seed", "device")


@dataclass(frozen=True, slots=True)
class Plan:
    """A comparison that was asked for. command: what makes it anew; resume: what goes on with it."""

    names: tuple[str, ...]
    repeats: int
    executions: int
    folder: Path
    command: str
    resume: str

    def run(self, fuzzer: Fuzzer, seed: int, resume: bool, jobs: int, on_event: OnEvent) -> Comparison:
        """Run what is missing; errors say how to go on."""
        try:
            return fuzzer.compare(self.names, self.repeats, self.executions, seed, resume, on_event, jobs)
        except (ArmourError, KeyboardInterrupt) as error:
            if not isinstance(error, (InvalidArgument, FormatError)):
                error.add_note(f"whole runs are saved; go on with: {self.resume}")
            raise

    def show(self, found: Comparison, as_json: bool, quiet: bool) -> bool:
        """Write page and figures into the folder, and print them; whether all runs are there."""
        figures = report_compare.values(found, self.command) | {"report": str(self.folder / PAGE)}
        write_text(self.folder / RESULT, json.dumps(figures, indent=1) + "\n")
        write_text(self.folder / PAGE, report_compare.html(found, self.command))
        if as_json:
            print_json(figures)
        elif not quiet:
            click.echo(text(found, self.folder / PAGE, self.command))
        if found.interrupted:
            click.echo(f"interrupted; go on with: {self.resume}", err=True)
        return not found.interrupted


def asked(compare: str | None, repeats: int | None, context: click.Context) -> tuple[str, ...]:
    """The schedules that --compare names, none without it.

    InvalidArgument for what is no schedule, and for options that do not go together.
    """
    if compare is None:
        if repeats is not None:
            raise InvalidArgument("expected --repeats together with --compare; add --compare")
        return ()
    for name in (*_MEANINGLESS, *(rule for rule in RULES if rule != "executions")):
        if context.get_parameter_source(name) != ParameterSource.DEFAULT:
            option = f"--{name.replace('_', '-')}"
            raise InvalidArgument(f"expected --compare without {option}, got both; leave one of them out")
    if compare == ALL:
        return chosen(None)
    names = [word.strip() for word in compare.split(",") if word.strip()]
    if any("/" in word or "." in word for word in names):
        raise InvalidArgument(f"expected schedules after --compare, got {compare!r}; put MODEL before it")
    return chosen(names)


def plan(
    context: click.Context, model: str | Path, folder: Path, names: tuple[str, ...], model_options: list[str]
) -> Plan:
    """The comparison of these schedules, as the command line states it."""
    given = context.params
    repeats, executions = given["repeats"] or REPEATS, given["executions"] or EXECUTIONS
    parts = ["armour", "fuzz", str(model), "--compare", words(names), "--repeats", str(repeats)]
    parts += ["--executions", str(executions), *repeated(context, (*_SAID_AGAIN, *FLAGS)), *model_options]
    on = shlex.join([*parts, "--corpus", str(folder), "--resume"])
    return Plan(names, repeats, executions, folder, shlex.join(parts), on)


def words(names: tuple[str, ...]) -> str:
    """What to say after --compare for these schedules."""
    return ALL if set(names) == set(SCHEDULES.names()) else ",".join(n for n in names if n != BASELINE)


def text(found: Comparison, page: Path, command: str) -> str:
    """The comparison for people."""
    done = min(len(found.of(name)) for name in found.schedules)
    lines = [
        f"{found.model}: {len(found.schedules)} schedules, {done} repeats of {found.executions:,} executions "
        f"each, {found.roots:,} seeds",
        "",
    ]
    width = max(len(name) for name in found.schedules) + 2
    names = [name for name in found.schedules if name != BASELINE and found.lines and found.of(name)]
    for count, meaning in COUNTS.items() if names else ():
        base = found.line(names[0], count).baseline
        lines.append(f"{meaning:<32}{BASELINE:<{width}}{base:>10,.1f}")
        for name in names:
            line = found.line(name, count)
            effect = line.effect
            lines.append(
                f"{'':<32}{name:<{width}}{line.median:>10,.1f}   A12 {effect.value:.2f} "
                f"[{effect.low:.2f}, {effect.high:.2f}]   p {line.holm:.2g}"
            )
    lines += ["", *found.verdicts(), *(f"note: {note}" for note in found.notes), ""]
    lines.append("p: two-sided Mann-Whitney, corrected by Holm over all lines")
    return "\n".join([*lines, f"report  {page}", f"again   {command}"])
