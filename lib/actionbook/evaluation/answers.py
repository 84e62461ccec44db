"""What a network has said, without what fills a sample up: what is compared between formats, and handed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actionbook.clips.targets import boxes_of
from actionbook.core.errors import BookError
from actionbook.datasets.index import Index
from actionbook.tasks import Predictions


def answers(found: Predictions) -> np.ndarray:
    """The outputs (rows, classes): a row a sample, or of detection a row for each box that was asked about.

    Boxes that only fill a sample up are left out, since what is said of them means nothing.
    """
    if found.outputs.ndim == 2:
        return found.outputs
    real = boxes_each(found.items, found.index, found.outputs.shape[-1])
    return np.asarray(found.outputs[np.arange(found.outputs.shape[1]) < real[:, None]])


def outputs_of(rows: np.ndarray, items: Sequence[str], index: Index, boxes: int | None) -> np.ndarray:
    """The outputs that have these `answers`, float32 (samples, classes), or with `boxes` (samples, boxes, classes).

    What fills up is 0. `items` names the item of every sample. Raises BookError where there are more or fewer rows than
    the index has boxes, or samples.
    """
    if boxes is None:
        if len(rows) != len(items):
            raise BookError(f"{len(rows)} rows of predictions for {len(items)} samples")
        return rows
    real = boxes_each(items, index, rows.shape[-1])
    if real.sum() != len(rows) or real.max(initial=0) > boxes:
        raise BookError(f"{len(rows)} rows of predictions for {real.sum()} boxes, at most {boxes} each")
    outputs = np.zeros((len(items), boxes, rows.shape[-1]), rows.dtype)
    outputs[np.arange(boxes) < real[:, None]] = rows
    return outputs


def boxes_each(items: Sequence[str], index: Index, classes: int) -> np.ndarray:
    """How many boxes the network was asked about in a sample of each of `items`, int (samples,)."""
    ranges = boxes_of(index, classes).ranges
    first_and_end = np.array([ranges.get(item, (0, 0)) for item in items], np.int64).reshape(-1, 2)
    return np.asarray(first_and_end[:, 1] - first_and_end[:, 0])
