"""AVA's list files: read to the row, and what is wrong with one named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionbook.core.errors import BookError
from actionbook.core.keyframes import Keyframes, Lists
from actionbook.datasets.ava_files import read_boxes, read_class_list, read_excluded

KEYFRAMES = Keyframes(truth=Lists(train="a.csv"))
TRUTH = "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n"
DETECTED = "1j20qq1JyX4,0902,0.036,0.098,0.550,0.979,,0.995518\n"
NEGATIVE = "-5KQ66BBWC4,1798,0.003,0.125,0.119,0.837,-1,0.742486\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_rows_as_they_are_published(tmp_path: Path) -> None:
    table = read_boxes(written(tmp_path, TRUTH), KEYFRAMES, 80, scored=False)
    assert table.to_dict("records") == [
        {
            "video": "-5KQ66BBWC4", "second": 902.0, "x1": 0.077, "y1": 0.151, "x2": 0.283, "y2": 0.811,
            "label": 80, "last": 1.0,
        }
    ]  # fmt: skip
    table = read_boxes(written(tmp_path, DETECTED + NEGATIVE), KEYFRAMES, 80, scored=True)
    assert table.label.tolist() == [-1, -1]
    assert table["last"].tolist() == [0.995518, 0.742486]
    assert table.second.tolist() == [902, 1798]


@pytest.mark.parametrize(
    "text", [b"\xef\xbb\xbf" + TRUTH.encode(), TRUTH.replace("\n", "\r\n").encode(), b"\n" + TRUTH.encode() + b"\n\n"]
)
def test_a_byte_order_mark_line_ends_of_windows_and_empty_lines_mean_nothing(tmp_path: Path, text: bytes) -> None:
    table = read_boxes(written(tmp_path, text), KEYFRAMES, 80, scored=False)
    assert table[["video", "label"]].values.tolist() == [["-5KQ66BBWC4", 80]]


def test_names_that_look_like_something_else_stay_names(tmp_path: Path) -> None:
    rows = "".join(TRUTH.replace("-5KQ66BBWC4", name) for name in ("NA", "00012345678", "1e5", "nan"))
    assert read_boxes(written(tmp_path, rows), KEYFRAMES, 80, scored=False).video.tolist() == [
        "NA", "00012345678", "1e5", "nan",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "scored", "said"),
    [
        (
            "v,0902,0.1,0.1,0.5,0.5,1",
            True,
            "line 2: expected video, second, x1, y1, x2, y2, class number from 1, score",
        ),
        ("v,0902,0.1,0.1,0.5,0.5,1,2,3", False, r"line 2: expected 8 values \(video, second"),
        ("v,0902,0.1,0.1,0.5,0.5,1,2,3,4,5", False, r"line 2: expected 8 values \(video, second.*found 11 values"),
        ("v,0902,0.1,0.1,,0.5,1,2", False, "line 2: expected video, second.*'v,0902,0.1,0.1,,0.5,1,2'"),
        ("v,0902,0.1,0.1,half,0.5,1,2", False, "line 2: expected a number for x2, found 'half'"),
        ("v,0902,0.5,0.1,0.1,0.5,1,2", False, "line 2: expected x1 <= x2 and y1 <= y2"),
        ("v,0902,0.1,0.5,0.5,0.1,1,2", False, "line 2: expected x1 <= x2 and y1 <= y2"),
        ("v,0902,12,10,50,70,1,2", False, r"line 2: expected a box as shares.*\(divide pixels"),
        ("v,0902,0.1,0.1,nan,0.5,1,2", False, "line 2: expected"),
        ("v,0902,0.1,0.1,inf,0.5,1,2", False, "line 2: expected"),
        ("v,0901,0.1,0.1,0.5,0.5,1,2", False, "line 2: expected a second from 902 to 1798"),
        ("v,1799,0.1,0.1,0.5,0.5,1,2", False, "line 2: expected a second from 902 to 1798"),
        ("v,0902,0.1,0.1,0.5,0.5,0,2", False, "line 2: expected a class of 1..80; AVA counts from 1"),
        ("v,0902,0.1,0.1,0.5,0.5,-1,2", False, "line 2: expected a class of 1..80"),
        ("v,0902,0.1,0.1,0.5,0.5,81,0.9", True, r"line 2: expected a class of 1..80 \(or -1, or nothing\)"),
        ("v,0902,0.1,0.1,0.5,0.5,1.5,2", False, "line 2: expected a class"),
        ("v,0902,0.1,0.1,0.5,0.5,1,nan", True, "line 2: expected"),
        ("v,0902,0.1,0.1,0.5,0.5,1,95", True, "line 2: expected a score of 0..1"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(tmp_path: Path, row: str, scored: bool, said: str) -> None:
    path = written(tmp_path, (DETECTED if scored else TRUTH) + row + "\n")
    with pytest.raises(BookError, match=f"list.csv, {said}"):
        read_boxes(path, KEYFRAMES, 80, scored=scored)


def test_lines_are_counted_over_empty_ones_and_others_are_counted(tmp_path: Path) -> None:
    bad = TRUTH.replace("0902", "0001")
    with pytest.raises(BookError, match=r"line 4: expected a second.*\(3 lines are like this\)"):
        read_boxes(written(tmp_path, f"\n{TRUTH}\n{bad}{bad}{bad}"), KEYFRAMES, 80, scored=False)


def test_a_header_and_an_empty_file_are_named(tmp_path: Path) -> None:
    header = "video,second,x1,y1,x2,y2,label,person\n"
    with pytest.raises(BookError, match=r"line 1: expected a number for second, found 'second'.*have no header"):
        read_boxes(written(tmp_path, header + TRUTH), KEYFRAMES, 80, scored=False)
    for text in ("", "\n\n"):
        with pytest.raises(BookError, match=r"list\.csv: is empty, expected a row for each box"):
            read_boxes(written(tmp_path, text), KEYFRAMES, 80, scored=False)
    with pytest.raises(BookError, match=r"gone\.csv: cannot be read.*holds list\.csv"):
        read_boxes(tmp_path / "gone.csv", KEYFRAMES, 80, scored=False)


def test_keyframes_that_are_left_out(tmp_path: Path) -> None:
    assert read_excluded(written(tmp_path, "v,0905\nw,1000\n")).values.tolist() == [["v", 905.0], ["w", 1000.0]]
    assert read_excluded(written(tmp_path, "")).empty
    with pytest.raises(BookError, match="line 2: expected a number for second, found 'x'"):
        read_excluded(written(tmp_path, "v,0905\nw,x\n"))


def test_class_lists_of_both_versions(tmp_path: Path) -> None:
    text = 'item {\n  name: "bend/bow (at the waist)"\n  id: 1\n}\nlabel {\n  name: "say \\"so\\""\n  label_id: 3\n}\n'
    assert read_class_list(written(tmp_path, text)) == {1: "bend/bow (at the waist)", 3: 'say "so"'}
    for text, said in (
        ('  name: "a"\n  name: "b"\n', "line 2: expected the number of 'a'"),
        ('  name: "a"\n  id: 1\n  name: "b"\n  id: 1\n', "line 4: expected the number of one class"),
        ("  id: 1\n", "line 1: expected the number of one class"),
        ("", "expected lines such as name"),
        ('  name: "a"\n', "found 'a' last"),
    ):
        with pytest.raises(BookError, match=said):
            read_class_list(written(tmp_path, text))
