"""All records: of the workspaces, and of those that readers have sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from actionbook.core.paths import ROOT, default_work_root
from actionbook.core.record import FOLDER, Record, read_record

COMMITTED = ROOT / "book" / "records"
"""Records that readers have sent, such as those of runs on real data: ``<any name>/record/<stage>.json``."""


def read_records(work_root: Path | str | None = None, committed: Path | str = COMMITTED) -> tuple[Record, ...]:
    """All records of the workspaces under `work_root` (default: that of the book) and of the folder `committed`.

    Folders may be absent. Sorted by chapter, recipe and folder. Raises BookError for a damaged record.
    """
    root = Path(work_root) if work_root is not None else default_work_root()
    folders = [path.parent for path in [*root.glob(f"*/*/{FOLDER}"), *Path(committed).glob(f"*/{FOLDER}")]]
    found = [record for record in map(read_record, folders) if record.stages]
    return tuple(sorted(found, key=lambda record: (record.head.chapter, record.head.recipe, str(record.folder))))


def of_chapter(records: Iterable[Record], chapter: str) -> tuple[Record, ...]:
    """Those of one chapter."""
    return tuple(record for record in records if record.head.chapter == chapter)
