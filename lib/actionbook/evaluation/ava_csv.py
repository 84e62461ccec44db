"""Boxes with classes and scores as text, in the form of AVA's challenge: one line for each box and class.

``video,0902,x1,y1,x2,y2,class,score``, no header. PySlowFast and its port to MindSpore write what they have found so to
``detections_latest.csv``, and the truth, with scores of 1, to ``groundtruth_latest.csv``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path
from actionbook.core.paths import shown
from actionbook.datasets.ava_files import read_rows, refuse
from actionbook.evaluation import ava_tables

FIELDS = ava_tables.DETECTIONS
_LINES = 100_000
"""Written together."""


def write_boxes(path: Path | str, table: pd.DataFrame, *, exact: bool = False) -> None:
    """Write detections, or truth (no column ``score``: all 1), in one step; seconds with four digits.

    Corners have three decimals and scores four, as PySlowFast writes them, which can change a score that is counted
    from the file; `exact` writes as many as tell a float64 from all others. Raises BookError for tables that lack a
    column, and for rows that the form has no place for: seconds or classes that are no whole numbers, a comma in the
    name of a video.
    """
    ava_tables.require(table, ava_tables.TRUTH, shown(path))
    number = "%r" if exact else "%.3f"
    line = f"%s,%04d,{number},{number},{number},{number},%d,{'%r' if exact else '%.4f'}\n"
    videos = table["video"].astype(str)
    unfit = [name for name in videos.unique() if "," in name or '"' in name or "\n" in name]
    if unfit:
        raise BookError(f"{shown(path)}: a video is called {unfit[0]!r}, whose sign would part the line: rename it")
    columns = [videos.tolist(), _whole(table, "second", path), *ava_tables.corners(table, shown(path)).tolist()]
    columns += [_whole(table, "label", path)]
    columns += [ava_tables.numbers(table, "score", shown(path)).tolist() if "score" in table else [1.0] * len(table)]
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for start in range(0, len(table), _LINES):
            file.writelines(line % row for row in zip(*(each[start : start + _LINES] for each in columns), strict=True))


def _whole(table: pd.DataFrame, column: str, path: Path | str) -> list[int]:
    """A column of whole numbers."""
    values = ava_tables.numbers(table, column, shown(path))
    odd = np.flatnonzero(values != np.rint(values))
    if len(odd):
        raise BookError(
            f"{shown(path)}: {column} {values[odd[0]]:g} in row {odd[0]} (from 0) is not whole, as this form asks"
        )
    return [int(value) for value in values]


def read_boxes(path: Path | str) -> pd.DataFrame:
    """A table of the columns of `FIELDS` from such a file; ``second`` is a float, ``label`` an int.

    Lines of seven fields have a score of 1. In AVA's own lists of truth the eighth field is a person, which then stands
    for the score that nobody asks of truth. Raises BookError naming the file and the line of what cannot be read.
    """
    path = Path(path)
    table = read_rows(path, FIELDS[:1], FIELDS[1:], empty=True)
    table["score"] = table.score.fillna(1.0)
    figures = table[list(FIELDS[1:])].to_numpy(np.float64)
    wrong = {
        f"{', '.join(FIELDS)}, all but the last one needed": (table.video == "") | ~np.isfinite(figures).all(axis=1),
        "a whole number of a class": table.label % 1 != 0,
    }
    refuse(path, wrong)
    return table.astype({"label": np.int64}).reset_index(drop=True)
