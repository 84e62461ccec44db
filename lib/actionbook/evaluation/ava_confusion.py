"""Which classes score above those that a box has: in place of a confusion matrix where a box has several classes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from actionbook.evaluation import ava_tables
from actionbook.tasks.boxes import Boxes, nearest


@dataclass(frozen=True)
class Confusion:
    """For each class of the boxes of the truth, the classes that they do not have and that score higher.

    A box with several classes is there once for each, and one detection may be beaten by any number of classes or by
    none, so that neither rows nor columns add up to a number of boxes. Scores of two classes are compared as they are:
    a class whose scores are low throughout is beaten often, even where its average precision is good.
    """

    names: tuple[str, ...]
    above: np.ndarray
    """(C, C) int: at how many boxes that have class i and not class j, the score of j is above that of i."""
    matched: np.ndarray
    """(C,) int: boxes of class i on which a detected box lies. Rows of `above` are shares of these."""
    unbeaten: np.ndarray
    """(C,) int: those of them where no class that the box does not have is above."""
    missed: np.ndarray
    """(C,) int: boxes of class i on which none lies, of whatever class."""

    @property
    def shares(self) -> np.ndarray:
        """(C, C) float: `above` as shares of `matched`, 0..1; 0 for classes without a box."""
        return np.asarray(self.above / np.maximum(self.matched, 1)[:, None])

    @property
    def table(self) -> pd.DataFrame:
        """Pairs of classes, the most frequent first: class, taken for, boxes, share (of `matched`)."""
        rows, columns = np.nonzero(self.above)
        found = pd.DataFrame(
            {
                "class": np.array(self.names, object)[rows],
                "taken for": np.array(self.names, object)[columns],
                "boxes": self.above[rows, columns],
                "share": self.shares[rows, columns],
            }
        )
        return found.sort_values(["boxes", "share"], ascending=False, kind="stable").reset_index(drop=True)


def confusion(
    truth: pd.DataFrame,
    detections: pd.DataFrame,
    classes: Iterable[Hashable] | Mapping[Any, str],
    excluded: ava_tables.Excluded = (),
    *,
    iou: float = 0.5,
) -> Confusion:
    """Each box of the truth beside the detected box that overlaps it most, by at least `iou`, of whatever class.

    Arguments as those of `mean_average_precision`. A detected box may lie on several of the truth. A class for which it
    has no row scores below all others; of several rows the highest counts. Raises BookError as there.
    """
    names = ava_tables.class_names(classes)
    ava_tables.require(truth, ava_tables.TRUTH, "truth")
    ava_tables.require(detections, ava_tables.DETECTIONS, "detections")
    codes, where = ava_tables.keyframes([(truth, "truth"), (detections, "detections")])
    left_out = [where[pair] for pair in ava_tables.pairs(excluded) if pair in where]
    true, row, label, _ = _distinct(truth, "truth", codes[0], names, left_out)
    has = np.zeros((len(true), len(names)), bool)
    has[row, label] = True
    found, row, label, kept = _distinct(detections, "detections", codes[1], names, left_out)
    scores = np.full((len(found), len(names)), -np.inf)
    np.maximum.at(scores, (row, label), ava_tables.numbers(detections, "score", "detections")[kept])
    candidate, best = nearest(found, true)
    on = best >= iou
    has_on, scored = has[on], scores[candidate[on]]
    above = np.zeros((len(names), len(names)), int)
    unbeaten = np.zeros(len(names), int)
    for number in range(len(names)):
        mine = has_on[:, number]
        beaten = (scored[mine] > scored[mine, number, None]) & ~has_on[mine]
        above[number] = beaten.sum(axis=0)
        unbeaten[number] = (~beaten.any(axis=1)).sum()
    return Confusion(tuple(names.values()), above, has_on.sum(axis=0), unbeaten, has[~on].sum(axis=0))


def _distinct(
    table: pd.DataFrame, what: str, keys: np.ndarray, names: Mapping[Hashable, str], left_out: list[int]
) -> tuple[Boxes, np.ndarray, np.ndarray, np.ndarray]:
    """The boxes of a table, each once; of the rows that count, their box, their class, and their place in the table."""
    labels = ava_tables.label_numbers(table, names)
    corners = ava_tables.corners(table, what)
    kept = np.flatnonzero((labels >= 0) & ~np.isin(keys, left_out))
    every, row = ava_tables.distinct(keys[kept], corners[:, kept])
    return every, row, labels[kept], kept
