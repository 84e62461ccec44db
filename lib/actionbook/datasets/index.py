"""The index: one table of videos with labels and subset, the same columns for every data set."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path, sha256_json
from actionbook.core.paths import shown

COLUMNS = {
    "video": "str",  # the id that results are listed under, unique in the data set
    "label": "str",  # class name
    "target": "int64",  # class number, from 0
    "subset": "str",  # train or test
    "path": "str",  # video file below the data root, empty if it is missing
    "frames": "int64",  # decoded frames; 0 before preparation, and for a video that is missing or cannot be decoded
}


def make_index(rows: list[dict[str, object]]) -> pd.DataFrame:
    """A table with the columns of `COLUMNS` in the rows' order. Raises BookError if a video occurs twice."""
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    twice = table.video[table.video.duplicated()].unique()
    if len(twice):
        raise BookError(f"{len(twice)} videos are listed twice: {', '.join(twice[:10])}")
    return table


def write_index(table: pd.DataFrame, path: Path) -> None:
    """Write the index as CSV in one step."""
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def read_index(path: Path) -> pd.DataFrame:
    """Read an index. Raises BookError if the file is missing or has other columns."""
    try:
        table = pd.read_csv(path, dtype=COLUMNS, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise BookError(f"{shown(path)}: is not a readable index ({error}); run notebook 01_data again") from error
    if list(table.columns) != list(COLUMNS):
        raise BookError(f"{shown(path)}: expected the columns {', '.join(COLUMNS)}; run notebook 01_data again")
    return table


def subset(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The prepared videos of one subset ('train' or 'test'), renumbered from 0."""
    return table[(table.subset == name) & (table.frames > 0)].reset_index(drop=True)


def index_sha256(table: pd.DataFrame) -> str:
    """Digest of the whole table: which videos, labels, subset and frame counts."""
    return sha256_json(table.to_dict("split"))


def missing_sha256(videos: list[str]) -> str:
    """Digest of a list of missing videos, so that two runs with the same N can be told to lack the same ones."""
    return sha256_json(sorted(videos))
