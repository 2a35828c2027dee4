"""`armour corpus review`: people say which failing inputs still show what their label says."""

from __future__ import annotations

import getpass
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click

from armour.cli.options import json_option, print_json, seed_option
from armour.cli.terminal_picture import drawn
from armour.errors import InvalidArgument
from armour.fuzz import Corpus, ladder
from armour.fuzz import review as reviews
from armour.fuzz.review import Answer, Question, Share, Summary

_KEYS = {"y": "yes", "n": "no", "?": "unsure"}
_BACK, _QUIT = "b", "q"


@click.command(short_help="Say which failing inputs still show their label (V4).")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=None, help="Ask about so many failures only."
)
@click.option("--reviewer", default=None, help="Whose answers these are. Default: the user's name.")
@click.option("--names", metavar="NAME,...", default=None, help="Names of the classes, in their order.")
@click.option("--summary", is_flag=True, help="Ask nothing; print what the answers so far say.")
@seed_option
@json_option
def review(
    folder: Path,
    limit: int | None,
    reviewer: str | None,
    names: str | None,
    summary: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Look at one failing input of each class in DIR, and say whether it still shows what its label says.

    Keys: y yes, n no, ? cannot tell, b back, q stop. Clean seeds, some of them under a wrong label, are mixed
    in: how they are answered says how far the other answers can be trusted. Each answer is kept at once; the
    next review by the same person goes on where it stopped.
    """
    found = Corpus.read(folder)
    if not summary and not as_json:
        who = reviews.check_name(reviewer or _user())
        try:
            _ask(found, who, limit, _names(names, found), seed)
        finally:
            ladder.enter(found)
    total = reviews.summarise(reviews.answers(found))
    if as_json:
        print_json(asdict(total))
    else:
        click.echo(_text(total))


def _ask(found: Corpus, who: str, limit: int | None, names: list[str], seed: int) -> None:
    """Ask until all is answered or the reviewer stops."""
    asked, records = reviews.questions(found, who, seed, limit), found.records()
    if not asked:
        raise InvalidArgument(f"{found.folder} holds no failures with a label; there is nothing to review")
    done = {one.key for one in reviews.answers(found) if one.reviewer == who}
    place = next((i for i, question in enumerate(asked) if question.key not in done), len(asked))
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    while place < len(asked):
        question = asked[place]
        click.clear()
        click.echo(
            drawn(
                reviews.shown(found, question, records), (found.bounds.low, found.bounds.high), colour=colour
            )
        )
        click.echo(f"\n{place + 1} of {len(asked)}: is this {_article(names[question.label])}?", nl=False)
        click.echo("   y yes   n no   ? cannot tell   b back   q stop")
        key = _key()
        if key == _QUIT:
            return
        if key == _BACK:
            place = max(0, place - 1)
        elif key in _KEYS:
            reviews.append(found, _answer(question, who, _KEYS[key]))
            place += 1
    click.clear()


def _key() -> str:
    """The next key; the end of the input stops the review, so that it can be fed from a file."""
    try:
        return click.getchar().lower()[:1] or _QUIT
    except EOFError:
        return _QUIT


def _answer(question: Question, who: str, said: str) -> Answer:
    return Answer(key=question.key, kind=question.kind, label=question.label, reviewer=who, answer=said)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise InvalidArgument("expected --reviewer NAME: this system does not say who you are") from None


def _names(given: str | None, found: Corpus) -> list[str]:
    """A name for each class: those given, or their numbers."""
    classes = int(found.manifest["model"]["num_classes"])
    if given is None:
        return [str(label) for label in range(classes)]
    names = [name.strip() for name in given.split(",")]
    if len(names) != classes:
        raise InvalidArgument(f"expected {classes} names, one for each class, got {len(names)}")
    return names


def _article(name: str) -> str:
    return f"a {name}" if name[:1].lower() not in "aeio8" else f"an {name}"


def _text(total: Summary) -> str:
    if not total.reviewers:
        return "nothing was answered yet"
    lines = [
        f"reviewers           {', '.join(total.reviewers)}",
        f"still show it (V4)  {_share(total.confirmed)}, {total.unsure} not clear",
        f"controls right      {_share(total.controls)}",
        f"  clean seeds       {_share(total.clean)}",
        f"  wrong labels      {_share(total.wrong)}",
    ]
    if total.agreement is not None:
        kappa = "" if total.kappa is None else f", kappa {total.kappa:.2f}"
        lines.append(f"reviewers agree     {_share(total.agreement)}{kappa}")
    return "\n".join(lines)


def _share(share: Share | None) -> str:
    if share is None:
        return "not asked yet"
    return f"{share.k} of {share.n} ({100 * share.low:.1f} to {100 * share.high:.1f} %, 95 % interval)"
