"""Downloads from a server on this machine: whole and right, or not there."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from armour import download
from armour.download import Published, fetch
from armour.errors import DataError
from armour.events import Event

CONTENT = bytes(range(256)) * 3_000


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A served folder and its address."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()

    def handler(*args: object) -> _Quiet:
        return _Quiet(*args, directory=str(folder))  # type: ignore[arg-type]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def published(*homes: str, content: bytes = CONTENT) -> Published:
    return Published(
        name="set.gz", size=len(content), sha256=hashlib.sha256(content).hexdigest(), homes=homes
    )


def test_fetched_once(home: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = home
    (folder / "set.gz").write_bytes(CONTENT)
    seen: list[Event] = []
    target = tmp_path / "new" / "cache"
    (path,) = fetch([published(url)], target, seen.append)
    assert path == target / "set.gz" and path.read_bytes() == CONTENT
    assert seen[-1].stage == "download" and seen[-1].done == seen[-1].total == len(CONTENT)
    assert [e.done for e in seen] == sorted(e.done for e in seen)
    (folder / "set.gz").unlink()
    assert fetch([published(url)], target) == [path]


def test_the_second_home_is_asked(home: tuple[Path, str], tmp_path: Path) -> None:
    folder, url = home
    (folder / "set.gz").write_bytes(CONTENT)
    (path,) = fetch([published(f"{url}gone/", url)], tmp_path / "cache")
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("served", [CONTENT[:-1], CONTENT + b"x", CONTENT[:-1] + b"x", b"", CONTENT * 9])
def test_other_content_is_not_kept(home: tuple[Path, str], tmp_path: Path, served: bytes) -> None:
    folder, url = home
    (folder / "set.gz").write_bytes(served)
    with pytest.raises(DataError, match="not the published file") as caught:
        fetch([published(url)], tmp_path / "cache")
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(download.urllib.request, "urlopen", refuse)
    with pytest.raises(DataError, match=r"set\.gz could not be downloaded \(no route to host\)"):
        fetch([published("https://one.invalid/", "https://two.invalid/")], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_where_downloads_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARMOUR_DATA", str(tmp_path))
    assert download.cache_folder() == tmp_path
    monkeypatch.delenv("ARMOUR_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert download.cache_folder() == tmp_path / "cache" / "armour"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / ".cache" / "armour"
