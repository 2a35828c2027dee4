"""Atomic writes leave a whole file or none; checks come before work; hashes are SHA-256."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from armour.errors import InvalidArgument
from armour.files import atomic_write, check_writable, sha256_file, writable_folder, write_text


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_whole_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    with atomic_write(target) as stream:
        stream.write(b"one")
        assert not target.exists()
    assert target.read_bytes() == b"one"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")]
)
def test_an_error_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with pytest.raises(type(error)), atomic_write(target) as stream:
        stream.write(b"half")
        raise error
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    target = tmp_path / "model.ckpt"
    with (
        pytest.raises(OSError, match=r"No space left on device.*model\.ckpt"),
        atomic_write(target) as stream,
    ):
        stream.write(b"half")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_the_real_full_device_names_itself() -> None:
    with pytest.raises(OSError, match="No space left on device"), atomic_write("/dev/full") as stream:
        stream.write(b"x" * 100_000)


def test_a_missing_folder_names_the_file_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "no" / "a.bin"):
        raise AssertionError("not reached")
    assert caught.value.filename == str(tmp_path / "no" / "a.bin")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), atomic_write(tmp_path):
        raise AssertionError("not reached")


def test_an_error_about_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "a.bin"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")


def test_permissions_are_kept_and_new_files_follow_the_umask(tmp_path: Path) -> None:
    old, plain, new = tmp_path / "old", tmp_path / "plain", tmp_path / "new"
    old.write_bytes(b"")
    old.chmod(0o640)
    plain.write_bytes(b"")
    write_text(old, "x")
    write_text(new, "x")
    assert old.stat().st_mode & 0o777 == 0o640
    assert new.stat().st_mode == plain.stat().st_mode


def test_a_link_is_followed(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "new"


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    code = (
        "import os, signal\nfrom armour.files import atomic_write\n"
        f"with atomic_write({str(target)!r}) as stream:\n"
        "    stream.write(b'half'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=False, timeout=60)
    assert target.read_bytes() == b"old"


def test_check_writable_leaves_nothing_behind(tmp_path: Path) -> None:
    assert check_writable(tmp_path / "a.bin") == tmp_path / "a.bin"
    assert names(tmp_path) == []
    with pytest.raises(InvalidArgument, match="no folder"):
        check_writable(tmp_path / "no" / "a.bin")
    with pytest.raises(InvalidArgument, match="got the folder"):
        check_writable(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidArgument, match="no folder"):
        check_writable(tmp_path / "file" / "a.bin")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder nobody can write to")
def test_an_unwritable_folder_is_refused_in_time() -> None:
    with pytest.raises(InvalidArgument, match=r"cannot write /proc/a\.bin"):
        check_writable("/proc/a.bin")
    with pytest.raises(InvalidArgument, match="cannot make the folder"):
        writable_folder("/proc/no/such")


def test_writable_folder_makes_parents_and_refuses_files(tmp_path: Path) -> None:
    assert writable_folder(tmp_path / "a" / "b").is_dir()
    assert names(tmp_path / "a" / "b") == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InvalidArgument, match="got the file"):
        writable_folder(tmp_path / "file")


def test_sha256_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert sha256_file(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
