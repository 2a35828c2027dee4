"""failures.lock: known failure classes, each with a reason, an owner and a day on which it counts again.

A TOML file that people write and review:

    [[failure]]
    class = "label-flip-3-8-blur+noise"
    reason = "3 and 8 in heavy blur; retraining is planned"
    owner = "vision"
    expires = 2027-03-01
"""

from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from armour import checks
from armour.errors import FormatError, InvalidArgument
from armour.files import atomic_write

NAME = "failures.lock"
_KEYS = {"class": str, "reason": str, "owner": str, "expires": datetime.date}
_MAX_BYTES = 1 << 20
_MAX_TEXT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A failure class (D2) that is known: why, who answers for it, and the first day on which it counts
    again.
    """

    key: str
    reason: str
    owner: str
    expires: datetime.date

    def __post_init__(self) -> None:
        for name, text in (("class", self.key), ("reason", self.reason), ("owner", self.owner)):
            if not text.strip() or len(text) > _MAX_TEXT or not text.isprintable():
                raise InvalidArgument(
                    f"expected {name} as 1 to {_MAX_TEXT} printable characters, got {text[:40]!r}"
                )


@dataclass(frozen=True, slots=True)
class Lock:
    """The entries of a failures.lock, one for each class."""

    known: tuple[Known, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Lock:
        """The entries of a file; FormatError, naming the entry, for what is none of ours."""
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise FormatError(f"{path}: expected at most {_MAX_BYTES:,} bytes")
            tree = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise FormatError(f"{path}: {error.strerror}; `armour corpus lock` writes one") from error
        except (ValueError, RecursionError) as error:
            reason = " ".join(str(error).split())[:80]
            raise FormatError(f"{path}: not TOML ({reason}); see `armour corpus lock --help`") from error
        entries = tree.pop("failure", [])
        if tree or not isinstance(entries, list):
            raise FormatError(
                f"{path}: expected [[failure]] entries only, got {', '.join(tree) or 'a table'}"
            )
        known = [_entry(path, number, entry) for number, entry in enumerate(entries, 1)]
        keys = [one.key for one in known]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise FormatError(f"{path}: {twice[0]} is locked twice; keep one entry")
        return cls(tuple(known))

    def state(self, key: str, today: datetime.date) -> Known | None:
        """The entry that holds for the class on that day; None if there is none or it has expired."""
        for one in self.known:
            if one.key == key and today < one.expires:
                return one
        return None

    def expired(self, today: datetime.date) -> tuple[Known, ...]:
        """Entries that no longer hold."""
        return tuple(one for one in self.known if today >= one.expires)

    def open(self, keys: Iterable[str], today: datetime.date) -> list[str]:
        """The classes, of these, that count on that day, in their order."""
        return [key for key in keys if self.state(key, today) is None]


def add(path: Path, entries: Sequence[Known]) -> None:
    """Append entries to a file, made if it is not there; what stands in it stays as people wrote it.

    Raises InvalidArgument if a class has an entry already, FormatError if the file is none of ours.
    """
    held = Lock.read(path).known if path.exists() else ()
    taken = {one.key for one in held}
    for one in entries:
        if one.key in taken:
            raise InvalidArgument(f"{path}: {one.key} has an entry already; edit it there")
        taken.add(one.key)
    before = path.read_text(encoding="utf-8") if path.exists() else _HEAD
    parts = [before.rstrip("\n") + "\n", *map(_text, entries)]
    with atomic_write(path) as stream:
        stream.write("\n".join(parts).encode())


_HEAD = "# Known failures. Each entry counts again from the day on which it expires.\n"


def _text(one: Known) -> str:
    pairs = [("class", one.key), ("reason", one.reason), ("owner", one.owner)]
    # JSON's strings are TOML's, for printable text.
    lines = [f"{name} = {json.dumps(text, ensure_ascii=False)}" for name, text in pairs]
    return "\n".join(["[[failure]]", *lines, f"expires = {one.expires.isoformat()}"]) + "\n"


def _entry(path: Path, number: int, entry: object) -> Known:
    where = f"{path}, entry {number}"
    if not isinstance(entry, dict) or set(entry) != set(_KEYS):
        got = ", ".join(sorted(entry)) if isinstance(entry, dict) else type(entry).__name__
        extra = checks.suggest(got, _KEYS) if got and got not in _KEYS else ""
        raise FormatError(f"{where}: expected class, reason, owner and expires, got {got[:80]}{extra}")
    for name, kind in _KEYS.items():
        value = entry[name]
        if not isinstance(value, kind) or isinstance(value, datetime.datetime):
            raise FormatError(f"{where}: expected {name} as {'a day' if kind is not str else 'text'}")
    try:
        return Known(
            key=entry["class"], reason=entry["reason"], owner=entry["owner"], expires=entry["expires"]
        )
    except InvalidArgument as error:
        raise FormatError(f"{where}: {error}") from error
