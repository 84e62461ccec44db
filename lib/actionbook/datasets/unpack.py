"""Archives, unpacked whole or not at all: what would leave the folder is refused before a byte is written."""

from __future__ import annotations

import errno
import fcntl
import json
import lzma
import os
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath

import rarfile

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_file, write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.progress import progress_bar
from actionbook.datasets.archives import SUFFIXES, Member, is_archive, no_rar_program, open_archive, stem

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, rarfile.Error, zlib.error, lzma.LZMAError, EOFError)


def is_unpacked(folder: Path, name: str, sha256: str | None = None) -> bool:
    """Whether the archive called `name` (with that digest, if given) was unpacked into `folder` and all of it is there.

    Every file must still have its size; the archive itself is not needed.
    """
    try:
        done = json.loads(_marker(folder, name).read_text(encoding="utf-8"))
        if sha256 not in {None, done["sha256"]}:
            return False
        return all((folder / file).lstat().st_size == size for file, size in done["files"].items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def unpack(
    archive: Path,
    folder: Path,
    *,
    sha256: str | None = None,
    nested: bool = False,
    place: Callable[[str], str] | None = None,
) -> int:
    """Unpack a .zip, .rar, .tar, .tar.gz, .tar.bz2 or .tar.xz into `folder`; return the number of its files.

    Everything goes into a hidden folder inside `folder` first and is moved when all of it is there; what a killed
    process left is done again, and what is finished (see `is_unpacked`) takes no time. `sha256` is the archive's digest
    where it is known. With `nested` each archive found inside is unpacked as well, into a folder of its name, and
    dropped. `place` is given each file's path in the archive and returns the one below `folder`.
    Raises BookError, and leaves nothing behind, if a member would come to lie outside the folder or is a device, if the
    declared sizes exceed the free space, if the archive is damaged, or if no program for RAR is installed.
    """
    if not is_archive(archive.name):
        raise BookError(f"{shown(archive)}: is no archive known here; expected a name ending in {', '.join(SUFFIXES)}")
    try:
        digest = sha256 or sha256_file(archive)
    except OSError as error:
        raise BookError(f"{shown(archive)}: cannot be read ({error.strerror}); check the name") from error
    if is_unpacked(folder, archive.name, digest):
        return len(json.loads(_marker(folder, archive.name).read_text(encoding="utf-8"))["files"])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with sole_user(folder):
            temporary = folder / f".unpacking-{archive.name}"
            shutil.rmtree(temporary, ignore_errors=True)
            try:
                temporary.mkdir()
                _extract(archive, temporary)
                if nested:
                    _extract_nested(temporary)
                files = _move(archive, temporary, folder, place)
                write_json_atomic(_marker(folder, archive.name), {"sha256": digest, "files": files})
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise BookError(_os_error(archive, folder, error)) from error
    return len(files)


@contextmanager
def sole_user(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold `folder` so that two processes do not write into it at once. Raises BookError if one does, or waits."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks; single files are still written whole
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                why = "another process fetches or unpacks into it; wait until it is done"
                raise BookError(f"{shown(folder)}: {why}") from error
        yield
    finally:
        os.close(handle)


def _marker(folder: Path, name: str) -> Path:
    return folder / f".unpacked-{name}.json"


def _os_error(archive: Path, folder: Path, error: OSError) -> str:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"{shown(folder)}: the disk is full, nothing of {archive.name} was kept; make room ("
            f"{shutil.disk_usage(folder).free:,} bytes are free) and start again"
        )
    if error.errno is None:  # how gzip and bz2 complain
        return f"{shown(archive)}: is damaged ({error}); fetch the archive again"
    return f"{shown(archive)}: cannot be unpacked into {shown(folder)} ({error}); mend that and start again"


def _extract(archive: Path, into: Path, *, progress: bool = True) -> None:
    """Check all members of an archive, then write them below the empty folder `into`."""
    again = "fetch the archive again"
    try:
        opened = open_archive(archive)
        with opened.file:
            try:
                members = list(opened.members())
            except BookError as error:
                raise BookError(f"{shown(archive)}: {error}, which is not supported; unpack it by hand") from error
            _check(archive, members, shutil.disk_usage(into).free)
            total = sum(m.size for m in members)
            with progress_bar(total, archive.name, "B") if progress else nullcontext() as bar:
                opened.extract(into, (lambda _: None) if bar is None else bar.update)
    except rarfile.RarCannotExec as error:
        raise BookError(no_rar_program(archive)) from error
    except _DAMAGED as error:
        why = str(error).partition("\n")[0].rstrip(":")
        raise BookError(f"{shown(archive)}: is damaged or no archive of its kind ({why}); {again}") from error
    except NotImplementedError as error:  # zipfile's: a method of compression that it does not know
        raise BookError(f"{shown(archive)}: cannot be unpacked here ({error}); unpack it by hand") from error


def _extract_nested(folder: Path) -> None:
    """Unpack the archives below `folder`, each into a folder of its name, and drop them."""
    archives = sorted(path for path in folder.rglob("*") if path.is_file() and is_archive(path.name))
    with progress_bar(len(archives), "inner archives", "archives") as bar:
        for inner in archives:
            name = stem(inner.name)
            fresh = inner.with_name(".inner")
            fresh.mkdir()
            _extract(inner, fresh, progress=False)
            inner.unlink()
            own_folder = [path.name for path in fresh.iterdir()] == [name] and (fresh / name).is_dir()
            (fresh / name if own_folder else fresh).rename(inner.with_name(name))
            shutil.rmtree(fresh, ignore_errors=True)
            bar.update()


def _move(archive: Path, temporary: Path, folder: Path, place: Callable[[str], str] | None) -> dict[str, int]:
    """Move what was unpacked to where it belongs; sizes by path below `folder`."""
    paths = (path for path in sorted(temporary.rglob("*")) if path.is_symlink() or not path.is_dir())
    found = [path.relative_to(temporary).as_posix() for path in paths]
    names = {inside: place(inside) if place else inside for inside in found}
    if len(set(names.values())) != len(names):
        raise BookError(f"{shown(archive)}: two of its files would get the same place in {shown(folder)}")
    sizes = {}
    for inside, name in names.items():
        path, target = temporary / inside, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        sizes[name] = path.lstat().st_size
        try:
            path.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            shutil.move(path, target)  # a folder of the target may be a link to another disk
    return sizes


def _check(archive: Path, members: list[Member], free: int) -> None:
    """Raise BookError if a member would leave the folder, is neither file nor folder, or if all together do not fit."""
    links = {PurePosixPath(m.name) for m in members if m.kind == "symlink"}
    files = {PurePosixPath(m.name) for m in members if m.kind == "file"}
    for member in members:
        wrong = _danger(member, links, files)
        if wrong:
            raise BookError(
                f"{shown(archive)}: refused, nothing was unpacked: its member {member.name!r} {wrong}. An archive of "
                "videos has no use for that; get it from its publisher"
            )
    needed = sum(member.size for member in members)
    if needed > free:
        raise BookError(
            f"{shown(archive)}: takes {needed:,} bytes unpacked, {free:,} are free; make room, or use another disk"
        )


def _danger(member: Member, links: set[PurePosixPath], files: set[PurePosixPath]) -> str:
    """What is wrong with a member, nothing if it may be unpacked."""
    path = PurePosixPath(member.name)
    if outside := _leaves(member.name):
        return outside
    if links & {*path.parents}:
        return "lies below a symbolic link"
    if member.kind == "other":
        return "is neither a file nor a folder, but a device, a pipe or a link"
    if member.kind == "hard link" and PurePosixPath(member.target) not in files:
        return f"is a hard link to {member.target!r}, which is no file of the archive"
    if member.kind == "symlink":
        # Only leading .. are exact without a look at the disk, and only as many as there are folders above the link.
        parts = PurePosixPath(member.target).parts
        up = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
        if _leaves("/".join(parts[up:])) or up > len(path.parent.parts) or member.target.startswith("/"):
            return f"is a symbolic link to {member.target!r}, which may lie outside"
    return ""


def _leaves(name: str) -> str:
    """Why a path does not stay below the folder that it is relative to, nothing if it does."""
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        return "has an absolute path"
    if ".." in re.split(r"[\\/]", name):
        return "leads out of the folder"
    return "has a zero byte in its name" if "\0" in name else ""
