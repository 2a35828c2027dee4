"""`armour corpus lock`, and what commands that fail on findings take from a failures.lock."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

import click

from armour.errors import InvalidArgument
from armour.fuzz import Corpus
from armour.fuzz.lock import NAME, Known, Lock, add

lock_option = click.option(
    "--lock",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    default=None,
    help=f"A {NAME}: with --fail-on-finding, the classes in it do not count until their entries expire.",
)


def counting(keys: Iterable[str], path: Path | None) -> list[str]:
    """The failure classes, of these, that count today; all of them without a file. Says which have
    expired.
    """
    keys = list(keys)
    if path is None:
        return keys
    today, held = datetime.date.today(), Lock.read(path)
    for one in held.expired(today):
        if one.key in keys:
            click.echo(f"note: {path}: {one.key} expired on {one.expires} ({one.owner})", err=True)
    return held.open(keys, today)


@click.command(short_help=f"Enter failure classes in a {NAME}.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--class", "keys", multiple=True, metavar="KEY", help="A class (D2), as `corpus stats` lists them."
)
@click.option("--all", "everything", is_flag=True, help="All classes in DIR that have no entry yet.")
@click.option("--reason", required=True, help="Why it may stand for now.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option(
    "--expires", required=True, metavar="DAY", help="Day on which it counts again: 2027-03-01, or 30d."
)
@click.option(
    "--lock",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path(NAME),
    show_default=True,
    help="The file, made if it is not there.",
)
def lock(
    folder: Path, keys: tuple[str, ...], everything: bool, reason: str, owner: str, expires: str, path: Path
) -> None:
    """Enter failure classes of the corpus in DIR in a failures.lock.

    With --lock, `armour fuzz --fail-on-finding` and `armour corpus replay --fail-on-finding` let them pass
    until they expire; so does an exported suite that it lies beside.
    """
    found = {record["class"] for record in Corpus.read(folder).records()}
    if everything == bool(keys):
        raise InvalidArgument("expected --class KEY or --all; `armour corpus stats` lists the classes")
    for key in keys:
        if key not in found:
            raise InvalidArgument(
                f"{folder} has no failure class {key[:80]!r}; `armour corpus stats` lists them"
            )
    held = {one.key for one in Lock.read(path).known} if path.exists() else set()
    chosen = sorted(found - held) if everything else list(dict.fromkeys(keys))
    day = _day(expires)
    add(path, [Known(key=key, reason=reason, owner=owner, expires=day) for key in chosen])
    click.echo(f"{len(chosen)} failure classes entered in {path} until {day}")


def _day(text: str) -> datetime.date:
    """The day that is meant: a date, or so many days from today."""
    today = datetime.date.today()
    try:
        if text.endswith("d"):
            return today + datetime.timedelta(days=int(text[:-1]))
        day = datetime.date.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidArgument(
            f"expected --expires as a day such as 2027-03-01, or 30d, got {text[:40]!r}"
        ) from None
    return day
