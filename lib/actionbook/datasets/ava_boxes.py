"""Which boxes found are boxes of the truth, and the classes that they get for training."""

from __future__ import annotations

import numpy as np
import pandas as pd

from actionbook.core.boxes import overlap
from actionbook.datasets.ava_writing import COLUMNS, CORNERS

ON_TRUTH = 0.9
"""Least intersection over union with a box of the truth at which a box found gets its classes: that of PySlowFast's
lists, named in their folder ``person_box_67091280_iou90``."""


def with_labels(detections: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """The boxes found, a row for each class of the box of the truth that they lie on, or one with -1.

    Both tables have the columns of `ava_writing`; the labels of `detections` do not matter, and the order stays.
    """
    by_keyframe = dict(iter(truth.groupby(["video", "second"])))
    none = truth.iloc[:0]
    rows: list[tuple[object, ...]] = []
    for video, second, *corners, _, score in detections[list(COLUMNS)].itertuples(index=False):
        here = by_keyframe.get((video, second), none)
        on = here.loc[overlap(np.array(corners)[:, None], here[list(CORNERS)].to_numpy(float).T) >= ON_TRUTH, "label"]
        rows += [(video, second, *corners, label, score) for label in (on.unique() if len(on) else [-1])]
    return pd.DataFrame(rows, columns=list(COLUMNS))
