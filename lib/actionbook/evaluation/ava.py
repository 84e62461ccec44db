"""Mean average precision of boxes and classes, as AVA's evaluation counts it.

Gu et al., "AVA: A Video Dataset of Spatio-temporally Localized Atomic Visual Actions", CVPR 2018; the details are those
of PySlowFast (facebookresearch/SlowFast, ava_evaluation), from which published scores of SlowFast come. ActivityNet's
own program differs in two: it matches in the order of scores (`order="score"`), and it reads the 50 best rows of a
keyframe only, which is left to those who make the table.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from actionbook.core.errors import BookError, some
from actionbook.evaluation import ava_tables
from actionbook.tasks.boxes import Boxes, Order, Ranked, Ties, ranked

_SLOTS = 10_000
"""Labels that are numbers above this are not counted as places in a list."""


@dataclass(frozen=True)
class Counts:
    """What was scored, and what was left out before. Rows, one for each box and class."""

    truth: int
    """Rows of truth that count."""
    detections: int
    """Detections that count."""
    truth_keyframes: int
    detections_keyframes: int
    shared_keyframes: int
    """Keyframes with rows on both sides."""
    truth_of_other_labels: int
    detections_of_other_labels: int
    excluded_truth: int
    """Rows at excluded keyframes."""
    excluded_detections: int
    without_area: int
    """Detections with x1 >= x2 or y1 >= y2, which are dropped."""
    duplicates: int
    """Detections with the keyframe, box and label of one before them. They count, and all but one can only be wrong."""


@dataclass(frozen=True)
class AveragePrecision:
    """The score of a table of detections."""

    value: float
    """The mean of the classes that have truth, 0..1."""
    counts: Counts
    names: dict[Hashable, str] = field(repr=False)
    """Of every class that was asked for."""
    ranked: dict[Hashable, Ranked] = field(repr=False)
    """Of every class its detections from the highest score to the lowest, with precision and recall."""

    @cached_property
    def per_class(self) -> dict[Hashable, float]:
        """Average precision by label, NaN for classes without truth."""
        return {label: one.value for label, one in self.ranked.items()}

    @cached_property
    def by_name(self) -> dict[str, float]:
        """Average precision by the name of the class, NaN for classes without truth."""
        return {self.names[label]: value for label, value in self.per_class.items()}

    @property
    def table(self) -> pd.DataFrame:
        """A row for each class: label, name, truth, detections, found (of the truth) and AP."""
        rows = [
            (label, self.names[label], one.wanted, len(one.hits), int(one.hits.sum()), self.per_class[label])
            for label, one in self.ranked.items()
        ]
        return pd.DataFrame(rows, columns=["label", "name", "truth", "detections", "found", "AP"])

    def curve(self, label: Hashable) -> pd.DataFrame:
        """Score, precision and recall after each detection of a class, best first. Raises BookError for another."""
        if label not in self.ranked:
            raise BookError(f"no class {label!r}: the labels are {some(self.ranked, 10)}")
        one = self.ranked[label]
        return pd.DataFrame({"score": one.scores, "precision": one.precision, "recall": one.recall})


def mean_average_precision(
    truth: pd.DataFrame,
    detections: pd.DataFrame,
    classes: Iterable[Hashable] | Mapping[Any, str],
    excluded: ava_tables.Excluded = (),
    *,
    ties: Ties = "stable",
    order: Order = "list",
    iou: float = 0.5,
) -> AveragePrecision:
    """The score of `detections` against `truth`, both tables as `evaluation.ava_tables` says.

    `classes` are the labels that count, or a mapping from label to name; rows of others are dropped. `excluded` are
    keyframes that are left out. See `tasks.boxes.ranked` for `ties` and `order`, and for what a hit is. Raises
    BookError for tables that lack a column, for numbers that are not finite, and where no truth is left.
    """
    names = ava_tables.class_names(classes)
    ava_tables.require(truth, ava_tables.TRUTH, "truth")
    ava_tables.require(detections, ava_tables.DETECTIONS, "detections")
    (true_keys, keys), where = ava_tables.keyframes([(truth, "truth"), (detections, "detections")])
    left_out = np.zeros(len(where) + 1, bool)
    left_out[[where[pair] for pair in ava_tables.pairs(excluded) if pair in where]] = True
    wanted, others, without = _kept(truth, "truth", true_keys, names, left_out)
    if not len(wanted):
        raise BookError(
            f"truth: of {len(truth):,} rows {others:,} have labels that are not among the classes "
            f"({some(names)}), {without:,} lie at excluded keyframes, and none is left: the labels of the truth are "
            f"{some(pd.unique(truth['label']))}"
        )
    found, other_found, without_found = _kept(detections, "detections", keys, names, left_out)
    scores = ava_tables.numbers(detections, "score", "detections")[found.rows]
    there = np.bincount(wanted.boxes.keyframe, minlength=len(where)) > 0
    also = np.bincount(found.boxes.keyframe, minlength=len(where)) > 0
    box = found.boxes.corners
    in_turn, _ = pd.factorize(found.boxes.keyframe)  # keyframes in the order in which detections first mention them
    places = np.full(len(where), -1)
    places[found.boxes.keyframe] = in_turn
    # Those of the truth alone come after them.
    places[places < 0] = np.arange((places < 0).sum()) + in_turn.max(initial=-1) + 1
    listed = Boxes(places[found.boxes.keyframe], found.boxes.label, box)
    areas = listed.with_area
    true = Boxes(places[wanted.boxes.keyframe], wanted.boxes.label, wanted.boxes.corners)
    counts = Counts(
        truth=len(wanted),
        detections=int(areas.sum()),
        truth_keyframes=int(there.sum()),
        detections_keyframes=int(also.sum()),
        shared_keyframes=int((there & also).sum()),
        truth_of_other_labels=others,
        detections_of_other_labels=other_found,
        excluded_truth=without,
        excluded_detections=without_found,
        without_area=int((~areas).sum()),
        duplicates=ava_tables.repeated(listed.keyframe, listed.label, listed.corners),
    )
    results = dict(zip(names, ranked(true, listed, scores, len(names), ties=ties, order=order, iou=iou), strict=True))
    return AveragePrecision(_mean(results), counts, names, results)


@dataclass(frozen=True)
class _Kept:
    boxes: Boxes
    rows: np.ndarray | slice

    def __len__(self) -> int:
        return len(self.boxes)


def _kept(
    table: pd.DataFrame, what: str, keys: np.ndarray, names: Mapping[Hashable, str], left_out: np.ndarray
) -> tuple[_Kept, int, int]:
    """The rows of a table that count, and how many do not for their label, or for their keyframe."""
    labels = ava_tables.label_numbers(table, names)
    other, excluded = labels < 0, left_out[keys]
    boxes = Boxes(keys, labels, ava_tables.corners(table, what))
    rows: np.ndarray | slice = slice(None)
    if other.any() or excluded.any():
        rows = np.flatnonzero(~other & ~excluded)
        boxes = boxes.at(rows)
    return _Kept(boxes, rows), int(other.sum()), int((excluded & ~other).sum())


def _mean(results: Mapping[Hashable, Ranked]) -> float:
    """The mean of the classes that have truth.

    Where labels are numbers from 1, each has its place among 1 to the largest, as in the original: how NumPy groups a
    sum, and so its last digit, hangs on how long it is.
    """
    values = np.array([one.value for one in results.values()])
    labels = [int(label) for label in results if isinstance(label, int | np.integer) and 1 <= label <= _SLOTS]
    if len(labels) == len(results):
        slots = np.full(max(labels), np.nan)
        slots[np.array(labels) - 1] = values
        values = slots
    return float(np.nanmean(values))


def every_class(boxes: pd.DataFrame, scores: np.ndarray, labels: Iterable[Hashable]) -> pd.DataFrame:
    """A table of detections from boxes (D rows: video, second, x1, y1, x2, y2) and scores (D, C) of C `labels`.

    One row for each box and class, nothing dropped: box after box, its classes in the order of `labels`. Scores and
    corners as float64. Raises BookError where the shapes do not fit.
    """
    ava_tables.require(boxes, ava_tables.TRUTH[:-1], "boxes")
    names = list(labels)
    if scores.shape != (len(boxes), len(names)):
        raise BookError(f"scores {scores.shape}: expected {(len(boxes), len(names))}, one of each box and class")
    table = boxes.loc[:, list(ava_tables.TRUTH[:-1])].reset_index(drop=True)
    table = table.loc[np.repeat(np.arange(len(table)), len(names))].reset_index(drop=True)
    table[list(ava_tables.CORNERS)] = table[list(ava_tables.CORNERS)].astype(np.float64)
    table["label"] = np.tile(pd.Series(names).to_numpy(), len(boxes))  # numbers stay numbers beside texts
    table["score"] = scores.astype(np.float64).ravel()
    return table
