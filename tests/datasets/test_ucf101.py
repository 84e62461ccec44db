"""Reading UCF101's layout: everything is checked against the manifest, and errors say what to do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import DatasetManifest, Layout, Split
from actionbook.core.sources import Source
from actionbook.datasets.ucf101 import ucf101_index

CLASSES = ("Archery", "HandstandPushups")
TRAIN = ["Archery/v_Archery_g08_c01.avi 1", "Archery/v_Archery_g09_c01.avi 1",
         "HandstandPushups/v_HandStandPushups_g08_c01.avi 2"]  # fmt: skip
TEST = ["Archery/v_Archery_g01_c01.avi", "HandstandPushups/v_HandStandPushups_g01_c01.avi"]
MANIFEST = DatasetManifest(
    kind="dataset",
    name="small",
    dataset="ucf101",
    title="Small",
    licence="none",
    citation="none",
    sources=(Source(name="small.rar", url="https://example.org/small.rar", status="tofu"),),
    layout=Layout(videos="UCF-101", annotations="ucfTrainTestlist"),
    videos=5,
    splits={"1": Split(train=3, test=2)},
    classes=CLASSES,
)


def write_lists(root: Path, end: str = "\r\n", **lists: list[str]) -> None:
    content = {
        "classInd": [f"{i} {c}" for i, c in enumerate(CLASSES, start=1)],
        "trainlist01": TRAIN,
        "testlist01": TEST,
    }
    folder = root / "ucfTrainTestlist"
    folder.mkdir(exist_ok=True)
    for name, lines in (content | lists).items():
        (folder / f"{name}.txt").write_bytes("".join(line + end for line in lines).encode())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_lists(tmp_path)
    for line in TRAIN + TEST:
        path = tmp_path / "UCF-101" / line.split()[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def read(root: Path, **options: Any) -> pd.DataFrame:
    return ucf101_index(root, MANIFEST, 1, **options).table


def test_index_of_a_split(root: Path) -> None:
    table = read(root)
    assert (table["item"] == table.video).all()
    assert (table.store == table.label + "/" + table.video).all()
    assert table[["video", "label", "target", "subset", "path", "frames"]].to_numpy().tolist() == [
        ["v_Archery_g08_c01", "Archery", 0, "train", "UCF-101/Archery/v_Archery_g08_c01.avi", 0],
        ["v_Archery_g09_c01", "Archery", 0, "train", "UCF-101/Archery/v_Archery_g09_c01.avi", 0],
        ["v_HandStandPushups_g08_c01", "HandstandPushups", 1, "train",
         "UCF-101/HandstandPushups/v_HandStandPushups_g08_c01.avi", 0],
        ["v_Archery_g01_c01", "Archery", 0, "test", "UCF-101/Archery/v_Archery_g01_c01.avi", 0],
        ["v_HandStandPushups_g01_c01", "HandstandPushups", 1, "test",
         "UCF-101/HandstandPushups/v_HandStandPushups_g01_c01.avi", 0],
    ]  # fmt: skip


def test_line_ends_make_no_difference(root: Path) -> None:
    expected = read(root)
    for end in ("\n", " \n", "\r\n\r\n"):  # and empty lines and spaces at ends make none
        write_lists(root, end=end)
        pd.testing.assert_frame_equal(read(root), expected)


def test_files_spelt_like_their_class_are_found_too(root: Path) -> None:
    for path in (root / "UCF-101" / "HandstandPushups").iterdir():
        path.rename(path.with_name(path.name.replace("HandStand", "Handstand")))
    table = read(root)
    # Results are listed under the official id, the path is the one on disk.
    assert table.video.iloc[-1] == "v_HandStandPushups_g01_c01"
    assert table.path.iloc[-1] == "UCF-101/HandstandPushups/v_HandstandPushups_g01_c01.avi"


def test_miniature(tiny: Any) -> None:
    for split, counts in (("1", (6, 14)), ("2", (14, 6)), ("3", (20, 0))):
        table = ucf101_index(tiny.root, tiny.manifest, int(split)).items
        assert ((table.subset == "train").sum(), (table.subset == "test").sum()) == counts
        assert all((tiny.root / path).is_file() for path in table.path)


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"trainlist01": TRAIN[:2]}, r"trainlist01\.txt: 2 videos, the manifest says 3; fetch the lists again"),
        ({"testlist01": [*TEST, TEST[0]]}, r"testlist01\.txt: 3 videos, the manifest says 2"),
        ({"trainlist01": [*TRAIN[:2], TRAIN[2][:-1] + "1"]}, r"trainlist01\.txt, line 3: class number 1, expected 2"),
        (
            {"testlist01": [TEST[0], "Archery/video.avi"]},
            r"testlist01\.txt, line 2: expected Class/v_Class_g01_c01\.avi",
        ),
        ({"testlist01": [TEST[0], "Biking/v_Biking_g01_c01.avi"]}, r"line 2: expected .*found 'Biking/"),
        ({"testlist01": [TEST[0], "../v_x_g01_c01.avi"]}, r"line 2: expected "),
        ({"testlist01": [TRAIN[0].split()[0], TEST[1]]}, r"1 videos are listed twice: v_Archery_g08_c01"),
        ({"classInd": ["1 Archery"]}, r"classInd\.txt: is not the class list of small \(1 classes, 2 expected"),
        (
            {"classInd": ["1 HandstandPushups", "2 Archery"]},
            r"first differences: \['1 HandstandPushups', '2 Archery'\]",
        ),
        ({"classInd": ["1 Archery", "2 Handstands"]}, r"first differences: \['2 Handstands'\]"),
    ],
)
def test_lists_that_contradict_the_manifest(root: Path, lists: dict[str, list[str]], message: str) -> None:
    write_lists(root, "\r\n", **lists)
    with pytest.raises(BookError, match=message):
        read(root, allow_missing=True)


def test_a_missing_list(root: Path) -> None:
    (root / "ucfTrainTestlist" / "testlist01.txt").unlink()
    with pytest.raises(BookError, match=r"testlist01\.txt: cannot be read .*unpack the train/test lists there"):
        read(root)


def test_a_split_that_does_not_exist(root: Path) -> None:
    with pytest.raises(BookError, match="small: there is no split 2, only 1"):
        ucf101_index(root, MANIFEST, 2)


@pytest.mark.parametrize("name", ["Hand/stand", "..", "."])
def test_classes_that_cannot_be_folders_are_refused(root: Path, name: str) -> None:
    manifest = DatasetManifest(**{**MANIFEST.model_dump(), "classes": ("Archery", name)})
    with pytest.raises(BookError, match=f"small: every class is a folder .* which {re.escape(name)} cannot be"):
        ucf101_index(root, manifest, 1)


def test_missing_videos_are_named_with_the_remedy(root: Path) -> None:
    (root / "UCF-101" / "Archery" / "v_Archery_g09_c01.avi").unlink()
    with pytest.raises(BookError) as caught:
        read(root)
    message = str(caught.value)
    assert "UCF-101: 1 of the 5 videos of small are missing: v_Archery_g09_c01. " in message
    assert "published as small.rar from https://example.org/small.rar" in message
    assert "set data.allow_missing" in message


def test_partial_copies_when_allowed(root: Path) -> None:
    expected = read(root)
    (root / "UCF-101" / "Archery" / "v_Archery_g09_c01.avi").unlink()
    (root / "UCF-101" / "HandstandPushups" / "v_HandStandPushups_g01_c01.avi").unlink()
    table = read(root, allow_missing=True)
    # Every expected video keeps its row; a missing one has no path, and no frames.
    assert table.video[table.path == ""].tolist() == ["v_Archery_g09_c01", "v_HandStandPushups_g01_c01"]
    pd.testing.assert_frame_equal(table.drop(columns="path"), expected.drop(columns="path"))
    present = table.path != ""
    assert table.path[present].tolist() == expected.path[present].tolist()


@pytest.mark.parametrize("remove", [shutil.rmtree, lambda folder: [p.unlink() for p in folder.glob("*/*")]])
def test_no_video_at_all_is_an_error_even_when_missing_ones_are_allowed(
    root: Path, remove: Callable[[Path], object]
) -> None:
    remove(root / "UCF-101")
    with pytest.raises(BookError, match="5 of the 5 videos of small are missing"):
        read(root, allow_missing=True)


def test_other_files_in_the_folders_are_ignored(root: Path) -> None:
    expected = read(root)
    (root / "UCF-101" / "Archery" / "v_Archery_g09_c01.avi.part").write_bytes(b"")
    (root / "UCF-101" / "Archery" / "v_Archery_g09_c01.txt").write_bytes(b"")
    (root / "UCF-101" / "Biking").mkdir()
    pd.testing.assert_frame_equal(read(root), expected)


def test_lists_with_a_byte_order_mark(root: Path) -> None:
    expected = read(root)
    for path in (root / "ucfTrainTestlist").iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    pd.testing.assert_frame_equal(read(root), expected)


def test_a_partial_copy_that_is_only_named_otherwise_is_whole(root: Path) -> None:
    for path in sorted((root / "UCF-101" / "Archery").iterdir()):
        path.rename(path.with_suffix(".MP4"))
    (root / "UCF-101" / "Archery").rename(root / "UCF-101" / "archery")
    table = read(root, allow_missing=True)
    assert (table.path != "").all()
    assert table.path[0] == "UCF-101/archery/v_Archery_g08_c01.MP4"
