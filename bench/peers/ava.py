"""Average precision at the scale of AVA: the book's, and loops over keyframes, classes and boxes.

The loops are written as the original (facebookresearch/SlowFast, ava_evaluation) goes about it: it makes a list of
detections for each keyframe, and for each keyframe and class looks at what there is of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from actionbook.evaluation.ava import every_class, mean_average_precision
from bench.worker import Contestant

Row = tuple[str, tuple[float, float, float, float], int, float]
"""Keyframe, box, class and score."""
Lists = Mapping[str, tuple[list, list, list]]
"""Boxes, classes and scores of each keyframe."""
UNSCORED = (2, 16, 18, 19, 21, 23, 25, 31, 32, 33, 35, 39, 40, 42, 44, 50, 53, 55, 71, 75)
SCORED = tuple(label for label in range(1, 81) if label not in UNSCORED)


@dataclass(frozen=True)
class Drawn:
    """A validation set that is not there: people with several actions, and what a network makes of them."""

    truth: pd.DataFrame
    boxes: pd.DataFrame
    """Of the detector, without classes."""
    scores: np.ndarray
    """(boxes, 60) float32."""


def drawn(keyframes: int, seed: int = 0) -> Drawn:
    """So many keyframes with the counts of AVA's validation set: 57,408 give 121,000 boxes and 280,000 rows of truth.

    One keyframe in fourteen has nobody in it. A third of the truth are four common classes. Boxes of the detector are
    those of the truth, moved a little, some lost and some invented.
    """
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(keyframes), rng.choice(6, keyframes, p=(0.07, 0.32, 0.28, 0.17, 0.105, 0.055)))
    sizes = rng.uniform((0.1, 0.3), (0.5, 0.9), (len(people), 2))
    corner = rng.uniform(0, 1 - sizes)
    corners = np.round(np.hstack([corner, corner + sizes]), 3)
    shares = np.full(len(SCORED), 2 / 3 / (len(SCORED) - 4))
    shares[[8, 9, 11, 58]] = 1 / 12
    many = rng.integers(1, 5, len(people))
    labels = np.zeros((len(people), len(SCORED)), bool)
    labels[np.repeat(np.arange(len(people)), many), rng.choice(len(SCORED), many.sum(), p=shares)] = True
    who, what = np.nonzero(labels)
    truth = _table(people[who], corners[who])
    truth["label"] = np.array(SCORED)[what]
    seen = np.flatnonzero(rng.random(len(people)) < 0.93)
    invented = rng.integers(0, len(people), len(people) // 11)
    which = np.sort(np.concatenate([seen, invented]))
    moved = corners[which] + rng.normal(0, 0.03, (len(which), 4))
    scores = rng.random((len(which), len(SCORED))) ** 4 + 0.3 * labels[which] * rng.random((len(which), len(SCORED)))
    boxes = _table(people[which], np.clip(moved, 0, 1).astype(np.float32))
    return Drawn(truth, boxes, (scores / 1.3).astype(np.float32))


def _table(keyframes: np.ndarray, corners: np.ndarray) -> pd.DataFrame:
    """Keyframes as AVA's: 897 of each video, from second 902 on."""
    table = pd.DataFrame(corners, columns=["x1", "y1", "x2", "y2"])
    names = [f"video{number:06d}" for number in range(keyframes.max(initial=0) // 897 + 1)]
    table.insert(0, "video", pd.Categorical.from_codes(keyframes // 897, names))
    table.insert(1, "second", 902 + keyframes % 897)
    return table


def book(keyframes: int) -> Contestant:
    """The book's score, from boxes and scores. Facts: value, rows."""
    given = drawn(keyframes)

    def step() -> float:
        return mean_average_precision(given.truth, every_class(given.boxes, given.scores, SCORED), SCORED).value

    return Contestant(step, {"value": step(), "rows": given.scores.size})


def original(keyframes: int) -> Contestant:
    """The same by loops, which take ties as the book's does by default. Facts: value."""
    given = drawn(keyframes)
    truth = listed(_rows(given.truth, 1.0))

    def step() -> float:
        lists = _no_lists()
        for (key, box, *_), scores in zip(_rows(given.boxes, 0.0), given.scores, strict=True):
            for label, score in zip(SCORED, scores.tolist(), strict=True):
                for one, value in zip(lists[key], (box, label, score), strict=True):
                    one.append(value)
        return float(np.nanmean(loops(truth, lists, SCORED)))

    return Contestant(step, {"value": step()})


def listed(rows: Iterable[Row]) -> Lists:
    """Rows by their keyframe, in the order in which they come."""
    lists = _no_lists()
    for key, *values in rows:
        for one, value in zip(lists[key], values, strict=True):
            one.append(value)
    return lists


def _no_lists() -> Lists:
    return defaultdict(lambda: ([], [], []))


def _rows(table: pd.DataFrame, score: float) -> Iterator[Row]:
    keys = (f"{video},{second:04d}" for video, second in zip(table.video, table.second, strict=True))
    corners = zip(*(table[name].astype(float).tolist() for name in ("x1", "y1", "x2", "y2")), strict=True)
    labels = table.label.tolist() if "label" in table else [0] * len(table)
    return ((key, box, label, score) for key, box, label in zip(keys, corners, labels, strict=True))  # type: ignore[misc]


def loops(truth: Lists, detections: Lists, classes: Collection[int], iou: float = 0.5) -> np.ndarray:
    """The average precision of class 1 to the largest of `classes`, NaN where there is no truth of it.

    All labels are among `classes`.
    """
    every = range(1, max(classes) + 1)
    none = (np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    wanted = {key: _arrays(*lists) for key, lists in truth.items()}
    scores: dict[int, list[np.ndarray]] = {label: [none[2]] for label in every}
    hits: dict[int, list[np.ndarray]] = {label: [none[2]] for label in every}
    for key, lists in detections.items():
        corners, labels, sure = _arrays(*lists)
        whole = (corners[:, 0] < corners[:, 2]) & (corners[:, 1] < corners[:, 3])
        corners, labels, sure = corners[whole], labels[whole], sure[whole]
        true, true_labels, _ = wanted.get(key, none)
        for label in every:
            mine, its = corners[labels == label], true[true_labels == label]
            if len(mine):
                scores[label].append(sure[labels == label])
                hits[label].append(_taken(mine, its, iou))
    counts = np.zeros(max(classes) + 1, int)
    for _, true_labels, _ in wanted.values():
        for label in true_labels:
            counts[label] += 1
    values = np.full(max(classes), np.nan)
    for label in every:
        if counts[label]:
            ordered = np.argsort(np.concatenate(scores[label]), kind="stable")[::-1]
            values[label - 1] = _area(np.concatenate(hits[label])[ordered], counts[label])
    return values


def _arrays(corners: list, labels: list, scores: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array(corners, float), np.array(labels, int), np.array(scores, float)


def _taken(corners: np.ndarray, true: np.ndarray, iou: float) -> np.ndarray:
    """Which boxes (n, 4) of a class find one of the truth (m, 4): bool (n,)."""
    width = np.minimum(corners[:, None, 2], true[:, 2]) - np.maximum(corners[:, None, 0], true[:, 0])
    height = np.minimum(corners[:, None, 3], true[:, 3]) - np.maximum(corners[:, None, 1], true[:, 1])
    inside = np.maximum(0.0, width) * np.maximum(0.0, height)
    areas = [(each[:, 2] - each[:, 0]) * (each[:, 3] - each[:, 1]) for each in (corners, true)]
    with np.errstate(invalid="ignore", divide="ignore"):
        overlaps = inside / (areas[0][:, None] + areas[1] - inside)
    found, taken = np.zeros(len(corners), bool), np.zeros(len(true), bool)
    if not len(true):  # asked after the overlaps, as in the original
        return found
    for number, candidate in enumerate(np.argmax(overlaps, axis=1)):
        if overlaps[number, candidate] >= iou and not taken[candidate]:
            found[number] = taken[candidate] = True
    return found


def _area(hits: np.ndarray, wanted: int) -> float:
    """The area under precision against recall."""
    right, wrong = np.cumsum(hits), np.cumsum(1 - hits)
    precision = np.concatenate([[0], right / (right + wrong), [0]])
    recall = np.concatenate([[0], right / wanted, [1]])
    for number in range(len(precision) - 2, -1, -1):
        precision[number] = max(precision[number], precision[number + 1])
    steps = np.where(recall[1:] != recall[:-1])[0] + 1
    return float(np.sum((recall[steps] - recall[steps - 1]) * precision[steps]))
