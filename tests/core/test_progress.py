"""The progress bar: drawn here, or left in a file for the process that follows."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from actionbook.core.progress import MIRROR, Mirror, progress_bar, tracked


def test_a_bar_in_a_file_is_drawn_by_the_one_who_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "progress.json"
    follower = Mirror(file)
    follower.look()  # nothing there yet
    monkeypatch.setenv(MIRROR, str(file))
    bar = progress_bar(8, "training clip", "steps", initial=2)
    bar.set_postfix({"loss": "0.5"})
    bar.update(3)
    bar.refresh()
    assert json.loads(file.read_text()) == {
        "what": "training clip", "unit": "steps", "n": 5, "total": 8, "note": "loss=0.5",
    }  # fmt: skip
    assert capsys.readouterr().err == ""
    monkeypatch.delenv(MIRROR)
    before = follower.changed
    time.sleep(0.01)
    follower.look()
    first = follower.changed
    assert first > before
    follower.look()
    assert follower.changed == first  # nothing new
    follower.close()
    drawn = capsys.readouterr().err
    assert "training clip" in drawn
    assert "5/8" in drawn
    assert "loss=0.5" in drawn


def test_one_bar_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "progress.json"
    follower = Mirror(file)
    for what, n in (("training", 4), ("testing", 1)):
        file.write_text(json.dumps({"what": what, "unit": "clips", "n": n, "total": 4, "note": ""}))
        follower.look()
    follower.close()
    drawn = capsys.readouterr().err
    assert drawn.index("training") < drawn.index("testing")


def test_a_process_that_is_not_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(MIRROR, "none")
    assert list(tracked(range(3), "work", "things")) == [0, 1, 2]
    with progress_bar(3, "work", "things") as bar:
        bar.update(3)
    assert capsys.readouterr().err == ""
