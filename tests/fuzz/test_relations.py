"""Relations declared in TOML: what they say, what they refuse, and what breaks them by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import oracle_cases as cases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from armour.bounds import Bounds
from armour.errors import InvalidArgument
from armour.fuzz import FuzzConfig
from armour.fuzz.execution import Outcome
from armour.fuzz.mutators import MUTATORS
from armour.fuzz.oracles import Relation, read_relations
from armour.fuzz.oracles.panel import make_panel
from armour.fuzz.oracles.relations import EXPECTATIONS
from armour.fuzz.oracles.transforms import TRANSFORMS, Call, changes

BOUNDS = Bounds(0, 1)


def changed(text: str, x: np.ndarray) -> np.ndarray:
    before = x.copy()
    out = changes(Call.parse(text))(x, BOUNDS)
    assert np.array_equal(x, before), "inputs are not written to"
    return np.asarray(out)


@pytest.mark.parametrize(
    ("text", "row", "expected"),
    [
        ("flip", [0, 0.25, 0.5, 1], [1, 0.5, 0.25, 0]),
        ("flip(axis=0)", [0, 0.25, 0.5, 1], [1, 0.5, 0.25, 0]),
        ("roll(by=1)", [0, 0.25, 0.5, 1], [1, 0, 0.25, 0.5]),
        ("move(by=1)", [0, 0.25, 0.5, 1], [0, 0, 0.25, 0.5]),
        ("move(by=-2)", [0, 0.25, 0.5, 1], [0.5, 1, 1, 1]),
        ("multiply(factor=2)", [0, 0.25, 0.5, 1], [0, 0.5, 1, 1]),
        ("offset(by=-0.25)", [0, 0.25, 0.5, 1], [0, 0, 0.25, 0.75]),
        ("mirror-values", [0, 0.25, 0.5, 1], [1, 0.75, 0.5, 0]),
        ("drop(channel=1)", [0.5, 0.25, 0.5, 1], [0.5, 0, 0.5, 1]),
        ("invert(channel=1)", [0.5, 0.25, 0.5, 1], [0.5, 0.75, 0.5, 1]),
        ("set(column=3, to=.5)", [0.5, 0.25, 0.5, 1], [0.5, 0.25, 0.5, 0.5]),
        ("add(column=0,by=0.25)", [0.5, 0.25, 0.5, 1], [0.75, 0.25, 0.5, 1]),
    ],
)
def test_changes_by_hand(text: str, row: list[float], expected: list[float]) -> None:
    x = np.array([row, row[::-1]], np.float32)
    assert changed(text, x)[0].tolist() == expected


def test_every_change_is_tested_by_hand() -> None:
    marks = test_changes_by_hand.pytestmark  # type: ignore[attr-defined]
    tested = {Call.parse(one[0]).name for one in marks[0].args[1]}
    assert tested == set(TRANSFORMS.names())
    assert not tested & set(MUTATORS.names()), "a change must not hide a mutator"


def test_a_mutator_is_a_change_of_each_input_by_itself() -> None:
    x = np.random.default_rng(0).random((5, 1, 6, 6)).astype(np.float32)
    brighter = changed("brightness(delta=0.1)", x)
    np.testing.assert_allclose(brighter, np.clip(x + 0.1, 0, 1), atol=1e-6)
    noisy = changed("gaussian-noise(sigma=0.05)", x)
    assert np.array_equal(changed("gaussian-noise(sigma=0.05)", x[3:4])[0], noisy[3])
    assert np.array_equal(changed("contrast", x), x), "numbers that are not stated do nothing"


def outcome(logits: list[list[float]]) -> Outcome:
    values = np.array(logits, np.float32)
    sound = np.isfinite(values).all(axis=1)
    predicted = np.where(sound, np.nan_to_num(values).argmax(axis=1), -1)
    return Outcome(values, np.zeros((len(values), 0), np.float32), sound, predicted)


@pytest.mark.parametrize(
    ("text", "after", "broken"),
    [  # before: (2, 0), whose label 0 has the probability .8808
        ("same-label", [1.0, 0.5], False),
        ("same-label", [1.0, 1.00002], False),
        ("same-label", [1.0, 1.5], True),
        ("same-label", [np.nan, 0.0], True),
        ("other-label", [1.0, 0.5], True),
        ("other-label", [0.0, 0.5], False),
        ("close", [2.002, 0.0005], False),
        ("close", [2.004, 0.0], True),
        ("close(tolerance=0.1)", [2.2, 0.0], False),
        ("negated", [-2.0, 0.0], False),
        ("negated", [2.0, 0.0], True),
        ("changes", [2.0, 0.0], True),
        ("changes", [2.0, 0.01], False),
        ("not-lower", [3.0, 0.0], False),
        ("not-lower", [1.0, 0.0], True),
        ("not-lower(label=1)", [3.0, 0.0], True),
        ("not-lower", [1.995, 0.0], False),  # .8803: within the tolerance of .001
        ("not-higher", [3.0, 0.0], True),
        ("not-higher", [1.0, 0.0], False),
    ],
)
def test_expectations_by_hand(text: str, after: list[float], broken: bool) -> None:
    call = Call.parse(text)
    row = EXPECTATIONS.get(call.name)
    numbers = call.filled(row.defaults)
    found = row.broken(outcome([[2.0, 0.0]]), outcome([after]), np.array([0]), **numbers)
    assert found.tolist() == [broken]


names = st.from_regex(r"[a-z][a-z0-9]{0,10}", fullmatch=True)


@given(
    name=names,
    labels=st.lists(st.integers(0, 999), max_size=3),
    factor=st.floats(-1e6, 1e6),
    every=st.integers(1, 9999),
    tolerance=st.floats(1e-6, 1e3),
)
def test_a_relation_is_what_its_line_says(
    name: str, labels: list[int], factor: float, every: int, tolerance: float
) -> None:
    numbers = (("factor", factor),)
    one = Relation(
        name=name,
        change=(Call("flip"), Call("multiply", numbers)),
        expect=Call("close", (("tolerance", tolerance),)),
        labels=tuple(labels),
        every=every,
    )
    assert Relation.parse(str(one)) == one


FILE = """
[[relation]]
name = "mirror"
change = "flip(axis=-1)"
expect = "same-label"
labels = [0, 1]

[[relation]]
name = "light"
change = ["brightness(delta=0.1)", "flip"]
expect = "close(tolerance=0.5)"
every = 4
"""


def test_a_file_of_relations(tmp_path: Path) -> None:
    path = tmp_path / "relations.toml"
    path.write_text(FILE)
    found = read_relations(path)
    assert [str(one) for one in found] == [
        "mirror[0,1]: flip(axis=-1) -> same-label",
        "light: brightness(delta=0.1); flip -> close(tolerance=0.5) / 4",
    ]
    config = FuzzConfig(relations=tuple(map(str, found)))
    assert [one.key for one in config.named] == ["metamorphic-mirror", "metamorphic-light"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected tables"),
        ("a = 1", "expected tables"),
        ("[[relation]]\nname = 'x'", "relation 1: expected name, change and expect"),
        ("[[relation]]\nname='x'\nchange='flip'\nexpect='close'\nof=1", "got of"),
        ("[[relation]]\nname='../x'\nchange='flip'\nexpect='close'", "letters, digits and hyphens"),
        ("[[relation]]\nname='x'\nchange='flop'\nexpect='close'", "unknown change 'flop'.*flip"),
        ("[[relation]]\nname='x'\nchange='import os'\nexpect='close'", "expected NAME"),
        ("[[relation]]\nname='x'\nchange='roll'\nexpect='close'", "roll needs by="),
        ("[[relation]]\nname='x'\nchange='flip(by=1)'\nexpect='close'", "flip has no number 'by'"),
        ("[[relation]]\nname='x'\nchange='flip'\nexpect='closed'", "unknown expectation 'closed'.*close"),
        ("[[relation]]\nname='x'\nchange='brightness(delta=9)'\nexpect='close'", r"in \[-0.2, 0.2\], got 9"),
        ("[[relation]]\nname='x'\nchange='flip'\nexpect='close'\nevery=0", "every"),
        ("[[relation]]\nname='x'\nchange='flip'\nexpect='close'\nlabels=[-1]", "whole numbers"),
        ("[[relation]]\nname='x'\nchange=3\nexpect='close'", "relation 1"),
        (2 * "[[relation]]\nname='x'\nchange='flip'\nexpect='close'\n", "different names"),
        ("[[relation", "no TOML"),
    ],
)
def test_what_is_no_relation_is_refused_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "relations.toml"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=message) as caught:
        read_relations(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("relation", "message"),
    [
        ("x: flip(axis=5) -> close", "relation x: expected an axis of inputs"),
        ("x: drop(channel=3) -> close", "relation x: expected a channel or column in 0..0"),
        ("x[7]: flip -> close", r"expected labels in 0..1, got 7"),
        ("x: flip -> not-lower(label=2)", r"expected labels in 0..1, got 2"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(relation: str, message: str) -> None:
    at = cases.place(cases.CASES["label-flip"], faulty=False)
    with pytest.raises(InvalidArgument, match=message):
        make_panel(at, relations=[relation])


def test_inputs_that_do_not_change_and_other_labels_say_nothing() -> None:
    at = cases.place(cases.CASES["label-flip"], faulty=False)
    # That nothing may happen is broken by every input that is changed, and by no other.
    panel = make_panel(at, relations=["only[1]: set(column=0, to=0.5) -> other-label"])
    seen = cases.seen(at)
    seen.x[::2] = 0.5
    hit, _ = panel.filed(["metamorphic-only"] * len(seen), seen)
    moved = (seen.x != 0.5).reshape(len(seen), -1).any(axis=1)
    assert np.array_equal(hit, moved & (seen.labels == 1) & (seen.outcome.predicted >= 0)) and hit.any()
