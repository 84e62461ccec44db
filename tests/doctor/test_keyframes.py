"""The doctor before small data sets in AVA's form: each fault of their lists and videos is a row."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from actionbook.core.manifest import DatasetManifest
from actionbook.core.sections import Data
from actionbook.datasets.dataset import Dataset
from actionbook.datasets.figures import write_avi
from actionbook.doctor.data import videos

VIDEOS = ("-a", "b_1", "c")
"""The first is of training."""
SECONDS = range(2, 9)
CORNERS = ((0.1, 0.2, 0.3, 0.9), (0.5, 0.3, 0.8, 0.95))
FOUND = "boxes/val.csv"
MANIFEST = {
    "kind": "dataset",
    "name": "own",
    "dataset": "ava",
    "title": "Own",
    "licence": "none",
    "citation": "none",
    "layout": {"videos": "videos", "annotations": "lists"},
    "videos": 3,
    "splits": {"1": {"train": 1, "test": 2}},
    "classes": ["sit", "walk"],
    "keyframes": {
        "cut": {"start": 1, "seconds": 8, "rate": 30},
        "first": 2,
        "last": 8,
        "truth": {"train": "train.csv", "test": "val.csv"},
        "detected": {"test": FOUND},
        "excluded": {"test": "excluded.csv"},
    },
}
Row = list[Any]
"""video, second, x1, y1, x2, y2, class, last"""


def rows_of(names: tuple[str, ...], move: float, label: str) -> Iterator[Row]:
    for video in names:
        for second in SECONDS:
            for number, corners in enumerate(CORNERS):
                last = 0.9 + second / 100 if not label else number
                yield [video, second, *(corner + move for corner in corners), label, last]


def write(path: Path, rows: Iterator[Row] | list[Row]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


def film(path: Path, frames: int) -> None:
    """Of so many frames, 25 a second."""
    write_avi(path, np.zeros((frames, 32, 32, 3), np.uint8), width=32, height=32, quantiser=20)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    lists = tmp_path / "root" / "lists"
    lists.mkdir(parents=True)
    write(lists / "train.csv", rows_of(VIDEOS[:1], 0, "1"))
    write(lists / "val.csv", [row for label in "12" for row in rows_of(VIDEOS[1:], 0, label)])
    write(lists / FOUND, rows_of(VIDEOS[1:], 0.01, ""))
    (lists / "excluded.csv").write_text("c,0003\n")
    (lists.parent / "videos").mkdir()
    for name in VIDEOS:
        film(lists.parent / "videos" / f"{name}.avi", 230)
    return lists.parent


@pytest.fixture
def look(root: Path, tmp_path: Path, table: Any) -> Callable[..., Any]:
    """A function that gives the doctor's rows for entries of a recipe's section `data`."""
    manifest = DatasetManifest.model_validate(MANIFEST).model_dump(mode="json")
    (tmp_path / "own.yaml").write_text(json.dumps(manifest))

    def rows(**data: Any) -> Any:
        settings = Data.model_validate({"manifest": str(tmp_path / "own.yaml"), **data})
        return table.of(videos, Dataset(settings, root, tmp_path / "frames", tmp_path / "work"), "own")

    return rows


def test_right_lists_and_videos(look: Callable[..., Any], root: Path) -> None:
    rows = look()
    assert [row.status for row in rows] == ["ok"] * 5
    rows.row("own", "ok", f"{root}/lists/{FOUND}: 28 boxes in 2 videos meet the truth of the test")
    rows.row("own", "ok", "all keyframes of 3 videos tried are shown")


def test_a_detector_may_be_as_sure_of_every_box_and_name_one_twice(look: Callable[..., Any], root: Path) -> None:
    found = [[*row[:-1], 1] for row in rows_of(VIDEOS[1:], 0.01, "")]
    write(root / "lists" / FOUND, found + found[:3])
    look().row("own", "ok", "28 boxes in 2 videos meet the truth")


def changed(row: Row, **changes: Any) -> Row:
    names = ("video", "second", "x1", "y1", "x2", "y2", "label", "last")
    return list((dict(zip(names, row, strict=True)) | changes).values())


FAULTS: dict[str, tuple[Callable[[Row], Row | None], str, str, str]] = {
    "order": (
        lambda row: [*row[:2], row[3], row[2], row[5], row[4], *row[6:]],
        "problem",
        "the boxes of the detections are y1, x1, y2, x2, not x1, y1, x2, y2",
        "write the left, top, right and bottom",
    ),
    "threshold": (
        lambda row: changed(row, last=row[-1] / 2),
        "problem",
        "detections are below the threshold of 0.8 (26 of 26",
        "lower the threshold",
    ),
    "half": (
        lambda row: None if row[1] % 2 else row,
        "warning",
        "keyframes of the truth have no detection",
        "dropped by a threshold",
    ),
    "half a second": (
        lambda row: changed(row, second=min(row[1] + 0.5, 8)),
        "warning",
        "detections at seconds for which there is no truth",
        "whole seconds of the whole video",
    ),
    "name": (
        lambda row: changed(row, video="C") if row[0] == "c" else row,
        "problem",
        "a video has one name in the truth and another in the detections (1 of 2 videos, such as 'C' for 'c')",
        "with the same capitals",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_boxes_that_do_not_meet_the_truth(look: Callable[..., Any], root: Path, fault: str) -> None:
    change, status, message, remedy = FAULTS[fault]
    found = map(change, rows_of(VIDEOS[1:], 0.01, ""))
    write(root / "lists" / FOUND, [row for row in found if row])
    rows = look()
    rows.row("own", status, f"lists/{FOUND}: {message}", remedy)
    if fault not in ("name", "half a second"):  # a video is missing, too; a keyframe of the truth is left alone
        assert len([row for row in rows if row.status != "ok"]) == 1
    asked = look(boxes={"test": "truth"})  # then nobody asks about the detector's
    assert all(row.status == "ok" for row in asked)


def test_boxes_in_pixels_are_refused_by_the_reader(look: Callable[..., Any], root: Path) -> None:
    found = ([*row[:2], *(32 * corner for corner in row[2:6]), *row[6:]] for row in rows_of(VIDEOS[1:], 0, ""))
    write(root / "lists" / FOUND, found)
    look().row("it", "problem", f"{FOUND}, line 1: expected a box as shares of the frame", "mend")


def test_videos_that_were_cut_before(look: Callable[..., Any], root: Path) -> None:
    film(root / "videos" / "c.avi", 170)
    message = f"1 of 3 videos tried are too short: {root}/videos/c.avi ends after 6.8 s, and its last keyframe is at "
    look().row("own", "problem", message + "second 8", "whole videos")


def test_videos_that_cannot_be_opened_have_one_row(look: Callable[..., Any], root: Path) -> None:
    (root / "videos" / "c.avi").write_bytes(b"RIFF")
    assert [row.message[:21] for row in look() if row.status != "ok"] == ["1 of 3 videos tried d"]


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (240, ""),
        (200, "have another rate than their keyframes are looked up with (-a has 200 frames, as many as 24 or 25 "),
        (90, "keyframes of the truth are shown by no frame (15 of 20: second 4 of -a is frame 90, and there are 90)"),
    ],
)
def test_frames_that_others_have_made(look: Callable[..., Any], tmp_path: Path, count: int, message: str) -> None:
    jpeg = cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))[1].tobytes()
    for video in VIDEOS:
        folder = tmp_path / "made" / video
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            (folder / f"{video}_{number:06d}.jpg").write_bytes(jpeg)
    rows = look(frames_folder=str(tmp_path / "made"))
    if message:
        rows.row("own", "problem", message)
    else:
        assert all(row.status == "ok" for row in rows)
