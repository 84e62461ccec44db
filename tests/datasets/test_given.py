"""Annotation files instead of lists, folders of frames instead of videos, and both together."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import Layout
from actionbook.datasets.annotation_json import write_annotation_json
from actionbook.datasets.given import with_videos
from actionbook.datasets.obtain import obtain, read_split


@pytest.fixture
def annotations(tiny: Any, prepared: Any, tmp_path: Path) -> Path:
    """The annotation file of the tiny data set's split 1."""
    path = tmp_path / "ucf101_01.json"
    write_annotation_json(prepared.index, tiny.manifest.classes, path, style="efficient3d")
    return path


@pytest.fixture
def frames(prepared: Any, tmp_path: Path) -> Path:
    """A folder for every video; what lies in them is looked at later."""
    for row in prepared.index.itertuples():
        (tmp_path / "jpg" / row.label / row.video).mkdir(parents=True)
    return tmp_path / "jpg"


@pytest.fixture
def lists(tiny: Any, tmp_path: Path) -> Path:
    """A data root without videos."""
    shutil.copytree(tiny.root / "ucfTrainTestlist", tmp_path / "root" / "ucfTrainTestlist")
    return tmp_path / "root"


def test_an_annotation_file_in_place_of_the_lists(tiny: Any, annotations: Path, tmp_path: Path) -> None:
    from_lists = read_split(tiny.manifest, tiny.root, 1)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "UCF-101").symlink_to(tiny.root / "UCF-101")
    found = read_split(tiny.manifest, tmp_path / "root", 1, annotations=annotations)
    pd.testing.assert_frame_equal(found, from_lists)
    said = obtain(tiny.manifest, tmp_path / "root", annotations=annotations)
    assert said.endswith(f"videos of the split as {annotations} names them")


def test_folders_of_frames_in_place_of_the_videos(tiny: Any, frames: Path, lists: Path) -> None:
    from_videos = read_split(tiny.manifest, tiny.root, 1)
    found = read_split(tiny.manifest, lists, 1, frames=frames)
    assert found.path.tolist() == [f"{row.label}/{row.video}" for row in from_videos.itertuples()]
    pd.testing.assert_frame_equal(found.drop(columns="path"), from_videos.drop(columns="path"))
    assert f"found at {frames}" in obtain(tiny.manifest, lists, frames=frames)
    with pytest.raises(BookError, match=r"UCF-101 does not exist"):
        obtain(tiny.manifest, lists)


def test_both_need_nothing_else(tiny: Any, frames: Path, annotations: Path, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    found = read_split(tiny.manifest, gone, 1, frames=frames, annotations=annotations)
    pd.testing.assert_frame_equal(
        found.drop(columns="path"), read_split(tiny.manifest, tiny.root, 1).drop(columns="path")
    )
    drawn = tiny.manifest.model_copy(update={"generator": object()})  # nor is a miniature drawn
    for manifest in (tiny.manifest, drawn):
        assert f"frames in {frames}" in obtain(manifest, gone, frames=frames, annotations=annotations)
    assert not gone.exists()


def test_missing_folders_are_counted_and_a_missing_class_is_told_once(
    tiny: Any, frames: Path, lists: Path, prepared: Any
) -> None:
    shutil.rmtree(frames / "MoonWalk")
    first = prepared.index[prepared.index.label == "Walking"].video.iloc[0]
    (frames / "Walking" / first).rmdir()
    with pytest.raises(BookError) as caught:
        read_split(tiny.manifest, lists, 1, frames=frames)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("jpg: the frames of 11 of the 20 videos are missing:")
    assert sorted(lines[1:3]) == [
        f"{frames / 'MoonWalk'} does not exist; the frames of 10 videos are missing",
        f"{frames / 'Walking' / first} does not exist",
    ]
    assert "set data.allow_missing" in lines[3]
    table = read_split(tiny.manifest, lists, 1, allow_missing=True, frames=frames)
    assert (len(table), (table.path == "").sum()) == (20, 11)
    shutil.rmtree(frames / "Walking")
    with pytest.raises(BookError, match="the frames of 20 of the 20 videos are missing"):
        read_split(tiny.manifest, lists, 1, allow_missing=True, frames=frames)


def test_videos_of_an_annotation_file_that_are_missing(tiny: Any, annotations: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny.root / "UCF-101" / "Walking", tmp_path / "root" / "UCF-101" / "Walking")
    with pytest.raises(BookError, match="10 of the 20 videos of tiny are missing"):
        read_split(tiny.manifest, tmp_path / "root", 1, annotations=annotations)
    found = read_split(tiny.manifest, tmp_path / "root", 1, allow_missing=True, annotations=annotations)
    assert (found.path == "").sum() == 10


def test_videos_of_kinetics_lie_by_subset(tiny: Any, prepared: Any, tmp_path: Path) -> None:
    layout = Layout(videos="videos", annotations="annotations", suffix=".mp4")
    paths = []
    for row in prepared.index.itertuples():
        folder = {"train": "train", "test": "val"}[row.subset]
        paths.append(f"videos/{folder}/{row.label}/{row.video}.mp4")
        (tmp_path / paths[-1]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / paths[-1]).touch()
    found = with_videos(prepared.index, tmp_path, tiny.manifest.model_copy(update={"layout": layout}))
    pd.testing.assert_frame_equal(found, prepared.index.assign(path=paths))


def test_capitals_of_videos_do_not_matter(tiny: Any, annotations: Path) -> None:
    annotations.write_text(annotations.read_text().replace("v_MoonWalk", "v_Moonwalk"))
    found = read_split(tiny.manifest, tiny.root, 1, annotations=annotations)
    pd.testing.assert_series_equal(found.path, read_split(tiny.manifest, tiny.root, 1).path)
    assert found.video.str.startswith("v_Moonwalk").sum() == 10


def test_the_file_must_be_of_the_split(tiny: Any, annotations: Path, tmp_path: Path) -> None:
    for split, counts in ((2, "14 and 6"), (3, "20 and 0")):
        with pytest.raises(
            BookError,
            match=rf"ucf101_01\.json: 6 training and 14 validation videos, split {split} of tiny has {counts}: "
            r"set data\.split to the one that the file describes",
        ):
            read_split(tiny.manifest, tiny.root, split, allow_missing=True, annotations=annotations)
    data = json.loads(annotations.read_text())
    data["database"].popitem()
    annotations.write_text(json.dumps(data))
    with pytest.raises(BookError, match="6 training and 13 validation videos, split 1 of tiny has 6 and 14"):
        read_split(tiny.manifest, tiny.root, 1, annotations=annotations)
    assert len(read_split(tiny.manifest, tiny.root, 1, allow_missing=True, annotations=annotations)) == 19
