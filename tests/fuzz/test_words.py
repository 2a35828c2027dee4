"""Dictionaries, bytes and tokens: reading what is stated, and what the mutators make of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import small_models
from click.testing import CliRunner
from fuzz_inputs import extra

import armour
from armour.bounds import Bounds
from armour.cli.main import main
from armour.errors import InvalidArgument
from armour.fuzz import Corpus, FuzzConfig, Fuzzer
from armour.fuzz.aids import Aids
from armour.fuzz.kinds import BYTES, choose
from armour.fuzz.mutators import get
from armour.fuzz.recipe import Step, apply_steps
from armour.fuzz.stating import read_aids
from armour.fuzz.tokens import Pairs, Tokens, spellings
from armour.fuzz.words import Words
from armour.rng import generator, per_item

BYTE = Bounds(0, 255)


def strongest(name: str, x: np.ndarray, bounds: Bounds = BYTE, given: object = None) -> np.ndarray:
    """What a mutator does at its strongest."""
    row = get(name)
    params = np.tile(np.float32([p.high for p in row.params]), (len(x), 1))
    return np.asarray(row.apply(x, params, per_item(generator(3), len(x)), bounds, given))


def random_bytes(n: int = 60, size: int = 400) -> np.ndarray:
    """(n, size) bytes."""
    return np.random.default_rng(1).integers(0, 256, (n, size)).astype(np.float32)


# -- byte strings --------------------------------------------------------------------------------------------


def test_bit_flips_flip_one_bit_each() -> None:
    x = random_bytes()
    out = strongest("bit-flip", x)
    differ = x.astype(int) ^ out.astype(int)
    changed = differ[differ != 0]
    assert (
        len(changed) > 300 and set(changed.tolist()) <= {1 << k for k in range(8)} and len(set(changed)) == 8
    )
    assert ((differ != 0).sum(axis=1) <= 8).all()


def test_arithmetic_adds_to_one_number() -> None:
    x = random_bytes()
    row = get("arithmetic")
    for delta in (7.0, -35.0, 0.2):
        params = np.full((len(x), 1), delta, np.float32)
        out = row.apply(x, params, per_item(generator(3), len(x)), BYTE)
        amount = int(np.sign(delta) * np.ceil(abs(delta)))
        for before, after in zip(x.astype(np.uint8), out.astype(np.uint8), strict=True):
            assert any(
                after.tobytes() == before[:k].tobytes() + new + before[k + width :].tobytes()
                for width in (1, 2, 4)
                for order in ("little", "big")
                for k in range(len(before) - width + 1)
                for new in [added(before[k : k + width].tobytes(), amount, order)]
                if abs(k - int(np.flatnonzero(before != after)[0])) < 4
            )


def added(number: bytes, amount: int, order: str) -> bytes:
    """The number plus an amount, round the end."""
    total = (int.from_bytes(number, order) + amount) % (1 << (8 * len(number)))  # type: ignore[arg-type]
    return total.to_bytes(len(number), order)  # type: ignore[arg-type]


def test_interesting_numbers_are_written() -> None:
    x = np.full((200, 400), 85, np.float32)
    out = strongest("interesting", x).astype(np.uint8)
    found = set()
    for row in out:
        changed = np.flatnonzero(row != 85)
        found |= {row[k : k + 4].tobytes() for k in changed.tolist()}
    for number in (b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x01\x00\x00", b"\x80\x00\x00\x00"):
        assert number in found
    assert {b[:1] for b in found} >= {b"\x80", b"\xff", b"\x00", b"\x01", b"\x10", b"\x20", b"\x40", b"\x7f"}


def test_words_are_written_whole() -> None:
    x = np.full((100, 500), 46, np.float32)
    words = [b"GET /", b"\x89PNG", b"a"]
    out = strongest("dictionary", x, given=Words.of(words)).astype(np.uint8)
    pieces = [piece for row in out for piece in row.tobytes().replace(b"a", b".a.").split(b".") if piece]
    assert {b"GET /", b"\x89PNG", b"a"} <= set(pieces)
    assert sum(piece in words for piece in pieces) > 0.8 * len(pieces), "words may meet"


def test_blocks_and_padding() -> None:
    x = np.tile(np.arange(200, dtype=np.float32), (40, 1))
    doubled = strongest("block-duplicate", x)
    moved = (doubled != x).any(axis=1)
    assert moved.sum() > 35, "a block at the end is lost"
    for row in doubled[moved]:
        place = int(np.flatnonzero(row != np.arange(200))[0])
        assert np.array_equal(row[place : place + 4], x[0, place - 4 : place])
        assert np.array_equal(row[place + 4 :], x[0, place:196])
    filled = strongest("block-fill", x)
    assert all(len(set(np.round(row[row != x[0]]).tolist())) <= 1 for row in filled)
    padded = random_bytes()
    padded[:, 100:] = 256
    for name in ("bit-flip", "arithmetic", "interesting", "dictionary"):
        given = extra(name, padded) if get(name).needs else None
        out = strongest(name, padded, Bounds(0, 256), given)
        assert (out[:, 100:] == 256).all(), name


def test_only_what_may_change_changes() -> None:
    x = random_bytes(20, 100)
    mask = np.zeros(100, bool)
    mask[40:60] = True
    kind = choose(model(100), x, "bytes", Aids(change=mask))
    names = ("bit-flip", "element-insert", "block-fill", "splice", "element-replace", "block-copy")
    steps = [tuple(Step(name, (get(name).params[0].high,), 7 * i) for name in names) for i in range(20)]
    out, ref = apply_steps(x, x, steps, BYTE, kind=kind)
    assert (out[:, ~mask] == x[:, ~mask]).all() and (out[:, mask] != x[:, mask]).any()
    assert (ref[:, ~mask] == x[:, ~mask]).all()


def model(size: int) -> object:
    """Takes bytes."""
    from armour.model import CallableModel

    return CallableModel(
        lambda x: np.zeros((len(x), 2), np.float32),
        outputs="logits",
        input_shape=(size,),
        num_classes=2,
        bounds=(0, 255),
    )


# -- what is read --------------------------------------------------------------------------------------------


def test_dictionaries_in_afls_format(tmp_path: Path) -> None:
    path = tmp_path / "words.dict"
    path.write_text('# magic\n\n"GET"\npng@2 = "\\x89PNG"\n q="\\"\\\\" \n"GET"\n"€"\n', encoding="utf-8")
    words = Words.read(path)
    read = [bytes(row[:n].astype(np.uint8)) for row, n in zip(words.table, words.lengths, strict=True)]
    assert read == [b"GET", b"\x89PNG", b'"\\', "€".encode()]
    assert np.array_equal(Words.from_arrays(words.arrays()).table, words.table)  # type: ignore[union-attr]
    for text, message in (
        ("GET", 'line 1: expected "word"'),
        ('"\\n"', "after a backslash"),
        ('"\\x1"', "after a backslash"),
        ('""', "at least one byte"),
        ('"a"b"', "after a backslash"),
        ("# none", "expected 1 to 10,000 words"),
        ('"' + "a" * 200 + '"', "the longest of 200"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidArgument, match=message):
            Words.read(path)
    path.write_bytes(b'"\xff\xfe"')
    with pytest.raises(InvalidArgument, match="UTF-8"):
        Words.read(path)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(InvalidArgument, match="at most 1,048,576 bytes"):
        Words.read(path)
    with pytest.raises(InvalidArgument, match="check the path"):
        Words.read(tmp_path / "none")


@pytest.mark.parametrize(
    "change",
    [
        {"words.table": np.zeros((2, 3))},
        {"words.table": np.full((2, 3), 256)},
        {"words.lengths": np.array([1, 4])},
        {"words.lengths": np.array([0, 1])},
        {"words.lengths": np.array([1])},
        {"words.table": np.zeros((0, 3), np.int64), "words.lengths": np.zeros(0, np.int64)},
    ],
)
def test_damaged_dictionaries_are_refused(change: dict[str, np.ndarray]) -> None:
    good = Words.of([b"ab", b"cde"]).arrays()
    with pytest.raises(InvalidArgument, match="dictionary"):
        Aids.from_arrays({**good, **change}, (9,))


def test_spellings_are_those_that_the_vocabulary_has() -> None:
    words = [
        "[PAD]",
        "house",
        "House",
        "HOUSE",
        "hosue",
        "huse",
        "cafe",
        "café",
        "сafe",
        "mouse",
        "l0l",
        "lOl",
    ]
    pairs = spellings(words)
    may = {
        word: {words[t] for t in pairs.to[pairs.start[k] : pairs.start[k + 1]]}
        for k, word in enumerate(words)
    }
    assert may["house"] == {"House", "HOUSE", "hosue", "huse"} and may["mouse"] == set() == may["[PAD]"]
    assert may["cafe"] == {"café", "сafe"} and may["l0l"] == {"lOl"} and "house" in may["huse"]


def files(folder: Path) -> tuple[Path, Path]:
    """A schema with a vocabulary, and synonyms."""
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "good",
        "fine",
        "great",
        "bad",
        "Bad",
        "poor",
        *map(str, range(9, 17)),
    ]
    (folder / "vocab.txt").write_text("\n".join(words))
    (folder / "s.toml").write_text(
        '[tokens]\nunknown = 1\npadding = 0\nfixed = [2]\nvocabulary = "vocab.txt"\n'
    )
    (folder / "syn.txt").write_text("# meaning\ngood fine great unheard-of\nbad poor\n")
    return folder / "s.toml", folder / "syn.txt"


def test_token_sequences(tmp_path: Path) -> None:
    schema, synonyms = files(tmp_path)
    x = np.random.default_rng(0).integers(3, 17, (80, 60)).astype(np.float32)
    x[:, 0], x[:, 50:] = 2, 0
    tokens = read_aids("tokens", x, Bounds(0, 16), schema, synonyms).tokens
    assert tokens is not None and tokens.synonyms and tokens.spellings
    bounds = Bounds(0, 16)
    other = strongest("synonym", x, bounds, tokens)
    group = {3: {4, 5}, 4: {3, 5}, 5: {3, 4}, 6: {8}, 8: {6}}
    changes = {(int(a), int(b)) for a, b in zip(x[other != x], other[other != x], strict=True)}
    assert changes == {(a, b) for a, own in group.items() for b in own}
    spelt = strongest("respell", x, bounds, tokens)
    assert {(int(a), int(b)) for a, b in zip(x[spelt != x], spelt[spelt != x], strict=True)} >= {
        (6, 7),
        (7, 6),
    }
    unknown = strongest("unknown", x, bounds, tokens)
    assert set(unknown[unknown != x].tolist()) == {1.0} and (unknown[:, 50:] == 0).all()
    cut = strongest("truncate", x, bounds, tokens)
    assert (cut[:, 47:] == 0).all() and np.array_equal(cut[:, :47], x[:, :47])
    short = x.copy()
    short[:, 1:] = 0
    assert np.array_equal(strongest("truncate", short, bounds, tokens), short), "one token stays"
    again = strongest("repeat", np.tile(np.arange(100, dtype=np.float32), (9, 1)))
    assert all(len(set(row.tolist())) == 98 for row in again)
    back = Tokens.from_arrays(tokens.arrays())
    assert back is not None and np.array_equal(back.synonyms.to, tokens.synonyms.to)


def test_special_tokens_stay_where_they_are(tmp_path: Path) -> None:
    x, y = small_models.digits(200)
    x = np.rint(x.reshape(len(x), 64) * 13).astype(np.float32) + 3
    x[:, 0] = 2
    reader = small_models.centroids(x, y, bounds=(0, 16))
    aids = read_aids("tokens", x, reader.bounds, *files(tmp_path))
    config = FuzzConfig(inputs="tokens", round=256)
    result = Fuzzer(reader, x, y, corpus=tmp_path / "c", config=config, aids=aids).run(executions=500)
    assert {"synonym", "respell", "unknown", "truncate"} <= set(result.mutators) and result.failures
    for failure in result.failures:
        assert failure.mutant[0] == 2 and not (failure.mutant[1:] == 2).any()
    assert Corpus.read(tmp_path / "c").kind.aids.digest == aids.digest


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("tokens", "[tokens]\nunknown = 99", "token numbers below 17"),
        ("tokens", "[tokens]\nfixed = 3", "token numbers below 17"),
        ("tokens", "[tokens]\nvocabulary = 3", "name of a file"),
        ("tokens", "[tokens]\nvocabulary = 'none.txt'", "check the path"),
        ("tokens", "[tokens]\npad = 0", "unknown key 'pad' of"),
        ("tokens", "tokens = 3", "expected a table"),
        ("tokens", "[token]", "unknown key 'token'; did you mean tokens"),
        ("bytes", "[tokens]\npadding = 0", "state --inputs tokens"),
        ("bytes", "[[column]]\nname = 'a'", "state --inputs tabular"),
        ("bytes", "change = [[0, 64]]", r"places in 0..63"),
        ("bytes", "change = [[9, 2]]", r"places in 0..63"),
        ("bytes", "change = []", r"places in 0..63"),
        ("bytes", "change = ", "not TOML"),
        ("tabular", "column = 3", r"expected tables \[\[column\]\]"),
    ],
)
def test_wrong_schemas_name_the_file(kind: str, text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(text)
    with pytest.raises(InvalidArgument, match=message) as caught:
        read_aids(kind, np.zeros((3, 64), np.float32), Bounds(0, 16), path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"tokens.fixed": None}, {"tokens.special": np.zeros(3, np.int64)}])
def test_damaged_tables_of_tokens_are_refused(change: dict[str, np.ndarray]) -> None:
    pairs = Pairs.of({1: {2}, 2: {1}}, 4)
    tokens = Tokens(unknown=1, padding=0, fixed=np.array([3]), synonyms=pairs, spellings=pairs)
    arrays = tokens.arrays()
    assert Tokens.from_arrays(arrays) is not None
    damaged = {k: v for k, v in {**arrays, **change}.items() if v is not None}
    with pytest.raises(InvalidArgument, match="token"):
        Tokens.from_arrays(damaged)
    for name in ("start", "to"):
        wrong = arrays[f"tokens.synonyms.{name}"].copy() + 1
        if name == "start":
            with pytest.raises(InvalidArgument, match="replacements"):
                Tokens.from_arrays({**arrays, f"tokens.synonyms.{name}": wrong})
        with pytest.raises(InvalidArgument):
            Tokens.from_arrays({**arrays, f"tokens.synonyms.{name}": wrong[:-1]})


def test_the_command_line_reads_them_and_a_resumed_run_needs_them_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = small_models.digits(120)
    x = np.rint(x.reshape(len(x), 64) * 255).astype(np.float32)
    armour.save(small_models.centroids(x, y, bounds=(0, 255)), tmp_path / "m.ckpt")
    np.savez(tmp_path / "d.npz", x=x, y=y)
    (tmp_path / "w.dict").write_text('"\\xff\\xff\\xff"\nzero="\\x00\\x00"\n')
    (tmp_path / "s.toml").write_text("change = [[0, 47]]\n")
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> dict[str, object]:
        result = CliRunner().invoke(main, [*arguments, "--json"])
        assert result.exit_code == 0, result.output
        found: dict[str, object] = json.loads(result.stdout)
        return found

    start = ("fuzz", "m.ckpt", "--data", "d.npz", "--inputs", "bytes", "--executions", "300")
    found = invoke(*start, "--dict", "w.dict", "--schema", "s.toml")
    assert found["inputs"] == "bytes" and "--schema s.toml --dict w.dict" in str(found["command"])
    corpus = Corpus.read(tmp_path / "m-fuzz")
    assert corpus.kind.name == BYTES.name and corpus.kind.aids.words is not None
    assert all((f.mutant[48:] == corpus.roots.x[f.root][48:]).all() for f in corpus.failures())
    more = invoke("fuzz", "m.ckpt", "--resume", "--executions", "400")
    assert more["executions"] == 400
    again = invoke("corpus", "replay", "m-fuzz")
    assert again["rebuilt"] == again["failures"] == again["still_fail"]
    result = CliRunner().invoke(main, ["fuzz", "m.ckpt", "--data", "d.npz", "--dict", "w.dict"])
    assert result.exit_code == 2 and "state --inputs" in result.stderr
