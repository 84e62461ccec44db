"""What a sample should be taken for: class numbers, or boxes with their classes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from actionbook.core.errors import BookError
from actionbook.core.sections import Classification, Detection
from actionbook.datasets.index import BOX, Index


@dataclass(frozen=True)
class Boxes:
    """The boxes of one item, each once, in the order of the labels."""

    places: np.ndarray
    """(n, 4), x1, y1, x2, y2 as shares of the frame."""
    targets: np.ndarray
    """float32 (n, classes): 1 for each class that a box has."""


@dataclass(frozen=True)
class Targets:
    """The targets of an index, for one task."""

    index: Index
    task: Classification | Detection
    classes: int

    @cached_property
    def class_numbers(self) -> np.ndarray:
        """int32 (items,), in the index's order; of classification."""
        return self.index.truth.to_numpy(np.int32)

    @cached_property
    def _boxes(self) -> dict[str, Boxes]:
        return boxes_of(self.index, self.classes)

    def boxes(self, item: str) -> Boxes:
        """Of detection: the boxes of an item. Raises BookError where it has more than the recipe allows."""
        found = self._boxes.get(item, Boxes(np.zeros((0, 4)), np.zeros((0, self.classes), np.float32)))
        most = self.task.boxes if isinstance(self.task, Detection) else 0
        if len(found.places) > most:
            raise BookError(f"item {item}: {len(found.places)} boxes, the recipe has room for {most} (task.boxes)")
        return found


def boxes_of(index: Index, classes: int) -> dict[str, Boxes]:
    """The boxes of every item that has some. Labels with the same four numbers belong to one box.

    Raises BookError for a label without a box, or of a class number outside 0..classes-1.
    """
    labels = index.labels
    wrong = labels[labels[list(BOX)].isna().any(axis=1) | ~labels.target.between(0, classes - 1)]
    if len(wrong):
        first = wrong.iloc[0]
        raise BookError(
            f"{len(wrong)} labels cannot be used, such as that of item {first['item']} with class {first.target} "
            f"and box {first[list(BOX)].tolist()}: expected four numbers and a class of 0..{classes - 1}"
        )
    found: dict[str, Boxes] = {}
    for item, mine in labels.groupby("item", sort=False):
        places, number = np.unique(mine[list(BOX)].to_numpy(np.float64), axis=0, return_inverse=True)
        order = np.argsort([np.flatnonzero(number == k)[0] for k in range(len(places))])
        targets = np.zeros((len(places), classes), np.float32)
        targets[number, mine.target.to_numpy()] = 1
        found[str(item)] = Boxes(places[order], targets[order])
    return found
