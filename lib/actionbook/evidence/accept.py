"""A checked pack becomes part of the book."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from actionbook.core.errors import BookError, some
from actionbook.core.evidence import CHECK, TRAINING
from actionbook.core.files import write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.schema import NAME
from actionbook.evidence.check import check
from actionbook.evidence.contents import read_contents, unpacked
from actionbook.results.evidence import EVIDENCE

MOST_IN_BOOK = 20 << 20
"""Bytes of a pack in the book's repository, unpacked."""


def accept(archive: Path | str, name: str, root: Path | str = EVIDENCE) -> Path:
    """Check a pack, unpack it into ``<root>/<chapter>/<name>`` with its ``check.json``, and return that folder.

    Raises BookError, and leaves nothing behind, where the check refutes it, the name is taken, a log is that of another
    accepted run, or it is larger than `MOST_IN_BOOK`: the archive then belongs to a release.
    """
    if not re.fullmatch(NAME, name):
        raise BookError(f"id {name!r}: expected letters, digits, '_', '.' and '-'")
    with unpacked(archive) as source:
        found = check(source)
        if not found.holds:
            wrong = [f"{one.what} ({one.detail})" for one in found.findings if one.state == "refuted"]
            raise BookError(f"{Path(archive).name}: is refuted: {some(wrong, 3)}")
        size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        if size > MOST_IN_BOOK:
            raise BookError(
                f"{Path(archive).name}: {size:,} bytes, the book takes {MOST_IN_BOOK:,}; attach it to a release"
            )
        chapter = read_contents(source).listing.chapter
        target = Path(root) / chapter / name
        if target.exists():
            raise BookError(f"{shown(target)}: is there already; choose another id")
        if twin := _same_log(source, target.parent):
            raise BookError(f"{Path(archive).name}: its training log is that of {shown(twin)}: one of them is a copy")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=target.parent) as temporary:
            copy = Path(temporary) / name
            shutil.copytree(source, copy)
            write_json_atomic(copy / CHECK, found.model_dump(mode="json"))
            copy.replace(target)
    return target


def _same_log(folder: Path, chapter: Path) -> Path | None:
    """An accepted pack with a training log, times and all, that `folder` has too; None where there is none."""
    mine = {path.read_bytes() for path in folder.glob(f"{TRAINING}/*/*.jsonl")}
    others = sorted(chapter.glob(f"*/{TRAINING}/*/*.jsonl"))
    return next((path.parents[2] for path in others if path.read_bytes() in mine), None)
