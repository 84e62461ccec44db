"""Digests, text as others write it, and writes that are all or nothing."""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from actionbook.core.errors import BookError
from actionbook.core.paths import shown

TEMPORARY = ".tmp-"
"""How the names of files begin that are being written."""
STALE_SECONDS = 24 * 3600
"""A temporary file whose writer cannot be asked after is taken for left behind when it has not changed for so long."""
_WRITER = re.compile(rf"{re.escape(TEMPORARY)}(\d+)-([0-9a-f]{{12}})-")


def read_text_file(path: Path) -> str:
    """The text of a file of others, its line ends as LF: UTF-8, or what the byte order mark before it says.

    The mark is no part of the text; spreadsheets and editors leave it, in UTF-8 or in UTF-16. Raises OSError, or
    UnicodeError for other bytes.
    """
    with path.open("rb") as file:
        start = file.read(2)
    encoding = "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    return path.read_text(encoding=encoding)


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; on success it is renamed to `path`, on an error removed.

    A reader therefore sees either the old file or the whole new one, also after SIGKILL
    (which leaves at most a file whose name starts with ``.tmp-`` and tells the process that wrote it, for
    `sweep_temporary`).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: several writers (av, onnx, numpy) choose their format by it.
    handle, name = tempfile.mkstemp(prefix=temporary_prefix(), suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; the result should be as any other
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sweep_temporary(folder: Path | str) -> list[Path]:
    """Remove what killed writers left in `folder` (not in folders below it), and return what was removed.

    Only what is surely left behind: a file of `atomic_path` whose process, on this machine and since it was started,
    is no more; of other machines that share the folder, and of other forms of name, files that have not changed for a
    day. A folder that does not exist holds nothing. Files that cannot be removed stay.
    """
    swept = []
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(TEMPORARY):
                continue
            with suppress(OSError):  # its writer may have finished meanwhile, or the folder is not ours to change
                if entry.is_file(follow_symlinks=False) and _left_behind(entry):
                    Path(entry.path).unlink()
                    swept.append(Path(entry.path))
    return sorted(swept)


def _left_behind(entry: os.DirEntry[str]) -> bool:
    """Whether nobody can be writing the temporary file."""
    writer = _WRITER.match(entry.name)
    if writer and writer[2] == _machine():
        return not _lives(int(writer[1]))
    return time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_SECONDS


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it does, under another user
        return True
    # A killed process keeps its number until somebody asks for its status, which in many containers nobody does.
    with suppress(OSError):
        state = Path(f"/proc/{process}/stat").read_bytes().rpartition(b")")[2].split()[0]
        return state not in {b"Z", b"X"}
    return True


@cache
def _machine() -> str:
    """Twelve digits for the host since its start and the name space of its process numbers.

    Two containers may have one host name and number their processes apart: neither can tell whether the other's lives.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def temporary_prefix() -> str:
    """How this process begins the name of a file that `sweep_temporary` may remove when the process is no more."""
    return f"{TEMPORARY}{os.getpid()}-{_machine()}-"


def existing(path: Path) -> Path:
    """The folder itself, or the nearest above it that exists for this user."""
    for one in (path, *path.parents):
        with suppress(OSError):  # below a folder that this user may not enter nothing exists
            if one.exists():
                return one
    return Path(path.anchor)


def require_writable(folder: Path, remedy: str) -> None:
    """Make sure, before there is anything to lose, that `folder` can be written, or made where it is absent.

    Nothing is left there. Raises BookError naming the folder, the system's reason and the remedy.
    """
    try:
        with tempfile.TemporaryFile(dir=existing(folder)):
            pass
    except OSError as error:
        raise BookError(f"{shown(folder)} cannot be written ({error.strerror}): {remedy}") from error


def write_bytes_atomic(path: Path | str, data: bytes) -> None:
    """Write `data` to `path` in one step."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: Path | str, text: str) -> None:
    """Write `text` (UTF-8, line ends as given) to `path` in one step."""
    write_bytes_atomic(path, text.encode())


def write_json_atomic(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, keys in the given order, to `path` in one step."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def sha256_file(path: Path | str) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_json(value: Any) -> str:
    """SHA-256 of a value's canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_tree(root: Path | str, files: Iterable[Path]) -> str:
    """SHA-256 over the relative names and contents of `files` under `root`, in sorted order."""
    root = Path(root)
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()
