"""A decoder that hangs: its worker ends, the video has a row, and no other is lost; without a worker, no limit."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from actionbook.core.sections import Frames
from actionbook.datasets.figures import write_avi
from actionbook.video.hang import hang_limit, sweep_marks
from actionbook.video.parallel import prepare_all
from actionbook.video.prepare import Job, already_prepared, prepare_video

MARK = ".tmp-hang-v1.zip"
HANGING = """
import time

from actionbook.video import prepare as module

jpegs = module.jpegs

def hang(path, *options, **named):
    for number, picture in enumerate(jpegs(path, *options, **named)):
        yield picture
        if path.stem == "v1" and number == 2:
            time.sleep(1000)

def work(job, settings):
    module.jpegs = hang  # in the worker's process alone
    return module.prepare_video(job, settings)
"""


def jobs_of(folder: Path, picture: Callable[[int, int, int], np.ndarray]) -> list[Job]:
    jobs = []
    for number in range(4):
        source = folder / f"v{number}.avi"
        write_avi(source, picture(5 + number, 64, 48), width=64, height=48)
        jobs.append(Job(source.stem, source, folder / "store" / f"{source.stem}.zip"))
    return jobs


def test_a_video_that_hangs_is_a_row_and_no_other_is(
    tmp_path: Path, picture: Callable[[int, int, int], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hanging.py").write_text(HANGING)
    monkeypatch.syspath_prepend(tmp_path)
    work, jobs = importlib.import_module("hanging").work, jobs_of(tmp_path, picture)
    settings = Frames(height=48, hang_minutes=1 / 60)
    table = prepare_all(jobs, work, settings, earlier=already_prepared, what="preparing", workers=2)
    assert table.frames.tolist() == [5, 0, 7, 8]
    assert table.error[1] == (
        f"{jobs[1].source}: no new frame came for 0.0166667 minutes (data.frames.hang_minutes): FFmpeg hangs in it; "
        "fetch the file again"
    )
    assert table.error.drop(1).tolist() == [""] * 3
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["v0.zip", "v2.zip", "v3.zip"]


def test_outside_a_worker_there_is_no_limit(tmp_path: Path) -> None:
    with hang_limit(tmp_path / "v1.zip", 1e-9) as alive:
        time.sleep(0.01)
        alive()
    assert list(tmp_path.iterdir()) == []


def test_a_mark_counts_once_and_is_swept(tmp_path: Path, picture: Callable[[int, int, int], np.ndarray]) -> None:
    job = jobs_of(tmp_path, picture)[1]
    mark = job.store.with_name(MARK)
    mark.parent.mkdir()
    mark.touch()
    assert "FFmpeg hangs in it" in prepare_video(job, Frames(height=48)).error
    assert prepare_video(job, Frames(height=48)).frames == 6
    mark.touch()
    sweep_marks([mark.parent, tmp_path / "none"])
    assert [path.name for path in mark.parent.iterdir()] == ["v1.zip"]
