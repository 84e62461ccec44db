"""The index: one table that survives its file, and digests that tell two of them apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from actionbook.core.errors import BookError
from actionbook.datasets.index import (
    COLUMNS,
    index_sha256,
    make_index,
    missing_sha256,
    read_index,
    subset,
    write_index,
)


def row(video: str, **changes: Any) -> dict[str, object]:
    label = {"label": "Wave", "target": 0, "subset": "train"}
    return {"video": video, **label, "path": f"UCF-101/{video}.avi", "frames": 40, **changes}


# Names that CSV readers like to take for something else, and ones that shells do.
NAMES = ["007", "NA", "1e5", 'a, "b"', "行动 #1 (x;y)!", "null", "True"]


@pytest.fixture
def table() -> pd.DataFrame:
    return make_index([row(name, subset="test" if i % 2 else "train") for i, name in enumerate(NAMES)])


def test_round_trip(table: pd.DataFrame, tmp_path: Path) -> None:
    write_index(table, tmp_path / "index.csv")
    again = read_index(tmp_path / "index.csv")
    pd.testing.assert_frame_equal(again, table)
    assert index_sha256(again) == index_sha256(table)
    assert again.video.tolist() == NAMES


def test_an_empty_index_has_the_columns(tmp_path: Path) -> None:
    write_index(make_index([]), tmp_path / "index.csv")
    assert list(read_index(tmp_path / "index.csv").columns) == list(COLUMNS)


def test_a_video_listed_twice() -> None:
    with pytest.raises(BookError, match=r"1 videos are listed twice: b$"):
        make_index([row("a"), row("b"), row("b", subset="test")])


def test_subsets_are_renumbered(table: pd.DataFrame) -> None:
    test = subset(table, "test")
    assert test.video.tolist() == NAMES[1::2]
    assert test.index.tolist() == [0, 1, 2]
    assert len(subset(table, "train")) + len(test) == len(table)


@pytest.mark.parametrize(
    "text",
    ["", "video,label\na,b\n", "video,label,target,subset,path,frames\na,b,x,train,p,1\n",
     "label,video,target,subset,path,frames\n"],
    ids=["empty", "columns missing", "no number", "other order"],
)  # fmt: skip
def test_files_that_are_no_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.csv").write_text(text)
    with pytest.raises(BookError, match=r"index\.csv: .*run notebook 01_data again"):
        read_index(tmp_path / "index.csv")


def test_a_missing_index(tmp_path: Path) -> None:
    with pytest.raises(BookError, match=r"index\.csv: is not a readable index .*run notebook 01_data again"):
        read_index(tmp_path / "index.csv")


def test_subsets_hold_prepared_videos_only() -> None:
    table = make_index([row("a"), row("b", frames=0, path=""), row("c", frames=0), row("d", frames=1)])
    assert subset(table, "train").video.tolist() == ["a", "d"]


@pytest.mark.parametrize("change", [{"target": 1}, {"frames": 41}, {"subset": "test"}, {"label": "x"}, {"video": "b"}])
def test_digest_changes_with_any_column(change: dict[str, Any]) -> None:
    first = index_sha256(make_index([row("a"), row("c")]))
    assert index_sha256(make_index([row("a"), row("c")])) == first
    assert index_sha256(make_index([{**row("a"), **change}, row("c")])) != first


def test_digest_of_missing_videos_does_not_hang_on_their_order() -> None:
    assert missing_sha256(["b", "a"]) == missing_sha256(["a", "b"]) != missing_sha256(["a", "c"])
