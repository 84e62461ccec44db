"""Records are read from where runs leave them; damaged ones are named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.errors import BookError
from actionbook.core.workspace import Workspace
from actionbook.results.records import Record, of_chapter, read_record, read_records

MakeRecord = Callable[..., Record]


def test_reads_workspaces_and_committed_records_in_order(tmp_path: Path, make_record: MakeRecord) -> None:
    make_record("z")
    make_record("mini")
    make_record("mini", chapter="other", stage_03=None)
    committed = tmp_path / "records"
    committed.mkdir()
    shutil.copy(tmp_path / "work" / "efficient3d" / "z" / "record.json", committed / "reader.json")
    found = read_records(tmp_path / "work", committed)
    assert [(r.chapter, r.recipe) for r in found] == [
        ("efficient3d", "mini"),
        ("efficient3d", "z"),
        ("efficient3d", "z"),
        ("other", "mini"),
    ]
    assert [r.recipe for r in of_chapter(found, "other")] == ["mini"]


def test_absent_folders_hold_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "a", tmp_path / "b") == ()


def test_stages_may_be_missing(make_record: MakeRecord) -> None:
    record = make_record(stage_01=None, stage_05=None)
    assert list(record.stages) == ["02_architecture", "03_training", "04_conversion"]
    assert record.results("05_accuracy") == {}
    assert record.generated is None
    assert record.stages["03_training"].date == "2026-01-01"


def test_reads_what_a_workspace_writes(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "c" / "r")
    entry = {"finished": "2026-02-03T04:05:06+00:00", "seconds": 1, "device": "CPU", "environment": {}, "results": {}}
    workspace.write_stage("01_data", entry, chapter="c", recipe="r", title="t", recipe_sha256="0" * 64)
    (record,) = read_records(tmp_path, tmp_path / "none")
    assert (record.recipe, record.stages["01_data"].date) == ("r", "2026-02-03")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: "{", "cannot be read"),
        (lambda data: json.dumps([data]), "is list"),
        (lambda data: json.dumps({**data, "stages": []}), "'stages'"),
        (lambda data: json.dumps({key: data[key] for key in data if key != "title"}), "'title'"),
        (
            lambda data: json.dumps({**data, "stages": {"01_data": {**data["stages"]["01_data"], "results": None}}}),
            "results",
        ),
    ],
)
def test_a_damaged_record_is_an_error_that_names_the_file(
    tmp_path: Path, make_record: MakeRecord, damage: Callable[[Any], str], message: str
) -> None:
    make_record()
    path = tmp_path / "work" / "efficient3d" / "mini" / "record.json"
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(BookError, match=r"record\.json") as caught:
        read_record(path)
    assert message in str(caught.value)
    assert "delete it" in str(caught.value)
