"""AVA's index: the rules by which the lists become keyframes, labels and boxes to be asked about."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg

from actionbook.clips.targets import boxes_of
from actionbook.core.errors import BookError
from actionbook.core.keyframes import Keyframes
from actionbook.core.manifest import DatasetManifest, load_dataset
from actionbook.core.sections import Data
from actionbook.datasets.ava import at_every, ava_index, keyframe_id
from actionbook.datasets.dataset import Dataset, store_path
from actionbook.datasets.index import Index, read_index, write_index
from actionbook.datasets.lists import MissingVideos, UnclearVideos
from actionbook.datasets.obtain import read as obtained
from actionbook.datasets.preparation import prepare
from actionbook.video.frame_folder import open_frames

KEYFRAMES = {
    "truth": {"train": "train.csv", "test": "val.csv"},
    "detected": {"train": "boxes/train.csv", "test": "boxes/val.csv"},
    "excluded": {"test": "excluded.csv"},
    "class_list": "classes.pbtxt",
    "unscored": ["crawl"],
}
CLASSES = ("bend/bow (at the waist)", "crawl", "stand", "walk")
FILES = {
    "train.csv": "A_b-1,0902,0.1,0.1,0.5,0.5,3,0\nA_b-1,0902,0.1,0.1,0.5,0.5,4,0\nA_b-1,0902,0.6,0.1,0.9,0.5,2,1\n"
    "-c,0904,0.1,0.1,0.5,0.5,1,0\n",
    "val.csv": "d,0904,0.1,0.1,0.5,0.5,3,0\nd,0904,0.1,0.1,0.5,0.5,2,0\nd,0905,0.1,0.1,0.5,0.5,3,0\n"
    "d,0906,0.1,0.1,0.5,0.5,3,0\n",
    "boxes/train.csv": "A_b-1,0902,0.6,0.1,0.9,0.5,4,0.9\nA_b-1,0902,0.0,0.0,0.2,0.2,-1,0.8\n"
    "A_b-1,0902,0.0,0.0,0.3,0.3,-1,0.79\nA_b-1,0907,0.1,0.1,0.5,0.5,,0.99\n",
    "boxes/val.csv": "d,0904,0.1,0.1,0.52,0.5,,0.95\nd,0904,0.7,0.1,0.9,0.5,,0.79\nd,0905,0.1,0.1,0.5,0.5,,0.9\n"
    "d,0908,0.1,0.1,0.5,0.5,,0.9\nd,0904,0.1,0.1,0.52,0.5,,0.95\n",
    "excluded.csv": "d,0905\n",
    "classes.pbtxt": 'item {\n  name: "bend/bow (at the waist)"\n  id: 1\n}\nitem {\n  name: "stand"\n  id: 3\n}\n'
    'item {\n  name: "walk"\n  id: 4\n}\n',
}
VIDEOS = ("A_b-1.mkv", "-c.mp4", "d.webm")


def manifest_of(**changes: Any) -> DatasetManifest:
    return DatasetManifest.model_validate(
        {
            "kind": "dataset",
            "name": "toy_ava",
            "dataset": "ava",
            "title": "Toy",
            "licence": "none",
            "citation": "none",
            "layout": {"videos": "trainval", "annotations": "annotations"},
            "videos": 3,
            "splits": {"1": {"train": 2, "test": 1}},
            "classes": CLASSES,
            "keyframes": {**KEYFRAMES, **changes},
        }
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "annotations" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "trainval").mkdir()
    for name in VIDEOS:
        (tmp_path / "trainval" / name).touch()
    return tmp_path


def read(root: Path, manifest: DatasetManifest | None = None, **data: Any) -> Index:
    allow = bool(data.pop("allow_missing", False))
    settings = Data.model_validate({"manifest": "toy_ava", **data})
    return ava_index(root, manifest or manifest_of(), settings, allow_missing=allow)


def test_items_are_the_keyframes_of_all_lists_that_are_not_left_out(root: Path) -> None:
    items = read(root).items
    assert items["item"].tolist() == ["A_b-1@0902", "A_b-1@0907", "-c@0904", "d@0904", "d@0906", "d@0908"]
    assert items.frame.tolist() == [60, 210, 120, 120, 180, 240]  # second 902 is frame 61 of names that count from 1
    assert items.subset.tolist() == ["train"] * 3 + ["test"] * 3
    assert items.path.tolist()[::2] == ["trainval/A_b-1.mkv", "trainval/-c.mp4", "trainval/d.webm"]
    assert items.store.tolist() == items.video.tolist()


def test_the_truth_is_one_whatever_boxes_the_test_asks_about(root: Path) -> None:
    index = read(root)
    found = [index, read(root, boxes={"test": "truth"}), read(root, boxes={"min_score": 0.0, "learn_detected": False})]
    assert [len(one.of_subset("test")) for one in found] == [3, 2, 3]
    assert len({one.truth_sha256 for one in found}) == 1
    (root / "trainval" / "d.webm").unlink()
    assert read(root, allow_missing=True).truth_sha256 == index.truth_sha256
    (root / "annotations" / "excluded.csv").write_text("")
    assert read(root, allow_missing=True).truth_sha256 != index.truth_sha256


def test_boxes_of_training_are_those_of_people_and_of_the_detector(root: Path) -> None:
    index = read(root)
    found = boxes_of(index.of_subset("train"), 4)
    boxes = found["A_b-1@0902"]
    # Merged by their corners: a class that only the detector's list has is added, a negative has none at all.
    assert boxes.places.tolist() == [[0.1, 0.1, 0.5, 0.5], [0.6, 0.1, 0.9, 0.5], [0.0, 0.0, 0.2, 0.2]]
    assert boxes.targets.tolist() == [[0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]]
    assert found["A_b-1@0907"].targets.tolist() == [[0, 0, 0, 0]]
    alone = read(root, boxes={"learn_detected": False})
    assert boxes_of(alone.of_subset("train"), 4)["A_b-1@0902"].targets.tolist() == [[0, 0, 1, 1], [0, 1, 0, 0]]
    more = read(root, boxes={"min_score": 0.7})
    assert len(boxes_of(more.of_subset("train"), 4)["A_b-1@0902"].places) == 4


def test_the_test_asks_about_the_detectors_boxes_that_are_sure_enough(root: Path, caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        index = read(root)
    assert index.boxes is not None
    assert index.boxes[["item", "score"]].values.tolist() == [["d@0904", 0.95], ["d@0908", 0.9]]
    assert "boxes/val.csv: 1 boxes occur twice in their keyframe, such as one of d@0904" in caplog.text
    asked = boxes_of(index.of_subset("test"), 4)
    assert list(asked) == ["d@0904", "d@0908"]  # of d@0906 the detector has found nothing, and nothing is asked
    assert asked["d@0904"].targets.tolist() == [[0, 0, 0, 0]]
    given = read(root, boxes={"test": "truth"})
    assert given.boxes is None
    assert list(boxes_of(given.of_subset("test"), 4)) == ["d@0904", "d@0906"]


def test_classes_that_no_score_counts_are_learned_and_not_tested(root: Path) -> None:
    index = read(root)
    subsets = index.labels.merge(index.items[["item", "subset"]], on="item")
    assert set(subsets.label[subsets.subset == "train"]) == {"bend/bow (at the waist)", "crawl", "stand", "walk", ""}
    assert subsets.label[subsets.subset == "test"].tolist() == ["stand", "stand"]


def test_every_fourth_second_is_scored_in_training(root: Path) -> None:
    index = at_every(read(root), manifest_of(), 4)
    assert index.items["item"].tolist() == ["A_b-1@0902", "A_b-1@0907", "-c@0904", "d@0904", "d@0908"]
    assert index.boxes is not None
    assert index.boxes["item"].tolist() == ["d@0904", "d@0908"]


def test_an_index_is_written_and_read_with_its_boxes(root: Path, tmp_path: Path) -> None:
    index = read(root)
    write_index(index, tmp_path / "index")
    again = read_index(tmp_path / "index")
    assert again.sha256 == index.sha256
    assert again.boxes is not None
    assert again.boxes.equals(index.boxes)
    write_index(read(root, boxes={"test": "truth"}), tmp_path / "index")
    assert read_index(tmp_path / "index").boxes is None
    assert read_index(tmp_path / "index").sha256 != index.sha256


def test_seconds_may_be_fractions_and_rates_others(root: Path) -> None:
    for name in ("train.csv", "val.csv", "boxes/train.csv", "boxes/val.csv", "excluded.csv"):
        path = root / "annotations" / name
        path.write_text(path.read_text().replace(",090", ",0.5"))
    keyframes = {"cut": {"start": 0.5, "seconds": 3, "rate": 8}, "first": 0.5, "last": 3}
    index = read(root, manifest_of(**keyframes))
    assert index.items["item"].tolist()[:2] == ["A_b-1@0.52", "A_b-1@0.57"]
    assert index.items.frame.tolist()[:2] == [0, 1]
    assert keyframe_id("v", 3.0) == "v@0003"


def test_videos_that_are_missing_or_there_twice(root: Path) -> None:
    (root / "trainval" / "d.webm").rename(root / "trainval" / "D.webm")  # ids of YouTube differ by case
    with pytest.raises(MissingVideos, match=r"1 of the 3 videos of toy_ava are missing: d. .*holds -c.mp4"):
        read(root)
    index = read(root, allow_missing=True)
    assert index.items.path[index.items.video == "d"].unique().tolist() == [""]
    (root / "trainval" / "-c.mkv").touch()
    with pytest.raises(UnclearVideos, match=r"trainval/-c\.mkv and trainval/-c\.mp4"):
        read(root, allow_missing=True)


def test_lists_that_do_not_fit_the_manifest(root: Path) -> None:
    annotations = root / "annotations"
    (annotations / "classes.pbtxt").write_text(FILES["classes.pbtxt"].replace("stand", "sit"))
    with pytest.raises(BookError, match="names 3: 'sit', unlike the manifest toy_ava"):
        read(root)
    (annotations / "classes.pbtxt").write_text('  name: "stand"\n  id: 3\n  name: "walk"\n  id: 4\n')
    with pytest.raises(BookError, match="lacks 1: 'bend/bow"):
        read(root)
    (annotations / "classes.pbtxt").write_text(FILES["classes.pbtxt"])
    (annotations / "val.csv").write_text(FILES["val.csv"] + "e,0904,0.1,0.1,0.5,0.5,3,0\n")
    with pytest.raises(BookError, match="2 training and 2 validation videos, split 1 of toy_ava has 2 and 1"):
        read(root)
    (annotations / "val.csv").write_text(FILES["val.csv"].replace("d,", "-c,"))
    with pytest.raises(BookError, match="-c are in the lists of training and of validation"):
        read(root)


def test_a_manifest_of_keyframes_says_so() -> None:
    with pytest.raises(ValueError, match="keyframes from 902 to 1798 s; the cut is from 900 to 910 s"):
        Keyframes.model_validate({**KEYFRAMES, "cut": {"seconds": 10}})
    with pytest.raises(ValueError, match=r"keyframes\.unscored names classes that do not exist: fly"):
        manifest_of(unscored=["fly"])


@pytest.mark.parametrize("name", ["ava", "ava_v2_1"])
def test_the_published_manifests(name: str) -> None:
    manifest = load_dataset(name)
    version = {"ava": "v2.2", "ava_v2_1": "v2.1"}[name]
    assert manifest.keyframes is not None
    scored = [n for n, name in enumerate(manifest.classes, 1) if name not in manifest.keyframes.unscored]
    assert (len(manifest.classes), len(scored)) == (80, 60)
    unscored = {2, 16, 18, 19, 21, 23, 25, 31, 32, 33, 35, 39, 40, 42, 44, 50, 53, 55, 71, 75}
    assert set(range(1, 81)) - set(scored) == unscored
    of = manifest.keyframes
    lists = [of.truth.train, of.truth.test, of.detected.train, of.excluded.test, of.class_list]
    assert all(version in str(one) for one in lists)
    cut = manifest.keyframes.cut
    assert [cut.frame(second) for second in (902, 1798)] == [60, 26940]
    assert np.isclose(cut.seconds * cut.rate, 27030)


def frames_of(folder: Path, stem: str, count: int) -> None:
    folder.mkdir(parents=True)
    jpeg = simplejpeg.encode_jpeg(np.zeros((16, 16, 3), np.uint8))
    for number in range(1, count + 1):
        (folder / f"{stem}_{number:06d}.jpg").write_bytes(jpeg)


def in_place(root: Path, tmp_path: Path) -> Dataset:
    (tmp_path / "toy.yaml").write_text(json.dumps(manifest_of(frame_lists={"test": "val.txt"}).model_dump(mode="json")))
    data = Data.model_validate({"manifest": str(tmp_path / "toy.yaml"), "frames_folder": "frames"})
    return Dataset(data, root, tmp_path / "stores", tmp_path / "work")


def test_frames_of_the_original_programs_are_read_where_they_are(root: Path, tmp_path: Path) -> None:
    for path in (root / "trainval").iterdir():
        path.unlink()  # no video is asked for
    for video, folder, count in (("A_b-1", "A_b-1", 300), ("-c", "-c", 150), ("d", "films/d", 280)):
        frames_of(root / "frames" / folder, video, count)
    lines = [f'd 2 {number} films/d/d_{number + 1:06d}.jpg ""' for number in range(280)]
    header = "original_vido_id video_id frame_id path labels"
    (root / "annotations" / "val.txt").write_text("\n".join([header, *lines, ""]))
    dataset = in_place(root, tmp_path)
    index = obtained(dataset)
    (tmp_path / "work").mkdir()
    done = prepare(dataset, index)
    assert done.remarks.empty
    assert done.index.videos[["video", "path", "frames"]].values.tolist() == [
        ["A_b-1", "A_b-1", 300], ["-c", "-c", 150], ["d", "films/d", 280],
    ]  # fmt: skip
    assert len(open_frames(store_path(dataset.colour_store, done.index.videos.store[2]))) == 280
    (root / "frames" / "films" / "d" / "d_000280.jpg").unlink()
    assert prepare(dataset, index).remarks.note.tolist() == ["280 frames expected, 279 found"]
