"""All records: of the workspaces, and of those that readers have sent."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from actionbook.core.paths import NOTEBOOKS, ROOT, default_work_root
from actionbook.core.record import FOLDER, Record, read_record

COMMITTED = ROOT / "book" / "records"
"""Records that readers have sent, such as those of runs on real data: ``<any name>/record/<stage>.json``."""


def read_records(work_root: Path | str | None = None, committed: Path | str = COMMITTED) -> tuple[Record, ...]:
    """All records of the workspaces under `work_root` (default: that of the book) and of the folder `committed`.

    Folders may be absent. Sorted by chapter, recipe and folder. Raises BookError for a damaged record.
    """
    root = Path(work_root) if work_root is not None else default_work_root()
    return _read([*root.glob(f"*/*/{FOLDER}"), *Path(committed).glob(f"*/{FOLDER}")])


def accepted_records() -> tuple[Record, ...]:
    """Those that stand beside the committed notebooks (`actionbook.notebooks.accept`), and those of readers."""
    return _read([*NOTEBOOKS.glob(f"*/{FOLDER}"), *COMMITTED.glob(f"*/{FOLDER}")])


def _read(folders: Iterable[Path]) -> tuple[Record, ...]:
    found = [record for record in (read_record(path.parent) for path in folders) if record.stages]
    return tuple(sorted(found, key=lambda record: (record.head.chapter, record.head.recipe, str(record.folder))))


def of_chapter(records: Iterable[Record], chapter: str) -> tuple[Record, ...]:
    """Those of one chapter."""
    return tuple(record for record in records if record.head.chapter == chapter)
