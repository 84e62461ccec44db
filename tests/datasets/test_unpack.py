"""Archives of every kind, hostile and damaged ones among them; RAR archives are written here byte by byte."""

from __future__ import annotations

import errno
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file
from actionbook.datasets import archives, unpack
from actionbook.datasets.unpack import is_unpacked, sole_user
from actionbook.datasets.unpack import unpack as unpack_archive

FILES = {"clips/Walking/v_Walking_g01_c01.avi": b"walk" * 5000, "clips/#2_Gum (a) & b!.avi": b"gum", "empty.txt": b""}


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, size
    return info


def tarred(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo) -> Path:
    kind = path.suffix.removeprefix(".").replace("tgz", "gz")
    with tarfile.open(path, "w:" + (kind if kind in {"gz", "bz2", "xz"} else "")) as file:
        for name, data in files.items():
            file.addfile(member(name, size=len(data)), io.BytesIO(data))
        for info in others:
            file.addfile(info)
    return path


def rar_block(kind: int, flags: int, content: bytes) -> bytes:
    header = struct.pack("<BHH", kind, flags, 7 + len(content)) + content
    return struct.pack("<H", zlib.crc32(header) & 0xFFFF) + header


def rar_file(name: str, data: bytes, method: int = 0x30, mode: int = 0o100644, size: int | None = None) -> bytes:
    raw = name.encode()
    sizes = struct.pack("<II", len(data), len(data) if size is None else size)
    rest = struct.pack("<BIIBBHI", 3, zlib.crc32(data), 0x5A21_6000, 20, method, len(raw), mode)
    return rar_block(0x74, 0x8000, sizes + rest + raw) + data


def rarred(path: Path, *blocks: bytes) -> Path:
    """A RAR archive of version 3 (technote.txt of RAR 3.x): mark, archive header, files, end."""
    begin = b"Rar!\x1a\x07\x00" + rar_block(0x73, 0, bytes(6))
    path.write_bytes(begin + b"".join(blocks) + rar_block(0x7B, 0x4000, b""))
    return path


def stored(path: Path, files: dict[str, bytes]) -> Path:
    return rarred(path, *(rar_file(name, data) for name, data in files.items()))


MAKERS: dict[str, Callable[[Path, dict[str, bytes]], Path]] = {
    "a.zip": zipped,
    "a.ZIP": zipped,
    "a.tar": tarred,
    "a.tar.gz": tarred,
    "a.tgz": tarred,
    "a.tar.bz2": tarred,
    "a.tar.xz": tarred,
    "a.rar": stored,
}


@pytest.fixture(autouse=True)
def no_programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A PATH without programs for RAR, but with a folder for stand-ins."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def contents(folder: Path) -> dict[str, bytes]:
    """Everything below a folder but the mark of what is unpacked."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".unpacked-"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_is_unpacked_once(name: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = MAKERS[name](tmp_path / name, FILES)
    assert unpack_archive(archive, folder) == 3
    assert contents(folder) == FILES
    assert [path.name for path in folder.glob(".*")] == [f".unpacked-{name}.json"]
    assert is_unpacked(folder, name, sha256_file(archive))
    monkeypatch.setattr(unpack, "open_archive", None)  # would fail if it were unpacked again
    assert unpack_archive(archive, folder) == 3
    archive.unlink()
    assert is_unpacked(folder, name)


def test_another_archive_of_that_name_is_unpacked_over_the_first(tmp_path: Path, folder: Path) -> None:
    unpack_archive(zipped(tmp_path / "a.zip", FILES), folder)
    archive = zipped(tmp_path / "a.zip", {"empty.txt": b"no more"})
    assert not is_unpacked(folder, "a.zip", sha256_file(archive))
    assert unpack_archive(archive, folder) == 1
    assert contents(folder) == {**FILES, "empty.txt": b"no more"}


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"cut")], ids=["deleted", "cut"])
def test_what_is_lost_is_unpacked_again(tmp_path: Path, folder: Path, lose: Callable[[Path], Any]) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    unpack_archive(archive, folder)
    lose(folder / next(iter(FILES)))
    assert not is_unpacked(folder, "a.zip")
    unpack_archive(archive, folder)
    assert contents(folder) == FILES


@pytest.mark.parametrize("mark", ["{", "[]", "{}", '{"sha256": "x", "files": 3}'])
def test_a_damaged_mark_counts_for_nothing(mark: str, folder: Path) -> None:
    folder.mkdir()
    (folder / ".unpacked-a.zip.json").write_text(mark)
    assert not is_unpacked(folder, "a.zip")


def test_other_files_of_the_folder_stay(tmp_path: Path, folder: Path) -> None:
    (folder / "clips").mkdir(parents=True)
    (folder / "clips" / "mine.txt").write_bytes(b"mine")
    unpack_archive(zipped(tmp_path / "a.zip", FILES), folder)
    assert contents(folder) == {**FILES, "clips/mine.txt": b"mine"}


OUTSIDE = ["../evil.txt", "clips/../../evil.txt", "/tmp/evil.txt", "..\\evil.txt", "C:\\evil.txt", "C:/evil.txt"]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.rar"])
@pytest.mark.parametrize("outside", OUTSIDE)
def test_members_outside_the_folder_are_refused(name: str, outside: str, tmp_path: Path, folder: Path) -> None:
    archive = MAKERS[name](tmp_path / name, {"good.txt": b"good", outside: b"evil"})
    with pytest.raises(
        BookError, match=r"refused, nothing was unpacked: its member .*evil.* (leads out|has an absolute)"
    ):
        unpack_archive(archive, folder)
    assert list(folder.iterdir()) == []
    assert not list(tmp_path.rglob("*evil*"))


LINKS = {
    "symlink outside": [member("d/l", tarfile.SYMTYPE, "../../evil")],
    "absolute symlink": [member("l", tarfile.SYMTYPE, "/etc/passwd")],
    "symlink through another": [member("s", tarfile.SYMTYPE, "."), member("t", tarfile.SYMTYPE, "s/../evil")],
    "file below a symlink": [member("d", tarfile.SYMTYPE, "e"), member("d/f")],
    "hard link outside": [member("h", tarfile.LNKTYPE, "../evil")],
    "absolute hard link": [member("h", tarfile.LNKTYPE, "/etc/passwd")],
    "hard link to a symlink": [member("s", tarfile.SYMTYPE, "good.txt"), member("h", tarfile.LNKTYPE, "s")],
    "device": [member("null", tarfile.CHRTYPE)],
    "block device": [member("sda", tarfile.BLKTYPE)],
    "pipe": [member("p", tarfile.FIFOTYPE)],
}


@pytest.mark.parametrize("what", LINKS)
def test_links_that_lead_out_and_devices_are_refused(what: str, tmp_path: Path, folder: Path) -> None:
    archive = tarred(tmp_path / "a.tar", {"good.txt": b"good"}, *LINKS[what])
    with pytest.raises(BookError) as caught:
        unpack_archive(archive, folder)
    assert f"its member {LINKS[what][-1].name!r} " in str(caught.value)
    assert list(folder.iterdir()) == []


def test_links_that_stay_inside_are_unpacked(tmp_path: Path, folder: Path) -> None:
    links = [
        member("d/up", tarfile.SYMTYPE, "../good.txt"),
        member("all", tarfile.SYMTYPE, "d"),
        member("same.txt", tarfile.LNKTYPE, "good.txt"),
    ]
    archive = tarred(tmp_path / "a.tar", {"good.txt": b"good"}, *links)
    assert unpack_archive(archive, folder) == 4
    assert (folder / "all" / "up").read_bytes() == b"good"
    assert (folder / "all").readlink() == Path("d")
    assert (folder / "same.txt").read_bytes() == b"good"
    assert is_unpacked(folder, "a.tar")


def test_links_in_zip_and_rar_are_refused(tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        file.writestr(info, "/etc/passwd")
    rar = rarred(tmp_path / "a.rar", rar_file("link", b"/etc/passwd", mode=0o120777))
    for path in (archive, rar):
        with pytest.raises(BookError, match="its member 'link' is neither a file nor a folder"):
            unpack_archive(path, folder)


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.rar"])
def test_more_than_the_disk_holds_is_refused(
    name: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = MAKERS[name](tmp_path / name, FILES)
    monkeypatch.setattr(unpack.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 0, 20_002))
    with pytest.raises(BookError, match=r"takes 20,003 bytes unpacked, 20,002 are free"):
        unpack_archive(archive, folder)
    assert list(folder.iterdir()) == []


def test_a_bomb_by_its_declared_size(tmp_path: Path, folder: Path) -> None:
    huge = rarred(tmp_path / "a.rar", rar_file("big.avi", b"tiny", method=0x33, size=0xFFFFFFFF), *(
        rar_file(f"big{i}.avi", b"", method=0x33, size=0xFFFFFFFF) for i in range(20_000)
    ))  # fmt: skip
    with pytest.raises(BookError, match=f"takes {20_001 * 0xFFFFFFFF:,} bytes unpacked"):
        unpack_archive(huge, folder)


def test_a_full_disk_leaves_nothing(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)

    def full(file: Any, into: Path, advance: Any) -> None:
        (into / "half").write_bytes(b"x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(archives, "_extract_each", full)
        with pytest.raises(BookError, match=r"the disk is full, nothing of a\.zip was kept"):
            unpack_archive(archive, folder)
    assert list(folder.iterdir()) == []
    assert unpack_archive(archive, folder) == 3


DAMAGES = [
    (name, kind)
    for name in ("a.zip", "a.tar", "a.tar.gz", "a.tar.bz2", "a.tar.xz", "a.rar")
    for kind in ("cut", "altered", "empty", "text")
    if (name, kind) != ("a.tar", "altered")  # tar has no checksum of contents
]


@pytest.mark.parametrize(("name", "kind"), DAMAGES)
def test_damaged_archives(name: str, kind: str, tmp_path: Path, folder: Path) -> None:
    files = {"noise.bin": bytes((i * i * 7919 >> 5) & 255 for i in range(60_000)), **FILES}
    archive = MAKERS[name](tmp_path / name, files)
    data = archive.read_bytes()
    half = len(data) // 4
    altered = data[:half] + bytes(b ^ 0xFF for b in data[half : half + 50]) + data[half + 50 :]
    archive.write_bytes({"cut": data[:half], "altered": altered, "empty": b"", "text": b"<html>gone</html>" * 99}[kind])
    with pytest.raises(BookError, match=rf"{name}: is damaged.*fetch the archive again"):
        unpack_archive(archive, folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "behind"), [("a.tar", 512 + 512 + 100), ("a.tar", 1024), ("a.rar", 7 + 13 + 39 + 3 + 20)]
)
def test_an_archive_that_ends_between_its_files(name: str, behind: int, tmp_path: Path, folder: Path) -> None:
    archive = MAKERS[name](tmp_path / name, {"one": b"one", "two": b"two"})
    archive.write_bytes(archive.read_bytes()[:behind])
    with pytest.raises(BookError, match=rf"{name}: is damaged"):
        unpack_archive(archive, folder)
    assert list(folder.iterdir()) == []


def test_unknown_names_and_missing_archives(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(BookError, match=r"a\.7z: is no archive known here; expected a name ending in \.zip, \.rar"):
        unpack_archive(tmp_path / "a.7z", folder)
    with pytest.raises(BookError, match=r"a\.zip: cannot be read \(No such file"):
        unpack_archive(tmp_path / "a.zip", folder)
    assert not folder.exists()


def test_encrypted_archives(tmp_path: Path, folder: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a": b"abc"}, zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(data)
    with pytest.raises(BookError, match=r"a\.zip: is encrypted, which is not supported"):
        unpack_archive(archive, folder)


KILLED = """
import os, sys
from pathlib import Path
from actionbook.datasets import archives, unpack
written = []
def advance(path, mode="r", **options):
    if mode == "wb":
        written.append(path)
        if len(written) == 3:
            os.kill(os.getpid(), 9)
    return opened(path, mode, **options)
replace = Path.replace
def moved(path, target):
    written.append(path)
    if len(written) == 2 and "unpacking" in str(path):
        os.kill(os.getpid(), 9)
    return replace(path, target)
opened = Path.open
if sys.argv[3] == "writing":
    Path.open = advance
else:
    Path.replace = moved
unpack.unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("when", ["writing", "moving"])
def test_what_a_killed_process_left_is_done_again(when: str, tmp_path: Path, folder: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    command = [sys.executable, "-c", KILLED, str(archive), str(folder), when]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -9
    assert [path.name for path in folder.glob(".*")] == [".unpacking-a.zip"]
    assert len(contents(folder)) == {"writing": 2, "moving": 3}[when]
    assert not is_unpacked(folder, "a.zip")
    assert unpack_archive(archive, folder) == 3
    assert contents(folder) == FILES


def test_one_process_at_a_time(tmp_path: Path, folder: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    folder.mkdir()
    with sole_user(folder), pytest.raises(BookError, match="another process fetches or unpacks into it"):
        unpack_archive(archive, folder)
    unpack_archive(archive, folder)


def test_places_of_ones_own(tmp_path: Path, folder: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"flat/v_A_g01.avi": b"a", "flat/v_B_g01.avi": b"b"})
    assert unpack_archive(archive, folder, place=lambda name: f"{name[7]}/{Path(name).name}") == 2
    assert contents(folder) == {"A/v_A_g01.avi": b"a", "B/v_B_g01.avi": b"b"}
    with pytest.raises(BookError, match="two of its files would get the same place"):
        unpack_archive(archive, tmp_path / "other", place=lambda _: "one")
    assert list((tmp_path / "other").iterdir()) == []


def test_archives_in_an_archive_become_class_folders(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "inner").mkdir()
    inner = {
        "wave.rar": stored(tmp_path / "inner" / "wave.rar", {"wave/a_wave.avi": b"1", "wave/b_wave.avi": b"2"}),
        "sit.rar": stored(tmp_path / "inner" / "sit.rar", {"c_sit.avi": b"3"}),  # without a folder of its own
    }
    outer = stored(tmp_path / "outer.rar", {name: path.read_bytes() for name, path in inner.items()})
    assert unpack_archive(outer, folder, nested=True) == 3
    assert contents(folder) == {"wave/a_wave.avi": b"1", "wave/b_wave.avi": b"2", "sit/c_sit.avi": b"3"}
    assert is_unpacked(folder, "outer.rar")


def test_an_evil_archive_in_an_archive(tmp_path: Path, folder: Path) -> None:
    inner = stored(tmp_path / "wave.rar", {"../../../evil.avi": b"1"})
    outer = stored(tmp_path / "outer.rar", {"wave.rar": inner.read_bytes()})
    with pytest.raises(BookError, match=r"wave\.rar: refused.*evil\.avi' leads out"):
        unpack_archive(outer, folder, nested=True)
    assert list(folder.iterdir()) == []


def test_a_folder_where_a_file_belongs(tmp_path: Path, folder: Path) -> None:
    (folder / "empty.txt").mkdir(parents=True)
    with pytest.raises(BookError, match=r"a\.zip: cannot be unpacked into .*empty\.txt"):
        unpack_archive(zipped(tmp_path / "a.zip", FILES), folder)


def test_compressed_rar_without_a_program_names_packages(tmp_path: Path, folder: Path) -> None:
    archive = rarred(tmp_path / "a.rar", rar_file("clip.avi", b"packed", method=0x33, size=9))
    with pytest.raises(BookError, match=r"a\.rar: is a compressed RAR.*apt-get install unar.*libarchive-tools"):
        unpack_archive(archive, folder)
    assert list(folder.iterdir()) == []


STAND_IN = """import pathlib, sys
folder = pathlib.Path([a for a in sys.argv if a.rstrip("/").endswith(".unpacking-a.rar")][0])
assert [a for a in sys.argv if a.endswith("/a.rar")]
(folder / "d").mkdir()
{body}
"""
WRITES = '(folder / "d" / "clip.avi").write_bytes(b"x" * 9)'


def stand_in(folder: Path, name: str, body: str) -> None:
    (folder / f"{name}.py").write_text(STAND_IN.format(body=body))
    (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder / name}.py" "$@"\n')
    (folder / name).chmod(0o755)


@pytest.fixture
def compressed(tmp_path: Path) -> Path:
    return rarred(tmp_path / "a.rar", rar_file("d/clip.avi", b"packed", method=0x33, size=9))


@pytest.mark.parametrize("name", ["unar", "unrar", "bsdtar"])
def test_compressed_rar_by_a_program(name: str, no_programs: Path, compressed: Path, folder: Path) -> None:
    stand_in(no_programs, name, WRITES)
    assert unpack_archive(compressed, folder) == 1
    assert contents(folder) == {"d/clip.avi": b"x" * 9}


FAULTS = {
    "status": f"{WRITES}; sys.exit('cannot do this method')",
    "size": '(folder / "d" / "clip.avi").write_bytes(b"x" * 8)',
    "another file": f'{WRITES}; (folder / "more.avi").write_bytes(b"")',
    "link": '(folder / "d" / "clip.avi").symlink_to("/etc/passwd")',
    "nothing": "",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_program_that_fails_gives_way_to_the_next(
    fault: str, no_programs: Path, compressed: Path, folder: Path
) -> None:
    stand_in(no_programs, "unar", FAULTS[fault])
    with pytest.raises(BookError, match=r"a\.rar: no program could unpack it(.|\n)*\nunar: exit status") as caught:
        unpack_archive(compressed, folder)
    assert ("cannot do this method" in str(caught.value)) == (fault == "status")
    assert list(folder.iterdir()) == []
    stand_in(no_programs, "bsdtar", WRITES)
    assert unpack_archive(compressed, folder) == 1
    assert contents(folder) == {"d/clip.avi": b"x" * 9}


def test_the_mark_names_every_file(tmp_path: Path, folder: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    unpack_archive(archive, folder)
    mark = json.loads((folder / ".unpacked-a.zip.json").read_text())
    assert mark == {"sha256": sha256_file(archive), "files": {name: len(data) for name, data in FILES.items()}}
