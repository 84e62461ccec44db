"""The progress bar: drawn here, or left in a file for the process that follows."""

from __future__ import annotations

import itertools
import json
import time
from contextlib import suppress
from pathlib import Path

import nbformat
import papermill
import pytest

from actionbook.core import progress
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


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    monkeypatch.setattr(progress._Lines, "monitor_interval", 0)  # no thread that draws
    with progress_bar(7 * 24 * 60, "training", "steps") as bar:
        bar._time = lambda: now
        bar.start_t = bar.last_print_t = 0.0
        for _ in range(7 * 24 * 60):
            now += 60.0
            bar.update()
    drawn = capsys.readouterr().err
    lines = drawn.splitlines()
    assert "\r" not in drawn
    assert "0/10080 [" in lines[0]
    assert "10080/10080 [" in lines[-1]
    assert 30 < len(lines) < 60
    assert len(drawn) < 6000
    minutes = [int(line.split("/")[0].split()[-1]) for line in lines[1:-1]]
    assert all(later - earlier >= earlier // 4 for earlier, later in itertools.pairwise(minutes))


def test_a_bar_that_stops_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(KeyboardInterrupt), progress_bar(8, "training", "steps") as bar:
        bar.update(3)
        raise KeyboardInterrupt
    assert "3/8 [" in capsys.readouterr().err.splitlines()[-1]


def test_what_is_soon_over_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(8, "looking", "videos", delay=5.0) as bar:
        bar.update(8)
    assert capsys.readouterr().err == ""


LONG_BAR = """
import time
from actionbook.core import progress
progress._STYLE["mininterval"] = 0.005
with progress.progress_bar(300, "training", "steps") as bar:
    for _ in range(300):
        time.sleep(0.006)
        bar.update()
"""


def test_a_bar_in_a_notebook_is_one_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(LONG_BAR)])
    nbformat.write(notebook, tmp_path / "long.ipynb")
    record = tmp_path / "record.ipynb"
    papermill.execute_notebook(tmp_path / "long.ipynb", record, kernel_name="python3", progress_bar=False)
    (output,) = nbformat.read(record, as_version=4).cells[0].outputs
    assert output.output_type == "display_data"
    assert "training: 100%" in output.data["text/plain"]
    assert "300/300 [" in output.data["text/plain"]
    assert record.stat().st_size < 4000
