"""AVA's list files: boxes with classes, boxes of a detector, keyframes that are left out, names of classes.

Gu et al., CVPR 2018; the columns are those of ava_train_v2.2.csv and of the boxes that PySlowFast publishes with it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.keyframes import Keyframes
from actionbook.core.paths import shown
from actionbook.datasets.index import BOX, NO_CLASS
from actionbook.datasets.lists import read_text

COLUMNS = ("video", "second", *BOX, "label", "last")
"""Of a list of boxes. `last` is the person's number in lists that people have made, and a score in a detector's."""
_NUMBERS = ("second", *BOX, "label", "last")
_ROW = "video, second, x1, y1, x2, y2, class number from 1"


def read_boxes(path: Path, keyframes: Keyframes, classes: int, *, scored: bool) -> pd.DataFrame:
    """A list of boxes: columns video, second, x1, y1, x2, y2 (shares of the frame), label, last; no row is left out.

    `label` is the number of a class from 1, as it is written there, or -1 for a box without one. With `scored` the last
    column is a detector's score, 0..1, else a person's number, which may be missing. Raises BookError naming file and
    line for whatever is no such row, for a box whose right or lower side lies before its left or upper one or that
    leaves the picture, for a second that no keyframe has, and for a class that does not exist.
    """
    table = read_rows(path, ("video",), _NUMBERS)
    table["label"] = table.label.fillna(NO_CLASS)
    if not scored:
        table["last"] = table["last"].fillna(0)
    first, last = keyframes.first, keyframes.last
    x1, y1, x2, y2 = (table[side] for side in BOX)
    places = table[list(BOX)]
    wrong = {
        f"{_ROW}, {'score' if scored else 'person'}": (table.video == "")
        | table[[*_NUMBERS]].isna().any(axis=1)
        | np.isinf(table[[*_NUMBERS]]).any(axis=1),
        f"a second from {first:g} to {last:g}, as keyframes have": ~table.second.between(first, last),
        "x1 <= x2 and y1 <= y2": (x2 < x1) | (y2 < y1),
        "a box as shares of the frame, 0..1 (divide pixels by its width and height)": ((places < 0) | (places > 1)).any(
            axis=1
        ),
        f"a class of 1..{classes}{' (or -1, or nothing)' if scored else ''}; AVA counts from 1": ~(
            table.label.between(1, classes) | (scored & (table.label == NO_CLASS))
        )
        | (table.label % 1 != 0),
        **({"a score of 0..1 in the last column": ~table["last"].between(0, 1)} if scored else {}),
    }
    refuse(path, wrong)
    return table.astype({"label": "int64"}).reset_index(drop=True)


def read_excluded(path: Path) -> pd.DataFrame:
    """Keyframes that are left out: columns video and second; an empty file has none. Raises as `read_boxes`."""
    table = read_rows(path, ("video",), ("second",), empty=True)
    refuse(path, {"video, second": (table.video == "") | table.second.isna()})
    return table.reset_index(drop=True)


def read_class_list(path: Path) -> dict[int, str]:
    """Names of the classes by their numbers from 1: ``name: "…"`` and then ``id: N`` or ``label_id: N`` of each.

    Raises BookError naming file and line where a name or a number is missing or occurs twice.
    """
    found: dict[int, str] = {}
    name: str | None = None
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if match := re.fullmatch(r'\s*name:\s*"((?:[^"\\]|\\.)*)"\s*', line):
            if name is not None:
                raise BookError(f"{shown(path)}, line {number}: expected the number of {name!r}, found another name")
            name = re.sub(r"\\(.)", r"\1", match[1])
        elif match := re.fullmatch(r"\s*(?:label_)?id:\s*([0-9]+)\s*", line):
            if name is None or int(match[1]) in found or name in found.values():
                raise BookError(f"{shown(path)}, line {number}: expected the number of one class, found {line.strip()}")
            found[int(match[1])] = name
            name = None
    if name is not None or not found:
        raise BookError(f'{shown(path)}: expected lines such as name: "walk" and id: 14, found {name or "none"!r} last')
    return found


def read_rows(path: Path, texts: tuple[str, ...], numbers: tuple[str, ...], *, empty: bool = False) -> pd.DataFrame:
    """The rows of a list without a header, whose first columns are texts and the others numbers, NaN for nothing.

    The index counts lines from 0, see `refuse`. Raises BookError naming the line with a value that is no finite number,
    or with too many; and for a list without rows, unless it may be `empty`.
    """
    names = [*texts, *numbers]
    types = {**dict.fromkeys(texts, "str"), **dict.fromkeys(numbers, "float64")}
    if not path.is_file():
        read_text(path)  # says what is there instead
    try:
        # One column more than there should be, so that a value too many is seen in the first line, too.
        table = pd.read_csv(
            path,
            header=None,
            names=[*names, "more"],
            dtype={**types, "more": "str"},
            keep_default_na=False,
            na_values=dict.fromkeys(numbers, ""),
            float_precision="round_trip",
            encoding="utf-8-sig",
            skip_blank_lines=False,
        )
    except pd.errors.EmptyDataError:
        table = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in {**types, "more": "str"}.items()})
    except pd.errors.ParserError as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        where, saw = (f", line {found[2]}", f"{found[3]} values") if found else ("", str(error))
        raise BookError(
            f"{shown(path)}{where}: expected {len(names)} values ({', '.join(names)}), found {saw}"
        ) from error
    except (ValueError, OverflowError):
        raise _no_number(path, len(texts), names) from None
    table = table[(table[names[0]] != "") | table[list(numbers)].notna().any(axis=1)]
    if table.empty and not empty:
        raise BookError(f"{shown(path)}: is empty, expected a row for each box; fetch it again")
    more = table["more"].fillna("") != ""
    refuse(path, {f"{len(names)} values ({', '.join(names)})": more})
    return table.drop(columns="more")


def refuse(path: Path, wrong: dict[str, pd.Series]) -> None:
    """Raise BookError for the first line that breaks a rule, saying how many others do."""
    for rule, rows in wrong.items():
        if rows.any():
            line = int(rows[rows].index[0])
            others = f" ({int(rows.sum())} lines are like this)" if rows.sum() > 1 else ""
            raise BookError(f"{shown(path)}, line {line + 1}: expected {rule}; found {_line(path, line)!r}{others}")


def _line(path: Path, number: int) -> str:
    """One line of a file, from 0, as it is written there."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        text = next((line for k, line in enumerate(file) if k == number), "").rstrip("\r\n")
    return text if len(text) <= 120 else f"{text[:117]}..."


def _no_number(path: Path, first: int, names: list[str]) -> BookError:
    """The error for the first value that should be a number and is none."""
    for number, line in enumerate(read_text(path).splitlines(), 1):
        for name, value in zip(names[first:], line.split(",")[first:], strict=False):
            try:
                found = float(value or 0)
            except ValueError:
                found = math.nan
            if not math.isfinite(found):
                header = "; the file should have no header" if number == 1 else ""
                return BookError(
                    f"{shown(path)}, line {number}: expected a number for {name}, found {value!r} in {line!r}{header}"
                )
    return BookError(f"{shown(path)}: is not a list of {', '.join(names)}")
