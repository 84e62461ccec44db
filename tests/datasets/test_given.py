"""Annotation files instead of lists, folders of frames instead of videos, and both together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import Generator, Layout
from actionbook.datasets.annotation_json import write_annotation_json
from actionbook.datasets.dataset import Dataset
from actionbook.datasets.given import index_in_place, with_videos
from actionbook.datasets.index import Index, make_index
from actionbook.datasets.lists import MissingVideos
from actionbook.datasets.obtain import obtain, read

Make = Callable[..., Dataset]


@pytest.fixture
def annotations(tiny: Any, prepared: Any, tmp_path: Path) -> Path:
    """The annotation file of the tiny data set's split 1."""
    path = tmp_path / "ucf101_01.json"
    write_annotation_json(prepared.index, tiny.manifest.classes, path, style="efficient3d")
    return path


@pytest.fixture
def folders(prepared: Any, tmp_path: Path) -> Path:
    """A folder for every video; what lies in them is looked at later."""
    for store in prepared.index.items.store:
        (tmp_path / "jpg" / store).mkdir(parents=True)
    return tmp_path / "jpg"


@pytest.fixture
def lists(tiny: Any, tmp_path: Path) -> Path:
    """A data root without videos."""
    shutil.copytree(tiny.root / "ucfTrainTestlist", tmp_path / "root" / "ucfTrainTestlist")
    return tmp_path / "root"


@pytest.fixture
def from_lists(tiny: Any, dataset: Make) -> Index:
    """Split 1 of the tiny data set, from its own lists and videos."""
    return read(dataset(tiny.manifest, tiny.root))


def test_an_annotation_file_in_place_of_the_lists(
    tiny: Any, dataset: Make, annotations: Path, from_lists: Index, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "UCF-101").symlink_to(tiny.root / "UCF-101")
    given = dataset(tiny.manifest, tmp_path / "root", annotation_json=annotations)
    found = read(given)
    pd.testing.assert_frame_equal(found.table.assign(frames=0), from_lists.table)
    assert obtain(given).endswith(f"videos of the split as {annotations} names them")


def test_folders_of_frames_in_place_of_the_videos(
    tiny: Any, dataset: Make, folders: Path, lists: Path, from_lists: Index
) -> None:
    given = dataset(tiny.manifest, lists, frames_folder=folders)
    found = read(given)
    assert found.items.path.tolist() == found.items.store.tolist() == from_lists.items.store.tolist()
    assert found.sha256 == from_lists.sha256
    assert f"found at {folders}" in obtain(given)
    with pytest.raises(BookError, match=r"UCF-101 does not exist"):
        obtain(dataset(tiny.manifest, lists))


def test_both_need_nothing_else(tiny: Any, dataset: Make, folders: Path, annotations: Path, from_lists: Index) -> None:
    gone, places = folders.parent / "gone", {"frames_folder": folders, "annotation_json": annotations}
    found = read(dataset(tiny.manifest, gone, **places))
    assert found.with_items(found.items.assign(frames=0)).sha256 == from_lists.sha256
    generator = Generator(seed=1, groups=10, clips_per_group=1)
    drawn = tiny.manifest.model_copy(update={"generator": generator})  # nor is a miniature drawn
    for manifest in (tiny.manifest, drawn):
        assert f"frames in {folders}" in obtain(dataset(manifest, gone, **places))
    assert not gone.exists()


def test_missing_folders_are_counted_and_a_missing_class_is_told_once(
    tiny: Any, dataset: Make, folders: Path, lists: Path, from_lists: Index
) -> None:
    shutil.rmtree(folders / "MoonWalk")
    first = from_lists.table.query("label == 'Walking'").video.iloc[0]
    (folders / "Walking" / first).rmdir()
    with pytest.raises(BookError) as caught:
        read(dataset(tiny.manifest, lists, frames_folder=folders))
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("jpg: the frames of 11 of the 20 videos are missing:")
    assert sorted(lines[1:3]) == [
        f"{folders / 'MoonWalk'} does not exist; the frames of 10 videos are missing",
        f"{folders / 'Walking' / first} does not exist",
    ]
    assert lines[3].startswith(f"{folders} holds Walking. To work with a partial copy, set data.allow_missing")
    tolerant = dataset(tiny.manifest, lists, frames_folder=folders, allow_missing=True)
    items = read(tolerant).items
    assert (len(items), (items.path == "").sum()) == (20, 11)
    shutil.rmtree(folders / "Walking")
    with pytest.raises(BookError, match="the frames of 20 of the 20 videos are missing"):
        read(tolerant)


def test_a_partial_copy_of_frames_is_told_and_two_folders_for_one_video_are_an_error(
    tiny: Any, dataset: Make, folders: Path, lists: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = sorted(folders.glob("Walking/*"))[0]
    gone.rename(gone.with_name(gone.name.replace("_", "-")))
    tolerant = dataset(tiny.manifest, lists, frames_folder=folders, allow_missing=True)
    assert (read(tolerant).items.path == "").sum() == 1
    assert caplog.messages == [
        f"{folders}: the frames of 1 of the 20 videos are missing: {gone} does not exist "
        f"(the nearest there is {gone.name.replace('_', '-')})"
    ]
    for first in ("V_", "v "):
        gone.with_name(gone.name.replace("v_", first)).mkdir()
    with pytest.raises(BookError, match=f"are both Walking/{gone.name} in another spelling; remove or rename one"):
        read(tolerant)


def test_videos_of_an_annotation_file_that_are_missing(
    tiny: Any, dataset: Make, annotations: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny.root / "UCF-101" / "Walking", tmp_path / "root" / "UCF-101" / "Walking")
    with pytest.raises(BookError, match="10 of the 20 videos of tiny are missing"):
        read(dataset(tiny.manifest, tmp_path / "root", annotation_json=annotations))
    found = read(dataset(tiny.manifest, tmp_path / "root", allow_missing=True, annotation_json=annotations))
    assert (found.items.path == "").sum() == 10


def test_videos_of_kinetics_lie_by_subset(tiny: Any, prepared: Any, tmp_path: Path) -> None:
    layout = Layout(videos="videos", annotations="annotations", suffix=".mp4")
    paths = []
    for item in prepared.index.items.itertuples():
        folder = {"train": "train", "test": "val"}[item.subset]
        paths.append(f"videos/{folder}/{item.store}.mp4")
        (tmp_path / paths[-1]).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / paths[-1]).touch()
    found = with_videos(prepared.index, tmp_path, tiny.manifest.model_copy(update={"layout": layout}))
    pd.testing.assert_frame_equal(found.items, prepared.index.items.assign(path=paths))


def test_videos_of_an_annotation_file_are_found_as_those_of_lists(
    tiny: Any, dataset: Make, annotations: Path, from_lists: Index, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (root / "ucf101").mkdir(parents=True)
    for path in from_lists.items.path:  # flat, encoded anew
        (root / "ucf101" / f"{Path(path).stem.upper()}.MP4").touch()
    shutil.copytree(tiny.root / "ucfTrainTestlist", root / "ucfTrainTestlist")
    found = [
        read(dataset(tiny.manifest, root, **more)).items.path.tolist()
        for more in ({}, {"annotation_json": annotations})
    ]
    assert found[0] == found[1] == [f"ucf101/{Path(path).stem.upper()}.MP4" for path in from_lists.items.path]


def test_names_of_an_annotation_file_end_at_the_first_dot(tiny: Any, prepared: Any, tmp_path: Path) -> None:
    names = {row.video: f"{row.store}.v2.final.mkv" for row in prepared.index.items.itertuples()}
    for name in names.values():
        (tmp_path / "UCF-101" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "UCF-101" / name).touch()
    found = with_videos(prepared.index, tmp_path, tiny.manifest).items
    assert found.path.tolist() == [f"UCF-101/{names[video]}" for video in found.video]


def test_strict_reading_raises_whatever_the_recipe_allows(tiny: Any, dataset: Make, tmp_path: Path) -> None:
    root = Path(shutil.copytree(tiny.root, tmp_path / "root"))
    gone = sorted(root.glob("UCF-101/*/*.avi"))[0]
    gone.unlink()
    given = dataset(tiny.manifest, root, allow_missing=True)
    assert (read(given).items.path == "").sum() == 1
    with pytest.raises(MissingVideos) as caught:
        read(given, strict=True)
    assert caught.value.there == "19 video files lie there, none of them unlisted."
    assert caught.value.index.lacks("path") == f"1 of 20 videos are missing: {gone.stem}"


def test_capitals_of_videos_do_not_matter(tiny: Any, dataset: Make, annotations: Path, from_lists: Index) -> None:
    annotations.write_text(annotations.read_text().replace("v_MoonWalk", "v_Moonwalk"))
    items = read(dataset(tiny.manifest, tiny.root, annotation_json=annotations)).items
    pd.testing.assert_series_equal(items.path, from_lists.items.path)
    assert items.video.str.startswith("v_Moonwalk").sum() == 10


def test_the_file_must_be_of_the_split(tiny: Any, dataset: Make, annotations: Path) -> None:
    def read_given(**data: Any) -> Index:
        return read(dataset(tiny.manifest, tiny.root, annotation_json=annotations, **data))

    for split, counts in ((2, "14 and 6"), (3, "20 and 0")):
        with pytest.raises(
            BookError,
            match=rf"ucf101_01\.json: 6 training and 14 validation videos, split {split} of tiny has {counts}: "
            r"set data\.split to the one that the file describes",
        ):
            read_given(split=split, allow_missing=True)
    data = json.loads(annotations.read_text())
    data["database"].popitem()
    annotations.write_text(json.dumps(data))
    with pytest.raises(BookError, match="6 training and 13 validation videos, split 1 of tiny has 6 and 14"):
        read_given()
    assert len(read_given(allow_missing=True)) == 19


def test_keyframes_of_one_video_share_its_folder(tmp_path: Path) -> None:
    rows = [("-5KQ66BBWC4", 60), ("-5KQ66BBWC4", 90), ("_a_b", 60)]
    index = make_index(
        {"item": f"{v},{n}", "video": v, "frame": n, "path": "", "label": "walk", "target": 0, "subset": "test"}
        for v, n in rows
    )
    (tmp_path / "-5KQ66BBWC4").mkdir()
    with pytest.raises(MissingVideos, match="the frames of 1 of the 2 videos are missing"):
        index_in_place(index, tmp_path)
    (tmp_path / "_a_b").mkdir()
    assert index_in_place(index, tmp_path).items.path.tolist() == [video for video, _ in rows]
