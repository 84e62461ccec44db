"""What a network says of a file: pooled as in the test, with the frames that it saw; errors name the file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.datasets.dataset import dataset_of
from actionbook.datasets.figures import write_avi
from actionbook.datasets.index import write_index
from actionbook.stages import own_video
from actionbook.stages.own_video import Answer, answer_table, ask, frame_times, over_time, pick, whole_video
from actionbook.video.decode import VideoError, probe, read_frames
from actionbook.video.store import StoreInfo, write_store

Ask = Callable[..., list[Answer]]


class Engine:
    """Says MoonWalk of the first window of every two, less surely Walking of the second."""

    def __init__(self) -> None:
        self.logits = [[2.0, 0.0], [0.0, 1.0]]

    def run(self, clips: np.ndarray) -> np.ndarray:
        assert clips.shape == (1, 3, 4, 16, 16)
        self.logits.append(self.logits.pop(0))
        return np.array(self.logits[-1:], np.float32)


@pytest.fixture
def stage(tiny_stage: Callable[..., Stage], prepared: Any, monkeypatch: pytest.MonkeyPatch) -> Stage:
    found = tiny_stage()
    network = found.folder / "export" / "network.onnx"
    network.parent.mkdir(parents=True)
    network.write_bytes(b"")
    monkeypatch.setattr(own_video, "open_engine", lambda path: Engine())
    write_index(prepared.index, dataset_of(found).index_file)
    return found


def video(path: Path, frames: int) -> Path:
    pixels = np.repeat(np.arange(frames, dtype=np.uint8)[:, None, None, None] * 10, 3, axis=3)
    write_avi(path, np.broadcast_to(pixels, (frames, 32, 48, 3)).copy(), width=48, height=32)
    return path


def test_the_answer_is_the_mean_over_the_windows(stage: Stage, tmp_path: Path) -> None:
    (answer,) = ask(stage, video(tmp_path / "my own.avi", 13))
    sure, less = (1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1)))
    assert answer.said == "MoonWalk"
    assert answer.probability == pytest.approx((sure + 1 - less) / 2)
    assert (answer.number, answer.label, answer.right) == (2, None, None)
    assert [strip.numbers for strip in answer.strips] == [[1, 2, 3, 4], [9, 10, 11, 12]]
    assert answer.strips[1].title == "my own.avi, said to be Walking, 73%"
    assert answer.best()["class"].tolist() == ["MoonWalk", "Walking"]
    assert answer.loop.title == "my own.avi: MoonWalk, 57%"


def test_one_clip_of_the_whole_video(
    tiny_stage: Callable[..., Stage], stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    centre = tiny_stage(sampling={"name": "centre", "frames": 4, "stride": 2})
    (answer,) = ask(centre, video(tmp_path / "own.avi", 13))
    assert (answer.number, answer.said) == (1, "MoonWalk")
    assert [strip.numbers for strip in answer.strips] == [[3, 5, 7, 9]]


def test_the_answer_while_the_video_runs(stage: Stage, tmp_path: Path) -> None:
    path = video(tmp_path / "own.avi", 13)
    sure, less = (1 / (1 + np.exp(-2)), 1 / (1 + np.exp(-1)))
    table = over_time(stage, path, slot=6)
    rate = probe(path).fps
    assert table.columns.tolist() == ["frames", "seconds", "answer", "probability", "MoonWalk", "Walking"]
    assert table.frames.tolist() == [6, 12]  # the last frame alone is less than half of a slot
    assert table.seconds.tolist() == pytest.approx([6 / rate, 12 / rate])
    assert table.answer.tolist() == ["MoonWalk", "MoonWalk"]
    assert table.MoonWalk.tolist() == pytest.approx([sure, (sure + 1 - less) / 2])
    assert table.probability.tolist() == table.MoonWalk.tolist()
    assert over_time(stage, video(tmp_path / "short.avi", 3)).frames.tolist() == [3]
    with pytest.raises(BookError, match=r"none\.mp4 does not exist"):
        over_time(stage, tmp_path / "none.mp4")


def test_what_frames_cost_and_the_whole_video(stage: Stage, tmp_path: Path) -> None:
    path = video(tmp_path / "own.avi", 13)
    table = frame_times(stage, path, slot=6)
    assert table["a frame that"].tolist() == ["fills a slot", "is in between"]
    assert table.frames.tolist() == [2, 11]
    assert (table["ms each"] >= 0).all()
    strip = whole_video(path, "own", 4)
    assert (strip.title, strip.numbers, len(strip.frames)) == ("own", [1, 5, 9, 13], 4)


@pytest.mark.parametrize("stored", ["a store", "a folder"])
def test_frames_are_watched_as_the_video_is(stage: Stage, tmp_path: Path, stored: str) -> None:
    path = video(tmp_path / "own.avi", 13)
    pixels = read_frames(path, range(13))
    target = tmp_path / "frames" / "own.zip"
    target.parent.mkdir()
    if stored == "a store":
        info = StoreInfo("own.avi", source_bytes=1, fps=probe(path).fps, height=32, quality=95, ffmpeg="none")
        write_store(target, [simplejpeg.encode_jpeg(frame, quality=95) for frame in pixels], info)
    else:
        folder = target.with_suffix("")
        folder.mkdir()
        for number, frame in enumerate(pixels, 1):
            (folder / f"image_{number:05}.jpg").write_bytes(simplejpeg.encode_jpeg(frame, quality=95))
    watched, table = over_time(stage, path, slot=6), over_time(stage, target, slot=6)
    assert table.seconds.equals(watched.seconds) if stored == "a store" else table.seconds.isna().all()
    assert table.drop(columns="seconds").equals(watched.drop(columns="seconds"))
    assert frame_times(stage, target, slot=6).frames.tolist() == [2, 11]
    strip = whole_video(target, "own", 4)
    assert strip.numbers == [1, 5, 9, 13]
    np.testing.assert_allclose(strip.frames, pixels[[0, 4, 8, 12]], atol=3)


def test_a_loop_shows_no_frame_twice(stage: Stage, tmp_path: Path) -> None:
    (answer,) = ask(stage, video(tmp_path / "own.avi", 10))
    assert answer.strips[1].numbers == [9, 10, 9, 10]
    assert answer.loop.numbers == [1, 2, 3, 4, 9, 10]
    assert np.all(np.diff(answer.loop.frames.mean(axis=(1, 2, 3))) > 5)


def test_without_a_file_the_lists_choose(stage: Stage) -> None:
    answers = ask(stage)
    firsts = dataset_of(stage).index().subset("test").table.drop_duplicates("label")
    assert [answer.path for answer in answers] == [stage.data_root / path for path in firsts.path]
    assert [answer.label for answer in answers] == ["MoonWalk", "Walking"]
    table = answer_table(answers)
    assert table["right"].tolist() == [answer.said == answer.label for answer in answers]
    assert [answer.right for answer in pick(answers)] == [True, False]
    assert pick(answers)[1].loop.title.startswith("Walking: taken for MoonWalk, ")
    assert len(ask(stage, most=1)) == 1


def test_large_frames_are_kept_small(stage: Stage, tmp_path: Path) -> None:
    write_avi(tmp_path / "large.avi", np.zeros((4, 480, 320, 3), np.uint8), width=320, height=480)
    (answer,) = ask(stage, tmp_path / "large.avi")
    assert answer.windows[0].frames.shape == (4, 240, 160, 3)


def test_what_cannot_be_asked_about_is_named(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("not a video\n" * 99)
    whole = video(tmp_path / "whole.avi", 30).read_bytes()
    (tmp_path / "one.avi").write_bytes(video(tmp_path / "x.avi", 1).read_bytes())
    (tmp_path / "cut.avi").write_bytes(whole[:100])
    monkeypatch.chdir(tmp_path)
    for name, said in {
        "none.mp4": r"video: .*/none\.mp4 does not exist \(given as 'none\.mp4'.*working directory",
        "empty.mp4": r"video: .*/empty\.mp4 is empty \(0 bytes\)",
        "text.mp4": r"/text\.mp4: cannot be opened as a video",
        "cut.avi": r"/cut\.avi: ",
        "one.avi": r"/one\.avi: has 1 frames, at least two",
        ".": r"video: .* is a folder, expected a file",
        "": r"video: expected the path of a file, or None, found ''",
    }.items():
        with pytest.raises(BookError, match=said):
            ask(stage, name)
    with pytest.raises(BookError, match=r"video: expected the path of a file, or None, found 3"):
        ask(stage, 3)  # type: ignore[arg-type]


def test_without_a_network_the_notebook_to_run_is_named(stage: Stage, tmp_path: Path) -> None:
    shutil.rmtree(stage.folder / "export")
    with pytest.raises(BookError, match=r"network\.onnx does not exist: run notebooks/tiny/04_conversion\.ipynb"):
        ask(stage, video(tmp_path / "own.avi", 8))


def test_folders_of_frames_are_no_videos(tiny_stage: Callable[..., Stage], tmp_path: Path) -> None:
    (tmp_path / "jpg").mkdir()
    with pytest.raises(BookError, match=r"data\.frames_folder: the recipe reads frames from .*jpg.*name one, -p video"):
        ask(tiny_stage(data={"frames_folder": str(tmp_path / "jpg")}))


def test_a_size_that_changes_is_an_error(stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([(32, 48), (32, 48), (30, 48), (32, 48)] * 2)
    monkeypatch.setattr("actionbook.clips.own_video.shown_pixels", lambda _: np.zeros((*next(sizes), 3), np.uint8))
    with pytest.raises(VideoError, match=r"own\.avi: the size of its frames changes"):
        ask(stage, video(tmp_path / "own.avi", 8))
