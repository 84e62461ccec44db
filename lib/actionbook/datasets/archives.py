"""What archives hold, and its way out of them: .zip and .tar by Python, .rar by a program of the machine."""

from __future__ import annotations

import shutil
import stat
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import rarfile

from actionbook.core.errors import BookError
from actionbook.core.paths import shown
from actionbook.core.process import run_logged

SUFFIXES = (".zip", ".rar", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
"""Ends of the names of archives that can be read."""

RAR_PROGRAMS: dict[str, tuple[str, ...]] = {
    "unar": ("-quiet", "-force-overwrite", "-no-directory", "-output-directory", "{folder}", "{archive}"),
    "unrar": ("x", "-idq", "-o+", "-p-", "{archive}", "{folder}/"),
    "7zz": ("x", "-y", "-bd", "-p", "-o{folder}", "{archive}"),
    "7z": ("x", "-y", "-bd", "-p", "-o{folder}", "{archive}"),
    "bsdtar": ("-x", "-f", "{archive}", "-C", "{folder}"),
}
"""Programs that unpack RAR, in the order in which they are tried, and their arguments. Debian's packages are unar,
unrar (non-free; the free program of that name knows little), 7zip with 7zip-rar, and libarchive-tools for bsdtar (which
knows no solid archives)."""

_BLOCK = 1 << 20
_LOOK_SECONDS = 2.0

Advance = Callable[[int], object]
"""Called with a number of bytes written."""


@dataclass(frozen=True)
class Member:
    """One entry of an archive, as its table of contents declares it."""

    name: str
    size: int
    kind: Literal["file", "folder", "symlink", "hard link", "other"]
    target: str = ""
    """Of a link."""


def is_archive(name: str) -> bool:
    """Whether a file of that name is one that `unpack` takes."""
    return name.lower().endswith(SUFFIXES)


def stem(name: str) -> str:
    """The name of an archive without the end that makes it one."""
    return name[: -max(len(suffix) for suffix in SUFFIXES if name.lower().endswith(suffix))]


def open_archive(path: Path) -> _Zip | _Tar | _Rar:
    """Open an archive whose name `is_archive`; close its `file` after use. Raises the errors of what reads it.

    ``members()`` is its table of contents and raises BookError, without the archive's name, for a kind that is not
    read. ``extract(into, advance)`` writes all members, which must have been checked, below the empty folder `into`.
    """
    name = path.name.lower()
    if name.endswith(".zip"):
        return _Zip(path)
    return _Rar(path) if name.endswith(".rar") else _Tar(path)


def rar_programs() -> dict[str, tuple[str, ...]]:
    """Those of `RAR_PROGRAMS` that are on the PATH."""
    return {name: arguments for name, arguments in RAR_PROGRAMS.items() if shutil.which(name)}


def no_rar_program(archive: Path) -> str:
    """What to do where a RAR archive cannot be read for lack of a program."""
    return (
        f"{shown(archive)}: is a compressed RAR archive and no program that unpacks it was found. Install one "
        "(apt-get install unar, or apt-get install libarchive-tools) and start again; nothing has to be fetched twice"
    )


class _Zip:
    def __init__(self, path: Path) -> None:
        self.file = zipfile.ZipFile(path)

    def members(self) -> Iterator[Member]:
        for info in self.file.infolist():
            if info.flag_bits & 1:
                raise BookError("is encrypted")
            plain = stat.S_IFMT(info.external_attr >> 16) in {0, stat.S_IFREG, stat.S_IFDIR}
            yield Member(info.filename, info.file_size, "other" if not plain else "folder" if info.is_dir() else "file")

    def extract(self, into: Path, advance: Advance) -> None:
        _extract_each(self.file, into, advance)


class _Tar:
    def __init__(self, path: Path) -> None:
        self.file: Any = tarfile.open(path)  # noqa: SIM115

    def members(self) -> Iterator[Member]:
        for info in self.file:
            kind: Any = "file" if info.isreg() else "folder" if info.isdir() else "other"
            kind = "symlink" if info.issym() else "hard link" if info.islnk() else kind
            yield Member(info.name, info.size if kind == "file" else 0, kind, info.linkname)
        self.file.fileobj.seek(self.file.offset)
        if self.file.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end is missing")  # tarfile takes what is there for the whole

    def extract(self, into: Path, advance: Advance) -> None:
        for info in self.file.getmembers():
            self.file.extract(info, into, filter="data")
            advance(info.size if info.isreg() else 0)


class _Rar:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = rarfile.RarFile(path, errors="strict")

    def members(self) -> Iterator[Member]:
        if self.file.needs_password():
            raise BookError("is encrypted")
        if len(self.file.volumelist()) > 1:
            raise BookError("is one of several volumes")
        for info in self.file.infolist():
            # Links are refused, of whatever kind: the programs differ in what they make of them.
            plain = info.file_redir is None and (info.is_file() or info.is_dir())
            kind: Any = "other" if not plain else "folder" if info.is_dir() else "file"
            yield Member(info.filename, info.file_size, kind)

    def extract(self, into: Path, advance: Advance) -> None:
        infos = self.file.infolist()
        if any(info.is_file() and info.compress_type != rarfile.RAR_M0 for info in infos):
            _extract_by_program(self.path, into, list(self.members()), advance)
            return
        _extract_each(self.file, into, advance)  # stored as they are: no program needed


def _extract_each(file: Any, into: Path, advance: Advance) -> None:
    """Write the members of a zipfile.ZipFile or rarfile.RarFile one by one."""
    for info in file.infolist():
        path = into / info.filename
        if info.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with file.open(info) as source, path.open("wb") as target:
            while block := source.read(_BLOCK):
                target.write(block)
                advance(len(block))


def _extract_by_program(archive: Path, into: Path, members: list[Member], advance: Advance) -> None:
    """Unpack a compressed RAR archive with the first program that manages to, in one go."""
    sizes = {PurePosixPath(m.name).as_posix(): m.size for m in members if m.kind == "file"}
    failed = []
    for name, arguments in rar_programs().items():
        command = [name, *(a.format(archive=archive.absolute(), folder=into.absolute()) for a in arguments)]
        with tempfile.TemporaryDirectory() as logs:
            log = Path(logs) / "log"
            status = run_logged(command, into, log, tick=_Look(into, advance).tick)
            last = log.read_text(encoding="utf-8", errors="replace").strip()[-300:]
        found = _file_sizes(into)
        if status == 0 and found == sizes:
            return
        differs = len(found.items() ^ sizes.items())
        failed.append(f"{name}: exit status {status}, {differs} differences from the table of contents. {last}".strip())
        for path in into.iterdir():  # the next one begins anew
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if not failed:
        raise BookError(no_rar_program(archive))
    raise BookError(
        f"{shown(archive)}: no program could unpack it. Install another (apt-get install unar), or fetch the archive "
        "again if they call it damaged. They say:\n" + "\n".join(failed)
    )


def _file_sizes(folder: Path) -> dict[str, int]:
    """Sizes of the files below a folder, -1 of what is no file, by path."""
    return {
        path.relative_to(folder).as_posix(): path.stat().st_size if path.is_file() and not path.is_symlink() else -1
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


class _Look:
    """Tells how many bytes a program has written so far, looking at the disk every few seconds."""

    def __init__(self, folder: Path, advance: Advance) -> None:
        self.folder, self.advance, self.seen, self.next = folder, advance, 0, time.monotonic() + _LOOK_SECONDS

    def tick(self) -> None:
        if time.monotonic() < self.next:
            return
        size = 0
        for path in self.folder.rglob("*"):
            try:
                size += path.lstat().st_size
            except FileNotFoundError:
                continue  # renamed by the program in between
        self.advance(max(0, size - self.seen))
        self.seen, self.next = max(size, self.seen), time.monotonic() + _LOOK_SECONDS
