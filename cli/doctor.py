"""`armour doctor`: this environment, in one screen."""

from __future__ import annotations

import click

from armour.cli.options import DURATION, json_option, print_json

MARKS = {
    "ok": ("ok", "green"),
    "info": ("--", "bright_black"),
    "warn": ("!!", "yellow"),
    "fail": ("XX", "red"),
}


@click.command()
@click.option(
    "--seconds",
    type=DURATION,
    default=1.0,
    show_default=True,
    help="How long each of the three speed measurements takes.",
)
@json_option
def doctor(seconds: float, as_json: bool) -> None:
    """Check this environment: imports, BLAS kernel and threads, extras, GPU, write access, speed.

    Ends with 2 if something is broken (marked XX), with 0 otherwise.
    """
    from armour import selfcheck

    findings = []
    for finding in selfcheck.run(seconds):
        findings.append(finding)
        if not as_json:
            mark, colour = MARKS[finding.status]
            click.echo(f"{click.style(mark, fg=colour)}  {finding.name:<17} {finding.value}")
            if finding.advice:
                click.echo(f"{'':22}-> {finding.advice}")
    broken = [f.name for f in findings if f.status == "fail"]
    if as_json:
        print_json({"ok": not broken, "checks": [f.to_dict() for f in findings]})
    if broken:
        raise click.exceptions.Exit(2)
