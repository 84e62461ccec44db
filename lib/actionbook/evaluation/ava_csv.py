"""Boxes with classes and scores as text, in the form of AVA's challenge: one line for each box and class.

``video,0902,x1,y1,x2,y2,class,score``, no header. PySlowFast and its port to MindSpore write what they have found so to
``detections_latest.csv``, and the truth, with scores of 1, to ``groundtruth_latest.csv``.
"""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path
from actionbook.core.paths import shown
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
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # lines that are longer than the first
            table = pd.read_csv(
                path,
                names=FIELDS,
                header=None,
                dtype={**dict.fromkeys(FIELDS, np.float64), "video": str, "label": np.int64},
                index_col=False,
                float_precision="round_trip",
                keep_default_na=False,
                skip_blank_lines=True,
                encoding="utf-8-sig",
            )
            finite = table.drop(columns="video").to_numpy(np.float64)
            if len(table.columns) == len(FIELDS) and np.isfinite(finite).all() and (table.video != "").all():
                return table
    except (ValueError, pd.errors.ParserWarning, pd.errors.EmptyDataError, pd.errors.ParserError):
        pass  # line by line says where
    except OSError as error:
        raise BookError(f"{shown(path)}: cannot be read ({error.strerror})") from error
    return pd.DataFrame(list(_lines(path)), columns=list(FIELDS)).astype({"label": np.int64, "second": np.float64})


def _lines(path: Path) -> Iterator[tuple[object, ...]]:
    """The rows of the file, slowly, with an error for the first that is none."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        for number, fields in enumerate(csv.reader(file), start=1):
            if fields:
                yield _row(fields, f"{shown(path)}, line {number}")


def _row(fields: list[str], where: str) -> tuple[object, ...]:
    if len(fields) not in (7, 8):
        raise BookError(f"{where}: {len(fields)} fields, expected 7 or 8: {', '.join(FIELDS)}")
    if not fields[0]:
        raise BookError(f"{where}: no video")
    values = []
    for name, text in zip(FIELDS[1:], [*fields[1:], "1"][: len(FIELDS) - 1], strict=True):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (name == "label" and value != int(value)):
            kind = "whole number, as AVA counts its classes" if name == "label" else "number"
            raise BookError(
                f"{where}: {name} is {text!r}, expected a finite {kind}; the fields are {', '.join(FIELDS)}"
            )
        values.append(int(value) if name == "label" else value)
    return (fields[0], *values)
