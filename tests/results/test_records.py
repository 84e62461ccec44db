"""Records are found where runs leave them and where readers have sent them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from actionbook.core.record import Record
from actionbook.results.records import of_chapter, read_records

MakeRecord = Callable[..., Record]
HandIn = Callable[..., Path]


def test_reads_workspaces_and_what_was_handed_in_in_order(
    tmp_path: Path, make_record: MakeRecord, real_run: MakeRecord, hand_in: HandIn
) -> None:
    make_record("z")
    make_record("mini")
    make_record("mini", chapter="other", stage_03=None)
    real = hand_in(real_run(3069), "card", tmp_path / "evidence")
    hand_in(make_record("example"), "example", tmp_path / "evidence")
    for record in (real_run(3069), make_record("example")):
        shutil.rmtree(record.folder)
    found = read_records(tmp_path / "work", tmp_path / "evidence")
    assert [(r.head.chapter, r.head.recipe, r.folder == real) for r in found] == [
        ("efficient3d", "mini", False),
        ("efficient3d", "ucf101", True),
        ("efficient3d", "z", False),
        ("other", "mini", False),
    ]
    assert [r.head.recipe for r in of_chapter(found, "other")] == ["mini"]


def test_absent_and_empty_folders_hold_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "a", tmp_path / "b") == ()
    (tmp_path / "a" / "i3d" / "mini" / "record").mkdir(parents=True)
    assert read_records(tmp_path / "a", tmp_path / "b") == ()
