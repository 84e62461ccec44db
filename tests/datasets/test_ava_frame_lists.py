"""PySlowFast's frame lists: one row a video, and every line that does not follow the one before is named."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.datasets.ava_frame_lists import COLUMNS, HEADER, read_frame_list, write_frame_list

FIRST, SECOND = "-5KQ66BBWC4", "_a_1_000003"


def line(video: str, number: int, place: str | None = None) -> str:
    return f'{video} 0 {number - 1} {place or f"{video}/{video}_{number:06d}.jpg"} ""'


def listed(tmp_path: Path, *lines: str, header: str = HEADER, end: str = "\n") -> Path:
    path = tmp_path / "val.csv"
    path.write_text(end.join([header, *lines, ""]), encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_one_row_a_video_in_order_of_appearance(tmp_path: Path, end: str) -> None:
    lines = [*(line(SECOND, n) for n in (1, 2)), *(line(FIRST, n) for n in (7, 8, 9)), line(SECOND, 3)]
    table = read_frame_list(listed(tmp_path, *lines, end=end))
    assert list(table.columns) == COLUMNS
    assert table.to_numpy().tolist() == [
        [SECOND, 3, SECOND, f"{SECOND}/{SECOND}_000001.jpg"],
        [FIRST, 3, FIRST, f"{FIRST}/{FIRST}_000007.jpg"],
    ]


def test_numbers_without_zeros_and_folders_in_folders(tmp_path: Path) -> None:
    lines = [line("v", n, f"train/v/img_{n}.png") for n in range(8, 12)]
    assert read_frame_list(listed(tmp_path, *lines)).to_numpy().tolist() == [["v", 4, "train/v", "train/v/img_8.png"]]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([line("v", 1), line("v", 3)], r"val\.csv, line 3: expected v/v_000002\.jpg, the next frame of v, found v/v"),
        ([line("v", 1), line("v", 1)], r"line 3: expected v/v_000002"),
        ([line("v", 1), line("w", 1), line("v", 2, "w/v_000002.jpg")], r"line 4: expected v/v_000002\.jpg"),
        ([line("v", 1), line("v", 2, "v/V_000002.jpg")], "line 3: expected v/v_000002"),
        ([line("v", 1), "v 0 1 v/v_000002.jpg"], "line 3: expected 'original_vido_id video_id .* as fields"),
        ([line("v", 1), f"{line('v', 2)} 1"], "line 3: expected 'original_vido_id"),
        ([line("v", 1), "", line("v", 2)], "line 3: expected .*, found ''"),
        ([line("v", 1), HEADER], "line 3: expected"),
        ([line("v", 1, "v/frame.jpg")], "line 2: expected <video>/<video>_000001.jpg, found 'v/frame.jpg'"),
    ],
)  # fmt: skip
def test_a_line_that_does_not_fit_is_named(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(BookError, match=message):
        read_frame_list(listed(tmp_path, *lines))


@pytest.mark.parametrize("header", [line("v", 1), "video,second", ""])
def test_a_missing_header_is_named(tmp_path: Path, header: str) -> None:
    with pytest.raises(BookError, match="line 1: expected 'original_vido_id video_id frame_id path labels', found"):
        read_frame_list(listed(tmp_path, line("v", 1), header=header))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"train\.csv: cannot be read .* unpack the frame lists there"):
        read_frame_list(tmp_path / "train.csv")
    (tmp_path / "train.csv").write_bytes(f"{HEADER}\n\xff\xfe".encode("latin-1"))
    with pytest.raises(BookError, match=r"train\.csv: cannot be read"):
        read_frame_list(tmp_path / "train.csv")


def test_what_is_written_is_the_originals_form_and_is_read_again(tmp_path: Path) -> None:
    rows = [(FIRST, 2, FIRST, f"{FIRST}/{FIRST}_000001.jpg"), (SECOND, 1, SECOND, f"{SECOND}/{SECOND}_000001.jpg")]
    table = pd.DataFrame(rows, columns=COLUMNS)
    write_frame_list(tmp_path / "train.csv", table)
    assert (tmp_path / "train.csv").read_text(encoding="utf-8").splitlines() == [
        HEADER,
        f'{FIRST} 0 0 {FIRST}/{FIRST}_000001.jpg ""',
        f'{FIRST} 0 1 {FIRST}/{FIRST}_000002.jpg ""',
        f'{SECOND} 1 0 {SECOND}/{SECOND}_000001.jpg ""',
    ]
    pd.testing.assert_frame_equal(read_frame_list(tmp_path / "train.csv"), table)
    with pytest.raises(BookError, match="expected names without spaces"):
        write_frame_list(tmp_path / "other.csv", table.assign(video="a b"))
    assert not (tmp_path / "other.csv").exists()
