"""What a sample of detection should be taken for: boxes with their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError
from actionbook.datasets.index import BOX, NO_CLASS, Index


@dataclass(frozen=True)
class Boxes:
    """The boxes of one item, each once, in the order of the labels."""

    places: np.ndarray
    """(n, 4), x1, y1, x2, y2 as shares of the frame."""
    targets: np.ndarray
    """float32 (n, classes): 1 for each class that a box has; none for one without."""


@dataclass(frozen=True, eq=False)
class BoxTable(Mapping[str, Boxes]):
    """The boxes of every item that has some, made when they are asked for: a data set may have a million labels."""

    classes: int
    places: np.ndarray
    """(boxes, 4), item by item."""
    ranges: dict[str, tuple[int, int]]
    """First box and the one past the last, of each item."""
    labels: np.ndarray
    """(labels, 2), ascending: number of the box, class."""

    def __getitem__(self, item: str) -> Boxes:
        first, end = self.ranges[item]
        start, stop = np.searchsorted(self.labels[:, 0], [first, end])
        rows, classes = self.labels[start:stop].T
        targets = np.zeros((end - first, self.classes), np.float32)
        targets[rows - first, classes] = 1
        return Boxes(self.places[first:end], targets)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ranges)

    def __len__(self) -> int:
        return len(self.ranges)


def boxes_of(index: Index, classes: int) -> BoxTable:
    """The boxes that a network is asked about. Labels with the same four numbers belong to one box of their item.

    They are those of the labels; where a detector has found some (``index.boxes``), of items that are not for training
    its boxes, without a class. Raises BookError for a label without a box, or of a class number outside 0..classes-1.
    """
    rows = index.labels[["item", "target", *BOX]]
    if index.boxes is not None:
        learned = index.items["item"][index.items.subset == "train"]
        found = index.boxes[~index.boxes["item"].isin(learned)].assign(target=NO_CLASS)
        rows = pd.concat([rows[rows["item"].isin(learned)], found[rows.columns]], ignore_index=True)
    wrong = rows[rows[list(BOX)].isna().any(axis=1) | ~rows.target.between(NO_CLASS, classes - 1)]
    if len(wrong):
        first = wrong.iloc[0]
        raise BookError(
            f"{len(wrong)} labels cannot be used, such as that of item {first['item']} with class {first.target} "
            f"and box {first[list(BOX)].tolist()}: expected four numbers and a class of 0..{classes - 1}"
        )
    owner, names = pd.factorize(rows["item"])
    rows = rows.assign(owner=owner).sort_values("owner", kind="stable", ignore_index=True)
    number = rows.groupby(["owner", *BOX], sort=False).ngroup().to_numpy()
    boxes = rows[~rows.duplicated(["owner", *BOX])]
    ends = np.cumsum(np.bincount(boxes.owner, minlength=len(names)))
    limits = zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True) if len(names) else ()
    known = rows.target.to_numpy() != NO_CLASS
    labels = np.stack([number[known], rows.target.to_numpy()[known]], axis=1)
    return BoxTable(
        classes,
        boxes[list(BOX)].to_numpy(np.float64),
        dict(zip(map(str, names), limits, strict=True)),
        labels[np.argsort(labels[:, 0], kind="stable")],
    )
