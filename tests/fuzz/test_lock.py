"""failures.lock: entries hold until their day, and files that are none of ours are refused in one line."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour.errors import FormatError, InvalidArgument
from armour.fuzz.lock import Known, Lock, add

DAY = datetime.date(2027, 3, 1)
KEY = "label-flip-3-8-blur+noise"


def known(key: str = KEY, expires: datetime.date = DAY) -> Known:
    return Known(key=key, reason="heavy blur", owner="vision", expires=expires)


def test_an_entry_holds_until_its_day_and_counts_again_on_it(tmp_path: Path) -> None:
    path = tmp_path / "failures.lock"
    add(path, [known()])
    lock = Lock.read(path)
    day = datetime.timedelta(days=1)
    assert lock.open([KEY, "other"], DAY - day) == ["other"] and lock.expired(DAY - day) == ()
    assert lock.open([KEY, "other"], DAY) == [KEY, "other"] and lock.expired(DAY) == (known(),)


def test_what_people_wrote_stays(tmp_path: Path) -> None:
    path = tmp_path / "failures.lock"
    add(path, [known()])
    path.write_text(path.read_text() + "\n# a remark\n")
    before = path.read_text()
    add(path, [known("label-flip-1-7-noise")])
    assert path.read_text().startswith(before) and len(Lock.read(path).known) == 2
    with pytest.raises(InvalidArgument, match="has an entry already"):
        add(path, [known("label-flip-1-7-noise")])
    with pytest.raises(InvalidArgument, match="has an entry already"):
        add(path, [known("new"), known("new")])
    assert len(Lock.read(path).known) == 2


printable = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=60)


@given(printable, printable, printable, st.dates())
def test_every_entry_comes_back(
    tmp_path_factory: pytest.TempPathFactory, key: str, reason: str, owner: str, day: datetime.date
) -> None:
    path = tmp_path_factory.mktemp("lock") / "failures.lock"
    entry = Known(key=key, reason=reason, owner=owner, expires=day)
    add(path, [entry])
    assert Lock.read(path).known == (entry,)


ENTRY = 'class = "a"\nreason = "b"\nowner = "c"\nexpires = 2027-01-01\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not toml", "not TOML"),
        ("failure = 3", "expected"),
        ("other = 1", "got other"),
        (
            "[[failure]]\n" + ENTRY.replace("owner", "owned"),
            "entry 1: expected class, reason, owner",
        ),
        ("[[failure]]\n" + ENTRY.replace("2027-01-01", '"tomorrow"'), "expected expires as a day"),
        ("[[failure]]\n" + ENTRY.replace("2027-01-01", "2027-01-01T00:00:00"), "expected expires as a day"),
        ("[[failure]]\n" + ENTRY.replace('"b"', "7"), "expected reason as text"),
        ("[[failure]]\n" + ENTRY.replace('"b"', '" "'), "printable characters"),
        ("[[failure]]\n" + ENTRY + "[[failure]]\n" + ENTRY, "a is locked twice"),
        ("#" * (1 << 20) + "##", "at most"),
        ("x = " + "[" * 100_000, "not TOML"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "failures.lock"
    path.write_text(text)
    with pytest.raises(FormatError, match=message):
        Lock.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="armour corpus lock"):
        Lock.read(tmp_path / "none.lock")
