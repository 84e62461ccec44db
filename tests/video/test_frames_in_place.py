"""Prepared folders of others: everything that can be wrong with them is found, named, and told once."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from actionbook.video.frames_in_place import find_folders, frames_in_place
from actionbook.video.parallel import COLUMNS
from actionbook.video.reader import FLOW, StoreError

PIXELS = np.arange(24 * 32 * 3).reshape(24, 32, 3).astype(np.uint8)
JPEG = cv2.imencode(".jpg", PIXELS)[1].tobytes()
GREY = cv2.imencode(".jpg", PIXELS[..., 0])[1].tobytes()
LARGER = cv2.imencode(".jpg", np.zeros((30, 40, 3), np.uint8))[1].tobytes()


def items(*videos: str, label: str = "A", frames: int = 0) -> pd.DataFrame:
    rows = [(video, f"{label}/{video}" if label else video, frames) for video in videos]
    return pd.DataFrame(rows, columns=["video", "store", "frames"])


def write(folder: Path, count: int = 4, *, n_frames: str | None = None) -> Path:
    folder.mkdir(parents=True)
    for number in range(1, count + 1):
        (folder / f"image_{number:05d}.jpg").write_bytes(JPEG)
    if n_frames is not None:
        (folder / "n_frames").write_text(n_frames)
    return folder


def test_good_folders(tmp_path: Path) -> None:
    names = ["b", "#1 (a;b)!", "行动"]
    for number, name in enumerate(names, start=3):
        write(tmp_path / "A" / name, number, n_frames=None if number == 3 else str(number))
    table = frames_in_place(items(*names), tmp_path)
    assert list(table.columns) == COLUMNS
    rows = [(name, n, n * len(JPEG), "", "") for n, name in enumerate(names, start=3)]
    assert list(table.itertuples(index=False, name=None)) == rows


def spoil(folder: Path, how: str) -> None:
    first, second, last = (folder / f"image_{number:05d}.jpg" for number in (1, 2, 4))
    if how == "gap":
        second.unlink()
    elif how == "none":
        for path in (*folder.glob("*.jpg"),):
            path.unlink()
        (folder / "n_frames").write_text("0")
    elif how in ("empty first", "empty second", "empty last"):
        {"first": first, "second": second, "last": last}[how.split()[1]].write_bytes(b"")
    elif how == "empty two":
        second.write_bytes(b"")
        last.write_bytes(b"")
    elif how == "cut first":
        first.write_bytes(JPEG[: len(JPEG) // 2])
    elif how == "cut last":
        last.write_bytes(JPEG[:-2])
    elif how == "web page":
        last.write_bytes(b"<html>")
    elif how == "size":
        last.write_bytes(LARGER)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("gap", "image_00002.jpg is missing, the last frame is 4"),
        ("none", "the original scripts leave an empty folder where FFmpeg fails"),
        ("empty first", "image_00001.jpg: is an empty file; make"),
        ("empty second", "image_00002.jpg: is an empty file; make"),
        ("empty last", "image_00004.jpg: is an empty file; make"),
        ("empty two", "is an empty file, and 1 more of them"),
        ("cut first", r"image_00001.jpg: is damaged \("),
        ("cut last", r"image_00004.jpg: is damaged \("),
        ("web page", r"image_00004.jpg: is damaged \("),
        ("size", r"the first and the last frame differ in size \(32 x 24 and 40 x 30\)"),
    ],
)
def test_what_can_be_wrong_with_a_folder(how: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "A" / "good")
    spoil(write(tmp_path / "A" / "bad"), how)
    table = frames_in_place(items("bad", "good"), tmp_path).set_index("video")
    assert table.frames.to_dict() == {"bad": 0, "good": 4}
    assert (table.error["good"], table.bytes["bad"]) == ("", 0)
    assert str(tmp_path / "A" / "bad") in table.error["bad"]
    assert pd.Series([table.error["bad"]]).str.contains(message).all(), table.error["bad"]


def test_a_missing_class_is_told_once_and_a_missing_video_by_its_name(tmp_path: Path) -> None:
    write(tmp_path / "A" / "v")
    (tmp_path / "A" / "file").write_text("")
    table = frames_in_place(pd.concat([items("v", "w", "file"), items("x", "y", "z", label="B")]), tmp_path)
    assert table.error.tolist() == [
        "",
        f"{tmp_path / 'A' / 'w'} does not exist",
        f"{tmp_path / 'A' / 'file'} does not exist",
        *[f"{tmp_path / 'B'} does not exist; the frames of 3 videos are missing"] * 3,
    ]
    with pytest.raises(StoreError, match=r"gone does not exist; it is named as a folder of prepared frames"):
        find_folders(items("v"), tmp_path / "gone")


def test_videos_need_no_folders_of_classes(tmp_path: Path) -> None:
    write(tmp_path / "V")
    write(tmp_path / "a" / "b" / "w")
    wanted = pd.concat([items("v", "x", label=""), items("w", "y", label="a/B"), items("z", label="c")])
    table = frames_in_place(wanted, tmp_path)
    assert table.frames.tolist() == [4, 0, 4, 0, 0]
    assert table.note[0] == "lies in V, in another spelling"
    assert table.error[[1, 3, 4]].tolist() == [
        f"{tmp_path / 'x'} does not exist",
        f"{tmp_path / 'a' / 'B' / 'y'} does not exist",
        f"{tmp_path / 'c'} does not exist; the frames of 1 videos are missing",
    ]


def test_other_capitals_are_found_and_noted(tmp_path: Path) -> None:
    for name in ("A/V_a", "A/exact", "a/v_b", "A/twice", "a/Twice", "A/TWIN", "a/Other", "A/OTHER"):
        write(tmp_path / name)
    wanted = items("v_A", "exact", "v_b", "twice", "Twin", "TWIN", "other")
    places = find_folders(wanted, tmp_path).set_index("video")
    assert places.path.to_dict() == {
        "v_A": "A/V_a", "exact": "A/exact", "v_b": "a/v_b", "twice": "A/twice",
        "Twin": "", "TWIN": "A/TWIN", "other": "",
    }  # fmt: skip
    assert places.note["v_A"] == "lies in A/V_a, in another spelling"
    assert places.note[["exact", "twice", "TWIN"]].tolist() == [""] * 3
    assert places.error["Twin"] == f"{tmp_path / 'A' / 'Twin'} does not exist"  # A/TWIN is another video's
    assert (
        places.error["other"]
        == f"{tmp_path}: A/OTHER and a/Other are both A/other in another spelling; remove or rename one"
    )
    table = frames_in_place(wanted, tmp_path).set_index("video")
    assert table.frames.to_dict() == {"v_A": 4, "exact": 4, "v_b": 4, "twice": 4, "Twin": 0, "TWIN": 4, "other": 0}
    assert table.note["v_A"] == places.note["v_A"]


def test_another_number_than_the_index_knows_is_noted(tmp_path: Path) -> None:
    write(tmp_path / "A" / "V")
    write(tmp_path / "A" / "w")
    table = frames_in_place(items("v", "w", frames=5), tmp_path)
    assert table.note.tolist() == [
        "lies in A/V, in another spelling; 5 frames expected, 4 found",
        "5 frames expected, 4 found",
    ]
    assert frames_in_place(items("w", frames=4), tmp_path).note.tolist() == [""]


def test_flow_and_colour_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path / "A" / "colour")
    flow = write(tmp_path / "A" / "flow", 0)
    for number in (1, 2):
        for component in "xy":
            (flow / f"image_{number:05d}{component}.jpg").write_bytes(GREY)
    both = items("colour", "flow")
    as_flow, as_colour = frames_in_place(both, tmp_path, FLOW), frames_in_place(both, tmp_path)
    assert (as_flow.frames.tolist(), as_flow.bytes.tolist()) == ([0, 2], [0, 4 * len(GREY)])
    assert as_flow.error[0] == f"{tmp_path / 'A' / 'colour'}: holds frames in colour, expected optical flow"
    assert as_colour.error[1] == f"{tmp_path / 'A' / 'flow'}: holds optical flow, expected frames in colour"
    (flow / "image_00002y.jpg").write_bytes(GREY[:-2])
    assert "image_00002y.jpg: is damaged" in frames_in_place(items("flow"), tmp_path, FLOW).error[0]


def test_numbers_from_0_are_read_and_noted_and_gaps_are_named(tmp_path: Path) -> None:
    write(tmp_path / "A" / "ordinary")
    from_0 = write(tmp_path / "A" / "from_0", n_frames="4")
    (from_0 / "image_00000.jpg").write_bytes(JPEG)
    (write(tmp_path / "a_b" / "gap") / "image_00003.jpg").unlink()
    wanted = pd.concat([items("ordinary", "from_0"), items("gap", label="A B")])
    table = frames_in_place(wanted, tmp_path).set_index("video")
    assert table.frames.to_dict() == {"ordinary": 4, "from_0": 5, "gap": 0}
    assert table.note.to_dict() == {
        "ordinary": "",
        "from_0": "its names count from 0: frame 0 is image 0",
        "gap": "lies in a_b/gap, in another spelling",
    }
    assert table.error["gap"] == (
        f"{tmp_path / 'a_b' / 'gap'}: image_00003.jpg is missing, the last frame is 4; make the frames again"
    )


def test_folders_of_kinetics_and_without_classes_are_found_by_other_spellings(tmp_path: Path) -> None:
    video = "abcdefghijk_000001_000011"
    for place in ("tango_dancing/abcdefghijk_1_11", "Tango dancing/abcdefghijk_1_11.mp4", f"{video}.mkv"):
        folder = write(tmp_path / place.replace("/", "-") / place)
        assert find_folders(items(video, label="tango dancing"), folder.parents[place.count("/")]).path[0] == place


def test_one_folder_is_not_two_videos(tmp_path: Path) -> None:
    write(tmp_path / "A" / "V_a")
    table = find_folders(items("v_A", "va"), tmp_path)
    assert table.path.tolist() == ["", ""]
    assert table.error[1] == f"{tmp_path / 'A' / 'V_a'}: may be the frames of 2 videos, A/va among them; rename it"


def test_what_is_like_a_missing_folder_is_named(tmp_path: Path) -> None:
    for name in ("A/v-Archery-g01", "A/v_Archery_g02", "Bogen/v"):
        write(tmp_path / name)
    table = find_folders(
        pd.concat([items("v_Archery_g01", "v_Archery_g02"), items("v", label="Bogenschuss")]), tmp_path
    )
    assert table.error.tolist() == [
        f"{tmp_path / 'A' / 'v_Archery_g01'} does not exist (the nearest there is v-Archery-g01)",
        "",
        f"{tmp_path / 'Bogenschuss'} does not exist (the nearest there is Bogen); the frames of 1 videos are missing",
    ]


def test_avas_folders_lie_below_no_class_and_their_capitals_count(tmp_path: Path) -> None:
    videos = ["-5KQ66BBWC4", "_a_b_c_d_e_", "_a_B_c_d_e_"]
    for count, video in enumerate(videos[1:], start=2):
        folder = tmp_path / video
        folder.mkdir()
        for number in range(1, count + 1):
            (folder / f"{video}_{number:06d}.jpg").write_bytes(JPEG)
    table = frames_in_place(items(*videos, label=""), tmp_path)
    assert table.frames.tolist() == [0, 2, 3]
    assert table.error.tolist() == [f"{tmp_path / videos[0]} does not exist", "", ""]
    (tmp_path / "-5KQ66BBWC4").mkdir()
    (tmp_path / "_a_b_c_d_e_" / "_a_B_c_d_e__000001.jpg").write_bytes(JPEG)
    errors = frames_in_place(items(*videos, label=""), tmp_path).error
    assert "leave an empty folder" in errors[0]
    assert "holds 1 frames of other videos, such as _a_B_c_d_e__000001.jpg, and 2 of its own" in errors[1]
    assert errors[2] == ""
