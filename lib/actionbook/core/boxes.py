"""Boxes as numbers: how far they overlap, and the clips of a batch that they belong to."""

from __future__ import annotations

import numpy as np

from actionbook.core.errors import BookError


def overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (4, ...) and boxes that broadcast with them.

    A box whose corners are the wrong way round has no intersection with any. Two boxes without area give NaN.
    """
    width = np.maximum(0.0, np.minimum(one[2], other[2]) - np.maximum(one[0], other[0]))
    height = np.maximum(0.0, np.minimum(one[3], other[3]) - np.maximum(one[1], other[1]))
    inside = width * height
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(inside / (area(one) + area(other) - inside))


def area(corners: np.ndarray) -> np.ndarray:
    """Of boxes (4, ...)."""
    return np.asarray((corners[3] - corners[1]) * (corners[2] - corners[0]))


def by_clip(boxes: np.ndarray, clips: int, room: int | None = None) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Boxes in a list, each behind the number of its clip, as the input of a network with room for some in each clip.

    `boxes` (R, 5): number from 0, x1, y1, x2, y2, as PySlowFast and detectron2 hand them over. Returns float32
    (clips, room, 4), filled up with zeros, and where each box is: of an output (clips, room, classes), `output[places]`
    are the rows of the list (R, classes). `room` None: as much as the fullest clip needs, at least 1. Raises BookError
    for another shape, for a clip that is not there, and for more boxes than there is room.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 5:
        raise BookError(f"boxes {boxes.shape}: expected (R, 5), each the number of a clip and x1, y1, x2, y2")
    wrong = np.flatnonzero(~np.isin(boxes[:, 0], np.arange(clips)))
    if len(wrong):
        raise BookError(f"box {wrong[0]} is of clip {boxes[wrong[0], 0]:g}: there are clips 0 to {clips - 1}")
    clip = boxes[:, 0].astype(np.int64)
    order = np.argsort(clip, kind="stable")
    counts = np.bincount(clip, minlength=clips)
    place = np.empty(len(boxes), np.int64)
    place[order] = np.arange(len(boxes)) - np.repeat(np.cumsum(counts) - counts, counts)
    room = max(1, counts.max(initial=0)) if room is None else room
    if counts.max(initial=0) > room:
        raise BookError(f"clip {counts.argmax()} has {counts.max()} boxes: there is room for {room}")
    made = np.zeros((clips, room, 4), np.float32)
    made[clip, place] = boxes[:, 1:]
    return made, (clip, place)
