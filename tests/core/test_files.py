"""Writes are whole or not at all; digests hang on content alone."""

from __future__ import annotations

import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from actionbook.core import files
from actionbook.core.errors import BookError
from actionbook.core.files import (
    STALE_SECONDS,
    atomic_path,
    existing,
    read_text_file,
    require_writable,
    sha256_file,
    sha256_json,
    sha256_tree,
    sweep_temporary,
    write_bytes_atomic,
    write_json_atomic,
    write_text_atomic,
)


def write_half(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError


def test_an_error_leaves_nothing_of_a_new_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_half(tmp_path / "new.txt")
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert [p.name for p in tmp_path.iterdir()] == ["kept.txt"]
    assert path.read_text() == "old"


def test_the_old_file_is_seen_until_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file.zip"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".tmp-")
        assert temporary.suffix == ".zip"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["file.zip"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_bytes_atomic(tmp_path / "atomic", b"a")
        (tmp_path / "plain").write_bytes(b"a")
        assert os.umask(umask) == umask  # reading the mask must not change it
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("atomic", "plain")]
    assert modes[0] == modes[1] == 0o666 & ~umask


def test_folders_are_made_and_text_is_not_translated(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "行动 #1.txt"
    write_text_atomic(path, "ä\r\nb\n")
    assert path.read_bytes() == b"\xc3\xa4\r\nb\n"
    write_json_atomic(path, {"b": "ä", "a": [1]})
    assert path.read_text(encoding="utf-8") == '{\n  "b": "ä",\n  "a": [\n    1\n  ]\n}\n'


def test_sha256_of_files_and_values(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_json({"b": 1, "a": [2, "ä"]}) == hashlib.sha256('{"a":[2,"ä"],"b":1}'.encode()).hexdigest()
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1}) != sha256_json({"a": 2, "b": 1})


def test_sha256_of_a_tree_hangs_on_names_and_contents(tmp_path: Path) -> None:
    def digest(root: str, files: dict[str, str]) -> str:
        for name, text in files.items():
            write_text_atomic(tmp_path / root / name, text)
        return sha256_tree(tmp_path / root, [tmp_path / root / name for name in files])

    first = digest("one", {"a.py": "1", "sub/b.py": "2"})
    assert digest("two", {"sub/b.py": "2", "a.py": "1"}) == first
    assert digest("three", {"a.py": "2", "sub/b.py": "1"}) != first
    assert digest("four", {"a.py": "1", "sub_b.py": "2"}) != first


WRITER = """
import sys, time
from actionbook.core.files import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("begun", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "a.zip")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        (left,) = tmp_path.iterdir()
        assert sweep_temporary(tmp_path) == []  # its writer lives
        process.send_signal(signal.SIGKILL)
        # Nobody has asked for its status yet: the process number is still taken.
        stat_file = Path(f"/proc/{process.pid}/stat")
        while stat_file.exists() and ") Z " not in stat_file.read_text():
            time.sleep(0.01)
        assert sweep_temporary(tmp_path) == [left]
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_is_gone_is_told_from_one_that_lives(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    machine = files._machine()
    gone = tmp_path / f".tmp-{process.pid}-{machine}-abcdefgh.zip"
    ours = tmp_path / f".tmp-{os.getpid()}-{machine}-abcdefgh.zip"
    for path in (gone, ours):
        path.touch()
        os.utime(path, (0, 0))  # of this machine no age tells anything
    assert sweep_temporary(tmp_path) == [gone]
    assert list(tmp_path.iterdir()) == [ours]


def test_of_other_machines_only_old_files_are_swept(tmp_path: Path) -> None:
    now = time.time()
    names = [".tmp-1-0123456789ab-abcdefgh.zip", ".tmp-77-x.bin", "kept.zip", ".tmpx"]
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".tmp-folder").mkdir()
    (tmp_path / ".tmp-link").symlink_to("kept.zip")
    for seconds, swept in ((STALE_SECONDS - 60, []), (STALE_SECONDS + 60, sorted(names[:2]))):
        for path in (*(tmp_path / name for name in names), tmp_path / ".tmp-folder"):
            if path.exists():
                os.utime(path, (now - seconds,) * 2)
        assert [path.name for path in sweep_temporary(tmp_path)] == swept
    assert {path.name for path in tmp_path.iterdir()} == {"kept.zip", ".tmpx", ".tmp-folder", ".tmp-link"}


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert sweep_temporary(tmp_path / "none") == []
    (tmp_path / "file").touch()
    assert sweep_temporary(tmp_path / "file") == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_text_of_others_is_read_without_its_byte_order_mark(encoding: str, tmp_path: Path) -> None:
    path, mark = tmp_path / "list.txt", "\ufeff" if encoding == "utf-16-le" else ""
    path.write_text(mark + "Bogenschießen\n行动\n", encoding=encoding, newline="\r\n")
    assert read_text_file(path) == "Bogenschießen\n行动\n"
    path.write_bytes(b"\xff")
    with pytest.raises(UnicodeError):
        read_text_file(path)


def test_folders_that_can_be_written_or_made(tmp_path: Path) -> None:
    require_writable(tmp_path, "")
    require_writable(tmp_path / "a" / "b", "")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(BookError, match=rf"^{tmp_path}/file/a cannot be written \(Not a directory\): take another$"):
        require_writable(tmp_path / "file" / "a", "take another")


def test_what_exists_for_this_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert existing(tmp_path / "a" / "b") == tmp_path
    assert existing(tmp_path) == tmp_path
    real = Path.exists

    def closed(self: Path) -> bool:  # as for root's home, which others may not enter
        if self.is_relative_to(tmp_path / "a"):
            raise PermissionError(13, "Permission denied", str(self))
        return real(self)

    monkeypatch.setattr(Path, "exists", closed)
    assert existing(tmp_path / "a" / "b") == tmp_path
