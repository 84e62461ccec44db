"""AVA's official files: byte for byte as they are published, and what they cannot hold is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.datasets.ava_writing import (
    COLUMNS,
    class_list_text,
    second_text,
    write_boxes,
    write_class_list,
    write_excluded,
)


def table(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS))


# Lines of the published files.
TRUTH = "-5KQ66BBWC4,0902,0.077,0.151,0.283,0.811,80,1\n"
NEGATIVE = "-5KQ66BBWC4,0902,0.003,0.125,0.119,0.837,-1,0.742486\n"
FOUND = "1j20qq1JyX4,0902,0.036,0.098,0.550,0.979,,0.995518\n"
EXAMPLES = {
    TRUTH: table(("-5KQ66BBWC4", 902, 0.077, 0.151, 0.283, 0.811, 80, 1)),
    NEGATIVE: table(("-5KQ66BBWC4", 902, 0.003, 0.125, 0.119, 0.837, -1, 0.742486)),
    FOUND: table(("1j20qq1JyX4", 902, 0.036, 0.098, 0.55, 0.979, pd.NA, 0.995518)),
}


@pytest.mark.parametrize("line", EXAMPLES)
def test_published_lines_come_out_as_they_are(line: str, tmp_path: Path) -> None:
    write_boxes(tmp_path / "a.csv", EXAMPLES[line])
    assert (tmp_path / "a.csv").read_bytes() == line.encode()


@pytest.mark.parametrize("line", EXAMPLES)
def test_what_is_read_is_written_again(line: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(line * 3, encoding="utf-8")
    rows = pd.read_csv(path, names=list(COLUMNS), dtype={"label": "Int64"})
    write_boxes(tmp_path / "b.csv", rows)
    assert (tmp_path / "b.csv").read_bytes() == path.read_bytes()


def test_labels_beside_missing_ones_stay_whole_numbers(tmp_path: Path) -> None:
    rows = pd.concat([EXAMPLES[NEGATIVE], EXAMPLES[FOUND]]).assign(label=[-1.0, np.nan])
    write_boxes(tmp_path / "a.csv", rows)
    assert (tmp_path / "a.csv").read_text(encoding="utf-8") == NEGATIVE + FOUND


def test_more_decimals_and_odd_names(tmp_path: Path) -> None:
    write_boxes(tmp_path / "a.csv", table(('a, "b"', 2.5, 0.0, 0.1, 1 / 3, 1.0, 3, 0)), digits=6)
    line = '"a, ""b""",2.5,0.000000,0.100000,0.333333,1.000000,3,0\n'
    assert (tmp_path / "a.csv").read_bytes() == line.encode()


@pytest.mark.parametrize(
    ("second", "text"), [(902, "0902"), (902.0, "0902"), (np.int64(7), "0007"), (1798.25, "1798.25"), (0, "0000")]
)
def test_seconds(second: float, text: str) -> None:
    assert second_text(second) == text


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("x2", 283.0, "row 1 of the table, x2: expected a share of the frame"),
        ("y1", -0.01, "row 1 of the table, y1: expected a share"),
        ("x1", float("nan"), "row 1 of the table, x1"),
        ("second", float("inf"), "row 1 of the table, second: expected a number"),
        ("last", "high", "row 1 of the table, last: expected a number, found high"),
    ],
)
def test_what_is_no_box_is_refused_and_nothing_written(column: str, value: Any, words: str, tmp_path: Path) -> None:
    rows = pd.concat([EXAMPLES[TRUTH], EXAMPLES[TRUTH]], ignore_index=True).astype({column: object})
    rows.loc[1, column] = value
    with pytest.raises(BookError, match=rf"a\.csv: {words}"):
        write_boxes(tmp_path / "a.csv", rows)
    assert not list(tmp_path.iterdir())


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(BookError, match="has no column y2, last; expected video, second"):
        write_boxes(tmp_path / "a.csv", EXAMPLES[TRUTH].drop(columns=["y2", "last"]))


def test_no_boxes_make_an_empty_file(tmp_path: Path) -> None:
    write_boxes(tmp_path / "a.csv", table())
    assert (tmp_path / "a.csv").read_bytes() == b""


def test_excluded_keyframes(tmp_path: Path) -> None:
    write_excluded(tmp_path / "a.csv", [("3_VjIRdXVdM", 902), ("JNb4nWexD0I", 1309)])
    assert (tmp_path / "a.csv").read_bytes() == b"3_VjIRdXVdM,0902\nJNb4nWexD0I,1309\n"


def test_class_lists_of_both_forms(tmp_path: Path) -> None:
    write_class_list(tmp_path / "a.pbtxt", {3: ("crouch/kneel", ""), 1: ("bend/bow (at the waist)", "")})
    text = 'item {\n  name: "bend/bow (at the waist)"\n  id: 1\n}\nitem {\n  name: "crouch/kneel"\n  id: 3\n}\n'
    assert (tmp_path / "a.pbtxt").read_bytes() == text.encode()
    text = 'label {\n  name: "walk"\n  label_id: 14\n  label_type: PERSON_MOVEMENT\n}\n'
    assert class_list_text({14: ("walk", "PERSON_MOVEMENT")}) == text
    assert class_list_text({1: ('say "a\\b"', "")}).splitlines()[1] == r'  name: "say \"a\\b\""'
    with pytest.raises(BookError, match="class 2: expected a name on one line, found ' '"):
        class_list_text({1: ("walk", ""), 2: (" ", "")})
