"""Average precision of boxes: which detections find a box of the truth, and the area under the curve of each class.

The arithmetic is that of the evaluation that PySlowFast and its port to MindSpore bring along (a copy of ActivityNet's,
which is one of TensorFlow's object detection), operation by operation in float64, so that scores agree to the last
digit. What it does differently from PASCAL VOC is said at `match`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from actionbook.core.boxes import overlap

Ties = Literal["stable", "numpy"]
Order = Literal["list", "score"]
_PAIRS = 1 << 22
"""Pairs of boxes that are looked at together: 32 MiB for each array of them."""


@dataclass(frozen=True)
class Boxes:
    """Boxes of keyframes, one class each: columns of equal length, in the order of a list."""

    keyframe: np.ndarray
    """(N,) int64 from 0: which keyframe, in the order in which keyframes are taken."""
    label: np.ndarray
    """(N,) int from 0: which class."""
    corners: np.ndarray
    """(4, N) float64: x1, y1, x2, y2 in any unit; areas are without + 1."""

    def __len__(self) -> int:
        return len(self.keyframe)

    @property
    def with_area(self) -> np.ndarray:
        """(N,) bool: whether x1 < x2 and y1 < y2."""
        x1, y1, x2, y2 = self.corners
        return np.asarray((x1 < x2) & (y1 < y2))

    def at(self, rows: np.ndarray) -> Boxes:
        """The boxes at some rows, by number or by bool."""
        return Boxes(self.keyframe[rows], self.label[rows], self.corners[:, rows])


@dataclass(frozen=True)
class Ranked:
    """The detections of a class, best first."""

    hits: np.ndarray
    """(n,) bool: whether a detection finds a box of the truth."""
    scores: np.ndarray
    """(n,) float64, falling."""
    wanted: int
    """Boxes of the truth."""

    @cached_property
    def precision(self) -> np.ndarray:
        """(n,) share of hits among the first 1, 2, ... n detections."""
        return np.asarray(np.cumsum(self.hits) / np.arange(1, len(self.hits) + 1))

    @cached_property
    def recall(self) -> np.ndarray:
        """(n,) share of the truth that the first 1, 2, ... n detections find; NaN where there is none."""
        found = np.cumsum(self.hits).astype(np.float64)
        return found / self.wanted if self.wanted else np.full(len(found), np.nan)

    @cached_property
    def value(self) -> float:
        """Area under precision against recall, precision made falling first (PASCAL VOC since 2010), 0..1.

        NaN where there is no truth, 0 where there is truth and no detection.
        """
        if not self.wanted:
            return float("nan")
        recall = np.concatenate([[0.0], self.recall, [1.0]])
        precision = np.maximum.accumulate(np.concatenate([[0.0], self.precision, [0.0]])[::-1])[::-1]
        steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
        return float(np.sum((recall[steps] - recall[steps - 1]) * precision[steps]))


def match(truth: Boxes, detections: Boxes, iou: float = 0.5) -> np.ndarray:
    """The box of the truth that each detection finds, (N,) its number or -1.

    Each detection has one candidate: of the boxes of its class in its keyframe the one with the largest overlap, the
    first of equals, whether it is taken or not. It is found where the overlap is at least `iou` and no detection before
    it *in the list* has found it; there is no second choice. PASCAL VOC and ActivityNet go by the score instead: sort
    the detections first (`ranked`).
    """
    candidate, best = nearest(truth, detections)
    found = np.where(best >= iou, candidate, -1)
    some = np.flatnonzero(found >= 0)
    _, first = np.unique(found[some], return_index=True)  # of those with one candidate the first in the list
    winners = some[first]
    taken = np.full(len(found), -1)
    taken[winners] = found[winners]
    return taken


def nearest(truth: Boxes, boxes: Boxes) -> tuple[np.ndarray, np.ndarray]:
    """The box of `truth` with the largest overlap among those of a box's class and keyframe, the first of equals.

    Its number and the overlap, (N,) each: -1 and 0 where there is none, NaN for the overlap where one has no area.
    """
    candidate, best = np.full(len(boxes), -1), np.zeros(len(boxes))
    by_group = np.lexsort((truth.label, truth.keyframe))  # stable: the first of equals stays the first
    for rows, first, last in _neighbours(truth, boxes):
        candidate[rows], best[rows] = _candidates(truth.corners, by_group, boxes.corners[:, rows], first, last)
    return candidate, best


def _neighbours(truth: Boxes, boxes: Boxes) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Boxes that have truth of their class in their keyframe: their rows, and the range of places of that truth.

    Places are those of the truth sorted by keyframe and class, see `_candidates`; so many rows at once as make about
    `_PAIRS` pairs.
    """
    width = int(max(truth.label.max(initial=0), boxes.label.max(initial=0))) + 1
    groups, counts = np.unique(truth.keyframe * width + truth.label, return_counts=True)
    if not len(groups):
        return
    ends = np.cumsum(counts)
    asked = boxes.keyframe * width + boxes.label
    place = np.minimum(np.searchsorted(groups, asked), len(groups) - 1)
    rows = np.flatnonzero(groups[place] == asked)
    place = place[rows]
    total = np.cumsum(counts[place])
    cuts = np.searchsorted(total, np.arange(_PAIRS, total[-1] if len(total) else 0, _PAIRS))
    for part in np.split(np.arange(len(rows)), cuts):
        if len(part):
            yield rows[part], ends[place[part]] - counts[place[part]], ends[place[part]]


def _candidates(
    truth: np.ndarray, by_group: np.ndarray, corners: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The box of `truth` (4, T) with the largest overlap, and the overlap, (n,) each, for boxes (4, n).

    `by_group` are the numbers of the truth sorted by keyframe and class; each box looks at places `first` to `last`.
    """
    counts = last - first
    starts = np.cumsum(counts) - counts
    box = np.repeat(np.arange(len(counts)), counts)
    places = by_group[np.arange(len(box)) - np.repeat(starts - first, counts)]
    overlaps = overlap(corners[:, box], truth[:, places])
    best = np.maximum.reduceat(overlaps, starts)
    # The first pair that reaches the best of its box. NaN, of boxes without area, reaches nothing and finds nothing.
    reaching = np.flatnonzero(overlaps == best[box])
    boxes, first_of = np.unique(box[reaching], return_index=True)
    candidate = np.full(len(counts), -1)
    candidate[boxes] = places[reaching[first_of]]
    return candidate, best


def ranked(
    truth: Boxes,
    detections: Boxes,
    scores: np.ndarray,
    classes: int,
    *,
    ties: Ties = "stable",
    order: Order = "list",
    iou: float = 0.5,
) -> list[Ranked]:
    """The detections of each class 0..`classes` - 1 from the highest score to the lowest, and which are hits.

    `scores` (N,) of the detections. They are taken keyframe by keyframe, in the order of the list or, with "score",
    of falling scores in each keyframe (ActivityNet's own reader). Of equal scores the last one comes first ("stable":
    the same on every machine); with "numpy" they come as the default sort of NumPy leaves them, which is what the
    original does and which differs between processors. Detections without area are dropped.
    """
    areas = detections.with_area
    if not areas.all():
        detections, scores = detections.at(areas), scores[areas]
    keys = (-scores, detections.keyframe) if order == "score" else (detections.keyframe,)
    if order == "score" or (np.diff(detections.keyframe) < 0).any():
        rows = np.lexsort(keys)
        detections, scores = detections.at(rows), scores[rows]
    hits = match(truth, detections, iou) >= 0
    by_class = np.argsort(detections.label.astype(np.min_scalar_type(classes)), kind="stable")  # small: a radix sort
    ends = np.cumsum(np.bincount(detections.label, minlength=classes))
    wanted = np.bincount(truth.label, minlength=classes)
    found = []
    for rows, count in zip(np.split(by_class, ends[:-1]), wanted, strict=True):
        best = rows[np.argsort(scores[rows], kind="stable" if ties == "stable" else None)[::-1]]
        found.append(Ranked(hits[best], scores[best], int(count)))
    return found
