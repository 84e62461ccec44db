"""Tables of boxes in the manner of AVA: what they must hold, and their videos, seconds and classes as numbers.

A table of truth has the columns ``video``, ``second``, ``x1``, ``y1``, ``x2``, ``y2`` (shares of the frame, 0..1) and
``label``, one row for each box and class; one of detections has a ``score``, too.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError, some
from actionbook.datasets.index import BOX as CORNERS
from actionbook.tasks.boxes import Boxes

TRUTH = ("video", "second", *CORNERS, "label")
DETECTIONS = (*TRUTH, "score")
Excluded = Iterable[Any] | pd.DataFrame
"""Keyframes: pairs (video, second), texts "video,0902", or a table with the columns ``video`` and ``second``."""


def require(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise BookError unless the table, called `what` in the message, has the columns."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise BookError(
            f"{what}: no column {', '.join(missing)}; the columns are {some(table.columns, 12)}: rename them to "
            f"{', '.join(columns)}"
        )


def numbers(table: pd.DataFrame, column: str, what: str) -> np.ndarray:
    """A column as float64 (N,). Raises BookError naming the first row that holds no finite number, from 0."""
    found = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    good = np.isfinite(found)
    if not good.all():
        row = int(np.argmin(good))
        raise BookError(
            f"{what}, row {row} (from 0): {column} is {table[column].iloc[row]!r}, expected a finite number "
            f"({int((~good).sum()):,} such rows): a network that has diverged gives NaN, a line cut short nothing"
        )
    return found


def corners(table: pd.DataFrame, what: str) -> np.ndarray:
    """Boxes, float64 (4, N). Raises BookError as `numbers`."""
    found = np.empty((4, len(table)))
    for place, column in enumerate(CORNERS):
        found[place] = numbers(table, column, what)
    return found


def keyframes(tables: Sequence[tuple[pd.DataFrame, str]]) -> tuple[list[np.ndarray], dict[tuple[str, float], int]]:
    """The keyframes of several tables as numbers, int64 (N,) each, and the number of each (video, second) that occurs.

    Seconds may be numbers or texts such as "0902". Each table comes with what it is called in messages. Raises
    BookError naming the row of a second that is no number, or of an empty video.
    """
    videos: dict[str, int] = {}
    seconds: dict[float, int] = {}
    codes = []
    for table, what in tables:
        named, names = pd.factorize(table["video"])
        if (named < 0).any():
            raise BookError(f"{what}, row {int(np.argmin(named))} (from 0): no video")
        timed, times = pd.factorize(table["second"])  # few values: only those are parsed
        values = np.append(pd.to_numeric(pd.Series(list(times), dtype=object), errors="coerce"), np.nan).astype(float)
        if not np.isfinite(values[timed]).all():
            numbers(table, "second", what)  # says which
        known = np.array([videos.setdefault(str(name), len(videos)) for name in names], np.int64)
        moments = np.array([seconds.setdefault(value, len(seconds)) for value in values[:-1].tolist()], np.int64)
        codes.append((known[named] << 32) | moments[timed])
    places, present = pd.factorize(np.concatenate(codes) if codes else np.zeros(0, np.int64))
    called, moment = list(videos), list(seconds)
    where = {(called[one >> 32], moment[one & 0xFFFFFFFF]): number for number, one in enumerate(present.tolist())}
    ends = np.cumsum([len(one) for one in codes])
    return np.split(places, ends[:-1]), where


def pairs(excluded: Excluded) -> set[tuple[str, float]]:
    """Keyframes (video, second) from any form of `Excluded`. Raises BookError for what is none."""
    if isinstance(excluded, pd.DataFrame):
        require(excluded, ("video", "second"), "excluded keyframes")
        excluded = zip(excluded["video"], excluded["second"], strict=True)
    found = set()
    one: Any
    for one in excluded:
        video, _, second = one.rpartition(",") if isinstance(one, str) else (one[0], None, one[1])
        try:
            found.add((str(video), float(second)))
        except (TypeError, ValueError):
            raise BookError(f'excluded keyframes: {one!r}, expected (video, second) or "video,0902"') from None
    return found


def class_names(classes: Iterable[Hashable] | Mapping[Any, str]) -> dict[Hashable, str]:
    """The name of each label; a label that has none is called by itself. Raises BookError for none, and for one twice.

    `classes` are labels, or a mapping from label to name.
    """
    if isinstance(classes, Mapping):
        names = {label: str(name) for label, name in classes.items()}
    else:
        labels = list(classes)
        names = {label: str(label) for label in labels}
        if len(names) < len(labels):
            raise BookError(f"classes: {some(sorted({str(one) for one in labels if labels.count(one) > 1}))} twice")
    if not names:
        raise BookError("classes: none; give those that count, for AVA the 60 numbers of its list of actions")
    return names


def label_numbers(table: pd.DataFrame, names: Mapping[Hashable, str]) -> np.ndarray:
    """The place of each row's label among `names`, int64 (N,); -1 for others and for none."""
    codes, labels = pd.factorize(table["label"])
    places = {label: number for number, label in enumerate(names)}
    return np.array([*(places.get(label, -1) for label in labels), -1], np.int64)[codes]


def distinct(keyframe: np.ndarray, box: np.ndarray) -> tuple[Boxes, np.ndarray]:
    """The boxes (4, N) of keyframes (N,), each once and all of one class, and the number of each row's among them."""
    places = pd.DataFrame({"keyframe": keyframe, **dict(zip(CORNERS, box, strict=True))})
    row = places.groupby(list(places), sort=False).ngroup().to_numpy()
    one = places.drop_duplicates()
    every = Boxes(one["keyframe"].to_numpy(), np.zeros(len(one), np.int64), one[list(CORNERS)].to_numpy().T)
    return every, row


def repeated(keyframe: np.ndarray, label: np.ndarray, box: np.ndarray) -> int:
    """How many rows have the keyframe, class and corners (4, N) of a row before them."""
    mixed = keyframe.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + label.astype(np.uint64)
    for column in box:
        bits = (column + 0.0).view(np.uint64)  # -0.0 is 0.0
        mixed = (mixed ^ (bits >> np.uint64(29)) ^ bits) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(31)
    ordered = np.sort(mixed)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if not len(twice):
        return 0
    rows = np.flatnonzero(np.isin(mixed, twice))  # equal bits of a mixture are no proof
    return int(pd.DataFrame([keyframe[rows], label[rows], *box[:, rows]]).T.duplicated().sum())
