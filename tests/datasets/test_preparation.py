"""Preparing a data set: from its videos, or from the folders that the original scripts make of them, without a copy."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionbook.core.errors import BookError
from actionbook.core.files import sha256_json
from actionbook.core.manifest import DatasetManifest
from actionbook.datasets.annotation_json import write_annotation_json
from actionbook.datasets.dataset import Dataset, store_path
from actionbook.datasets.figures import write_avi
from actionbook.datasets.index import Index, make_index
from actionbook.datasets.obtain import obtain, read
from actionbook.datasets.preparation import (
    complete,
    estimate_frames,
    made_from,
    prepare,
    prepare_flow,
    prepare_frames,
    source_table,
    stored_names,
    unprepared_frames,
)
from actionbook.video.decode import read_frames
from actionbook.video.frame_folder import FrameFolder, open_frames

Make = Callable[..., Dataset]
SMALL = {"frames": {"height": 32}}


def unpack(store: Path, folder: Path, index: Index) -> Path:
    """The folders that the original scripts would have made; ``v_MoonWalk`` with other capitals than the lists."""
    for item in index.items.itertuples():
        path = folder / str(item.store).replace("v_Moon", "v_moon")
        shutil.unpack_archive(store_path(store, str(item.store)), path)
        (path / "n_frames").write_text(str(item.frames))
    return folder


@pytest.fixture(scope="module")
def jpg(prepared: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of all frames of the tiny data set; tests must not write to them."""
    return unpack(prepared.store, tmp_path_factory.mktemp("scripts") / "jpg", prepared.index)


@pytest.fixture
def plain(dataset: Make, tiny: Any, prepared: Any) -> Dataset:
    """The tiny data set, whose frames an earlier run has prepared."""
    found = dataset(tiny.manifest, tiny.root, **SMALL)
    found.stores.mkdir()
    found.colour_store.symlink_to(prepared.store)
    return found


@pytest.fixture
def given(dataset: Make, tiny: Any, prepared: Any, jpg: Path, tmp_path: Path) -> Callable[..., Dataset]:
    """A function that makes a data set of the folders and an annotation file, with neither videos nor lists."""
    write_annotation_json(prepared.index, tiny.manifest.classes, tmp_path / "a.json", style="efficient3d")

    def make(folder: Path = jpg, **data: Any) -> Dataset:
        places = {"frames_folder": folder, "annotation_json": tmp_path / "a.json"}
        return dataset(tiny.manifest, tmp_path / "no_videos", **{**SMALL, **places, **data})

    return make


@pytest.fixture
def few(prepared: Any) -> Index:
    """A video of each class, with its number of frames."""
    items = prepared.index.items
    return prepared.index.with_items(items.groupby(items.store.str.split("/").str[0]).head(1).reset_index(drop=True))


def test_one_call_prepares_everything_and_says_what_it_found(
    plain: Dataset, prepared: Any, tmp_path: Path, scheduler: str
) -> None:
    index = read(plain)
    done = prepare(plain, index, scheduler=scheduler, report_folder=tmp_path)
    assert done.index.sha256 == plain.index().sha256 == prepared.index.sha256
    assert (done.failed, len(done.remarks), done.flow) == (0, 0, None)
    assert done.rate == pytest.approx(prepared.index.items.frames.sum() / done.seconds)
    assert [path.name for path in tmp_path.glob("*.csv")] == ["failures-tiny.csv"]
    row = done.row
    assert (row.manifest, row.split, row.generated) == ("tiny", 1, False)
    assert (row.videos_expected, row.videos_found, row.missing, row.missing_sha256) == (20, 20, (), None)
    assert row.frames == prepared.index.items.frames.sum()
    assert row.store_bytes == sum(path.stat().st_size for path in prepared.store.rglob("*.zip"))
    assert (row.flow_bytes, row.index_sha256) == (0, done.index.sha256)


def test_what_cannot_be_prepared_is_missing_afterwards(
    dataset: Make, tiny: Any, tmp_path: Path, scheduler: str
) -> None:
    root = shutil.copytree(tiny.root, tmp_path / "root")
    broken, gone = sorted(root.glob("UCF-101/*/*.avi"))[:2]
    broken.write_text("no video")
    gone.unlink()
    strict = dataset(tiny.manifest, root, **SMALL, allow_missing=True)
    index = read(strict)
    with pytest.raises(BookError, match=r"1 of 19 videos could not be prepared, .*max_failed.*failures-tiny\.csv"):
        prepare(strict, index, scheduler=scheduler, report_folder=tmp_path)
    tolerant = dataset(tiny.manifest, root, frames={"height": 32, "max_failed": 0.1}, allow_missing=True)
    done = prepare(tolerant, index, scheduler=scheduler)
    assert done.index.missing == [name for name in index.items["item"] if name in (broken.stem, gone.stem)]
    assert (done.failed, done.remarks.video.tolist()) == (1, [broken.stem])
    row = done.row
    assert (row.videos_expected, row.videos_found, set(row.missing)) == (20, 18, {broken.stem, gone.stem})
    assert row.missing_sha256 == sha256_json(sorted(row.missing))
    assert row.lacks == f"2 of 20 videos are missing: {', '.join(row.missing)}"
    assert tolerant.index().sha256 == done.index.sha256


def test_keyframes_of_one_video_are_prepared_once(dataset: Make, tiny: Any, prepared: Any, scheduler: str) -> None:
    first, second = prepared.index.items[:2].itertuples()
    rows = [
        {"item": f"{of.video},{frame}", "frame": frame, "label": "wave/hand", "target": 3, "subset": "train",
         "video": of.video, "path": of.path, "store": of.store, "x1": 0.0, "y1": 0.0, "x2": 0.5, "y2": 1.0}
        for of, frame in ((first, 3), (first, 9), (second, 3))
    ]  # fmt: skip
    keyed = dataset(tiny.manifest, tiny.root, **SMALL)
    done = prepare(keyed, make_index(rows), scheduler=scheduler)
    assert done.frames.video.tolist() == [first.video, second.video]
    assert done.index.items.frames.tolist() == [first.frames, first.frames, second.frames]
    assert len(list(keyed.colour_store.rglob("*.zip"))) == 2
    assert (done.row.videos_expected, done.row.frames) == (2, first.frames + second.frames)
    assert keyed.index().labels.equals(done.index.labels)


def test_other_pixels_under_the_same_names_and_counts_are_prepared_anew(
    dataset: Make, tiny: Any, tmp_path: Path, scheduler: str
) -> None:
    """Another data root, every video of which is as long as before: its frames and their digest are others."""
    first = dataset(tiny.manifest, tiny.root, **SMALL)
    root = shutil.copytree(tiny.root, tmp_path / "root")
    victim = next(root.glob("UCF-101/Walking/*.avi"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    second = replace(first, root=root)
    index = read(first)
    digests = []
    for one in (first, second, first):
        done = prepare(one, index, scheduler=scheduler)
        digests.append(one.frames_sha256(done.index, "rgb"))
    assert digests[0] == digests[2] != digests[1]


def test_folders_are_looked_at_and_left_alone(
    given: Callable[..., Dataset], plain: Dataset, prepared: Any, jpg: Path, tmp_path: Path
) -> None:
    ours = given()
    assert "frames in" in obtain(ours)
    index = read(ours)
    table = prepare_frames(ours, index, report=tmp_path / "failures.csv")
    assert (table.frames.tolist(), set(table.error)) == (prepared.index.items.frames.tolist(), {""})
    assert (table.note != "").sum() == (index.table.label == "MoonWalk").sum() == 10
    assert list(csv.reader((tmp_path / "failures.csv").open())) == [["video", "file", "reason", "note"]]
    done = complete(index, table)
    assert done.sha256 == prepared.index.sha256
    assert ours.store("rgb") == jpg
    assert ours.frames_sha256(done, "rgb") == plain.frames_sha256(prepared.index, "rgb")
    assert not list(ours.stores.rglob("*.zip"))
    assert len(prepare(ours, index).remarks) == 10


def test_damaged_folders_are_reported_before_they_are_an_error(
    given: Callable[..., Dataset], jpg: Path, tmp_path: Path
) -> None:
    shutil.copytree(jpg, tmp_path / "copy")
    video = read(given()).table.query("label == 'Walking'").video.iloc[0]
    folder = tmp_path / "copy" / "Walking" / video
    (folder / "image_00003.jpg").unlink()
    damaged = given(tmp_path / "copy")
    index, report = read(damaged), tmp_path / "failures.csv"
    with pytest.raises(
        BookError, match=r"1 of 20 videos have frames .*max_failed\).*failures\.csv:\n.*image_00003"
    ) as error:
        prepare_frames(damaged, index, report=report)
    assert str(report) in str(error.value)
    (row,) = csv.DictReader(report.open())
    assert (row["video"], row["file"]) == (video, str(folder))
    assert "image_00003.jpg is missing" in row["reason"]
    tolerant = given(tmp_path / "copy", frames={"height": 32, "max_failed": 0.05})
    table = prepare_frames(tolerant, index)
    assert table.set_index("video").frames[video] == 0
    assert (table.frames > 0).sum() == 19


def test_videos_without_a_path_are_not_asked_for(given: Callable[..., Dataset]) -> None:
    ours = given()
    index = read(ours)
    index.items.loc[[0, 5], "path"] = ""
    table = prepare_frames(ours, index)
    assert table.video.tolist() == index.items.video.drop([0, 5]).tolist()
    assert complete(index, table).missing == index.items["item"][[0, 5]].tolist()


def test_frames_and_what_is_known_of_them_before_preparation(
    given: Callable[..., Dataset], plain: Dataset, tiny: Any, prepared: Any
) -> None:
    ours, last = given(), prepared.index.items.tail(2)
    rows = read(ours).items.tail(2)
    shown = unprepared_frames(ours, rows.path.iloc[0], range(0, 6, 2))
    assert (shown.shape, shown.dtype) == ((3, 32, 43, 3), np.uint8)
    from_video = unprepared_frames(plain, last.path.iloc[0], range(0, 6, 2))
    np.testing.assert_array_equal(from_video, read_frames(tiny.root / last.path.iloc[0], [0, 2, 4]))
    table = source_table(ours, rows)
    assert table.index.tolist() == rows.video.tolist()
    assert table.frames.tolist() == last.frames.tolist()
    assert source_table(plain, last)[["width", "height"]].to_numpy().tolist() == [[64, 48]] * 2


def test_a_look_inside_both_kinds(prepared: Any, jpg: Path) -> None:
    item = prepared.index.items[prepared.index.items.store.str.startswith("Walking/")].iloc[0]
    names = [f"image_{number:05d}.jpg" for number in range(1, item.frames + 1)]
    said = []
    for store in (prepared.store, jpg):
        with open_frames(store_path(store, item.store)) as frames:
            assert stored_names(frames) == names
            said.append(made_from(frames))
    assert said[0].startswith(f"{item.video}.avi, ")
    assert said[1] == "a folder of others, made elsewhere"


def test_flow_is_part_of_the_one_call(plain: Dataset, few: Index, tmp_path: Path, scheduler: str) -> None:
    done = prepare(plain, few, scheduler=scheduler, report_folder=tmp_path, flow=True)
    assert done.flow is not None
    assert done.flow.frames.tolist() == few.items.frames.tolist()
    assert done.row.flow_bytes == done.flow.bytes.sum() > 0
    assert sorted(path.name for path in tmp_path.glob("*.csv")) == ["failures-tiny-flow.csv", "failures-tiny.csv"]
    assert plain.frames_sha256(done.index, "flow") != plain.frames_sha256(done.index, "rgb")


def test_flow_of_folders_computed_and_flow_that_is_given(
    given: Callable[..., Dataset], few: Index, jpg: Path, tmp_path: Path, scheduler: str
) -> None:
    computed = given()
    table = prepare_flow(computed, few, scheduler=scheduler, report=tmp_path / "failures.csv")
    assert (table.frames.tolist(), set(table.error)) == (few.items.frames.tolist(), {""})
    assert computed.flow_store.parent == computed.stores
    assert not list(jpg.rglob("*.zip"))
    flow = unpack(computed.flow_store, tmp_path / "flow", few)
    ours = given(flow_folder=flow)
    again = prepare_flow(ours, few, report=tmp_path / "failures.csv")
    assert again.frames.tolist() == few.items.frames.tolist()
    assert ours.frames_sha256(few, "flow") == computed.frames_sha256(few, "flow")
    # One frame less than in colour, as other programs make flow.
    path = next((flow / "Walking").iterdir())
    last = len(FrameFolder(path))
    for name in (f"image_{last:05d}x.jpg", f"image_{last:05d}y.jpg", "n_frames"):
        (path / name).unlink()
    with pytest.raises(BookError, match=rf"{path.name}: not as much flow as frames"):
        prepare_flow(ours, few, report=tmp_path / "failures.csv")
    (row,) = csv.DictReader((tmp_path / "failures.csv").open())
    assert row["file"] == str(path)
    with pytest.raises(BookError, match="not as much flow"):
        prepare(ours, few, flow=True)
    assert ours.index().sha256 == few.sha256  # of the frames, which are there


@pytest.fixture
def cut_set(tmp_path: Path, dataset: Make) -> tuple[Dataset, Index]:
    """Two videos of four seconds, 25 frames a second, of which the manifest wants one second from the second on."""
    videos = ["-5KQ66BBWC4", "_a_b"]
    manifest = DatasetManifest.model_validate(
        {
            "kind": "dataset",
            "name": "cuts",
            "dataset": "ava",
            "title": "Cuts",
            "licence": "none",
            "citation": "none",
            "layout": {"videos": "videos", "annotations": "annotations", "suffix": ".mp4"},
            "videos": 2,
            "splits": {"1": {"train": 1, "test": 1}},
            "classes": ["walk"],
            "keyframes": {"cut": {"start": 1, "seconds": 1, "rate": 30}, "first": 1, "last": 1.5, "truth": {}},
        }
    )
    (tmp_path / "videos").mkdir()
    for video in videos:
        pictures = np.repeat(np.arange(0, 200, 2, np.uint8), 48 * 64 * 3).reshape(100, 48, 64, 3)
        write_avi(tmp_path / "videos" / f"{video}.avi", pictures, width=64, height=48, quantiser=2)
    index = make_index(
        {"video": v, "path": f"videos/{v}.avi", "label": "walk", "target": 0, "subset": s}
        for v, s in zip(videos, ("train", "test"), strict=True)
    )
    return dataset(manifest, tmp_path, frames={"height": None}), index


def test_of_a_set_of_keyframes_the_cut_is_prepared(cut_set: tuple[Dataset, Index]) -> None:
    made, index = cut_set
    expected = estimate_frames(made, index)
    assert expected is not None
    assert (expected.videos, expected.frames) == (2, 60)
    table = prepare_frames(made, index)
    assert table.frames.tolist() == [30, 30]
    assert made.colour_store.name == "cuts-native-q95-1+1-r30"
    assert 0.9 < expected.bytes / table.bytes.sum() < 1.1
    left = estimate_frames(made, index)
    assert left is not None
    assert left.frames == 0
    with open_frames(store_path(made.colour_store, "_a_b")) as frames:
        assert frames.frame_size == (64, 48)
        stored = [frame.mean() for frame in frames.read([29, 0])]
    shown = [frame.mean() for frame in unprepared_frames(made, "videos/_a_b.avi", [29, 0])]
    np.testing.assert_allclose(stored, shown, atol=1.5)
    np.testing.assert_allclose(shown, [98, 50], atol=3)
    with pytest.raises(BookError, match=r"frame 30 of the cut was asked for, it has 30"):
        unprepared_frames(made, "videos/_a_b.avi", [30])
