"""OpenCV's detector of people: which frames it looks at, and that its table can be filled in and taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actionbook.core.boxes import overlap
from actionbook.core.errors import BookError
from actionbook.datasets import people_detector
from actionbook.datasets.figures import Actor, Place, Scene, actor_box, draw_person, render_frame, write_by_suffix
from actionbook.datasets.own_boxes import NEEDED, read_table
from actionbook.datasets.people_detector import find_people, main, people
from actionbook.video.decode import VideoError


def video(folder: Path, name: str = "v.mp4", frames: int = 60) -> Path:
    """Frames that get lighter one by one."""
    path = folder / name
    write_by_suffix(path, (np.full((48, 64, 3), 4 * t, np.uint8) for t in range(frames)), width=64, height=48)
    return path


@pytest.mark.parametrize(("name", "rate"), [("v.mp4", 25), ("v.mkv", 24), ("v.webm", 30)])
def test_each_second_is_the_frame_that_is_shown_then(
    name: str, rate: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def whole(frame: np.ndarray) -> list[tuple[float, ...]]:
        return [(0.0, 0.0, 1.0, 1.0, frame.mean() / 4)]

    monkeypatch.setattr(people_detector, "people", whole)
    found = find_people(video(tmp_path, name), every=0.5, first=0.25)
    assert found["second"].tolist() == [second for second in (0.25, 0.75, 1.25, 1.75, 2.25) if second <= 59 / rate]
    assert found["score"].to_numpy() == pytest.approx(np.floor(found["second"] * rate + 1e-6).to_numpy(), abs=0.6)
    assert set(found["video"]) == {name}


def test_nobody_is_found_where_nothing_is_or_too_little(tmp_path: Path) -> None:
    assert people(np.full((120, 160, 3), 90, np.uint8)) == []
    assert people(np.full((480, 20, 3), 90, np.uint8)) == []
    found = find_people(video(tmp_path))
    assert found.empty
    assert list(found.columns) == list(people_detector.COLUMNS)


def test_an_upright_figure_is_found() -> None:
    actor = Actor(draw_person(np.random.default_rng(3)), "Waving", 160, 215, 170, 1, 0.2, 20, 40)
    scene = Scene(Place("snow", 3), (actor,), 40, 640, 480)
    best = np.array(people(render_frame(scene, 5))[0])
    box = np.array(actor_box(scene, 0, 5)) / (640, 480, 640, 480)
    assert 0.5 < best[4] <= 1
    assert overlap(np.asarray(best[:4]), box) > 0.5


def test_intervals_and_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="every 0 s from 0 s: expected more than 0 seconds"):
        find_people(video(tmp_path), every=0)
    (tmp_path / "w.mp4").write_text("no video", encoding="utf-8")
    with pytest.raises(VideoError, match=r"w\.mp4"):
        find_people(tmp_path / "w.mp4")


def test_the_command_writes_a_table_to_fill_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(people_detector, "people", lambda _: [(0.1, 0.2, 1 / 3, 0.9, 0.5)])
    path = tmp_path / "boxes.csv"
    assert main([str(video(tmp_path)), "--boxes", str(path), "--every", "2"]) == 0
    table = read_table(path)
    assert set(NEEDED) < set(table.columns)
    assert table.drop(columns="where").to_numpy().tolist() == [
        ["v.mp4", second, "0.1", "0.2", "0.333333", "0.9", "", "0.5"] for second in ("0", "2")
    ]
    assert main([str(tmp_path / "v.mp4"), "--boxes", str(path)]) == 1  # it may hold labels by now
    assert "exists, and may hold labels" in capsys.readouterr().err
