"""All records: of the workspaces, and of the runs that readers have handed in."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from actionbook.core.paths import NOTEBOOKS, default_work_root
from actionbook.core.record import FOLDER, Record, read_record
from actionbook.results.evidence import EVIDENCE, accepted, real


def read_records(work_root: Path | str | None = None, evidence: Path | str = EVIDENCE) -> tuple[Record, ...]:
    """All records of the workspaces under `work_root` (default: that of the book), and of what was handed in.

    Folders may be absent; of runs that were handed in on data sets made by a program none is taken. Sorted by chapter,
    recipe and folder. Raises BookError for a damaged record.
    """
    root = Path(work_root) if work_root is not None else default_work_root()
    return _read(root.glob(f"*/*/{FOLDER}"), evidence)


def accepted_records() -> tuple[Record, ...]:
    """Those that stand beside the committed notebooks (`actionbook.notebooks.accept`), and those handed in."""
    return _read(NOTEBOOKS.glob(f"*/{FOLDER}"), EVIDENCE)


def _read(folders: Iterable[Path], evidence: Path | str) -> tuple[Record, ...]:
    own = (read_record(path.parent) for path in folders)
    found = [record for record in (*own, *real(accepted(evidence))) if record.stages]
    return tuple(sorted(found, key=lambda record: (record.head.chapter, record.head.recipe, str(record.folder))))


def of_chapter(records: Iterable[Record], chapter: str) -> tuple[Record, ...]:
    """Those of one chapter."""
    return tuple(record for record in records if record.head.chapter == chapter)
