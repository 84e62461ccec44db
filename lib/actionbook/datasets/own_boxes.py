"""Tables of boxes that people have made for videos of their own: read, checked and brought to shares of the frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError, some
from actionbook.core.files import read_text_file
from actionbook.core.paths import shown
from actionbook.datasets.ava_writing import CORNERS
from actionbook.datasets.video_files import contents
from actionbook.video.decode import Probe, probe
from actionbook.video.names import VIDEO_SUFFIXES, hidden, nearest, without_suffix

NEEDED = ("video", "second", *CORNERS)
WHERE = "where"
"""Name of the column that says where a row came from."""


@dataclass(frozen=True)
class OwnVideo:
    """A video file and what its header says; its name without suffix is what AVA's files call it."""

    path: Path
    header: Probe


def own_videos(folder: Path) -> dict[str, OwnVideo]:
    """The videos that lie in a folder (not in folders below it), by their names without suffix.

    Raises BookError where there are none or two of one name, and VideoError for one that cannot be read.
    """
    found: dict[str, OwnVideo] = {}
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in paths:
        stem = None if hidden(path.name) or not path.is_file() else without_suffix(path.name)
        if stem is None:
            continue
        if stem in found:
            raise BookError(
                f"{shown(folder)}: {found[stem].path.name} and {path.name} would both be {stem} in AVA's files; rename "
                "one, also in the table"
            )
        found[stem] = OwnVideo(path, probe(path))
    if not found:
        raise BookError(f"{contents(folder)}; expected videos ({', '.join(VIDEO_SUFFIXES)})")
    return found


def read_table(source: Path | pd.DataFrame) -> pd.DataFrame:
    """A table from a .csv file with a header (separated by commas, semicolons or tabs), or as given.

    A column `WHERE` names file and line, or the row. Raises BookError where a column of `NEEDED` is missing, a line
    has another number of fields than the header, or there are no rows.
    """
    if isinstance(source, pd.DataFrame):
        table, name = source.reset_index(drop=True), "table of boxes"
        table[WHERE] = [f"{name}, row {number}" for number in range(len(table))]
    else:
        name = shown(source)
        table = _read_csv(source, name)
    if absent := [column for column in NEEDED if column not in table.columns]:
        columns = [column for column in table.columns if column != WHERE]
        raise BookError(f"{name}: has no column {', '.join(absent)}; its columns are {some(columns, 12)}")
    if table.empty:
        raise BookError(f"{name}: holds no boxes")
    return table


def _read_csv(path: Path, name: str) -> pd.DataFrame:
    try:
        text = read_text_file(path)
    except (OSError, UnicodeError) as error:
        raise BookError(f"{name}: cannot be read ({error}); expected a table of boxes as UTF-8 text") from error
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=max(",;\t", key=first.count))
    header = [column.strip().lower() for column in next(reader, [])]
    rows = []
    for row in reader:
        if not any(field.strip() for field in row):
            continue
        where = f"{name}, line {reader.line_num}"
        if len(row) != len(header):
            raise BookError(f"{where}: expected {len(header)} fields as in the header, found {len(row)}")
        rows.append([*(field.strip() for field in row), where])
    return pd.DataFrame(rows, columns=[*header, WHERE])


def checked_boxes(table: pd.DataFrame, videos: Mapping[str, OwnVideo], *, pixels: bool) -> pd.DataFrame:
    """The table with `video` as in `videos`, `second` and corners as numbers, corners as shares of the frame.

    With `pixels` corners are divided by the frame's width and height, as shown. Raises BookError naming the first
    rows that are wrong: an unknown video, a second that its video does not have, what is no number, x2 <= x1 or
    y2 <= y1, corners outside the frame.
    """
    known = {video.path.name: stem for stem, video in videos.items()} | {stem: stem for stem in videos}
    table = table.copy()
    names = [str(name) for name in table["video"]]
    folder = next(iter(videos.values())).path.parent
    refuse_rows(
        table,
        [name not in known for name in names],
        lambda at: f"no video {names[at]!r} in {shown(folder)}{_hint(names[at], known)}",
    )
    table["video"] = [known[name] for name in names]
    for column in ("second", *CORNERS):
        table[column] = _numbers(table, column)
    headers = [videos[name].header for name in table["video"]]
    lengths = np.array([header.seconds for header in headers])
    refuse_rows(
        table,
        (table["second"] < 0) | (table["second"] >= lengths),
        lambda at: f"second {table['second'][at]:g}: {names[at]} has the seconds from 0 to below {lengths[at]:g}",
    )
    for low, high in (("x1", "x2"), ("y1", "y2")):
        _refuse_upside_down(table, low, high)
    sizes = np.array([(header.width, header.height) * 2 for header in headers], float) if pixels else 1.0
    corners = table[list(CORNERS)].to_numpy()
    if pixels and (corners <= 1).all():
        raise BookError(f"{table[WHERE][0]}: no corner is above 1; these are shares of the frame, not pixels")
    outside = ((corners < 0) | (corners > sizes)).any(1)
    wanted = "pixels of the frame" if pixels else "shares of the frame, 0 to 1 (or say that they are pixels)"
    refuse_rows(
        table,
        outside,
        lambda at: (
            f"corners {', '.join(f'{value:g}' for value in corners[at])}: expected {wanted}; {names[at]} is "
            f"{headers[at].width} x {headers[at].height}"
        ),
    )
    table[list(CORNERS)] = corners / sizes
    return table


def _numbers(table: pd.DataFrame, column: str) -> pd.Series:
    numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
    refuse_rows(table, ~np.isfinite(numbers), lambda at: f"{column}: expected a number, found {table[column][at]!r}")
    return numbers


def _refuse_upside_down(table: pd.DataFrame, low: str, high: str) -> None:
    refuse_rows(
        table,
        table[high] <= table[low],
        lambda at: (
            f"{high} {table[high][at]:g} is not above {low} {table[low][at]:g}; expected the upper left and the "
            "lower right corner (not width and height)"
        ),
    )


def checked_labels(table: pd.DataFrame) -> pd.DataFrame:
    """The table if every row has a label and none stands twice. Raises BookError naming the first that are wrong."""
    if "label" not in table.columns:
        raise BookError(f"{table[WHERE][0].rpartition(',')[0]}: has no column label")
    table = table.assign(label=["" if pd.isna(label) else str(label).strip() for label in table["label"]])
    refuse_rows(table, table["label"] == "", lambda _: "has no label; give it one, or delete the row")
    key = ["video", "second", *CORNERS, "label"]
    first = table.groupby(key)[WHERE].transform("first")
    refuse_rows(table, table.duplicated(key), lambda at: f"the same box and label as in {first[at]}; delete one")
    return table


def refuse_rows(table: pd.DataFrame, wrong: Iterable[bool], words: Callable[[int], str]) -> None:
    """Raise BookError naming the first rows that are `wrong`, with `words` about each."""
    at = np.flatnonzero(np.asarray(wrong, bool))
    if len(at):
        more = f"\nand {len(at) - 3} more rows like these" if len(at) > 3 else ""
        raise BookError("\n".join(f"{table[WHERE][one]}: {words(one)}" for one in at[:3]) + more)


def _hint(name: str, known: Mapping[str, str]) -> str:
    near = nearest(name, known)
    return f"; the nearest is {near!r}" if near else ""
