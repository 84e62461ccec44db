"""evaluation.ava_csv: the form of AVA's challenge, written as PySlowFast does, read with the line of what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.evaluation.ava import mean_average_precision
from actionbook.evaluation.ava_csv import FIELDS, read_boxes, write_boxes

ROW = {"video": "-5KQ66BBWC4", "second": 902, "x1": 0.0771, "y1": 0.151, "x2": 0.2836, "y2": 0.811, "label": 80}
TABLE = pd.DataFrame([{**ROW, "score": 0.98765}, {**ROW, "second": "0903", "label": 1, "score": 1 / 3}])


def test_as_pyslowfast_writes(tmp_path: Path) -> None:
    path = tmp_path / "out" / "detections_latest.csv"
    write_boxes(path, TABLE)
    assert path.read_bytes() == (
        b"-5KQ66BBWC4,0902,0.077,0.151,0.284,0.811,80,0.9877\n-5KQ66BBWC4,0903,0.077,0.151,0.284,0.811,1,0.3333\n"
    )
    write_boxes(path, TABLE.drop(columns="score"))
    assert path.read_text().splitlines()[0].endswith(",80,1.0000")
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_all_digits(tmp_path: Path) -> None:
    write_boxes(tmp_path / "a.csv", TABLE, exact=True)
    found = read_boxes(tmp_path / "a.csv")
    assert tuple(found.columns) == FIELDS
    assert found.score.tolist() == TABLE.score.tolist()
    assert found.x1.tolist() == TABLE.x1.tolist()
    assert found.second.tolist() == [902, 903]


def test_the_score_of_the_file_is_the_original_s(golden: Any, tmp_path: Path) -> None:
    truth, detections, excluded, expected = golden.a
    for exact, value in ((True, expected["mAP"]), (False, expected["mAP of the csv"])):
        for name, table in (("truth", truth), ("detections", detections)):
            write_boxes(tmp_path / f"{name}.csv", table, exact=exact)
        read = [read_boxes(tmp_path / f"{name}.csv") for name in ("truth", "detections")]
        assert mean_average_precision(*read, golden.classes, excluded).value == value


def test_other_forms(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfNA,902,0.1,0.2,0.3,0.4,7\r\n\r\nNA,0903,0.1,0.2,0.3,0.4,7.0\r\n")
    found = read_boxes(path)
    assert found.video.tolist() == ["NA", "NA"]
    assert found.second.tolist() == [902, 903]
    assert (found.label.tolist(), found.score.tolist()) == ([7, 7], [1, 1])
    path.write_text("")
    empty = read_boxes(path)
    assert (len(empty), tuple(empty.columns), empty.label.dtype) == (0, FIELDS, np.int64)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("v,0902,0.1,0.2", "expected video, second, .*; found 'v,0902,0.1,0.2'"),
        ("v,0902,0.1,0.2,0.3,0.4,7,0.5,1", "expected 8 values"),
        ("v,0902,0.1,0.2,0.3,nan,7,0.5", "expected a number for y2, found 'nan'"),
        ("v,0902,0.1,0.2,0.3,,7,0.5", "expected video, second, .*; found 'v,0902,0.1,0.2,0.3,,7,0.5'"),
        ("v,0902,0.1,0.2,0.3,0.4,stand,0.5", "expected a number for label, found 'stand'"),
        ("v,0902,0.1,0.2,0.3,0.4,,0.5", "expected video, second"),
        ("v,0902,0.1,0.2,0.3,0.4,7.5,0.5", "expected a whole number of a class; found"),
        ("v,0902,0.1,0.2,0.3,0.4,7,inf", "expected video, second"),
        (",0902,0.1,0.2,0.3,0.4,7,0.5", "expected video, second"),
    ],
)
def test_a_bad_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    good = "v,0902,0.1,0.2,0.3,0.4,7,0.5"
    (tmp_path / "a.csv").write_text(f"{good}\n{good}\n{line}\n")
    with pytest.raises(BookError, match=rf"a\.csv, line 3: {message}"):
        read_boxes(tmp_path / "a.csv")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"b\.csv: cannot be read \(No such file.*"):
        read_boxes(tmp_path / "b.csv")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"second": 902.5}, r"second 902\.5 in row 0 \(from 0\) is not whole"),
        ({"label": "stand"}, "label is 'stand'"),
        ({"video": "a,b"}, "a video is called 'a,b'"),
        ({"x1": np.nan}, "x1 is nan"),
    ],
)
def test_what_the_form_has_no_place_for(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(BookError, match=message):
        write_boxes(tmp_path / "a.csv", TABLE.assign(**change))
    assert not list(tmp_path.iterdir())
