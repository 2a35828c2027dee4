"""Tables: schemas as stated and inferred, what mutants of rows may be, and repair of constraints."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small_models
from fuzz_inputs import RULES, TABLE, rows, table
from hypothesis import given, settings
from hypothesis import strategies as st

from armour.bounds import Bounds
from armour.errors import FormatError, InvalidArgument
from armour.fuzz import Corpus, FuzzConfig, Fuzzer
from armour.fuzz.kinds import TABULAR, choose
from armour.fuzz.mutators import get, names_for
from armour.fuzz.recipe import apply_steps
from armour.fuzz.replay import replay
from armour.fuzz.schema import Schema, build, infer
from armour.fuzz.stating import read_aids
from armour.fuzz.table import Table
from armour.fuzz.validity import ValidityModel
from armour.model import CallableModel, ModuleModel
from armour.rng import generator, per_item

WIDE = Bounds(-1000, 1000)


def test_what_the_schema_leaves_open_is_inferred() -> None:
    x = np.array([[3, 1, 0, 0, 0.5, 7, 1], [4, 0, 1, 0, 0.7, 7, 0], [9, 0, 0, 1, 0.1, 7, 1]], np.float32)
    kinds = [(c.name, c.kind, c.width) for c in infer(x).columns]
    assert kinds == [
        ("c0", "integer", 1),
        ("c1", "one-hot", 3),
        ("c4", "numeric", 1),
        ("c5", "fixed", 1),
        ("c6", "category", 1),
    ]
    assert infer(x).columns[4].values == (0.0, 1.0) and not infer(x).columns[0].low_stated
    part = build([{"index": 4, "name": "ratio", "high": 2}], [{"rule": "ratio <= c0"}], x)
    assert [c.name for c in part.columns] == ["c0", "c1", "ratio", "c5", "c6"] and (
        part.columns[2].low_stated,
        part.columns[2].high_stated,
    ) == (False, True)
    assert part.rules[0].places == (4, 0) and part.rules[0].factors == (1.0, -1.0)


def test_constraints_are_sums() -> None:
    x = np.ones((3, 3), np.float32) * np.arange(1, 4)[:, None]
    names = [{"name": name} for name in ("a", "b", "c")]
    rule = build(names, [{"rule": "2*a + b - 0.5 * c >= 3 - a"}], x).rules[0]
    assert (rule.places, rule.factors, rule.bound) == ((0, 1, 2), (-3.0, -1.0, 0.5), -3.0) and not rule.equal
    assert build(names, [{"rule": "a + b == c"}], x).rules[0].equal
    for wrong in (
        "a",
        "a < b",
        "a <= ",
        "a b <= c",
        "a <= d",
        "__import__('os') <= a",
        "a**2 <= b",
        "a <= a",
    ):
        with pytest.raises(InvalidArgument, match="constraint"):
            build(names, [{"rule": wrong}], x)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"kind": "number"}, "unknown kind 'number'; did you mean numeric"),
        ({"nam": "a"}, "unknown key 'nam'; did you mean name"),
        ({"index": 0, "kind": "integer"}, "1 that are not; correct the schema"),
        ({"index": 0, "low": 1}, "1 that are not; correct"),
        ({"kind": "one-hot"}, "expected width = 2 or more"),
        ({"kind": "one-hot", "width": 2}, "3 that are not; correct"),
        ({"index": 9}, "expected a place in 0..1, got 9"),
        ({"index": 0, "missing": "?"}, "write missing values as a number"),
        ({"index": 0, "low": 9, "high": 1}, "that are not"),
        ({"name": "x"}, "expected columns for all 2 values"),
    ],
)
def test_wrong_schemas_are_refused(column: dict[str, object], message: str) -> None:
    x = np.array([[0.5, 1], [2, 2], [3, 3]], np.float32)
    with pytest.raises(InvalidArgument, match=message):
        build([column], [], x)


def test_stored_schemas_come_back_and_damaged_ones_do_not() -> None:
    schema = table().schema
    assert Schema.parse(schema.text(), 12) == schema
    text = json.loads(schema.text())
    for change in (
        {"columns": text["columns"][:-1]},
        {"columns": [{**text["columns"][0], "kind": "code"}, *text["columns"][1:]]},
        {"columns": [{**text["columns"][0], "spread": 0}, *text["columns"][1:]]},
        {"columns": [{**text["columns"][0], "extra": 0}, *text["columns"][1:]]},
        {"columns": 7},
        {"rules": [{**text["rules"][0], "places": [99, 1]}]},
        {"rules": text["rules"] * 100},
    ):
        with pytest.raises(InvalidArgument):
            Schema.parse(json.dumps({**text, **change}), 12)
    for other in ("", "[]", "{", "[" * 5000):
        with pytest.raises(InvalidArgument, match="expected a schema as armour writes it"):
            Schema.parse(other, 12)


def test_levels_of_rows() -> None:
    clean = rows(400)
    kind = choose(box(12), clean, "tabular", table_aids())
    fitted = ValidityModel.fit(clean, WIDE, kind)
    start = int(np.flatnonzero((clean[:, 2] != 999) & (clean[:, 1] > 80))[0])
    ref = np.repeat(clean[start : start + 1], 10, axis=0)
    x = ref.copy()
    x[1, 3] = (x[1, 3] + 1) % 3  # another category
    x[2, 0] += 0.5  # no whole number
    x[3, 0] = 121  # out of the stated range
    x[4, 4:8] = 0  # no job at all
    x[5, 2] = x[5, 1]  # twice the loan is more than the income
    x[6, 8] = 6  # a fixed column of the seeds, but nothing says what it may be
    x[7, 9:] += 0.1
    x[8, 0] = 18 if x[8, 0] > 50 else 90
    x[8, 9:] = 3 * np.sign(x[8, 9:])  # four of nine columns, far
    x[9, 3] = 7  # no such category
    level = fitted.level(x, ref, [()] * 10)
    assert level[[0, 1, 7]].tolist() == [2, 2, 2]
    assert level[[2, 3, 4, 5, 9]].tolist() == [-1] * 5
    assert level[8] == 0 and level[6] >= 0
    assert fitted.assess(x, ref, [()] * 10).l0[[1, 4, 8]].tolist() == pytest.approx([1 / 9, 1 / 9, 4 / 9])
    back = ValidityModel.from_arrays(fitted.arrays(), kind.aids)
    assert np.array_equal(back.level(x, ref, [()] * 10), level)


def box(size: int) -> CallableModel:
    """Takes rows."""
    return CallableModel(
        lambda x: np.zeros((len(x), 2), np.float32),
        outputs="logits",
        input_shape=(size,),
        num_classes=2,
        bounds=(-1000, 1000),
    )


def table_aids() -> object:
    """What TABLE and RULES state."""
    from armour.fuzz.aids import Aids

    return Aids(table=table())


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32), name=st.sampled_from(names_for((12,), choose(box(12), rows(60), "tabular")))
)
def test_mutants_keep_the_schema_whatever_is_drawn(seed: int, name: str) -> None:
    x, row, own = rows(60), get(name), table()
    streams = per_item(generator(seed), len(x))
    out = row.apply(x, row.sample(streams.child(0)), streams.child(1), WIDE, own)
    sound = own.domain(x)
    # What a constraint asks may not be within the ranges of its columns; all else always holds.
    assert own.domain(out)[sound].mean() > 0.9
    free = Table(Schema(columns=own.schema.columns, size=12))
    assert free.domain(out).all()
    assert np.array_equal(out[:, 8], x[:, 8]) and np.isfinite(out).all()


def test_constraints_are_repaired_by_the_column_named_last() -> None:
    own = table()
    x = rows(50)
    x = x[x[:, 2] != 999]
    out = x.copy()
    out[:, 2] = 500
    repaired = own.settle(x, out, np.ones(len(x), bool), WIDE)
    assert own.domain(repaired).all() and (2 * repaired[:, 2] <= repaired[:, 1] + 10 + 0.1).all()
    assert (repaired[:, 1] == np.float32(990)).all() and (repaired[:, 2] == 500).all(), "the income follows"
    missing = x.copy()
    missing[:, 2] = 999
    assert np.array_equal(own.settle(x, missing, np.ones(len(x), bool), WIDE), missing), (
        "nothing is asked of it"
    )
    equal = Table(build([{"name": "a", "kind": "integer"}, {"name": "b"}], [{"rule": "a == b"}], pairs()))
    off = np.array([[3, 4.4]], np.float32)
    assert equal.settle(pairs()[:1], off, np.ones(1, bool), WIDE).tolist() == [[3, 3]]


def pairs() -> np.ndarray:
    """Rows of two equal values."""
    return np.repeat(np.arange(5, dtype=np.float32)[:, None], 2, axis=1)


def test_what_single_mutators_do() -> None:
    x, own = rows(200), table()

    def strongest(name: str) -> np.ndarray:
        row = get(name)
        params = np.tile(np.float32([p.high for p in row.params]), (len(x), 1))
        return row.apply(x, params, per_item(generator(1), len(x)), WIDE, own)

    stepped = strongest("column-step")
    places = [0, 1, 2, 9, 10, 11]
    # The income may follow a loan that no longer fits it.
    assert ((stepped != x)[:, places].sum(axis=1) <= 2).all() and not (stepped != x)[:, 3:9].any()
    swapped = strongest("category-swap")
    assert (swapped[:, 4:8].sum(axis=1) == 1).all() and not (swapped != x)[:, [0, 1, 2, 9]].any()
    assert ((swapped[:, 3] != x[:, 3]).sum() + (swapped[:, 4:8] != x[:, 4:8]).any(axis=1).sum()) == 2 * len(x)
    gone = strongest("column-missing")
    assert (gone[:, 2] == 999).all() and np.array_equal(np.delete(gone, 2, 1), np.delete(x, 2, 1))
    edges = strongest("column-boundary")
    changed = (edges != x)[:, 9:]
    known = {*own.ends[0][9:], *own.ends[1][9:], *(own.ends[1][9:] + 1), np.float32(0)}
    assert set(edges[:, 9:][changed].tolist()) <= {float(v) for v in known}
    assert np.signbit(edges[edges == 0]).any(), "and minus zero"
    assert strongest("column-jitter").std(axis=0)[9] == pytest.approx(
        np.hypot(1, 0.4) * x.std(axis=0)[9], rel=0.1
    )


def network() -> tuple[np.ndarray, np.ndarray, ModuleModel]:
    """Rows with labels, and a model that reads most of them."""
    x = rows(300)
    y = (x[:, 9] + x[:, 4] > 0.2).astype(np.int64)
    return x, y, small_models.centroids(x, y, bounds=(-1000, 1000))


def test_rows_are_fuzzed_within_their_schema(tmp_path: Path) -> None:
    x, y, model = network()
    config = FuzzConfig(inputs="tabular", round=256)
    aids = read_aids("tabular", x, model.bounds, write(tmp_path))
    result = Fuzzer(model, x, y, corpus=tmp_path / "c", config=config, aids=aids).run(executions=700)
    assert result.inputs == "tabular" and result.guided.failures > 0 and "schema" in result.validator
    assert {"column-missing", "category-swap"} <= set(result.mutators)
    own = aids.table
    assert own is not None and all(own.domain(f.mutant[None])[0] for f in result.failures)
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    assert manifest["aids"]["files"] == ["schema.toml"] and len(manifest["aids"]["sha256"]) == 64
    cases = replay(Corpus.read(tmp_path / "c"), model)
    assert all(one.rebuilt and one.fails and one.validity == "V2" for one in cases)
    again = Fuzzer(model, x, y, corpus=tmp_path / "d", config=config, aids=aids)
    again.run(executions=384)
    second = again.run(executions=700, resume=True)
    assert [f.recipe for f in second.failures] == [f.recipe for f in result.failures]
    with pytest.raises(InvalidArgument, match="another schema or dictionary"):
        Fuzzer(model, x, y, corpus=tmp_path / "c", config=config).run(executions=900, resume=True)
    path = tmp_path / "c" / "seeds" / "aids.npz"
    text = own.schema.text().replace('"high": 120.0', '"high": 121.0')
    np.savez(path, table=np.frombuffer(text.encode(), np.uint8))
    with pytest.raises(FormatError, match="sha256"):
        Corpus.read(tmp_path / "c")
    np.savez(path, table=np.frombuffer(b"{}", np.uint8))
    with pytest.raises(FormatError, match="schema"):
        Corpus.read(tmp_path / "c")


def write(folder: Path) -> Path:
    """TABLE and RULES as a file."""
    lines = []
    for name, tables in (("column", TABLE), ("constraint", RULES)):
        for one in tables:
            lines += [f"[[{name}]]", *(f"{key} = {json.dumps(value)}" for key, value in one.items())]
    path = folder / "schema.toml"
    path.write_text("\n".join(lines))
    return path


def test_tables_have_two_axes() -> None:
    with pytest.raises(InvalidArgument, match=r"expected rows \(n, columns\)"):
        choose(box(12), np.zeros((3, 2, 6), np.float32), "tabular")
    assert choose(box(12), rows(40), "tabular").name == TABULAR.name
    x = rows(4)
    with pytest.raises(InvalidArgument, match="expected a table of columns"):
        apply_steps(x, x, [step()] * 4, WIDE, kind=TABULAR)


def step() -> tuple[object, ...]:
    """One step of a mutator of rows."""
    from armour.fuzz.recipe import Step

    return (Step("column-round", (0.5,), 1),)
