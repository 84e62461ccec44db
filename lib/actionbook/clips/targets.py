"""What a sample of detection should be taken for: boxes with their classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actionbook.core.errors import BookError
from actionbook.datasets.index import BOX, Index


@dataclass(frozen=True)
class Boxes:
    """The boxes of one item, each once, in the order of the labels."""

    places: np.ndarray
    """(n, 4), x1, y1, x2, y2 as shares of the frame."""
    targets: np.ndarray
    """float32 (n, classes): 1 for each class that a box has."""


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
