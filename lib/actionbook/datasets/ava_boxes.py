"""Which boxes found are boxes of the truth: how far they overlap, and the classes that they get for training."""

from __future__ import annotations

import numpy as np
import pandas as pd

from actionbook.datasets.ava_writing import COLUMNS, CORNERS

ON_TRUTH = 0.9
"""Least intersection over union with a box of the truth at which a box found gets its classes: that of PySlowFast's
lists, named in their folder ``person_box_67091280_iou90``."""


def overlaps(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Intersection over union of a box ``(4,)`` with each of `boxes` ``(N, 4)``: ``(N,)``, 0 to 1."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    common = np.clip(sides, 0, None).prod(1)
    return common / ((box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - common)


def with_labels(detections: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """The boxes found, a row for each class of the box of the truth that they lie on, or one with -1.

    Both tables have the columns of `ava_writing`; the labels of `detections` do not matter, and the order stays.
    """
    by_keyframe = dict(iter(truth.groupby(["video", "second"])))
    none = truth.iloc[:0]
    rows: list[tuple[object, ...]] = []
    for video, second, *corners, _, score in detections[list(COLUMNS)].itertuples(index=False):
        here = by_keyframe.get((video, second), none)
        on = here.loc[overlaps(np.array(corners), here[list(CORNERS)].to_numpy(float)) >= ON_TRUTH, "label"]
        rows += [(video, second, *corners, label, score) for label in (on.unique() if len(on) else [-1])]
    return pd.DataFrame(rows, columns=list(COLUMNS))
