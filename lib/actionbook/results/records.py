"""Records: what the runs of the stage notebooks measured, read from workspaces and from book/records."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionbook.core.errors import BookError
from actionbook.core.paths import ROOT, default_work_root, shown

STAGES = ("01_data", "02_architecture", "03_training", "04_conversion", "05_accuracy")
COMMITTED = ROOT / "book" / "records"
"""Records that readers have sent, such as those of runs on real data."""

_HEAD = {"chapter": str, "recipe": str, "title": str, "recipe_sha256": str, "stages": dict}
_STAGE = {"finished": str, "seconds": int | float, "device": str, "environment": dict, "results": dict}


@dataclass(frozen=True)
class StageEntry:
    """What one stage left in a record."""

    name: str
    finished: str
    """ISO 8601, with the time zone."""
    seconds: float
    device: str
    environment: dict[str, Any]
    """As `actionbook.core.runtime.environment` gives it."""
    results: dict[str, Any]

    @property
    def date(self) -> str:
        """Day on which the stage finished."""
        return self.finished[:10]


@dataclass(frozen=True)
class Record:
    """The record of one recipe's run; stages that have not run are absent."""

    chapter: str
    recipe: str
    title: str
    recipe_sha256: str
    file: str
    stages: dict[str, StageEntry]

    def results(self, stage: str) -> dict[str, Any]:
        """Results of a stage, empty if it has not run."""
        return self.stages[stage].results if stage in self.stages else {}

    @property
    def generated(self) -> bool | None:
        """Whether the data set was made by a program; None if the data stage has not run."""
        return self.results("01_data").get("generated")


def read_record(path: Path | str) -> Record:
    """One record file. Raises BookError naming the file, and what is wrong with it."""
    path = Path(path)
    remedy = "delete it and run the stages again"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BookError(f"{shown(path)}: cannot be read as a record ({error}); {remedy}") from error
    _check(data, _HEAD, f"{shown(path)}: the record", remedy)
    stages = {}
    for name, entry in sorted(data["stages"].items()):
        _check(entry, _STAGE, f"{shown(path)}: stage {name!r}", remedy)
        stages[name] = StageEntry(name, **{key: entry[key] for key in _STAGE})
    return Record(**{key: data[key] for key in _HEAD if key != "stages"}, file=shown(path), stages=stages)


def read_records(work_root: Path | str | None = None, committed: Path | str = COMMITTED) -> tuple[Record, ...]:
    """All records of the workspaces under `work_root` (default: that of the book) and of the folder `committed`.

    Folders may be absent. Sorted by chapter, recipe and file. Raises BookError for a damaged record.
    """
    root = Path(work_root) if work_root is not None else default_work_root()
    files = [*root.glob("*/*/record.json"), *Path(committed).glob("*.json")]
    found = [read_record(path) for path in files]
    return tuple(sorted(found, key=lambda record: (record.chapter, record.recipe, record.file)))


def of_chapter(records: Iterable[Record], chapter: str) -> tuple[Record, ...]:
    """Those of one chapter."""
    return tuple(record for record in records if record.chapter == chapter)


def _check(data: Any, fields: dict[str, Any], what: str, remedy: str) -> None:
    if not isinstance(data, dict):
        raise BookError(f"{what} is {type(data).__name__}, expected a mapping; {remedy}")
    wrong = [key for key, kind in fields.items() if not isinstance(data.get(key), kind)]
    if wrong:
        raise BookError(f"{what} lacks a proper {', '.join(map(repr, wrong))}; {remedy}")
