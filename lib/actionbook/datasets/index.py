"""The index: a table of items, which are scored, and a table of their labels; the same for every data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from gzip import GzipFile
from pathlib import Path
from typing import Literal

import pandas as pd

from actionbook.core.errors import BookError, some
from actionbook.core.files import atomic_path
from actionbook.core.paths import shown
from actionbook.datasets.table_json import json_rows

ITEMS = {
    "item": "str",  # the id that results are listed under, unique, without white space
    "video": "str",  # id of its video; several items may be of one
    "frame": "int64",  # number of its keyframe, from 0; -1: the whole video is meant
    "subset": "str",  # one of SUBSETS
    "path": "str",  # video file (or folder of frames) below the data root, empty if it is missing
    "store": "str",  # its frames below the folder of the frame store, without .zip
    "frames": "int64",  # decoded frames; 0 before preparation, and for a video that is missing or cannot be decoded
}
SUBSETS = ("train", "test", "validation")
BOX = ("x1", "y1", "x2", "y2")
LABELS = {
    "item": "str",
    "label": "str",  # class name, which may hold "/"
    "target": "int64",  # class number, from 0
    **dict.fromkeys(BOX, "float64"),  # of a box, as shares of the frame, 0..1; NaN: the whole frame is meant
}
"""A box in which none of the classes is to be seen has one row, with an empty label and `NO_CLASS`."""
NO_CLASS = -1
BOXES = {"item": "str", **dict.fromkeys(BOX, "float64"), "score": "float64"}
"""Boxes that a detector has found, with its score, 0..1."""


@dataclass(frozen=True, eq=False)
class Index:
    """Items and their labels, in the order of the data set's lists."""

    items: pd.DataFrame
    """Columns as `ITEMS`."""
    labels: pd.DataFrame
    """Columns as `LABELS`, in the items' order."""
    boxes: pd.DataFrame | None = None
    """Columns as `BOXES`: what a network is asked about in items that are not for training. None: the labels' boxes."""

    def __len__(self) -> int:
        return len(self.items)

    def of_subset(self, name: str) -> Index:
        """The items of one subset ("train", "test"), those that are missing included, renumbered from 0."""
        return self.with_items(self.items[self.items.subset == name].reset_index(drop=True))

    def subset(self, name: str) -> Index:
        """The prepared items of one subset, renumbered from 0."""
        chosen = (self.items.subset == name) & (self.items.frames > 0)
        return self.with_items(self.items[chosen].reset_index(drop=True))

    def with_items(self, items: pd.DataFrame) -> Index:
        """These items, and of the labels and boxes those that belong to them."""
        ids = set(items["item"])
        labels, *boxes = (
            table[table["item"].isin(ids)].reset_index(drop=True)
            for table in (self.labels, self.boxes)
            if table is not None
        )
        return Index(items, labels, *boxes)

    @property
    def videos(self) -> pd.DataFrame:
        """The items, one for each video: the first of those that share it."""
        return self.items.drop_duplicates("video", ignore_index=True)

    @cached_property
    def table(self) -> pd.DataFrame:
        """Items with their one label each: the columns of `ITEMS`, label and target. For classification.

        Raises BookError naming items that have no label or several.
        """
        ids = self.items["item"]
        counts = self.labels["item"].value_counts().reindex(ids, fill_value=0)
        if wrong := ids[counts.to_numpy() != 1].tolist():
            raise BookError(
                f"{len(wrong)} items have no class or several, expected one each: {', '.join(wrong[:10])}; "
                "with several classes the task is detection"
            )
        return self.items.merge(self.labels[["item", "label", "target"]], on="item", how="left", validate="1:1")

    @property
    def truth(self) -> pd.Series:
        """Class number by item, in order. Raises BookError as `table`."""
        return self.table.set_index("item").target

    @cached_property
    def sha256(self) -> str:
        """Digest of items and labels, wherever the videos lie and by whatever names their files are called."""
        tables = {"boxes": self.boxes, "items": self.items.drop(columns=["path", "store"]), "labels": self.labels}
        parts = [f'"{name}":{_list(json_rows(table))}' for name, table in tables.items() if table is not None]
        return _sha256(f"{{{','.join(parts)}}}")

    @cached_property
    def truth_sha256(self) -> str:
        """Digest of what the test items are and show, which a manifest says of each split (`core.manifest.Split`).

        Of a list in canonical JSON with, for each label of a test item, item, label, target, x1, y1, x2, y2 (null where
        the whole frame is meant), sorted as text: published lists of one split differ in their order, Kinetics' do. It
        hangs on neither files nor frames, nor on a detector's boxes; a keyframe that only those lie on has no row.
        """
        return _sha256(_list(sorted(json_rows(self.of_subset("test").labels[list(LABELS)]))))

    @property
    def missing(self) -> list[str]:
        """Items without frames, in order."""
        return self.items["item"][self.items.frames == 0].tolist()

    def lacks(self, column: Literal["frames", "path"] = "frames") -> str:
        """What is missing, in one line that stands beside every result; empty if nothing is.

        How many videos lack frames (or a path, for an index that is not prepared), the first of them, and the classes
        of which a subset has no video at all.
        """
        videos = self.videos
        absent = videos.video[~videos[column].astype(bool)]
        if absent.empty:
            return ""
        rows = self.labels.merge(self.items[["item", "video", "subset"]], on="item")
        there = (~rows.video.isin(set(absent))).groupby([rows.label, rows.subset], sort=False).any()
        empty: dict[str, list[str]] = {}
        for label, subset in there.index[~there]:
            empty.setdefault(str(label), []).append(str(subset))
        listed = [f"{label} ({' and '.join(subsets)})" for label, subsets in empty.items()]
        few = f"{len(absent)} of {len(videos)} videos are missing: {some(absent.tolist(), 3)}"
        return f"{few}; no video at all of {some(listed, 10)}" if listed else few


def _list(rows: Iterable[str]) -> str:
    return f"[{','.join(rows)}]"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_index(rows: Iterable[Mapping[str, object]]) -> Index:
    """An index of rows of video, label, target, subset and path; further columns have defaults.

    ``item`` and ``store`` are the video's id, ``frame`` is -1, ``frames`` 0, and there is no box.
    Rows of one item are its labels. Raises BookError naming items that are listed twice with one label and box, whose
    rows disagree in what is no label, or that `Index` cannot hold (see `check`).
    """
    filled = [
        {
            "item": row["video"],
            "frame": -1,
            "frames": 0,
            "store": row["video"],
            **dict.fromkeys(BOX, float("nan")),
            **row,
        }
        for row in rows
    ]
    every = pd.DataFrame(filled, columns=list(ITEMS | LABELS)).astype(ITEMS | LABELS)
    if twice := every["item"][every.duplicated(["item", "target", *BOX])].unique().tolist():
        raise BookError(f"{len(twice)} videos are listed twice: {', '.join(twice[:10])}")
    items = every[list(ITEMS)].drop_duplicates(ignore_index=True)
    index = Index(items, every[list(LABELS)])
    check(index)
    return index


def check(index: Index) -> None:
    """Raise BookError unless items, labels and boxes are what the columns above say, and belong together."""
    ids, labels, places = index.items["item"], index.labels, index.items[["video", "store", "path", "frames"]]
    places, found = places.drop_duplicates(), index.boxes
    every = labels[["item", *BOX]] if found is None else pd.concat([labels[["item", *BOX]], found[["item", *BOX]]])
    x1, y1, x2, y2 = (every[side] for side in BOX)
    whole = every[list(BOX)].isna().all(axis=1)
    whole.iloc[len(labels) :] = False
    scores = pd.Series(dtype="float64") if found is None else found.score
    wrong = {
        "rows of one item disagree": ids[ids.duplicated()],
        "ids of items are text without white space": ids[(ids == "") | ids.str.contains(r"\s")],
        f"subsets are {', '.join(SUBSETS)}": index.items.subset[~index.items.subset.isin(SUBSETS)],
        "stores are paths below a folder": places.store[places.store.str.contains(r"(?:^|/)\.{0,2}(?:/|$)")],
        "labels and boxes belong to items of the index": every["item"][~every["item"].isin(ids)],
        "items of one video have one store, path and number of frames": places.video[places.video.duplicated()],
        "videos have each a store of their own": places.store[places.store.duplicated() & ~places.video.duplicated()],
        "class numbers count from 0 (-1: a box without a class)": labels["item"][
            (labels.target < NO_CLASS) | ((labels.target == NO_CLASS) & labels.x1.isna())
        ],
        "scores of boxes are 0..1": scores[~scores.between(0, 1)],
        "boxes are shares of the frame, 0 <= x1 <= x2 <= 1 and y likewise, or left out": every["item"][
            ~(whole | ((x1 >= 0) & (x1 <= x2) & (x2 <= 1) & (y1 >= 0) & (y1 <= y2) & (y2 <= 1)))
        ],
    }
    for rule, broken in wrong.items():
        if len(broken):
            raise BookError(f"{rule}; found {', '.join(map(repr, broken.unique().tolist()[:5]))}")


def _files(stem: Path, suffix: str) -> tuple[Path, Path, Path]:
    items, labels, boxes = (stem.with_name(f"{stem.name}-{what}{suffix}") for what in ("items", "labels", "boxes"))
    return items, labels, boxes


def write_index(index: Index, stem: Path, suffix: str = ".csv") -> None:
    """Write ``<stem>-items.csv``, ``<stem>-labels.csv`` and, if there are any, ``<stem>-boxes.csv``, each in a step.

    With the suffix ".csv.gz" they are compressed; the same tables give the same bytes.
    """
    for table, path in zip((index.items, index.labels, index.boxes), _files(stem, suffix), strict=True):
        if table is None:
            path.unlink(missing_ok=True)
            continue
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            if suffix.endswith(".gz"):  # without a name and a time, which GzipFile would take from the file
                with GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                    table.to_csv(packed, index=False)
            else:
                table.to_csv(file, index=False)


def read_index(stem: Path, suffix: str = ".csv") -> Index:
    """Read an index. Raises BookError if a file is missing or has other columns, or the two do not belong together."""
    tables = []
    for path, columns in zip(_files(stem, suffix), (ITEMS, LABELS, BOXES), strict=True):
        if columns is BOXES and not path.exists():
            continue
        try:
            table = pd.read_csv(
                path,
                dtype=columns,
                keep_default_na=False,
                na_values=dict.fromkeys(BOX, ""),
                float_precision="round_trip",
            )
        except (OSError, ValueError) as error:
            raise BookError(f"{shown(path)}: is not a readable index ({error}); run notebook 01_data again") from error
        if list(table.columns) != list(columns):
            raise BookError(f"{shown(path)}: expected the columns {', '.join(columns)}; run notebook 01_data again")
        tables.append(table)
    index = Index(*tables)
    try:
        check(index)
    except BookError as error:
        raise BookError(f"{shown(stem)}-*.csv: {error}; run notebook 01_data again") from error
    return index
