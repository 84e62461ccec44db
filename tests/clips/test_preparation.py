"""The same stage on videos and on the folders that the original scripts make of them: the same clips, no copy."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.clips.pipeline import TrainingSource, store_path, test_clips, window_table
from actionbook.clips.preparation import (
    made_from,
    prepare_frames,
    prepare_stage_flow,
    source_table,
    stored_names,
    unprepared_frames,
)
from actionbook.core.errors import BookError
from actionbook.core.workspace import Stage
from actionbook.datasets.annotation_json import write_annotation_json
from actionbook.datasets.index import subset
from actionbook.datasets.obtain import obtain_stage, read_stage
from actionbook.training.runs import run_folder
from actionbook.video.decode import read_frames
from actionbook.video.frame_folder import FrameFolder, open_frames
from actionbook.video.store import unpacked

test_clips.__test__ = False  # type: ignore[attr-defined]  # a function of the library, not a test


def unpack(store: Path, folder: Path, index: pd.DataFrame) -> Path:
    """The folders that the original scripts would have made; ``v_MoonWalk`` with other capitals than the lists."""
    for row in index.itertuples():
        path = folder / row.label / row.video.replace("v_Moon", "v_moon")
        path.mkdir(parents=True)
        for name, jpeg in unpacked(store_path(store, row.label, row.video)).items():
            (path / name).write_bytes(jpeg)
        (path / "n_frames").write_text(str(row.frames))
    return folder


@pytest.fixture(scope="module")
def jpg(prepared: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of all frames of the tiny data set; tests must not write to them."""
    return unpack(prepared.store, tmp_path_factory.mktemp("scripts") / "jpg", prepared.index)


@pytest.fixture
def given(
    tiny_stage: Callable[..., Stage], tiny: Any, prepared: Any, jpg: Path, tmp_path: Path
) -> Callable[..., Stage]:
    """A function that opens a stage on the folders and an annotation file, with neither videos nor lists."""
    write_annotation_json(prepared.index, tiny.manifest.classes, tmp_path / "a.json", style="efficient3d")

    def open_stage(folder: Path = jpg, **differences: Any) -> Stage:
        data = {"frames_folder": str(folder), "annotation_json": str(tmp_path / "a.json")}
        data |= differences.pop("data", {})
        stage = tiny_stage(work="given", data=data, **differences)
        stage.data_root = tmp_path / "no_videos"
        return stage

    return open_stage


def test_clips_from_folders_are_those_from_the_store(
    given: Callable[..., Stage], tiny_stage: Callable[..., Stage], prepared: Any, jpg: Path
) -> None:
    stage, plain = given(), tiny_stage()
    assert "frames in" in obtain_stage(stage)
    index = read_stage(stage)
    table = prepare_frames(stage, index, report=stage.folder / "failures.csv")
    assert (table.frames.tolist(), set(table.error)) == (prepared.index.frames.tolist(), {""})
    assert (table.note != "").sum() == (index.label == "MoonWalk").sum() == 10
    assert list(csv.reader((stage.folder / "failures.csv").open())) == [["video", "file", "reason", "note"]]
    index["frames"] = table.frames
    assert index.video.tolist() == prepared.index.video.tolist()
    assert stage.frame_store == jpg
    windows = window_table(subset(index, "test"), stage.recipe)
    ours, theirs = (list(test_clips(windows, one.frame_store, one.recipe.clips)) for one in (stage, plain))
    assert len(ours) == len(windows) > 14
    for (video, clip), (other, expected) in zip(ours, theirs, strict=True):
        assert video == other
        np.testing.assert_array_equal(clip, expected)
    batches = [
        next(iter(TrainingSource(subset(index, "train"), one.frame_store, one.recipe.clips, 4, seed=1)))[0]
        for one in (stage, plain)
    ]
    np.testing.assert_array_equal(*batches)
    assert not (stage.work_root / "frames" / jpg.name).exists()
    assert not list(stage.work_root.rglob("*.zip"))


def test_a_training_is_found_again_where_the_folder_has_moved(
    given: Callable[..., Stage], tiny_stage: Callable[..., Stage], prepared: Any, jpg: Path, tmp_path: Path
) -> None:
    (tmp_path / "moved").symlink_to(jpg)
    names = []
    for stage in (given(), given(tmp_path / "moved")):
        index = read_stage(stage)
        index["frames"] = prepare_frames(stage, index).frames
        names.append(run_folder(stage, index, 1).name)
    assert names[0] == names[1] != run_folder(tiny_stage(), prepared.index, 1).name
    index.loc[0, "frames"] += 1
    assert run_folder(stage, index, 1).name != names[0]


def test_damaged_folders_are_reported_before_they_are_an_error(
    given: Callable[..., Stage], jpg: Path, tmp_path: Path
) -> None:
    shutil.copytree(jpg, tmp_path / "copy")
    video = read_stage(given()).query("label == 'Walking'").video.iloc[0]
    folder = tmp_path / "copy" / "Walking" / video
    (folder / "image_00003.jpg").unlink()
    stage = given(tmp_path / "copy")
    index, report = read_stage(stage), tmp_path / "failures.csv"
    with pytest.raises(
        BookError, match=r"1 of 20 videos have frames .*max_failed\).*failures\.csv:\n.*image_00003"
    ) as error:
        prepare_frames(stage, index, report=report)
    assert str(report) in str(error.value)
    (row,) = csv.DictReader(report.open())
    assert (row["video"], row["file"]) == (video, str(folder))
    assert "image_00003.jpg is missing" in row["reason"]
    tolerant = given(tmp_path / "copy", data={"frames": {"height": 32, "max_failed": 0.05}})
    table = prepare_frames(tolerant, index)
    assert table.set_index("video").frames[video] == 0
    assert (table.frames > 0).sum() == 19


def test_videos_without_a_path_are_not_asked_for(given: Callable[..., Stage]) -> None:
    stage = given()
    index = read_stage(stage)
    index.loc[[0, 5], "path"] = ""
    assert prepare_frames(stage, index).video.tolist() == index.video.drop([0, 5]).tolist()


def test_frames_and_what_is_known_of_them_before_preparation(
    given: Callable[..., Stage], tiny_stage: Callable[..., Stage], tiny: Any, prepared: Any
) -> None:
    stage, plain = given(), tiny_stage()
    rows = read_stage(stage).tail(2)
    shown = unprepared_frames(stage, rows.path.iloc[0], range(0, 6, 2))
    assert (shown.shape, shown.dtype) == ((3, 32, 43, 3), np.uint8)
    from_video = unprepared_frames(plain, prepared.index.path.iloc[-2], range(0, 6, 2))
    np.testing.assert_array_equal(from_video, read_frames(tiny.root / prepared.index.path.iloc[-2], [0, 2, 4]))
    table = source_table(stage, rows)
    assert table.index.tolist() == rows.video.tolist()
    assert table.frames.tolist() == prepared.index.frames.tail(2).tolist()
    assert source_table(plain, prepared.index.tail(2))[["width", "height"]].to_numpy().tolist() == [[64, 48]] * 2


def test_a_look_inside_both_kinds(prepared: Any, jpg: Path) -> None:
    row = prepared.index[prepared.index.label == "Walking"].iloc[0]
    names = [f"image_{number:05d}.jpg" for number in range(1, row.frames + 1)]
    said = []
    for store in (prepared.store, jpg):
        with open_frames(store_path(store, row.label, row.video)) as frames:
            assert stored_names(frames) == names
            said.append(made_from(frames))
    assert said[0].startswith(f"{row.video}.avi, ")
    assert said[1] == "a folder of others, made elsewhere"


FLOW: dict[str, Any] = {"modality": "flow", "mean": [127.5, 127.5], "std": [127.5, 127.5]}


def test_flow_of_folders_computed_and_flow_that_is_given(
    given: Callable[..., Stage], prepared: Any, jpg: Path, tmp_path: Path
) -> None:
    few = prepared.index.groupby("label").head(1)
    computed = given(clips=FLOW)
    table = prepare_stage_flow(computed, few, report=tmp_path / "failures.csv")
    assert (table.frames.tolist(), set(table.error)) == (few.frames.tolist(), {""})
    assert computed.flow_store.parent == computed.work_root / "frames"
    assert not list(jpg.rglob("*.zip"))
    flow = unpack(computed.flow_store, tmp_path / "flow", few)
    stage = given(clips=FLOW, data={"flow_folder": str(flow)})
    again = prepare_stage_flow(stage, few, report=tmp_path / "failures.csv")
    assert again.frames.tolist() == few.frames.tolist()
    windows = window_table(few, stage.recipe)
    clips = [list(test_clips(windows, one.frame_store, one.recipe.clips)) for one in (stage, computed)]
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(*clips, strict=True))
    # One frame less than in colour, as other programs make flow.
    path = next((flow / "Walking").iterdir())
    last = len(FrameFolder(path))
    for name in (f"image_{last:05d}x.jpg", f"image_{last:05d}y.jpg", "n_frames"):
        (path / name).unlink()
    with pytest.raises(BookError, match=rf"{path.name}: not as much flow as frames"):
        prepare_stage_flow(stage, few, report=tmp_path / "failures.csv")
    (row,) = csv.DictReader((tmp_path / "failures.csv").open())
    assert row["file"] == str(path)
