"""The archive of a pack: written so that equal contents give equal bytes, unpacked without trusting it."""

from __future__ import annotations

import re
import shutil
import zipfile
from pathlib import Path

from actionbook.core.errors import BookError
from actionbook.core.evidence import (
    CHECK,
    CONVERSION,
    FAILURES,
    INDEX,
    LISTING,
    MANIFEST,
    PREDICTIONS,
    README,
    RECIPE,
    SAMPLES,
    TRAINING,
    PackedFile,
)
from actionbook.core.files import atomic_path, sha256_file
from actionbook.core.record import FOLDER, STAGES
from actionbook.elsewhere.bring import MACHINE_NAME
from actionbook.inference.runner import RECORD_NAME
from actionbook.inference.summaries import CONSOLE_NAME, SUMMARY_NAME

MOST_FILES, MOST_BYTES, MOST_TOTAL = 2000, 512 << 20, 2 << 30
"""Of a pack: files, bytes of one of them, and of all together, unpacked."""
COMPRESSED = ".csv.gz"
OF_RESULTS = (CONSOLE_NAME, SUMMARY_NAME, RECORD_NAME, MACHINE_NAME)
"""What lies beside a format's results and is packed."""
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_FILES = re.compile(
    "|".join(
        [
            *map(re.escape, (LISTING, RECIPE, MANIFEST, README)),
            rf"{FOLDER}/(?:{'|'.join(STAGES)})\.json",
            rf"{INDEX}-(?:items|labels|boxes){re.escape(COMPRESSED)}",
            rf"{PREDICTIONS}/{_NAME}/(?:{re.escape(SAMPLES)}|{_NAME}\.npz)",
            rf"{TRAINING}/{_NAME}/{_NAME}\.jsonl",
            rf"{CONVERSION}/{_NAME}/{_NAME}\.log",
            rf"{CONVERSION}/{_NAME}/{_NAME}/(?:{'|'.join(map(re.escape, OF_RESULTS))})",
            rf"{FAILURES}/{_NAME}\.csv",
        ]
    )
)
"""What a pack may hold; no name leads out of its folder, is hidden, or belongs to a program."""


def write_archive(folder: Path, target: Path) -> Path:
    """Put the files of `folder` into the archive `target`, in one step; returns it."""
    with atomic_path(target) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix())  # dated 1980, as it does not matter
            info.compress_type = zipfile.ZIP_STORED if path.suffix in (".npz", ".gz") else zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(info, "w", force_zip64=True) as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    return target


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a pack into the empty `folder`. Raises BookError, and writes nothing outside it, for anything else.

    Refused are: files that a pack does not have (`_FILES`), two of one name, encrypted ones, and more or larger files
    than any honest pack holds, counted while they are read and not by what the archive says.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            held = file.infolist()
            if len(held) > MOST_FILES:
                raise BookError(f"{archive.name}: {len(held)} files; a pack has at most {MOST_FILES}")
            left = MOST_TOTAL
            for info in held:
                path = folder / allowed(info.filename, archive.name)
                if path.exists() or info.flag_bits & 1:
                    why = "is encrypted" if info.flag_bits & 1 else "stands twice"
                    raise BookError(f"{archive.name}: {info.filename} {why}; pack again")
                path.parent.mkdir(parents=True, exist_ok=True)
                left -= _copy(file, info, path, min(left, MOST_BYTES))
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise BookError(f"{archive.name}: is no archive that can be read ({error}); pack or copy it again") from error


def allowed(name: str, where: str) -> str:
    """The name of a file in a pack. Raises BookError for one that no pack has."""
    if len(name) > 200 or not _FILES.fullmatch(name):
        raise BookError(f"{where}: holds {name[:80]!r}, which is no file of a pack; make it with `pack`")
    return name


def files_of(folder: Path) -> dict[str, PackedFile]:
    """Bytes and digest of every file of an unpacked pack but its listing and its check, by name.

    Raises BookError for one that no pack has.
    """
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() or path.is_symlink())
    names = {path.relative_to(folder).as_posix(): path for path in found}
    for name, path in names.items():
        if path.is_symlink():
            raise BookError(f"{folder.name}: {name} is a link; a pack has files")
    return {
        allowed(name, folder.name): PackedFile(bytes=path.stat().st_size, sha256=sha256_file(path))
        for name, path in names.items()
        if name not in (LISTING, CHECK)
    }


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path, most: int) -> int:
    size = 0
    with archive.open(info) as source, path.open("wb") as sink:
        while block := source.read(1 << 20):
            size += len(block)
            if size > most:
                raise BookError(f"{info.filename}: larger than a pack's files may be ({most:,} bytes left for it)")
            sink.write(block)
    return size
