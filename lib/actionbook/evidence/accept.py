"""A checked pack becomes part of the book."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from actionbook.core.errors import BookError, some
from actionbook.core.evidence import CHECK, PREDICTIONS, TRAINING
from actionbook.core.files import write_json_atomic
from actionbook.core.paths import shown
from actionbook.core.schema import NAME
from actionbook.evidence.check import check
from actionbook.evidence.contents import unpacked
from actionbook.results.evidence import EVIDENCE

MOST_IN_BOOK = 20 << 20
"""Bytes of a pack in the book's repository, unpacked."""


def accept(archive: Path | str, name: str, root: Path | str = EVIDENCE) -> Path:
    """Check a pack, unpack it into ``<root>/<chapter>/<name>`` with its ``check.json``, and return that folder.

    Of a pack larger than `MOST_IN_BOOK` the predictions stay in the archive, whose digest the check names: it belongs
    to a release. Raises BookError, and leaves nothing behind, where the check refutes the pack, the name is taken, or a
    log is that of another accepted run.
    """
    if not re.fullmatch(NAME, name):
        raise BookError(f"id {name!r}: expected letters, digits, '_', '.' and '-'")
    found = check(archive)
    if not found.holds:
        wrong = [f"{one.what} ({one.detail})" for one in found.findings if one.state == "refuted"]
        raise BookError(f"{Path(archive).name}: is refuted: {some(wrong, 3)}")
    target = Path(root) / found.chapter / name
    if target.exists():
        raise BookError(f"{shown(target)}: is there already; choose another id")
    with unpacked(archive) as source:
        if twin := _same_log(source, target.parent):
            raise BookError(f"{Path(archive).name}: its training log is that of {shown(twin)}: one of them is a copy")
        size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
        left_out = shutil.ignore_patterns(PREDICTIONS) if size > MOST_IN_BOOK else None
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".tmp-", dir=target.parent) as temporary:
            copy = Path(temporary) / name
            shutil.copytree(source, copy, ignore=left_out)
            write_json_atomic(copy / CHECK, found.model_dump(mode="json"))
            copy.replace(target)
    return target


def _same_log(folder: Path, chapter: Path) -> Path | None:
    """An accepted pack with a training log, times and all, that `folder` has too; None where there is none."""
    mine = {path.read_bytes() for path in folder.glob(f"{TRAINING}/*/*.jsonl")}
    others = sorted(chapter.glob(f"*/{TRAINING}/*/*.jsonl"))
    return next((path.parents[2] for path in others if path.read_bytes() in mine), None)
