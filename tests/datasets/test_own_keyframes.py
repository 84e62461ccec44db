"""Own videos and a table of boxes become a data set in AVA's form; whatever is wrong in the table is named by line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.core.manifest import load_dataset
from actionbook.datasets.ava_boxes import with_labels
from actionbook.datasets.ava_writing import COLUMNS
from actionbook.datasets.figures import write_by_suffix
from actionbook.datasets.own_keyframes import main, own_keyframes

HEADER = "video,second,x1,y1,x2,y2,label,person"
ROWS = [
    "a b.mp4,1,0.1,0.2,0.3,0.8,walk,4",
    "a b.mp4,1,0.1,0.2,0.3,0.8,carry/hold (an object),4",
    "a b.mp4,1.5,0.5,0.2,0.7,0.8,walk,7",
    "行动,0,0.25,0.25,0.5,1,stand,1",
    "c.MKV,2,0.1,0.1,0.9,0.9,walk,1",
    "d.webm,0.5,0.1,0.1,0.9,0.9,stand,1",
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "my videos"
    frames = [np.full((24, 32, 3), shade, np.uint8) for shade in range(75)]
    for name, count in (("a b.mp4", 50), ("行动.mp4", 50), ("d.webm", 60), ("unused.mp4", 3)):
        write_by_suffix(folder / name, frames[:count], width=32, height=24)
    write_by_suffix(folder / "c.mkv", frames[:72], width=32, height=24)
    (folder / "c.mkv").rename(folder / "c.MKV")
    (folder / "notes.txt").write_text("no video", encoding="utf-8")
    return folder


def csv(folder: Path, rows: list[str], header: str = HEADER, name: str = "boxes.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def changed(row: int, **fields: Any) -> list[str]:
    """`ROWS` with other fields in one of them."""
    values = dict(zip(HEADER.split(","), ROWS[row].split(","), strict=True)) | {k: str(v) for k, v in fields.items()}
    return [*ROWS[:row], ",".join(values.values()), *ROWS[row + 1 :]]


def test_a_table_becomes_lists_classes_and_a_manifest(videos: Path, tmp_path: Path) -> None:
    out = tmp_path / "my set"
    written = own_keyframes(videos, csv(tmp_path, ROWS), out)
    manifest = load_dataset(str(written.manifest))
    keyframes = manifest.keyframes
    assert keyframes is not None
    assert (written.manifest.name, manifest.name) == ("my_set.yaml", "my_set")
    assert manifest.classes == ("carry/hold (an object)", "stand", "walk")
    assert manifest.splits["1"].model_dump(include={"train", "test"}) == {"train": 3, "test": 1}
    assert (keyframes.first, keyframes.last, keyframes.cut.start, keyframes.cut.rate) == (0, 2, 0, 30)
    assert (keyframes.cut.seconds, keyframes.cut.at_most) == (60, True)
    assert keyframes.detected.model_dump() == {"train": None, "test": None}
    folder = out / manifest.layout.annotations
    assert (folder / str(keyframes.truth.train)).read_text(encoding="utf-8").splitlines() == [
        "a b,0001,0.100,0.200,0.300,0.800,3,4",
        "a b,0001,0.100,0.200,0.300,0.800,1,4",
        "a b,1.5,0.500,0.200,0.700,0.800,3,7",
        "c,0002,0.100,0.100,0.900,0.900,3,1",
        "d,0.5,0.100,0.100,0.900,0.900,2,1",
    ]
    assert (folder / str(keyframes.truth.test)).read_text(encoding="utf-8") == "行动,0000,0.250,0.250,0.500,1.000,2,1\n"
    assert '  name: "carry/hold (an object)"\n  id: 1\n' in (folder / str(keyframes.class_list)).read_text("utf-8")
    names = {path.name for path in (out / manifest.layout.videos).iterdir()}
    assert names == {"a b.mp4", "行动.mp4", "c.MKV", "d.webm"}
    assert (out / manifest.layout.videos / "a b.mp4").read_bytes() == (videos / "a b.mp4").read_bytes()
    assert "1 videos have no box in the table and are left out: unused" in written.remarks
    alone = own_keyframes(videos, csv(tmp_path, ROWS[:3]), tmp_path / "alone")
    assert alone.remarks[-1].startswith("no video is in the subset test; a column subset")


def test_pixels_rows_of_a_table_and_another_run_give_the_same_files(videos: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(csv(tmp_path, ROWS))
    scaled = rows.assign(x1=rows.x1 * 32, x2=rows.x2 * 32, y1=rows.y1 * 24, y2=rows.y2 * 24)
    own_keyframes(videos, rows, tmp_path / "set")
    before = {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.*") if path.is_file()}
    own_keyframes(videos, scaled, tmp_path / "set", pixels=True)
    assert before == {path: path.read_bytes() for path in (tmp_path / "set").rglob("*.*") if path.is_file()}


def test_videos_below_the_root_stay_where_they_are(videos: Path, tmp_path: Path) -> None:
    written = own_keyframes(videos, csv(tmp_path, ROWS), videos.parent)
    assert load_dataset(str(written.manifest)).layout.videos == "my videos"
    assert not (videos.parent / "trainval").exists()


def test_subsets_people_and_decimals_as_the_table_says(videos: Path, tmp_path: Path) -> None:
    rows = pd.DataFrame(
        [("a b", 1, 0.1, 0.1, 1 / 3, 0.5, "walk", "test"), ("a b", 1, 0.5, 0.1, 0.9, 0.5, "walk", "test"),
         ("a b", 1, 0.5, 0.1, 0.9, 0.5, "run", "test"), ("c", 1, 0.1, 0.1, 0.2, 0.5, "run", "train")],
        columns=["video", "second", "x1", "y1", "x2", "y2", "label", "subset"],
    )  # fmt: skip
    own_keyframes(videos, rows, tmp_path / "set", digits=5, rate=25)
    test = (tmp_path / "set/annotations/test_boxes.csv").read_text(encoding="utf-8").splitlines()
    assert test[0] == "a b,0001,0.10000,0.10000,0.33333,0.50000,2,0"
    assert [line[-3:] for line in test] == ["2,0", "2,1", "1,1"]  # boxes of a keyframe without people have numbers
    manifest = load_dataset(str(tmp_path / "set/set.yaml"))
    assert manifest.keyframes is not None
    assert manifest.keyframes.cut.rate == 25


def test_boxes_of_a_detector(videos: Path, tmp_path: Path) -> None:
    found = ["a b.mp4,1,0.1,0.2,0.3,0.79,,0.9", "a b.mp4,1,0.6,0.2,0.8,0.8,,0.25", "行动.mp4,1,0.2,0.2,0.5,0.9,,1"]
    path = csv(tmp_path, found, "video,second,x1,y1,x2,y2,label,score", "found.csv")
    written = own_keyframes(videos, csv(tmp_path, ROWS), tmp_path / "set", detections=path)
    folder, keyframes = tmp_path / "set" / "annotations", load_dataset(str(written.manifest)).keyframes
    assert keyframes is not None
    assert (folder / str(keyframes.detected.train)).read_text(encoding="utf-8").splitlines() == [
        "a b,0001,0.100,0.200,0.300,0.790,3,0.900000",
        "a b,0001,0.100,0.200,0.300,0.790,1,0.900000",
        "a b,0001,0.600,0.200,0.800,0.800,-1,0.250000",
    ]
    assert (folder / str(keyframes.detected.test)).read_text("utf-8") == "行动,0001,0.200,0.200,0.500,0.900,,1.000000\n"
    for wrong, words in (
        ("a b.mp4,1,0.6,0.2,0.8,0.8,,25", r"found\.csv, line 2: score: expected a number from 0 to 1"),
        ("unused.mp4,0,0.6,0.2,0.8,0.8,,0.5", "line 2: video unused has no box in the table of labels"),
    ):
        path = csv(tmp_path, [wrong], "video,second,x1,y1,x2,y2,label,score", "found.csv")
        with pytest.raises(BookError, match=words):
            own_keyframes(videos, csv(tmp_path, ROWS), tmp_path / "set", detections=path)


REFUSED = {
    "an unknown video": (changed(2, video="a_b.mp4"), r"line 4: no video 'a_b.mp4' in .*; the nearest is 'a b.mp4'"),
    "a second beyond the end": (changed(2, second=2), "line 4: second 2: a b.mp4 has the seconds from 0 to below 2"),
    "a second before the beginning": (changed(2, second=-1), "line 4: second -1"),
    "a second that is none": (changed(2, second="1:02"), "line 4: second: expected a number, found '1:02'"),
    "x2 below x1": (changed(2, x2=0.4), "line 4: x2 0.4 is not above x1 0.5; .*not width and height"),
    "no height": (changed(4, y2=0.1), r"line 6: y2 0.1 is not above y1 0.1"),
    "pixels": (changed(2, x2=20), r"line 4: corners 0.5, 0.2, 20, 0.8: expected shares .* is 32 x 24"),
    "not a number": (changed(0, y1="nan"), "line 2: y1: expected a number, found 'nan'"),
    "no label": (changed(1, label=" "), "line 3: has no label; give it one, or delete the row"),
    "a row twice": ([*ROWS, ROWS[2]], r"line 8: the same box and label as in .*boxes\.csv, line 4; delete one"),
    "a person that is no number": (changed(0, person="Ann"), "line 2: person: expected a whole number, found 'Ann'"),
    "a line with more fields": ([*ROWS, ROWS[2] + ",1"], "line 8: expected 8 fields as in the header, found 9"),
    "nothing": ([], r"boxes\.csv: holds no boxes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_named_by_line_and_nothing_written(name: str, videos: Path, tmp_path: Path) -> None:
    rows, words = REFUSED[name]
    with pytest.raises(BookError, match=words):
        own_keyframes(videos, csv(tmp_path, rows), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_many_wrong_rows_are_counted(videos: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(csv(tmp_path, ROWS)).assign(x2=0.0)
    with pytest.raises(BookError, match=r"^table of boxes, row 0: x2 0 is not(.|\n)*row 2(.|\n)*and 3 more rows like"):
        own_keyframes(videos, rows, tmp_path / "set")


def test_shares_said_to_be_pixels_and_a_rate_of_nothing(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(BookError, match="no corner is above 1; these are shares"):
        own_keyframes(videos, csv(tmp_path, ROWS), tmp_path / "set", pixels=True)
    with pytest.raises(BookError, match=r"keyframes\.cut\.rate"):
        own_keyframes(videos, csv(tmp_path, ROWS), tmp_path / "set", rate=0)
    assert not (tmp_path / "set").exists()


def test_missing_columns_and_folders_and_two_videos_of_one_name(videos: Path, tmp_path: Path) -> None:
    with pytest.raises(BookError, match="has no column x2, y2; its columns are video, second, x1, y1, w, h, label"):
        own_keyframes(videos, csv(tmp_path, [], HEADER.replace("x2,y2", "w,h")), tmp_path / "set")
    with pytest.raises(BookError, match="has no column label"):
        own_keyframes(videos, csv(tmp_path, ["c,1,0,0,1,1"], "video,second,x1,y1,x2,y2"), tmp_path / "set")
    with pytest.raises(BookError, match="there is no folder"):
        own_keyframes(tmp_path / "gone", csv(tmp_path, ROWS), tmp_path / "set")
    for name in ("c.mkv", "c.mp4"):
        (tmp_path / name).write_bytes((videos / "c.MKV").read_bytes())
    with pytest.raises(BookError, match=r"c\.mkv and c\.mp4 would both be c"):
        own_keyframes(tmp_path, csv(tmp_path, ROWS), tmp_path / "set")


def test_spreadsheets_write_semicolons_and_a_mark(videos: Path, tmp_path: Path) -> None:
    path = tmp_path / "boxes.csv"
    lines = [line.replace(",", ";") for line in [HEADER.title(), *ROWS]]
    path.write_text("\r\n".join(lines), encoding="utf-8-sig", newline="")
    own_keyframes(videos, path, tmp_path / "one")
    own_keyframes(videos, csv(tmp_path, ROWS), tmp_path / "two")
    one, two = ((tmp_path / name / "annotations/train_boxes.csv").read_bytes() for name in ("one", "two"))
    assert one == two


def test_boxes_get_the_classes_of_the_truth_that_they_lie_on() -> None:
    truth = pd.DataFrame(
        [("v", 1, 0.0, 0.0, 0.5, 1.0, 3, 0), ("v", 1, 0.0, 0.0, 0.5, 1.0, 7, 0), ("v", 2, 0.0, 0.0, 1.0, 1.0, 5, 0)],
        columns=list(COLUMNS),
    )
    boxes = [(0.0, 0.0, 0.45, 1.0), (0.0, 0.0, 0.44, 1.0), (0.6, 0.0, 1.0, 1.0)]  # overlaps of 0.9, 0.88 and 0
    found = pd.DataFrame([("v", 1, *box, np.nan, 0.5) for box in boxes], columns=list(COLUMNS))
    assert with_labels(found, truth)["label"].tolist() == [3, 7, -1, -1]


def test_the_command(videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes, out = csv(tmp_path, ROWS), tmp_path / "set"
    assert main([str(videos), str(boxes), "--out", str(out), "--rate", "25"]) == 0
    said = capsys.readouterr().out
    assert "left out: unused" in said
    assert f"{out / 'set.yaml'}: written" in said
    assert main([str(videos), str(csv(tmp_path, changed(0, label=""))), "--out", str(out)]) == 1
    assert "line 2: has no label" in capsys.readouterr().err
    command = [sys.executable, "-m", "actionbook.datasets.own_keyframes", "--help"]
    assert "--pixels" in subprocess.run(command, check=True, capture_output=True, text=True).stdout
