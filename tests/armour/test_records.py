"""Records survive the way to JSON and back; anything else than what was written is refused with its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from armour import records
from armour.errors import FormatError, InvalidArgument


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    name: str
    share: float
    colour: Literal["red", "blue"] = "red"

    def __post_init__(self) -> None:
        if self.share < 0:
            raise InvalidArgument(f"expected a share at or above 0, got {self.share}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    count: int
    leaves: tuple[Leaf, ...] = ()
    pair: tuple[int, str] = (1, "a")
    maybe: Leaf | None = None
    figures: dict[str, float] = field(default_factory=dict)
    on: bool = False
    seconds: float = 0.0


FULL = Tree(
    count=3,
    leaves=(Leaf(name="x", share=0.5), Leaf(name="<b>", share=1, colour="blue")),
    maybe=Leaf(name="é", share=0),
    figures={"a": 1.5},
    on=True,
    seconds=2.0,
)


def test_a_record_comes_back_equal() -> None:
    assert records.from_tree(Tree, records.to_tree(FULL)) == FULL
    assert records.from_tree(Tree, {"count": 1}) == Tree(count=1)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"count": "3"}, "expected a whole number at count, got '3' (str)"),
        ({"count": True}, "expected a whole number at count"),
        ({"count": 1.0}, "expected a whole number at count"),
        ({"count": 10**30}, "expected a whole number at count"),
        ({"cuont": 1}, "unknown field cuont; did you mean count"),
        ({"leaves": {}}, "expected a list at leaves"),
        ({"leaves": [1]}, "expected an object at leaves[0], got 1 (int)"),
        ({"leaves": [{"name": "x"}]}, "field leaves[0].share is missing"),
        ({"leaves": [{"name": "x", "share": -1}]}, "leaves[0]: expected a share at or above 0"),
        ({"leaves": [{"name": "x", "share": float("nan")}]}, "expected a finite number at leaves[0].share"),
        ({"leaves": [{"name": "x", "share": 1e308}]}, "expected a finite number"),
        ({"leaves": [{"name": "x", "share": 1, "colour": "green"}]}, "expected 'red' or 'blue'"),
        ({"leaves": [{"name": "x", "share": 1, "colour": ["red"]}]}, "expected 'red' or 'blue'"),
        ({"leaves": [{"name": "\ud800", "share": 1}]}, "half a character"),
        ({"leaves": [{"name": "x" * 2_000_000, "share": 1}]}, "expected a text"),
        ({"pair": [1]}, "expected a list of 2 at pair"),
        ({"pair": [1, 2]}, "expected a text at pair[1]"),
        ({"figures": [1]}, "expected an object at figures"),
        ({"figures": {"a": None}}, "expected a finite number at figures['a']"),
        ({"on": 1}, "expected true or false at on"),
        ({"maybe": 0}, "expected an object at maybe"),
    ],
)
def test_what_was_not_written_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(FormatError) as caught:
        records.from_tree(Tree, {**records.to_tree(FULL), **change})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_the_digest_sees_every_figure_and_no_clock() -> None:
    tree = records.to_tree(FULL)
    first = records.digest(tree)
    assert records.digest(dict(reversed(tree.items()))) == first
    assert records.digest({**tree, "seconds": 99.0, "created": "today"}) == first
    assert records.digest({**tree, "count": 4}) != first
    tree["leaves"][1]["share"] = 0.75
    assert records.digest(tree) != first


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "not valid JSON"),
        ('{"a": 1', "not valid JSON"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": -Infinity}', "-Infinity is not a number"),
        ('{"a": 1, "a": 2}', "a key stands twice"),
        ("[" * 100_000, "nests too deep"),
        (b"\x89PNG\xff", "not UTF-8"),
        ("1" * 10_000, "not valid JSON"),
    ],
)
def test_text_that_is_no_report_is_one_line(text: str | bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message) as caught:
        records.parse(text, "r.json")
    assert "\n" not in str(caught.value) and str(caught.value).startswith("r.json")
