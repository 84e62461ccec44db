"""AVA's official files, written as AVA and the users of its person detector publish them.

Formats: Gu et al., CVPR 2018, and the annotation archive of PySlowFast (slowfast/datasets/DATASET.md). No file has a
header; lines end in LF.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import write_text_atomic
from actionbook.core.paths import shown
from actionbook.datasets.index import BOX as CORNERS

COLUMNS = ("video", "second", *CORNERS, "label", "last")


def second_text(second: float) -> str:
    """A second as AVA writes it: four digits, such as 0902; one with a fraction as Python does, such as 902.5."""
    return f"{int(second):04d}" if float(second).is_integer() else repr(float(second))


def boxes_text(rows: pd.DataFrame, digits: int = 3, where: str = "boxes") -> str:
    """What a file of boxes holds: truth such as ``ava_train_v2.2.csv``, or what a detector found.

    `rows` has the columns `COLUMNS`: corners as shares of the frame, 0 to 1, written with `digits` decimals (AVA has
    3); label an integer (-1: a detected box that is on none of the truth), or missing, which is written as nothing;
    `last` the number of the person if its type is an integer, else the detector's score, with 6 decimals. The order
    stays. Raises BookError naming `where` and the row for missing columns or values, and corners that are no shares.
    """
    if absent := [name for name in COLUMNS if name not in rows.columns]:
        raise BookError(
            f"{where}: the table has no column {', '.join(absent)}; expected {', '.join(COLUMNS)}, found "
            f"{', '.join(map(str, rows.columns))}"
        )
    for name in ("second", *CORNERS, "last"):
        values = pd.to_numeric(rows[name], errors="coerce").to_numpy(float, na_value=np.nan)
        corner = name in CORNERS
        wrong = ~np.isfinite(values) | ((values < 0) | (values > 1) if corner else False)
        if wrong.any():
            row, wanted = int(wrong.argmax()), "a share of the frame, 0 to 1" if corner else "a number"
            raise BookError(f"{where}: row {row} of the table, {name}: expected {wanted}, found {rows[name].iloc[row]}")
    persons = pd.api.types.is_integer_dtype(rows["last"].dtype)
    return _lines(
        (
            video,
            second_text(second),
            *(f"{corner:.{digits}f}" for corner in corners),
            "" if pd.isna(label) else int(label),
            last if persons else f"{last:.6f}",
        )
        for video, second, *corners, label, last in rows[list(COLUMNS)].itertuples(index=False)
    )


def excluded_text(pairs: Iterable[tuple[str, float]]) -> str:
    """A file of keyframes that are left out, (video, second), such as ``ava_val_excluded_timestamps_v2.2.csv``."""
    return _lines((video, second_text(second)) for video, second in pairs)


def class_list_text(classes: Mapping[int, tuple[str, str]]) -> str:
    """(name, kind) of classes by their number, in ascending order, as text of protocol buffers.

    Kinds are AVA's PERSON_MOVEMENT, OBJECT_MANIPULATION and PERSON_INTERACTION. Without kinds ("") the text is as
    ``ava_action_list_v2.2_for_activitynet_2019.pbtxt``, where lines are ``  name: "..."`` and ``  id: N``; with them as
    ``ava_action_list_v2.2.pbtxt``, which calls the number ``label_id``. Raises BookError for an empty name.
    """
    blocks = []
    for number, (name, kind) in sorted(classes.items()):
        if not name.strip() or "\n" in name:
            raise BookError(f"class {number}: expected a name on one line, found {name!r}")
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        block = ("label", "label_id", f"\n  label_type: {kind}") if kind else ("item", "id", "")
        blocks.append(f'{block[0]} {{\n  name: "{quoted}"\n  {block[1]}: {number}{block[2]}\n}}\n')
    return "".join(blocks)


def write_boxes(path: Path, rows: pd.DataFrame, digits: int = 3) -> None:
    """Write boxes to a file; see `boxes_text`."""
    write_text_atomic(path, boxes_text(rows, digits, shown(path)))


def write_excluded(path: Path, pairs: Iterable[tuple[str, float]]) -> None:
    """Write keyframes that are left out; see `excluded_text`."""
    write_text_atomic(path, excluded_text(pairs))


def write_class_list(path: Path, classes: Mapping[int, tuple[str, str]]) -> None:
    """Write names and kinds of classes; see `class_list_text`."""
    write_text_atomic(path, class_list_text(classes))


def _lines(rows: Iterable[tuple[object, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
