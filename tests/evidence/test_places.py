"""Packs go to and come from object storage, against a real server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from actionbook.core.workspace import Stage
from actionbook.evidence.__main__ import main


def put(bucket: Any, stage: Stage) -> str:
    """Put the workspace of a finished run into the bucket; returns its address."""
    for path in stage.workspace.rglob("*"):
        if path.is_file():
            bucket.put(f"work/tiny/tiny/{path.relative_to(stage.workspace).as_posix()}", path.read_bytes())
    return f"s3://{bucket.name}/work/tiny/tiny"


def test_a_run_in_a_bucket_is_packed_there_and_checked_from_there(
    finished: Stage, bucket: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = put(bucket, finished)
    assert main(["pack", address, "--by", "Ada L."]) == 0
    assert f"{address}/evidence.zip (" in capsys.readouterr().out
    assert bucket.get("work/tiny/tiny/evidence.zip")[:2] == b"PK"
    shutil.rmtree(tmp_path / "cache")
    assert main(["check", f"{address}/evidence.zip"]) == 0
    assert "The pack holds: not comparable." in capsys.readouterr().out


def test_a_pack_is_sent_to_another_bucket(finished: Stage, bucket: Any) -> None:
    place = f"s3://{bucket.name}/handed in/动作.zip"
    assert main(["pack", str(finished.workspace), "-o", place]) == 0
    assert bucket.names() == ["handed in/动作.zip"]
    assert main(["check", place]) == 0


@pytest.mark.parametrize("place", ["s3://{}/none.zip", "s3://none-such/x.zip", "s3://{}"])
def test_what_is_not_there_is_named(bucket: Any, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", place.format(bucket.name)]) == 2
    said = capsys.readouterr().err
    assert "s3://" in said
    assert "check the address" in said or "expected an address" in said
