"""The index: a table of items, which are scored, and a table of their labels; the same for every data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from actionbook.core.errors import BookError
from actionbook.core.files import atomic_path, sha256_json
from actionbook.core.paths import shown

ITEMS = {
    "item": "str",  # the id that results are listed under, unique, without white space
    "video": "str",  # id of its video; several items may be of one
    "frame": "int64",  # number of its keyframe, from 0; -1: the whole video is meant
    "subset": "str",  # train, test or validation
    "path": "str",  # video file (or folder of frames) below the data root, empty if it is missing
    "store": "str",  # its frames below the folder of the frame store, without .zip
    "frames": "int64",  # decoded frames; 0 before preparation, and for a video that is missing or cannot be decoded
}
BOX = ("x1", "y1", "x2", "y2")
LABELS = {
    "item": "str",
    "label": "str",  # class name, which may hold "/"
    "target": "int64",  # class number, from 0
    **dict.fromkeys(BOX, "float64"),  # of a box, as shares of the frame, 0..1; NaN: the whole frame is meant
}


@dataclass(frozen=True)
class Index:
    """Items and their labels, in the order of the data set's lists."""

    items: pd.DataFrame
    """Columns as `ITEMS`."""
    labels: pd.DataFrame
    """Columns as `LABELS`, in the items' order."""

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
        """These items, and of the labels those that belong to them."""
        return Index(items, self.labels[self.labels["item"].isin(set(items["item"]))].reset_index(drop=True))

    @cached_property
    def table(self) -> pd.DataFrame:
        """Items with their one label each: the columns of `ITEMS`, label and target. For classification.

        Raises BookError naming items that have no label or several.
        """
        counts = self.labels["item"].value_counts()
        wrong = [item for item in self.items["item"] if counts.get(item, 0) != 1]
        if wrong:
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
        items = self.items.drop(columns=["path", "store"]).to_dict("split")
        labels = self.labels.astype(object).where(self.labels.notna(), None).to_dict("split")
        return sha256_json({"items": items["data"], "labels": labels["data"]})

    @property
    def missing(self) -> list[str]:
        """Items without frames, in order."""
        return self.items["item"][self.items.frames == 0].tolist()


def make_index(rows: Iterable[Mapping[str, object]]) -> Index:
    """An index of rows of video, label, target, subset and path; further columns have defaults.

    ``item`` is the video's id, ``store`` is ``<label>/<video>``, ``frame`` -1, ``frames`` 0, and there is no box.
    Rows of one item make one item with several labels. Raises BookError if a video of whole-video items occurs twice,
    if an item's rows disagree, or if an id has white space.
    """
    filled = [
        {
            "item": row["video"],
            "frame": -1,
            "frames": 0,
            "store": f"{row['label']}/{row['video']}",
            **dict.fromkeys(BOX, float("nan")),
            **row,
        }
        for row in rows
    ]
    every = pd.DataFrame(filled, columns=list(ITEMS | LABELS)).astype(ITEMS | LABELS)
    boxes = every[list(BOX)].notna().all(axis=1)
    twice = every["item"][every["item"].duplicated() & ~boxes].unique()
    if len(twice):
        raise BookError(f"{len(twice)} videos are listed twice: {', '.join(twice[:10])}")
    items = every[list(ITEMS)].drop_duplicates(ignore_index=True)
    index = Index(items, every[list(LABELS)].reset_index(drop=True))
    _check(index, "the index")
    return index


def _check(index: Index, what: str) -> None:
    """Raise BookError unless ids are unique and without white space, and items and labels name each other."""
    ids = index.items["item"]
    if twice := ids[ids.duplicated()].unique().tolist():
        raise BookError(f"{what}: rows of one item disagree, such as those of {', '.join(twice[:5])}")
    if spaced := [item for item in ids if not item or item != "".join(item.split())]:
        raise BookError(f"{what}: ids of items have no white space; found {', '.join(map(repr, spaced[:5]))}")
    strangers = set(index.labels["item"]) - set(ids)
    if strangers:
        raise BookError(f"{what}: labels of items that do not exist, such as {', '.join(sorted(strangers)[:5])}")


def _files(stem: Path) -> tuple[Path, Path]:
    return stem.with_name(f"{stem.name}-items.csv"), stem.with_name(f"{stem.name}-labels.csv")


def write_index(index: Index, stem: Path) -> None:
    """Write ``<stem>-items.csv`` and ``<stem>-labels.csv``, each in one step."""
    for table, path in zip((index.items, index.labels), _files(stem), strict=True):
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False)


def read_index(stem: Path) -> Index:
    """Read an index. Raises BookError if a file is missing or has other columns, or the two do not belong together."""
    tables = []
    for path, columns in zip(_files(stem), (ITEMS, LABELS), strict=True):
        try:
            table = pd.read_csv(path, dtype=columns, keep_default_na=False, na_values=dict.fromkeys(BOX, ""))
        except (OSError, ValueError) as error:
            raise BookError(f"{shown(path)}: is not a readable index ({error}); run notebook 01_data again") from error
        if list(table.columns) != list(columns):
            raise BookError(f"{shown(path)}: expected the columns {', '.join(columns)}; run notebook 01_data again")
        tables.append(table)
    index = Index(*tables)
    _check(index, f"{shown(stem)}-*.csv")
    return index


def missing_sha256(items: list[str]) -> str | None:
    """Digest of a list of missing items, so that two runs with the same N can be told to lack the same ones."""
    return sha256_json(sorted(items)) if items else None
