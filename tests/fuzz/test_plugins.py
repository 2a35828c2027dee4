"""Mutators of other packages: found by entry point, loaded only when named, and missed in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import small_models
from click.testing import CliRunner

import armour
from armour.cli.main import main
from armour.errors import InvalidArgument
from armour.fuzz import Corpus, FuzzConfig, Fuzzer, plugins
from armour.fuzz.kinds import ARRAY
from armour.fuzz.mutators import MUTATORS, get, names_for
from armour.fuzz.replay import replay
from armour.fuzz.selection import load_named, select, words

MODULE = """
from armour.fuzz import Param, mutator

@mutator("grain", "film", Param("amount", 0.0, 0.2))
def _grain(x, p, streams, bounds):
    out = x + p[0][:, None, None, None] * streams.uniform(x.shape[1:], -1, 1)
    return out.clip(bounds.low, bounds.high).astype(x.dtype)

@mutator("scratch", "film", Param("amount", 0.0, 0.2))
def _scratch(x, p, streams, bounds):
    out = x.copy()
    out[..., 3] += p[0][:, None, None]
    return out.clip(bounds.low, bounds.high)
"""
BROKEN, EMPTY = "raise RuntimeError('no film\\nin it')", "x = 1"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package film-armour 1.2 with four plug-ins; gone again afterwards."""
    site = tmp_path / "site"
    info = site / "film_armour-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: film-armour\nVersion: 1.2\n")
    points = "film = film_armour_made\nbroken = film_armour_broken\nempty = film_armour_empty\n"
    (info / "entry_points.txt").write_text(f"[armour.mutators]\n{points}gone = film_armour_gone:x\n")
    for name, text in (("made", MODULE), ("broken", BROKEN), ("empty", EMPTY)):
        (site / f"film_armour_{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(site))
    yield site
    forget()


def forget() -> None:
    """As in a process that has not loaded the plug-in."""
    plugins._LOADED.clear()
    for name in ("grain", "scratch"):
        MUTATORS._items.pop(name, None)
    get.cache_clear()
    for module in [name for name in sys.modules if name.startswith("film_armour")]:
        del sys.modules[module]


def test_a_plug_in_is_loaded_when_it_is_named_and_only_then(package: Path) -> None:
    assert {"film", "broken", "empty"} <= set(plugins.installed("mutator"))
    assert load_named("-fog,+rotate,light") == [] and "film_armour_made" not in sys.modules
    # Leaving one out is no reason to run its code.
    assert load_named("-film") == [] and "film_armour_made" not in sys.modules
    (film,) = load_named("+film")
    assert (film.name, film.package, film.version, film.rows) == (
        "film",
        "film-armour",
        "1.2",
        ("grain", "scratch"),
    )
    assert plugins.load(MUTATORS, "film") is film and load_named("+grain,+film") == []
    assert plugins.origins(MUTATORS, ["fog", "grain"]) == [
        {"name": "grain", "plugin": "film", "package": "film-armour", "version": "1.2"}
    ]


def test_what_was_imported_before_is_still_that_plug_in(package: Path) -> None:
    __import__("film_armour_made")
    assert plugins.load(MUTATORS, "film").rows == ("grain", "scratch")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("film2", "unknown mutator plug-in 'film2'; did you mean film"),
        ("broken", r"plug-in 'broken' of film-armour 1.2 cannot be loaded: RuntimeError: no film in it"),
        ("gone", "cannot be loaded: ModuleNotFoundError"),
        ("empty", "it registered none"),
    ],
)
def test_what_cannot_be_loaded_is_said_in_one_line(name: str, message: str, package: Path) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        plugins.load(MUTATORS, name)
    assert "\n" not in str(caught.value)


def test_two_packages_may_not_offer_one_name(package: Path) -> None:
    other = package / "other-3.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 3\n")
    (other / "entry_points.txt").write_text("[armour.mutators]\nfilm = other_film\n")
    with pytest.raises(InvalidArgument, match=r"of film-armour 1.2, other 3; uninstall all but one"):
        plugins.load(MUTATORS, "film")


def test_selections(package: Path) -> None:
    usual = names_for((1, 8, 8))
    assert select("", (1, 8, 8)) == [name for name in usual if get(name).default]
    load_named("+film")
    assert select("", (1, 8, 8)) == [name for name in usual if get(name).default], "only when named"
    assert set(select("+grain", (1, 8, 8))) == {*select("", (1, 8, 8)), "grain"}
    assert set(select("+film,-scratch,-weather,-Rotate", (1, 8, 8))) == {*select("", (1, 8, 8)), "grain"} - {
        "fog",
        "snow",
        "spatter",
        "rotate",
    }
    assert select("film,rotate", (1, 8, 8)) == ["grain", "rotate", "scratch"]
    assert set(select("light", (1, 8, 8))) == {name for name in usual if get(name).family == "light"}
    assert words(" +a , -b,c ") == [("+", "a"), ("-", "b"), ("", "c")] and words("") == []
    for wrong, message in (
        ("+rotat", "unknown mutator or family 'rotat'; did you mean rotate"),
        ("geometry", "leave one that moves nothing"),
        ("+shift", "'shift', which is for array"),
        ("+film,", r"expected mutators such as \+grain,-fog"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            select(wrong, (1, 8, 8))
    with pytest.raises(InvalidArgument, match="'fog', which is for image"):
        select("+fog", (64,), ARRAY)
    with pytest.raises(InvalidArgument, match="such as"):
        FuzzConfig(mutators="+,")


def test_a_corpus_with_a_plug_in_is_gone_on_with_and_replayed_only_with_it(
    package: Path, tmp_path: Path
) -> None:
    x, y = small_models.digits()
    model = small_models.centroids(x, y)
    load_named("+film")
    config = FuzzConfig(round=256, mutators="film")
    result = Fuzzer(model, x, y, corpus=tmp_path / "c", config=config).run(executions=400)
    assert result.mutators == ("grain", "scratch") and result.guided.failures > 0
    assert {family for failure in result.failures for family in failure.families} == {"film"}
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    assert [one["package"] for one in manifest["plugins"]] == ["film-armour"] * 2
    assert all(one.rebuilt and one.fails for one in replay(Corpus.read(tmp_path / "c"), model))
    forget()
    message = r"the mutator 'grain' of 'film-armour 1.2', which is not loaded; .* name it: --mutators \+film"
    with pytest.raises(InvalidArgument, match=message) as caught:
        replay(Corpus.read(tmp_path / "c"), model)
    assert "\n" not in str(caught.value) and "film_armour_made" not in sys.modules
    load_named("+film")
    again = Fuzzer(model, x, y, corpus=tmp_path / "c", config=config).run(executions=500, resume=True)
    assert again.executions == 500
    (package / "film_armour-1.2.dist-info" / "METADATA").write_text("Name: film-armour\nVersion: 1.3\n")
    forget()
    load_named("+film")
    with pytest.raises(InvalidArgument, match="made with other plug-ins"):
        Fuzzer(model, x, y, corpus=tmp_path / "c", config=config).run(executions=600, resume=True)


def test_what_a_program_registers_itself_is_named_by_its_module(tmp_path: Path) -> None:
    @armour.fuzz.mutator("my-own", "film", armour.fuzz.Param("amount", 0.0, 1.0))
    def _mine(x: np.ndarray, p: np.ndarray, streams: object, bounds: object) -> np.ndarray:
        return np.where(p[0][:, None, None, None] > 0, 1 - x, x).astype(x.dtype)

    try:
        (record,) = plugins.origins(MUTATORS, ["my-own"])
        assert record["plugin"] == "" and record["package"].endswith("test_plugins")
        assert "my-own" in select("+my-own", (1, 8, 8)) and "my-own" not in select("", (1, 8, 8))
    finally:
        MUTATORS._items.pop("my-own")
        get.cache_clear()
    with pytest.raises(InvalidArgument, match="registered by a Python program"):
        plugins.check_loaded(MUTATORS, [record], "corpus")


@pytest.mark.parametrize("record", [None, 7, "film", [3], [{"name": "fog"}], [[]]])
def test_a_strangers_record_is_not_believed(record: object) -> None:
    plugins.check_loaded(MUTATORS, record, "corpus")


def test_the_command_line_names_plug_ins(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = small_models.digits(120)
    armour.save(small_models.centroids(x, y), tmp_path / "m.ckpt")
    np.savez(tmp_path / "d.npz", x=x, y=y)
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*arguments, "--json"])
        return result.exit_code, result.stdout if not result.exit_code else result.stderr

    start = ("fuzz", "m.ckpt", "--data", "d.npz", "--executions", "200")
    code, out = invoke(*start, "--mutators=-weather,+film,-scratch")
    assert code == 0 and "--mutators=-weather,+film,-scratch" in json.loads(out)["command"]
    code, out = invoke("corpus", "replay", "m-fuzz", "--mutators", "+film")
    assert code == 0 and json.loads(out)["rebuilt"] == json.loads(out)["failures"] > 0
    forget()
    # A corpus is no reason to run code of an installed package.
    for arguments in (("corpus", "replay", "m-fuzz"), ("fuzz", "m.ckpt", "--resume", "--executions", "300")):
        code, err = invoke(*arguments)
        assert code == 2 and "name it: --mutators +film" in err and err.count("\n") == 1
        assert "film_armour_made" not in sys.modules
    code, out = invoke(
        "fuzz", "m.ckpt", "--resume", "--executions", "300", "--mutators=-weather,+film,-scratch"
    )
    assert code == 0 and json.loads(out)["executions"] == 300
    code, err = invoke(*start, "--corpus", "other", "--mutators", "+flim")
    assert code == 2 and "did you mean" in err and not Path("other").exists()
