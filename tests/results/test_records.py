"""Records are found where runs leave them and where readers have sent them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from actionbook.core.record import Record
from actionbook.results.records import of_chapter, read_records

MakeRecord = Callable[..., Record]


def test_reads_workspaces_and_committed_records_in_order(tmp_path: Path, make_record: MakeRecord) -> None:
    make_record("z")
    make_record("mini")
    make_record("mini", chapter="other", stage_03=None)
    committed = tmp_path / "records"
    shutil.copytree(tmp_path / "work" / "efficient3d" / "z", committed / "reader")
    found = read_records(tmp_path / "work", committed)
    assert [(r.head.chapter, r.head.recipe) for r in found] == [
        ("efficient3d", "mini"),
        ("efficient3d", "z"),
        ("efficient3d", "z"),
        ("other", "mini"),
    ]
    assert [r.head.recipe for r in of_chapter(found, "other")] == ["mini"]


def test_absent_and_empty_folders_hold_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "a", tmp_path / "b") == ()
    (tmp_path / "a" / "i3d" / "mini" / "record").mkdir(parents=True)
    assert read_records(tmp_path / "a", tmp_path / "b") == ()
